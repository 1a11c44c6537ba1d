"""Every renderer of the real cloud-init takes what podwire writes for it, and sets what the pod had."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from planner.cni.result import CniDns
from planner.facts.model import NamespaceFacts
from planner.guest.formats import guest_nics, guest_text
from planner.text.values import DomainName, parse_address
from tests.guests.cloud_init import DISTRIBUTIONS, Rendered, render
from tests.planner.builders import address, namespace, neighbour, plan_of, result_of, route, veth

DNS = CniDns((parse_address("10.96.0.10"), parse_address("fd00:10::a")), search=(DomainName("svc.example"),))
SERVERS = {"10.96.0.10", "fd00:10::a"}

PODS: dict[str, tuple[NamespaceFacts, dict[str, tuple[set[str], set[tuple[str, str | None]]]]]] = {
    "dual stack, a route of its own": (
        namespace(
            veth(),
            address("10.1.90.5/24"),
            address("fd00:1:90::5/64"),
            route("default via 10.1.90.1 dev eth0"),
            route("10.5.0.0/16 via 10.1.90.9 dev eth0"),
            route("default via fd00:1:90::1 dev eth0"),
            route("fd00:5::/48 via fd00:1:90::9 dev eth0"),
        ),
        {
            "eth0": (
                {"10.1.90.5/24", "fd00:1:90::5/64"},
                {
                    ("0.0.0.0/0", "10.1.90.1"),
                    ("10.5.0.0/16", "10.1.90.9"),
                    ("::/0", "fd00:1:90::1"),
                    ("fd00:5::/48", "fd00:1:90::9"),
                },
            )
        },
    ),
    "Calico": (
        namespace(
            veth(mtu=1450),
            address("10.244.186.221/32"),
            address("fd10:244::badc/128"),
            route("default via 169.254.1.1 dev eth0"),
            route("169.254.1.1/32 dev eth0 scope link"),
            route("default via fe80::ecee:eeff:feee:eeee dev eth0"),
        ),
        {
            "eth0": (
                {"10.244.186.221/32", "fd10:244::badc/128"},
                {
                    ("169.254.1.1/32", None),
                    ("0.0.0.0/0", "169.254.1.1"),
                    ("::/0", "fe80::ecee:eeff:feee:eeee"),
                },
            )
        },
    ),
    "AWS": (
        namespace(
            veth(mtu=9001),
            address("192.168.7.9/32"),
            route("default via 169.254.1.1 dev eth0"),
            route("169.254.1.1/32 dev eth0 scope link"),
            neighbour("169.254.1.1"),
        ),
        {"eth0": ({"192.168.7.9/32"}, {("169.254.1.1/32", None), ("0.0.0.0/0", "169.254.1.1")})},
    ),
    "two links": (
        namespace(
            veth(),
            veth("net1"),
            address("10.1.90.5/24"),
            address("10.2.0.5/16", "net1"),
            route("default via 10.1.90.1 dev eth0"),
            route("10.66.0.0/16 via 10.2.0.1 dev net1"),
        ),
        {
            "eth0": ({"10.1.90.5/24"}, {("0.0.0.0/0", "10.1.90.1")}),
            "net1": ({"10.2.0.5/16"}, {("10.66.0.0/16", "10.2.0.1")}),
        },
    ),
}


@pytest.mark.parametrize("form", ["cloud-init", "cloud-init-v1"])
@pytest.mark.parametrize("renderer", DISTRIBUTIONS)
@pytest.mark.parametrize("pod", PODS)
def test_renderers_set_what_the_pod_had(pod: str, renderer: str, form: str, tmp_path: Path) -> None:
    """The addresses, the routes and their gateways, the MTU and the name servers, of each interface."""
    facts, wanted = PODS[pod]
    nics = guest_nics(plan_of(facts, evolve(result_of(facts), dns=DNS)))
    rendered = render(renderer, guest_text(nics, form).text, tmp_path)
    links = {name: rendered[name] for name in rendered if name != "lo"}
    assert links.keys() == wanted.keys()
    for nic in nics:
        addresses, routes = wanted[nic.name]
        seen = links[nic.name]
        assert seen == Rendered(addresses, routes, str(nic.guest.mtu), seen.nameservers)
        assert seen.nameservers <= SERVERS
        assert seen.nameservers
