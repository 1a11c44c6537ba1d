"""Opening taps, and finding out who has one open."""
