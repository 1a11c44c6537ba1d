"""Raw dumps of a namespace, to compare what was before with what is after. No parser of podwire ever touches them.

    before = dump(namespace)
    ...
    assert difference(before, dump(namespace)) == ""

What `ip`, `bridge`, `nft` and `tc` print, and what sysctls hold, is compared as text, line by line, less what `IGNORED`
lists. The order of lines counts too, but not that of routes and neighbours, which the kernel keeps in trees and hash
tables; IPv4 routes alike in table, destination, tos and metric do keep theirs: the kernel takes the first of them.
"""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from attrs import frozen

from tests.support.namespaces import Namespace

COMMANDS = {
    "link": "ip -o -d link show",
    "addr": "ip -o -d addr show",
    "route4": "ip -4 -o -d route show table all",
    "route6": "ip -6 -o -d route show table all",
    "rule4": "ip -4 -d rule show",
    "rule6": "ip -6 -d rule show",
    "neigh": "ip -d neigh show nud all",
    "proxy": "ip -d neigh show proxy",
    "bridge": "bridge -d link show",
    "nft": "nft list ruleset",
    "qdisc": "tc qdisc show",
}
SYSCTLS = ("net/ipv4/conf", "net/ipv6/conf", "net/bridge")
UNORDERED = {"route6", "neigh", "proxy"}


@frozen
class Ignored:
    """A field that may differ, and why: what `pattern` finds in these sections is replaced, or the whole line goes."""

    sections: str
    pattern: str
    why: str
    replacement: str | None = ""  # None: the whole line goes

    def applied(self, section: str, line: str) -> str | None:
        """Return the line without the field, or None if the line doesn't count."""
        if section not in self.sections.split():
            return line
        if self.replacement is None:
            return None if re.search(self.pattern, line) else line
        return re.sub(self.pattern, self.replacement, line)


TIMERS = "hello|tcn|topology_change|gc|message_age|forward_delay|hold"
LEARNT = "REACHABLE|STALE|DELAY|PROBE|INCOMPLETE|FAILED"
GROUP_MAC = "[0-9a-f][13579bdf](:[0-9a-f]{2}){5}"

IGNORED = (
    Ignored("link", r"\bqdisc noop\b", "a link's first up makes it noqueue, for good", "qdisc noqueue"),
    Ignored("qdisc", r"^qdisc noqueue 0: ", "listed from the link's first up on, never before", None),
    Ignored("link", r" state [A-Z]+", "operstate follows the carrier, after a while"),
    Ignored("link bridge", r",(LOWER_UP|NO-CARRIER)\b|\bNO-CARRIER,", "the carrier is the other end's"),
    Ignored("link", rf"\b({TIMERS})_timer +[\d.]+", "timers run"),
    Ignored("addr", r"\b(valid|preferred)_lft \d+sec", "what remains of a lifetime ticks away", r"\1_lft limited"),
    Ignored("route6", r"\bexpires -?\d+sec", "what remains of a lifetime ticks away", "expires"),
    Ignored("neigh", rf" ({LEARNT})\b", "learnt, not configured", None),
    Ignored("neigh", rf" lladdr {GROUP_MAC} NOARP *$", "the kernel's note of a group address it has sent to", None),
    Ignored("neigh", r" dev lo lladdr 00:00:00:00:00:00 NOARP *$", "the kernel's note of an address on lo", None),
    Ignored("nft", r"\bcounter packets \d+ bytes \d+", "counters count", "counter"),
)


@frozen
class Dump:
    """The raw text of each section, as it was printed."""

    sections: dict[str, str]

    def lines(self) -> list[str]:
        """Return what is compared: every line that counts, behind the name of its section."""
        return [f"{name}: {line}" for name, text in self.sections.items() for line in _normalised(name, text)]


def dump(namespace: Namespace) -> Dump:
    """Take the dump of a namespace; about 15 ms."""
    return Dump(printed(namespace, COMMANDS) | {"sysctl": namespace.inside(read_sysctls)})


