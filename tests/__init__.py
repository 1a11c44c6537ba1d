"""Tests in storeys: the pure planner, the executor on real namespaces, a real VM."""
