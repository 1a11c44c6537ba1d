"""The guest's configuration of its interfaces, as text."""

from __future__ import annotations

from collections.abc import Sequence

from planner.guest.model import Guest, GuestDns
from planner.plan.plan import Plan, guests


def guest_words(guest: Guest) -> dict[str, list[str]]:
    """Return what a guest needs beside MAC and MTU, by what it is; what there is nothing of is left out."""
    return {name: list(map(str, things)) for name, things in guest_things(guest).items()}


def guest_things(guest: Guest) -> dict[str, Sequence[object]]:
    """Return the same as what ``str`` makes the words of: there may be very many."""
    found: dict[str, Sequence[object]] = {
        "addresses": guest.addresses,
        "routes": guest.routes,
        "neighbours": guest.neighbours,
        "DNS": _dns(guest.dns),
    }
    return {name: things for name, things in found.items() if things}


def _dns(dns: GuestDns) -> list[str]:
    words = [str(server) for server in dns.nameservers]
    words += [f"domain {dns.domain}"] if dns.domain else []
    words += [f"search {' '.join(dns.search)}"] if dns.search else []
    return words + ([f"options {' '.join(dns.options)}"] if dns.options else [])


def told_lines(plan: Plan) -> list[str]:
    """Return the guest's configuration, line by line, for every interface of a plan; then the plan's notes."""
    lines = []
    for interface, guest in zip(plan.interfaces, guests(plan), strict=True):
        words = [f"mac {guest.mac}, mtu {guest.mtu}"]
        words += [f"{what} {', '.join(values)}" for what, values in guest_words(guest).items()]
        lines += [f"guest of {interface.name}: {line}" for line in words]
    return [*lines, *plan.notes]
