"""Lifetimes in seconds, of which None is forever."""

from __future__ import annotations


def finite(lifetime: int | None) -> int | None:
    """Return a lifetime less what ticks: forever, over, or some time, so that two observations compare equal."""
    return None if lifetime is None else 0 if lifetime == 0 else 1
