"""The filters of tc wiring that keep servers apart: their programs, run on frames, whatever a pod has.

What the kernel makes of them is in tests/guests/test_apart.py.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from attrs import define

from planner.facts.model import NamespaceFacts
from planner.kinds.bpf import DROP, GO_ON, TO_STACK, Bytecode
from planner.kinds.tc_filter import TcFilter
from planner.options import PlanOptions
from planner.text.values import Keyword
from planner.wiring.tc_guard import answers, questions
from tests.planner.builders import address, namespace, plan_of, veth
from tests.support.advertisements import router_advertisement
from tests.support.frames import (
    arp_request,
    behind_extensions,
    dhcp_discover,
    dhcp_offer,
    dhcpv6_advertise,
    dhcpv6_solicit,
    neighbour_advertisement,
    neighbour_solicitation,
    ping,
    redirect,
    router_solicitation,
    with_options,
)

SERVER, SERVER_6 = "169.254.254.2", "fe80::5a54"
VM, GW = "0a:58:0a:01:5a:05", "0a:58:0a:01:5a:01"
OF_4, OF_6, OF_ROUTERS = "IPv4", "IPv6", "routers"
ANSWERS = {
    "an offer": (dhcp_offer(GW, "10.1.90.66", "10.1.90.99"), OF_4),
    "an offer behind options": (with_options(dhcp_offer(GW, "10.1.90.66", "10.1.90.99")), OF_4),
    "a DHCPv6 answer": (dhcpv6_advertise(GW, "fe80::1", VM, "fe80::2"), OF_6),
    "an advertisement": (router_advertisement(), OF_ROUTERS),
    "one behind extensions": (behind_extensions(router_advertisement(), 0, 60), OF_ROUTERS),
    "a redirect": (redirect(GW, "fe80::1", VM, "fe80::2", "2001:db8::1"), OF_ROUTERS),
    "a ping": (ping(GW, VM, "10.1.90.1", "10.1.90.5"), None),
    "a ping of IPv6": (ping(GW, VM, "fd00::1", "fd00::2"), None),
    "who has": (arp_request(GW, "10.1.90.1", "10.1.90.5"), None),
    "a neighbour's question": (neighbour_solicitation(GW, "fe80::1", "fe80::2"), None),
    "a request": (dhcp_discover(GW), None),
}
QUESTIONS = {
    "a request": (dhcp_discover(VM), OF_4, TO_STACK),
    "who has the server": (arp_request(VM, "10.1.90.5", SERVER), OF_4, TO_STACK),
    "a ping of the server": (ping(VM, GW, "10.1.90.5", SERVER), OF_4, DROP),
    "a DHCPv6 request": (dhcpv6_solicit(VM), OF_6, TO_STACK),
    "where the server is": (neighbour_solicitation(VM, "fe80::2", SERVER_6), OF_6, TO_STACK),
    "where the guest is": (neighbour_advertisement(VM, "fe80::2", GW, SERVER_6), OF_6, TO_STACK),
    "a ping of the server's other address": (ping(VM, GW, "fe80::2", SERVER_6), OF_6, DROP),
    "who is a router": (router_solicitation(VM, "fe80::2"), OF_ROUTERS, DROP),
    "who has the gateway": (arp_request(VM, "10.1.90.5", "10.1.90.1"), None, GO_ON),
    "where somebody is": (neighbour_solicitation(VM, "fe80::2", "fe80::1"), None, GO_ON),
    "who has the server's group": (neighbour_solicitation(VM, "fe80::2", "fd00::5a54"), None, GO_ON),
    "a ping": (ping(VM, GW, "10.1.90.5", "10.1.90.1"), None, GO_ON),
}
SERVED = [(served, routers) for served in ({OF_4}, {OF_6}, {OF_4, OF_6}) for routers in (set[str](), {OF_ROUTERS})]


def families(served: set[str]) -> set[int]:
    """Return the numbers of IP's versions."""
    return {int(name[-1]) for name in served}


