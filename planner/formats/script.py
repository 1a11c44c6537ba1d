"""A bash script that does what a plan does, by itself: it looks first, and goes back where a command fails."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from planner.changes.change import Change
from planner.formats.commands import shell_line
from planner.plan.plan import Plan
from planner.plan.render import Command, Templates
from planner.resources import (
    Address,
    AddressState,
    AddrGenMode,
    Admin,
    DropRule,
    EbtablesRules,
    Link,
    Mac,
    Master,
    Neighbour,
    Route,
    Sysctl,
)

_HEAD = """\
#!/usr/bin/env bash
# {title}
# Looks, with ip, sysctl and ebtables-save only, that everything is as it was when the plan was made; then changes it.
# Exit status: 0 done, 1 refused and nothing changed, 3 failed and taken back, 4 failed and not wholly taken back.
set -u

# has REGEX PROGRAM…: what the program prints, on one line, matches.  lacks REGEX PROGRAM…: it does not.
has() {{
  local regex=$1 seen
  shift
  seen=$("$@" 2>/dev/null)
  [[ " ${{seen//[[:space:]]/ }} " =~ $regex ]]
}}
lacks() {{ ! has "$@"; }}
"""

_TAIL = """\
for ((i = 1; i <= {count}; i++)); do
  "before_$i" || {{ printf 'refused: %s is not as it was when the plan was made\\n' "${{what[i]}}" >&2; exit 1; }}
done

take_back() {{
  local i left=0
  trap '' HUP INT TERM
  printf 'failed: %s; taking back\\n' "$2" >&2
  for ((i = $1; i >= 1; i--)); do "before_$i" || "back_$i"; done
  for ((i = $1; i >= 1; i--)); do
    "before_$i" || [[ ${{by_itself[i]}} ]] || {{ printf 'not taken back: %s\\n' "${{what[i]}}" >&2; left=1; }}
  done
  exit $((left ? 4 : 3))
}}
reached=0
trap 'take_back "$reached" "interrupted"' HUP INT TERM

# run LAST-CHANGE LINE: runs a line of the plan.
run() {{
  reached=$1
  eval "$2" || take_back "$1" "$2"
}}

"""


def render_script(plan: Plan, templates: Templates) -> str:
    """Return ``plan`` as a bash script; the commands in it are the plan's, the checks and the way back its changes'."""
    title = f"podwire plan {plan.id}, {plan.netns}: {len(plan.changes)} changes, {len(plan.commands)} commands"
    blocks = [_HEAD.format(title=title), "what=('')\nby_itself=('')\n"]
    for number, change in enumerate(plan.changes, 1):
        blocks.append(_functions(number, change, templates))
    blocks.append(_TAIL.format(count=len(plan.changes)))
    blocks += [f"run {last} {shlex.quote(shell_line(command))}\n" for last, command in _with_last_change(plan)]
    return "".join(blocks)


def _with_last_change(plan: Plan) -> Iterator[tuple[int, Command]]:
    """Yield each command with the number of the last change that has begun then: up to there it may have to go back."""
    reached = itertools.accumulate((max(command.changes) + 1 for command in plan.commands), max)
    return zip(reached, plan.commands, strict=True)


def _functions(number: int, change: Change, templates: Templates) -> str:
    """Return what looks whether the resource is at its ``before``, and what brings it back there."""
    checks = " &&\n  ".join(_checks(change)) or "true"
    back = [shell_line(command) for command in templates.commands((change.inverse(),))] or ["true"]
    by_itself = "1" if change.inverse().happens_by_itself else "''"
    lines = [f"what+=({shlex.quote(str(change.resource))})", f"by_itself+=({by_itself})"]
    lines += [f"before_{number}() {{", f"  {checks}", "}"]
    lines += [f"back_{number}() {{", *(f"  {line}" for line in back), "}", ""]
    return "\n".join(lines) + "\n"


def _checks(change: Change) -> Iterator[str]:
    """Yield the shell tests that hold where a change's resource is at its ``before``."""
    known: Any = change.known_state if change.before is None else change.before
    test = "lacks" if change.before is None else "has"
    for argv, regex in _looks(change, known):
        line = shlex.join(["nsenter", f"--net={change.netns}", *argv])
        yield f"{test if regex[:1] != '!' else 'lacks'} {shlex.quote(regex.lstrip('!'))} {line}"


_Look = tuple[list[str], str]


def _looks(change: Change, known: Any) -> Iterable[_Look]:
    if isinstance(change.resource, Address) and isinstance(change.before, AddressState):
        return _address_whole(change.resource, change.before)
    looks: Iterable[_Look] = _LOOK[type(change.resource)](change.resource, known)
    return looks


def _word(text: object) -> str:
    return f" {re.escape(str(text))} "


