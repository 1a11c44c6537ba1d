"""The kinds of wiring, one file each, and the parts they are made of."""
