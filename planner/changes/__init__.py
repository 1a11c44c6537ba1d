"""A change of one resource, its inverse, and how a resource is according to facts."""
