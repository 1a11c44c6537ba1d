"""What is written down: wirings, journals, and the events that lead to them."""
