"""What a VM must be told of its network."""
