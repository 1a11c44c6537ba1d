"""What of a namespace is not as it was, when its plan was made or before a wiring: what others added, what is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from attrs import evolve

from planner.facts.model import NamespaceFacts, link_words
from planner.kinds.address import Address
from planner.kinds.ebtables import ACCEPT, FORWARD, INPUT, OUTPUT, Chain, EbtablesFacts, read_rule
from planner.kinds.kind import canonical, kind_of
from planner.kinds.route import KERNEL
from planner.kinds.tc_filter import FilterState
from planner.text.codec import to_json
from planner.text.values import Alias, InterfaceName, shown

_OWN_OF_LO = "address ::1/128 on lo"  # which the kernel gives it when it goes up


def differences(planned: NamespaceFacts, seen: NamespaceFacts) -> Iterator[str]:
    """Yield a sentence for each thing in which a namespace is no longer what it was when the plan was made."""
    then, now = _all_by_subject(planned), _all_by_subject(seen)
    for subject in [*then, *(subject for subject in now if subject not in then)]:
        before, after = then.get(subject), now.get(subject)
        if before == after:
            continue
        if after is None:
            yield f"{subject} existed when the plan was made but no longer does"
        elif before is None:
            yield f"{subject} did not exist when the plan was made"
        else:
            was, now_is = changed_words(before, after), changed_words(after, before)
            yield f"{subject} was {was} when the plan was made and is {now_is} now"
    if [fact.resource for fact in planned.addresses] != [fact.resource for fact in seen.addresses]:
        yield "the addresses are in another order than when the plan was made"
    if planned.route_places != seen.route_places:
        yield "equal routes are in another order than when the plan was made"


def without_other_wirings(
    before: NamespaceFacts,
    now: NamespaceFacts,
    wired: Collection[str],
    shared: Collection[Any],
    names: Mapping[str, InterfaceName],
) -> tuple[NamespaceFacts, NamespaceFacts]:
    """Return what to compare where other wirings were there before one that ``wired`` links, and none is any more.

    They have told themselves what their links are like, and what they changed for all wirings, the ``shared``
    resources, is as it was before them. ``names`` are those that links have now, by those of before.
    """
    if any(Alias.is_ours(link.alias) for link in now.links):
        return before, now
    theirs = _of_other_wirings(before, shared) - set(wired)
    rules = _without_rules(before, theirs)
    return evolve(_without_links(before, theirs), ebtables=rules), _without_links(
        now, {names.get(n, n) for n in theirs}
    )


def remains(
    before: NamespaceFacts, now: NamespaceFacts, wired: Collection[str], shared: Collection[Any] = ()
) -> Iterator[str]:
    """Yield a sentence for each thing that differs; what the kernel or the network makes on its own is left out.

    Beside other wirings in the namespace only the links that were ``wired`` are compared: the rest may be theirs.
    Resources that are ``shared`` are brought back by whoever is last.
    """
    links = {link.name for link in before.links} & {link.name for link in now.links}
    if any(Alias.is_ours(link.alias) for link in now.links):
        links &= set(wired)
        before, now = _only(before, links), _only(now, links)
    else:
        yield from _rules(before.ebtables, now.ebtables)
    then, there = _by_subject(before, links), _by_subject(now, links)
    same = {str(resource) for resource in shared}
    for subject in [*then, *(subject for subject in there if subject not in then)]:
        if subject in same:
            continue
        old, new = then.get(subject), there.get(subject)
        if old is None:
            yield f"left alone because podwire did not create it: {subject}"
        elif new is None:
            yield f"{subject} is gone"
        elif old != new:
            yield f"{subject} was {changed_words(old, new)} and is {changed_words(new, old)}"
    yield from _overtaken(before, now)


def _of_other_wirings(facts: NamespaceFacts, shared: Collection[Any]) -> set[str]:
    """Return the links that other wirings have made, wired, or changed for all."""
    made = {link.name for link in facts.links if Alias.is_ours(link.alias)}
    ports = {link.name for link in facts.links if link.master in made}
    filters = [fact for fact in facts.others if isinstance(fact.state, FilterState)]
    led = {fact.resource.link for fact in filters if any(rule.redirect in made for rule in fact.state.rules)}
    return made | ports | led | {name for resource in shared for name in kind_of(resource).links(resource)}


def _without_rules(facts: NamespaceFacts, theirs: set[str]) -> EbtablesFacts:
    """Return the rules that are not of other wirings, and the chains but for those that came with these."""
    ebtables = facts.ebtables
    if not theirs:
        return ebtables
    nobodys = {link.name for link in facts.links}.isdisjoint  # as after a renaming
    read = [(line, read_rule(line)) for line in ebtables.rules]
    rules = tuple(line for line, rule in read if rule is None or not (rule.link in theirs or nobodys((rule.link,))))
    used = {rule.split()[1] for rule in rules}
    chains = tuple(chain for chain in ebtables.chains if chain.name in used or not _comes_with_rules(chain))
    return evolve(ebtables, rules=rules, chains=chains)


def _comes_with_rules(chain: Chain) -> bool:
    return chain.name in (INPUT, FORWARD, OUTPUT) and chain.policy == ACCEPT


def _without_links(facts: NamespaceFacts, names: set[str]) -> NamespaceFacts:
    return evolve(facts, links=tuple(link for link in facts.links if link.name not in names))


def _overtaken(before: NamespaceFacts, now: NamespaceFacts) -> Iterator[str]:
    """Yield a sentence for each IPv4 address that is not the first of its subnet any more, whose source that is."""
    first, others = _primaries(before), _primaries(now)
    there = {fact.resource for fact in now.addresses}
    for where, address in first.items():
        other = others.get(where, address)
        if other != address and address in there:
            yield f"{address} now comes after {other}, which is the source address of packets to {address.subnet}"


def _primaries(facts: NamespaceFacts) -> dict[tuple[Any, Any], Address]:
    found: dict[tuple[Any, Any], Address] = {}
    for fact in facts.addresses:
        if fact.resource.address.version == 4:
            found.setdefault((fact.resource.link, fact.resource.subnet), fact.resource)
    return found


def went_along(
    plan_has: Collection[Any],
    before: NamespaceFacts,
    wired: NamespaceFacts,
    now: NamespaceFacts,
    links: Collection[str],
) -> Iterator[str]:
    """Yield a sentence for each thing that others added to ``links`` while they were wired and that is gone ``now``.

    A link that was down before goes down again, and the kernel takes its IPv6 addresses, its routes and its neighbours.
    ``plan_has`` are the resources that the wiring itself changed; what was there ``before`` it others have not added.
    """
    there = {link.name for link in now.links} & set(links)
    first, old, new = (_by_subject(_only(facts, there), there) for facts in (before, wired, now))
    ours = {str(resource) for resource in plan_has} | {f"link {name}" for name in there} | {_OWN_OF_LO} | first.keys()
    for subject in old:
        if subject not in new and subject not in ours:
            yield f"{subject}, added by others in the meantime, was removed by the kernel with what was rolled back"


def _rules(before: EbtablesFacts, now: EbtablesFacts) -> Iterator[str]:
    """Yield a sentence for each rule and chain of ebtables that differs, if they could be read both times."""
    if before.problem or now.problem:
        return
    came, went = Counter(now.rules) - Counter(before.rules), Counter(before.rules) - Counter(now.rules)
    yield from (f"left alone because podwire did not create it: ebtables rule {shown(rule, 200)}" for rule in came)
    yield from (f"the ebtables rule {shown(rule, 200)} is gone" for rule in went)
    if not came and not went and before.rules != now.rules:
        yield "the ebtables rules are in another order"
    then, there = ({chain.name: chain for chain in facts.chains} for facts in (before, now))
    yield from (f"the ebtables chain {name} is gone" for name in then if name not in there)
    for name, chain in there.items():
        policy = chain.policy
        if name not in then and not _comes_with_rules(chain):
            yield f"left alone because podwire did not create it: ebtables chain {name} with the policy {policy}"
        elif name in then and then[name].policy != policy:
            yield f"the policy of the ebtables chain {name} was {then[name].policy} and is {policy}"


def _only(facts: NamespaceFacts, links: Collection[str]) -> NamespaceFacts:
    return evolve(facts, links=tuple(link for link in facts.links if link.name in links), sysctls=())


def _by_subject(facts: NamespaceFacts, links: set[Any]) -> dict[str, dict[str, Any]]:
    """Return everything by what it is called; of links that are not in both, only the link itself."""
    found: dict[str, dict[str, Any]] = {f"link {link.name}": link_words(link) for link in facts.links}
    entries: list[Any] = [fact for fact in facts.addresses if fact.resource.link in links]
    entries += [fact for fact in facts.neighbours if fact.resource.link in links]
    entries += [fact for fact in facts.routes if links.issuperset(fact.resource.links) and not _comes_by_itself(fact)]
    entries += [fact for fact in facts.others if getattr(fact.resource, "link", None) in links]
    for fact in entries:
        if not getattr(fact.state, "learnt", False):
            found[str(fact.resource)] = to_json(canonical(fact.state))
    for setting in facts.sysctls:
        words = setting.key.split("/")
        if words[2] != "conf" or words[3] in links or words[3] in ("all", "default"):
            found[f"sysctl {setting.key}"] = {"value": str(setting.value)}
    return found


def _comes_by_itself(fact: Any) -> bool:
    """Say whether a route comes and goes with addresses, some of them a while later (DAD)."""
    return bool(fact.resource.protocol == KERNEL)


def _all_by_subject(facts: NamespaceFacts) -> dict[str, Any]:
    found: dict[str, Any] = {f"link {link.name}": link_words(link) for link in facts.links}
    for kind in (facts.addresses, facts.routes, facts.neighbours, facts.others):
        found |= {str(fact.resource): to_json(canonical(fact.state)) for fact in kind}
    found |= {f"sysctl {setting.key}": {"value": str(setting.value)} for setting in facts.sysctls}
    found |= {f"what podwire cannot read on {thing.link}": {"it": thing.why} for thing in facts.opaque if thing.link}
    found["the ebtables filter table"] = to_json(facts.ebtables)
    found |= {str(hook): to_json(hook) for hook in facts.hooks}
    found["the routing policy"] = {"rules": ", ".join(map(str, facts.policy)) or "the usual ones"}
    return found


def changed_words(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Return the keys of ``one`` that ``other`` has otherwise, as words."""
    words = [f"{key} {one.get(key, 'unset')}" for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
    return ", ".join(word if word.isprintable() else shown(word) for word in words)  # an alias can hold anything
