"""Reading the ebtables filter table as ``ebtables-save`` prints it (ebtables(8), nf_tables variant)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from planner.errors import InvalidInput
from planner.kinds.ebtables import ACCEPT, Chain, EbtablesFacts
from planner.text.document import Node
from planner.text.values import Keyword, shown

_LONGEST_RULE = 500
_POLICIES = ("ACCEPT", "DROP", "RETURN", "CONTINUE")
_ODD = r"[^A-Za-z0-9_.:/+-]"
_LONGEST_NAME = 64
_BASE_CHAINS = ("INPUT", "FORWARD", "OUTPUT")
# Of ``filter`` chains in the bridge family (nft(8), "Standard priority names for the bridge family").
_PRIORITY = -200


def read_save(save: str, chains: Node | None) -> EbtablesFacts:
    """Return the facts that ``ebtables-save`` printed, with ``nft -j list chains bridge`` if nft is installed.

    ``ebtables-save`` prints all three base chains whichever exist. Without nft an empty ACCEPT chain counts as absent.
    Raises InvalidInput for text that ebtables-save does not print.
    """
    policies, rules = _filter_table(save)
    kept = policies.keys() - _hidden(policies, rules) if chains is None else _existing_chains(chains)
    odd = set() if chains is None else _odd_chains(chains)
    return EbtablesFacts(
        table=bool(policies),
        chains=tuple(Chain(name=name, policy=policy) for name, policy in policies.items() if name in kept),
        rules=rules,
        odd_chains=tuple(name for name in policies if name in odd),
    )


def hides_a_chain(save: str) -> bool:
    """Say whether an empty ACCEPT chain is in ``ebtables-save``'s output: only nft tells whether that exists.

    A chain with rules exists; an untouched namespace prints nothing.
    """
    return bool(_hidden(*_filter_table(save)))


def _hidden(policies: Mapping[Keyword, Keyword], rules: Iterable[str]) -> set[Keyword]:
    """Return the chains of which only nft tells whether they exist."""
    with_rules = {rule.split(" ", 2)[1] for rule in rules if rule.startswith("-A ")}
    return {name for name, policy in policies.items() if policy == ACCEPT and name not in with_rules}


def _filter_table(save: str) -> tuple[dict[Keyword, Keyword], tuple[str, ...]]:
    """Return the policies and the rules in the filter table of ebtables-save's output."""
    policies: dict[Keyword, Keyword] = {}
    rules: list[str] = []
    table = ""
    for line in save.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif not line or line.startswith("#") or table not in ("filter", ""):
            continue
        elif line.startswith(":"):
            name, policy = _chain(line[1:])
            policies[name] = policy
        elif line.startswith("-A "):
            rules.append(line if line.isprintable() else shown(line, _LONGEST_RULE))
        else:
            raise InvalidInput(f"ebtables-save printed a line that podwire does not know: {shown(line)}")
    return policies, tuple(rules)


def _chain(text: str) -> tuple[Keyword, Keyword]:
    """Return the name and the policy of a chain. One of an odd name is a stranger's: it only counts as being there."""
    name, _, policy = text.rpartition(" ")
    if policy not in _POLICIES or not name.strip():
        raise InvalidInput(f"ebtables-save printed a line that podwire does not know: {shown(text)}")
    try:
        return Keyword(_plain(name)), Keyword(policy)
    except ValueError as error:
        raise InvalidInput(f"ebtables-save: {error}") from None


def _plain(name: str) -> str:
    """Return the name of a chain as a plain word, the same if it is one."""
    found = re.sub(_ODD, "_", name)
    return (found if found[:1].isalnum() else f"x{found}")[:_LONGEST_NAME]


def _existing_chains(chains: Node) -> set[str]:
    """Return the names of the chains in ``table bridge filter`` (libnftables-json(5))."""
    return {_plain(chain.field("name").text()) for chain in _filter_chains(chains)}


def _odd_chains(chains: Node) -> set[str]:
    """Return the names of base chains that are not as ebtables makes them: it adds no rules to those."""
    return {
        name
        for chain in _filter_chains(chains)
        for name in [chain.field("name").text()]
        if name in _BASE_CHAINS
        and (chain.optional("hook", Node.text, ""), chain.field("prio").value if chain.has("prio") else None)
        != (name.lower(), _PRIORITY)
    }


def _filter_chains(chains: Node) -> Iterator[Node]:
    for item in chains.field("nftables").items():
        if item.has("chain"):
            chain = item.field("chain")
            if chain.field("table").text() == "filter" and chain.field("family").text() == "bridge":
                yield chain
