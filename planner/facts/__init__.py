"""What was observed in a namespace, as values, and how it is read."""