@pytest.mark.parametrize(("served", "routers"), SERVED)
@pytest.mark.parametrize("name", ANSWERS)
def test_what_others_say_is_dropped(name: str, served: set[str], routers: set[str]) -> None:
    """Of the families that are served, and of routers unless the pod listened to them; nothing else is."""
    frame, of = ANSWERS[name]
    verdict = run_program(answers(families(served), routers=bool(routers)), frame)
    assert verdict == (DROP if of in served | routers else GO_ON)


@pytest.mark.parametrize(("served", "routers"), SERVED)
@pytest.mark.parametrize("name", QUESTIONS)
def test_what_the_guest_asks_stays(name: str, served: set[str], routers: set[str]) -> None:
    """It goes to the server, or nowhere; what is not served goes out, as all else does."""
    frame, of, verdict = QUESTIONS[name]
    program = questions(families(served), IPv4Address(SERVER), routers=bool(routers))
    assert run_program(program, frame) == (verdict if of in served | routers else GO_ON)


def test_what_a_vlan_carries_is_not_looked_at() -> None:
    """It is a network of the guest's own."""
    assert run_program(answers({4, 6}, routers=True), router_advertisement(), tagged=True) == GO_ON


@pytest.mark.parametrize(
    ("facts", "guarded"),
    [
        (namespace(veth(), address("10.1.90.5/24")), [1, 99, 100, 100]),
        (namespace(veth(), address("fe80::1/64", learnt=False)), [100, 100]),
    ],
    ids=["with an address", "a wire"],
)
def test_they_come_before_the_redirects(facts: NamespaceFacts, guarded: list[int]) -> None:
    """Of a link that is a wire nothing is kept."""
    options = PlanOptions(wiring=Keyword("tc"), serve_dhcp=True)
    found = [change.resource.pref for change in plan_of(facts, options=options).changes if _is_filter(change.resource)]
    assert found == guarded


def _is_filter(resource: object) -> bool:
    return isinstance(resource, TcFilter)


@define
class Machine:
    """What a program has: an accumulator, an index, what it stored, and a frame."""

    frame: bytes
    tagged: bool
    a: int = 0
    x: int = 0
    stored: int = 0

    def load(self, start: int, size: int) -> int:
        """Return octets of the frame, or whether it had a VLAN's tag."""
        if start == 0xFFFF_F000 + 48:
            return int(self.tagged)
        assert start + size <= len(self.frame)
        return int.from_bytes(self.frame[start : start + size])


# The instructions of <linux/bpf_common.h> that programs may use, but for jumps.
SIZES = {0x20: 4, 0x28: 2, 0x30: 1, 0x48: 2, 0x50: 1}
STEPS: dict[int, Callable[[Machine, int], tuple[str, int]]] = {
    **{op: lambda m, k, size=SIZES[op]: ("a", m.load(k, size)) for op in (0x20, 0x28, 0x30)},  # type: ignore[misc]
    **{op: lambda m, k, size=SIZES[op]: ("a", m.load(m.x + k, size)) for op in (0x48, 0x50)},  # type: ignore[misc]
    0xB1: lambda m, k: ("x", 4 * (m.load(k, 1) & 15)),
    0x01: lambda _, k: ("x", k),
    0x07: lambda m, _: ("x", m.a),
    0x02: lambda m, _: ("stored", m.a),
    0x60: lambda m, _: ("a", m.stored),
    0x04: lambda m, k: ("a", m.a + k),
    0x64: lambda m, k: ("a", m.a << k),
    0x0C: lambda m, _: ("a", m.a + m.x),
}


def run_program(program: Bytecode, frame: bytes, *, tagged: bool = False) -> int:
    """Return what a program returns for a frame."""
    code = [tuple(map(int, line.split("+"))) for line in program.split(",")[1:]]
    assert len(code) == program.length == int(program.split(",")[0])
    machine, at = Machine(frame, tagged), 0
    while code[at][0] != 0x06:
        op, if_true, if_false, k = code[at]
        at += 1
        if op == 0x05:
            at += k
        elif op in (0x15, 0x45):
            at += if_true if (machine.a == k if op == 0x15 else machine.a & k) else if_false
        else:
            setattr(machine, *STEPS[op](machine, k))
    return code[at][3]
