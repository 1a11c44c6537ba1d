"""Netfilter hooks: base chains of nftables that may see or drop frames before a bridge or a VM does."""

from __future__ import annotations

from planner.text.frozen import frozen
from planner.text.values import Keyword, shown

_MOST_WORDS = 120


@frozen
class NetfilterHook:
    """A base chain of nftables that sees frames: family ``netdev`` or ``bridge`` (nft(8), "CHAINS").

    ``devices`` are those of a netdev chain, ``rules`` is how many rules the chain has.
    """

    family: Keyword
    table: str
    chain: str
    hook: Keyword
    accepts: bool
    rules: int
    devices: tuple[str, ...] = ()

    def __str__(self) -> str:
        policy = "accept" if self.accepts else "drop"
        rules = "1 rule" if self.rules == 1 else f"{self.rules} rules"
        name = shown(f"{self.family} {self.table} {self.chain}", _MOST_WORDS)
        return f"nftables chain {name} (hook {self.hook}, {rules}, policy {policy})"

    @property
    def does_nothing(self) -> bool:
        """Say whether every frame passes: there is no rule, and the policy is accept."""
        return self.accepts and not self.rules
