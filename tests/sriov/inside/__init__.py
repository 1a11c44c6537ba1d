"""What runs in the host that has the card."""
