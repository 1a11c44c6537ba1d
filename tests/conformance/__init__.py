"""A conformance kit for CNI plugins: rules of the specification, each with the section that it comes from."""
