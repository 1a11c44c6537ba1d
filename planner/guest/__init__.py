"""What a VM needs to know of its network."""
