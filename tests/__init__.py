"""The tests: the pure planner, the executor on real namespaces, a real VM."""
