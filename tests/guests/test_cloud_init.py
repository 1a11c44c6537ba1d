"""Every renderer of the real cloud-init takes what podwire writes for it, and sets what the pod had."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from planner.cni.result import CniDns
from planner.facts.model import NamespaceFacts
from planner.guest.formats import guest_nics, guest_text
from planner.guest.nic import GuestNic
from planner.text.values import DomainName, parse_address
from tests.guests.cloud_init import DISTRIBUTIONS, Rendered, render
from tests.planner.builders import address, namespace, neighbour, plan_of, result_of, route, veth
from tests.planner.situations import SITUATIONS

DNS = CniDns((parse_address("10.96.0.10"), parse_address("fd00:10::a")), search=(DomainName("svc.example"),))
SERVERS, SEARCH = {"10.96.0.10", "fd00:10::a"}, {"svc.example"}

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


FORMS = ("cloud-init", "cloud-init-v1")


def test_renderers_set_what_the_pod_had(tmp_path: Path) -> None:
    """The addresses, the routes and their gateways, the MTU, name servers and domains, of each interface."""
    wanted = {
        pod: {
            name: Rendered(addresses, routes, str(facts.links[-1].mtu), SERVERS, SEARCH)
            for name, (addresses, routes) in links.items()
        }
        for pod, (facts, links) in PODS.items()
    }
    see_rendered({pod: facts for pod, (facts, _) in PODS.items()}, wanted, tmp_path)


def test_renderers_set_what_the_guest_is_to_be_told(tmp_path: Path) -> None:
    """In every situation that there is a golden plan of."""
    pods = {name: situation.facts for name, situation in SITUATIONS.items()}
    wanted = {name: {str(nic.name): told(nic) for nic in nics_of(facts)} for name, facts in pods.items()}
    see_rendered(pods, wanted, tmp_path)


def see_rendered(pods: dict[str, NamespaceFacts], wanted: dict[str, dict[str, Rendered]], work: Path) -> None:
    """See that every renderer makes the same of both forms of each pod."""
    texts = {(pod, form): guest_text(nics_of(facts), form).text for pod, facts in pods.items() for form in FORMS}
    rendered = render(texts, work)
    assert len(rendered) == len(pods) * len(FORMS) * len(DISTRIBUTIONS)
    for (pod, form, renderer), found in rendered.items():
        assert found == wanted[pod], f"{pod}, {form}, {renderer}"


def nics_of(facts: NamespaceFacts) -> tuple[GuestNic, ...]:
    """Return the interfaces of the VM, with name servers and domains."""
    return guest_nics(plan_of(facts, evolve(result_of(facts), dns=DNS)))


def told(nic: GuestNic) -> Rendered:
    """Return what an interface of the guest has to have: one default route a family, gateways on the link before."""
    routes: set[tuple[str, str | None]] = set()
    defaults = set()
    for way in sorted(nic.guest.routes, key=lambda way: way.metric or 0):
        if way.dst.prefixlen or way.dst.version not in defaults:
            routes.add((str(way.dst), str(way.via) if way.via else None))
        if not way.dst.prefixlen:
            defaults.add(way.dst.version)
        if way.onlink:
            routes.add((f"{way.via}/{way.dst.max_prefixlen}", None))
    addresses = set(map(str, nic.guest.addresses))
    servers, search = (SERVERS, SEARCH) if addresses else (set[str](), set[str]())
    return Rendered(addresses, routes, str(nic.guest.mtu), servers, search)
