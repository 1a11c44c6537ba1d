"""What runs in the host that has the card, and boots a VM there: it takes minutes, and runs by night."""