def _sysctl(resource: Sysctl, state: Any) -> Iterator[_Look]:
    yield ["sysctl", "-n", str(resource.key)], _word(state.value)


def _link(resource: Link, state: Any) -> Iterator[_Look]:
    # A link that is to appear must not be there at all, whoever made it; one that is to go must be the one we know.
    del state
    yield ["ip", "-o", "link", "show", "dev", resource.name], f"^ [0-9]+: {re.escape(resource.name)}[:@]"


def _mac(resource: Mac, state: Any) -> Iterator[_Look]:
    yield ["ip", "-o", "link", "show", "dev", resource.link], _word(f"link/ether {state.mac}")


def _master(resource: Master, state: Any) -> Iterator[_Look]:
    regex = f" master {re.escape(state.master)} " if state.master else "! master "
    yield ["ip", "-o", "link", "show", "dev", resource.link], regex


def _admin(resource: Admin, state: Any) -> Iterator[_Look]:
    yield ["ip", "-o", "link", "show", "dev", resource.link], "[<,]UP[,>]" if state.up else "![<,]UP[,>]"


def _addrgenmode(resource: AddrGenMode, state: Any) -> Iterator[_Look]:
    yield ["ip", "-d", "-o", "link", "show", "dev", resource.link], _word(f"addrgenmode {state.mode}")


def _address(resource: Address, state: Any) -> Iterator[_Look]:
    del state
    yield ["ip", "-o", "addr", "show", "dev", resource.link], _address_shown(resource)


def _address_shown(resource: Address) -> str:
    address = resource.address
    shown = f"{address.ip} peer {resource.peer}/{address.network.prefixlen}" if resource.peer else str(address)
    # iproute2 leaves a full prefix length out.
    shown = shown.removesuffix(f"/{address.max_prefixlen}")
    return f" inet6? {re.escape(shown)}(/{address.max_prefixlen})? "


def _address_whole(resource: Address, state: AddressState) -> Iterator[_Look]:
    """Yield what shows an address with its scope and its label, and whether it is there forever."""
    argv = ["ip", "-o", "addr", "show", "dev", resource.link]
    label = rf"{re.escape(state.label)}[ \\]" if state.label else ""
    yield argv, rf"{_address_shown(resource)}([^\\]* )?scope {state.scope} ([^\\]* )?{label}"
    yield argv, rf"{'!' if state.valid_lft is None else ''}{_address_shown(resource)}[^\\]*\\ *valid_lft [0-9]"


def _route(resource: Route, state: Any) -> Iterator[_Look]:
    del state
    argv = [
        "ip",
        f"-{resource.dst.version}",
        "-d",
        "route",
        "show",
        "table",
        str(resource.table),
        "exact",
        str(resource.dst),
    ]
    if resource.metric:
        argv += ["metric", str(resource.metric)]
    if resource.nhid is not None:
        yield argv, _word(f"nhid {resource.nhid}")
        return
    for hop in resource.nexthops or (None,):
        # A gateway of the other family is printed as «via inet6 fe80::1».
        yield argv, re.escape(str(hop)).replace("via", "via( inet6)?", 1) + " " if hop else _word(resource.type)


def _neighbour(resource: Neighbour, state: Any) -> Iterator[_Look]:
    if resource.proxy:
        yield ["ip", "neigh", "show", "proxy", "dev", resource.link], _word(resource.address)
        return
    argv = ["ip", "neigh", "show", "to", str(resource.address), "dev", resource.link, "nud", state.state]
    yield argv, _word(f"lladdr {state.lladdr}") if state.lladdr else _word(resource.address)


def _rules(_resource: EbtablesRules, state: Any) -> Iterator[_Look]:
    for rule in state.rules:
        yield ["ebtables-save"], _word(_rule_line(rule))


def _rule_line(rule: DropRule) -> str:
    """Return a rule as ``ebtables-save`` prints it."""
    words = ["-A", rule.chain]
    words += ["-p", rule.protocol] if rule.protocol else []
    words += ["-i", rule.in_link] if rule.in_link else []
    words += ["-o", rule.out_link] if rule.out_link else []
    if rule.udp_port is not None:
        ip = "ip6" if rule.protocol == "IPv6" else "ip"
        words += [f"--{ip}-proto", "udp", f"--{ip}-dport", str(rule.udp_port)]
    return " ".join([*words, "-j", "DROP"])


_LOOK: dict[type, Any] = {
    Sysctl: _sysctl,
    Link: _link,
    Mac: _mac,
    Master: _master,
    Admin: _admin,
    AddrGenMode: _addrgenmode,
    Address: _address,
    Route: _route,
    Neighbour: _neighbour,
    EbtablesRules: _rules,
}