def printed(namespace: Namespace, sections: Iterable[str]) -> dict[str, str]:
    """Return what the programs of these sections print, run by one shell: of dumps there are thousands."""
    wanted = list(sections)
    batches = {options: kept for options, names in _BATCHES.items() if (kept := [at for at in names if at in wanted])}
    others = [name for name in wanted if not COMMANDS[name].startswith("ip ")]
    commands = [*(_batch(*batch) for batch in batches.items()), *(COMMANDS[name] for name in others)]
    script = "".join(f"{command}\necho; echo '== end'\n" for command in commands)
    texts = namespace.run("sh", "-e", stdin=script).out.split("\n== end\n")
    found = dict(zip(others, texts[len(batches) :], strict=False))
    for names, text in zip(batches.values(), texts, strict=False):
        parts = _LO.split(text, maxsplit=len(names) - 1) if len(names) > 1 else [text]  # 0 is no limit
        found |= dict(zip(names, parts, strict=True))
    return {name: found[name] for name in wanted}


# The sections that one `ip` prints: to start it takes as long as to ask it ten times. `lo` stands between them, which
# only a list of links begins with.
_BATCHES = {
    "-o -d": ("neigh", "proxy", "addr", "link"),
    "-4 -o -d": ("rule4", "route4"),
    "-6 -o -d": ("rule6", "route6"),
}
_LO = re.compile("^1: lo: <.*\n", re.MULTILINE)


def _batch(options: str, names: Iterable[str]) -> str:
    """Return the command that prints the sections."""
    lines = (" ".join(word for word in COMMANDS[name].split()[1:] if word[0] != "-") for name in names)
    between = "\nlink show dev lo\n"
    return f"ip {options} -batch - <<'END'\n{between.join(lines)}\nEND"


def read_sysctls() -> str:
    """Return what `sysctl -a` tells of links and bridges, from a thread inside, without a look at all the others."""
    folders = (found for folder in SYSCTLS for found in os.walk(f"/proc/sys/{folder}"))
    paths = sorted(f"{where}/{name}" for where, _, names in folders for name in names)
    return "\n".join(f"{path} = {_read(path)}" for path in paths)


def _read(path: str) -> str:
    """Return the value of a file without the ceremony of a text file, which takes three times as long."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # one that is only written
        return "?"
    try:
        return os.read(descriptor, 4096).decode().strip()
    except OSError:  # one that has no value yet (stable_secret)
        return "?"
    finally:
        os.close(descriptor)


def difference(before: Dump, after: Dump) -> str:
    """Return what differs as a unified diff, each line behind the name of its section; "" if nothing does."""
    if before == after:  # mostly
        return ""
    return "\n".join(difflib.unified_diff(before.lines(), after.lines(), "before", "after", lineterm="", n=1))


def lasting_difference(before: Dump, namespace: Namespace, *, seconds: float = 1) -> str:
    """Return what differs in a namespace, after up to `seconds` for what the kernel does by and by.

    It enters local routes of IPv6 from a work queue, and learns by asking only that an address is somebody else's.
    """
    deadline = time.monotonic() + seconds
    while (found := difference(before, dump(namespace))) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def renamed(taken: Dump, name: str, common: str) -> Dump:
    """Return a dump in which `name` is called `common`: `ip` names the namespace that a link's other end is in."""
    return Dump({section: re.sub(rf"\b{re.escape(name)}\b", common, text) for section, text in taken.sections.items()})


def _normalised(section: str, text: str) -> list[str]:
    lines = [kept for line in _split(section, text) if (kept := _without_ignored(section, line)) is not None]
    if section in UNORDERED:
        return sorted(lines)
    if section == "route4":
        return sorted(lines, key=_rank)
    return lines


def _split(section: str, text: str) -> list[str]:
    r"""Split into lines; those of links, which `-o` joins with `\`, into their parts, each behind the link's name."""
    if section != "link":
        return text.splitlines()
    return [f"{line.split(': ')[1]}: {part.strip()}" for line in text.splitlines() for part in line.split("\\")]


def _without_ignored(section: str, line: str) -> str | None:
    kept: str | None = line.rstrip()
    for ignored in IGNORED:
        if kept is not None:
            kept = ignored.applied(section, kept)
    return kept


def _rank(route: str) -> tuple[str, ...]:
    """Return what the kernel ranks an IPv4 route by: those that are equal in it stay in the order listed."""
    words = route.split()
    named = [words[words.index(key) + 1] if key in words else "" for key in ("table", "tos", "metric")]
    return (*named, *words[:2])


@contextmanager
def unchanged(*namespaces: Namespace) -> Iterator[None]:
    """See that nothing is changed in these namespaces."""
    before = [dump(namespace) for namespace in namespaces]
    yield
    for namespace, then in zip(namespaces, before, strict=True):
        assert difference(then, dump(namespace)) == ""
