"""Network namespaces: opening, locking, naming and finding them."""
