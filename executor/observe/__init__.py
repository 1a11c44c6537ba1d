"""Looking at a namespace."""
