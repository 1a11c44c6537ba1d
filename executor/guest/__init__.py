"""Serving the guests of wired namespaces, and handing them to VMMs."""
