"""Running programs: one at a time, ahead of need, or through an open ``ip -batch``."""
