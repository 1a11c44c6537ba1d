"""Neighbour entries: who sees them, who loses them (planner/facts/parse.py, planner/wiring/strip.py)."""

from __future__ import annotations

import socket
from functools import partial

import pytest

from tests.kernel.asking import ask, try_ip
from tests.support import Namespace, eventually
from tests.support.pods import MAC, Pod

GATEWAY = "02:00:00:00:00:01"


def entries(namespace: Namespace, question: str = "nud all", link: str = "eth0") -> dict[str, list[str]]:
    """Return the neighbours of a link, each with its state."""
    return {entry["dst"]: entry.get("state", []) for entry in ask(namespace, f"neigh show {question} dev {link}")}


def send_to(address: str) -> None:
    """Send a datagram, so that the kernel looks for a neighbour."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"", (address, 9))


def test_a_new_mac_flushes_every_entry_of_the_link(inside: Namespace) -> None:
    """Permanent ones as well, so they are changes of the plan: removed before the MAC changes, back after it has."""
    inside.ip(f"neigh add 192.0.2.1 lladdr {GATEWAY} dev eth0 nud permanent")
    inside.ip(f"neigh add 2001:db8::1 lladdr {GATEWAY} dev eth0 nud permanent")
    inside.ip(f"neigh add 192.0.2.2 lladdr {GATEWAY} dev eth0 nud noarp")
    inside.ip("link set dev eth0 address 02:00:00:00:00:42")
    assert {address for address in entries(inside) if "2001:db8" in address or "192.0.2" in address} == set()
    inside.ip(f"link set dev eth0 address {MAC}")
    assert "192.0.2.1" not in entries(inside)


def test_a_new_mac_leaves_proxy_entries(inside: Namespace) -> None:
    """Those have no MAC of their own."""
    inside.ip("neigh add proxy 192.0.2.9 dev eth0")
    inside.ip("link set dev eth0 address 02:00:00:00:00:42")
    assert list(entries(inside, "proxy")) == ["192.0.2.9"]


def test_the_last_ipv4_address_takes_proxy_entries_along(inside: Namespace) -> None:
    """IPv4's, not IPv6's; so they are changes of the plan as well (planner.wiring.strip.remove_neighbours)."""
    inside.ip("addr add 192.0.2.5/24 dev eth0")
    inside.ip("addr add 2001:db8::5/64 dev eth0 nodad")
    for address in ("192.0.2.9", "2001:db8::9"):
        inside.ip(f"neigh add proxy {address} dev eth0")
    inside.ip("addr del 192.0.2.5/24 dev eth0")
    inside.ip("addr del 2001:db8::5/64 dev eth0")
    assert list(entries(inside, "proxy")) == ["2001:db8::9"]


def test_show_hides_noarp_and_proxy_entries(inside: Namespace) -> None:
    """So executor/observe/observe.py asks for `nud all` and, once more, for `proxy`."""
    inside.ip(f"neigh add 192.0.2.1 lladdr {GATEWAY} dev eth0 nud permanent")
    inside.ip(f"neigh add 192.0.2.2 lladdr {GATEWAY} dev eth0 nud noarp")
    inside.ip("neigh add proxy 192.0.2.9 dev eth0")
    assert entries(inside, "") == {"192.0.2.1": ["PERMANENT"]}
    assert {"192.0.2.1", "192.0.2.2"} <= set(entries(inside))
    assert "192.0.2.9" not in entries(inside)
    assert list(entries(inside, "proxy")) == ["192.0.2.9"]


@pytest.mark.parametrize("kind", ["", "proxy"])
def test_an_entry_can_be_added_only_once(inside: Namespace, kind: str) -> None:
    """A proxy entry as often as one likes: `neigh add` of it fails never."""
    line = f"neigh add {kind} 192.0.2.1 {'' if kind else f'lladdr {GATEWAY}'} dev eth0"
    inside.ip(line)
    again = try_ip(inside, line)
    assert (again.rc, "File exists" in again.err) == ((0, False) if kind else (2, True))


def test_the_kernel_makes_noarp_entries_itself(joined: Pod) -> None:
    """For group addresses, and for all on a link with `arp off`: nobody set those (planner/facts/parse.py)."""
    inside = joined.inside
    eventually(lambda: any(address.startswith("ff02::") for address in entries(inside)), "a group address")
    inside.ip("addr add 192.0.2.5/24 dev eth0")
    inside.ip("link set dev eth0 arp off")
    inside.inside(partial(send_to, "192.0.2.7"))
    (made,) = (entry for entry in ask(inside, "neigh show nud all dev eth0") if entry["dst"] == "192.0.2.7")
    assert (made["state"], made["lladdr"]) == (["NOARP"], MAC)  # the link's own


def test_going_down_takes_every_entry_along_on_lo_too(inside: Namespace) -> None:
    """Permanent ones and proxy entries (neighbour.c, neigh_ifdown)."""
    for link in ("lo", "eth0"):
        inside.ip(f"link set {link} up")
        inside.ip(f"neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev {link} nud permanent")
        inside.ip(f"neigh add proxy 192.0.2.8 dev {link}")
        inside.ip(f"link set {link} down")
        assert "192.0.2." not in inside.ip(f"neigh show dev {link} nud all") + inside.ip(f"neigh show proxy dev {link}")
