"""Asking `ip` and its sisters in a namespace, with nothing of podwire in between."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from tests.support import Namespace, Outcome


def ask(namespace: Namespace, line: str) -> list[dict[str, Any]]:
    """Return what `ip -j -d LINE` answers."""
    answer: list[dict[str, Any]] = json.loads(namespace.ip(f"-j -d {line}") or "[]")
    return answer


def try_ip(namespace: Namespace, line: str) -> Outcome:
    """Run `ip LINE`, whatever its status."""
    return namespace.run("ip", *shlex.split(line), check=False)


def batch(namespace: Namespace, *lines: str, options: str = "-j -d") -> Outcome:
    """Run `ip OPTIONS -force -batch -` on the lines, standard error in the same pipe as standard output."""
    command = f"exec ip {options} -force -batch - 2>&1"
    return namespace.run("sh", "-c", command, stdin="".join(f"{line}\n" for line in lines), check=False)


def link(namespace: Namespace, name: str) -> dict[str, Any]:
    """Return what `ip -j -d link show dev NAME` answers."""
    return ask(namespace, f"link show dev {name}")[0]


def forwards(namespace: Namespace, port: str) -> bool:
    """Say whether a port of a bridge has noticed its carrier, so that frames pass."""
    found = link(namespace, port)
    state = found["linkinfo"].get("info_slave_data", {}).get("state")
    return found["operstate"] in ("UP", "UNKNOWN") and state == "forwarding"


def addresses(namespace: Namespace, name: str = "eth0") -> list[dict[str, Any]]:
    """Return the addresses of a link, in the kernel's order."""
    found: list[dict[str, Any]] = ask(namespace, f"addr show dev {name}")[0]["addr_info"]
    return found


def locals_of(namespace: Namespace, name: str = "eth0", *, family: int = 4) -> list[str]:
    """Return the addresses of a link as text, in the kernel's order, those of scope link left out for IPv6."""
    kind = "inet" if family == 4 else "inet6"
    return [
        f"{entry['local']}/{entry['prefixlen']}"
        for entry in addresses(namespace, name)
        if entry["family"] == kind and (family == 4 or entry["scope"] != "link")
    ]


def link_local(namespace: Namespace, name: str = "eth0") -> list[dict[str, Any]]:
    """Return the IPv6 link-local addresses of a link."""
    return [entry for entry in addresses(namespace, name) if entry["local"].startswith("fe80:")]


def routes(namespace: Namespace, selector: str = "", *, family: int = 4) -> list[str]:
    """Return the lines of `ip -4 route show` or `ip -6 route show`; those of link-local addresses are left out."""
    lines = namespace.ip(f"-{family} route show {selector}").splitlines()
    return [line.strip() for line in lines if not line.startswith("fe80::/64")]


def sysctl_of(namespace: Namespace, key: str) -> str | None:
    """Return what /proc/sys says in the namespace, None if there is no such file."""
    path = Path("/proc/sys", key)
    return namespace.inside(lambda: path.read_text().strip() if path.exists() else None)
