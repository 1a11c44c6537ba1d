"""Whom podwire trusts, and what it lets others do: files of others, privileges, the umask."""
