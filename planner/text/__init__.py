"""Text becomes typed values: names, addresses, JSON documents."""
