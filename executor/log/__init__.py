"""The log of commands in its formats."""
