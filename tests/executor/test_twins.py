"""What is previewed is what is run: the commands by hand, and the script, do in a twin what apply does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from planner.formats import render_commands, render_script
from planner.plan.plan import Plan, plan_to_json
from tests.support import MakeNamespace, Outcome, run
from tests.support.dumps import Dump, difference, dump, lasting_difference, renamed
from tests.support.pods import Build, Pod, also, dual_stack, two_links
from tests.support.podwire import TEMPLATES, Podwire
from tests.support.situations import SITUATIONS

ALIKE = (
    "plugins: flannel and bridge: a /24 and a default route",
    "plugins: ptp: no connected route, of either family",
    "plugins: AWS: a /32, its gateway known to a permanent neighbour, rules",
    "addresses: secondary addresses, in their order",
    "routes: multipath",
    "routes: every other metric",
    "routes: several of one destination, a link-scope one behind a gateway",
    "neighbours: proxy",
    "links: MTU 1200, no IPv6",
    "links: a name with dots",
    "links: lo never up",
    "several: routes and sources that cross",
    "ebtables: chains of their own",
)


@pytest.mark.parametrize("name", ALIKE)
def test_commands_and_script_do_what_apply_does(netns: MakeNamespace, tmp_path: Path, name: str) -> None:
    """The same plan on three namespaces that are alike, there and back; all are the same at each step."""
    pods = [SITUATIONS[name](netns("host"), netns("pod")) for _ in range(3)]
    applied, typed, scripted = (Podwire.on(pod, tmp_path / pod.inside.name) for pod in pods)
    plan, of_commands, of_script = applied.plan(), typed.plan(), scripted.plan()
    assert text_of(plan, applied) == text_of(of_commands, typed) == text_of(of_script, scripted)
    before = all_alike(pods)

    applied.apply(plan)
    type_in(of_commands)
    assert run_script(of_script, tmp_path).rc == 0

    assert difference(before, all_alike(pods)) != ""

    applied.teardown()
    type_in(of_commands.reverse())
    assert run_script(of_script.reverse(), tmp_path).rc == 0

    assert difference(before, all_alike(pods)) == ""


def text_of(plan: Plan, podwire: Podwire) -> str:
    """Return the commands of a plan, both ways, as of a namespace called POD."""
    both = render_commands(plan) + render_commands(plan.reverse())
    return both.replace(podwire.netns, "/run/netns/POD")


def all_alike(pods: list[Pod]) -> Dump:
    """Return the dump of the first pod, when the others' are the same and no address is tentative any more."""
    for pod in pods:
        pod.settle()
    first, *others = (renamed(dump(pod.inside), pod.host.name, "HOST") for pod in pods)
    for other in others:
        assert difference(first, other) == ""
    return first


def type_in(plan: Plan) -> None:
    """Run the commands of a plan as somebody would who copies them, line by line, into a POSIX shell."""
    for line in render_commands(plan).splitlines():
        run(["sh", "-c", line])


def run_script(plan: Plan, folder: Path, *, first_in_path: Path | None = None) -> Outcome:
    """Run the script of a plan, and return how it ended."""
    script = folder / "script.sh"
    script.write_text(render_script(plan, TEMPLATES))
    places = [first_in_path] if first_in_path else []
    path = os.pathsep.join([*map(str, places), os.environ["PATH"], "/usr/sbin", "/sbin"])
    return run(["bash", script], env={"PATH": path}, check=False)


def test_a_namespace_that_differs_would_be_seen(netns: MakeNamespace) -> None:
    """The comparison of twins can fail: it does if one of them has another MAC."""
    pods = [dual_stack(netns("host"), netns("pod")) for _ in range(2)]
    all_alike(pods)
    pods[1].inside.ip("link set eth0 address 02:00:00:00:00:42")
    with pytest.raises(AssertionError, match="02:00:00:00:00:42"):
        all_alike(pods)


def test_plans_of_twins_are_the_same_document(netns: MakeNamespace, tmp_path: Path) -> None:
    """Planning is a pure function: facts that are alike and the same random numbers give the same plan."""
    twins = [Podwire.on(two_links(netns("host"), netns("pod")), tmp_path) for _ in range(2)]
    documents = [plan_to_json(twin.plan()) for twin in twins]
    for document in documents:
        del document["netns"], document["checksum"], document["facts"]["observed_at"], document["result"]
        for change in document["changes"]:
            del change["netns"]
        for command in document["commands"] + document["reverse_commands"]:
            del command["netns"]
    assert documents[0] == documents[1]


# --- the script by itself ---------------------------------------------------------------------------------------------

everything: Build = also(
    dual_stack,
    "ip addr add 10.1.90.6/24 dev eth0 label eth0:one",
    "ip neigh add 10.1.90.9 lladdr 02:00:00:00:00:09 dev eth0",
    "ip neigh add proxy 10.1.90.8 dev eth0",
    "ip route add blackhole 10.9.0.0/16 src 10.1.90.5",
    "ip route add 10.10.0.0/16 nexthop via 10.1.90.1 weight 3 nexthop via 10.1.90.2",
    "ip link set lo down",
)

DIFFERENCES = {
    "a sysctl": ("sysctl -qw net/bridge/bridge-nf-call-iptables=0", "sysctl net/bridge/bridge-nf-call-iptables"),
    "a route": ("ip route del default", "route default via 10.1.90.1 dev eth0"),
    "a route of IPv6": ("ip route del ::/0", "route default via fd00:1:90::1 dev eth0 metric 1024"),
    "a route's gateway": (
        "ip route replace default via 10.1.90.2",
        "route default via 10.1.90.1 dev eth0",
    ),
    "a reject route": ("ip route del blackhole 10.9.0.0/16", "route blackhole 10.9.0.0/16"),
    "a way of several": (
        "ip route replace 10.10.0.0/16 via 10.1.90.1",
        "route 10.10.0.0/16 via 10.1.90.1 dev eth0 via 10.1.90.2 dev eth0",
    ),
    "a neighbour": (
        "ip neigh replace 10.1.90.9 lladdr 02:00:00:00:00:08 dev eth0",
        "neighbour 10.1.90.9 on eth0",
    ),
    "a neighbour's state": (
        "ip neigh replace 10.1.90.9 lladdr 02:00:00:00:00:09 nud noarp dev eth0",
        "neighbour 10.1.90.9 on eth0",
    ),
    "a proxy": ("ip neigh del proxy 10.1.90.8 dev eth0", "proxy neighbour 10.1.90.8 on eth0"),
    "the address generation": ("ip link set eth0 addrgenmode none", "address generation of eth0"),
    "an address": ("ip addr del fd00:1:90::5/64 dev eth0", "address fd00:1:90::5/64 on eth0"),
    "an address's label": (
        "ip addr del 10.1.90.6/24 dev eth0; ip addr add 10.1.90.6/24 dev eth0 label eth0:two",
        "address 10.1.90.6/24 on eth0",
    ),
    "an address's lifetime": (
        "ip addr change fd00:1:90::5/64 dev eth0 valid_lft 500 preferred_lft 400",
        "address fd00:1:90::5/64 on eth0",
    ),
    "the ebtables rules": ("ebtables -A OUTPUT -o eth0 -j DROP", "ebtables rules of pod1"),
    "the MAC": (  # another one flushes the neighbours
        "ip link set eth0 address 02:00:00:00:00:42; ip neigh add 10.1.90.9 lladdr 02:00:00:00:00:09 dev eth0",
        "MAC of eth0",
    ),
    "a link called br0": ("ip link add br0 type bridge", "link br0"),
    "a link called tap0": ("ip link add tap0 type veth peer name other", "link tap0"),
    "the master": ("ip link add cbr type bridge; ip link set eth0 master cbr", "master of eth0"),
    "lo up": ("ip link set lo up", "up or down of lo"),
}


@pytest.mark.parametrize(("lines", "resource"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_script_refuses_where_a_resource_is_not_at_its_before(
    netns: MakeNamespace, tmp_path: Path, lines: str, resource: str
) -> None:
    """It looks at every resource before the first change, whoever made the difference; exit status 1."""
    pod = everything(netns("host"), netns("pod"))
    plan = Podwire.on(pod, tmp_path / "state").plan()
    for line in lines.split("; "):
        pod.inside.run(*line.split())
    before = dump(pod.inside)
    outcome = run_script(plan, tmp_path)
    assert outcome.rc == 1
    assert outcome.err == f"refused: {resource} is not as it was when the plan was made\n"
    assert difference(before, dump(pod.inside)) == ""


def test_script_refuses_to_be_run_twice(netns: MakeNamespace, tmp_path: Path) -> None:
    """What it made itself is not at its before either; and neither is its reverse once it is done."""
    pod = everything(netns("host"), netns("pod"))
    plan = Podwire.on(pod, tmp_path / "state").plan()
    assert run_script(plan, tmp_path).rc == 0
    pod.settle()
    wired = dump(pod.inside)
    assert run_script(plan, tmp_path).rc == 1
    assert difference(wired, dump(pod.inside)) == ""
    assert run_script(plan.reverse(), tmp_path).rc == 0
    assert run_script(plan.reverse(), tmp_path).rc == 1


def test_script_takes_back_what_it_did_where_the_kernel_refuses(netns: MakeNamespace, tmp_path: Path) -> None:
    """A macvlan on eth0 since the plan was made: it can't be a port of a bridge then. Exit status 3."""
    pod = everything(netns("host"), netns("pod"))
    plan = Podwire.on(pod, tmp_path / "state").plan()
    pod.inside.ip("link add link eth0 name child type macvlan")
    before = dump(pod.inside)
    outcome = run_script(plan, tmp_path)
    assert outcome.rc == 3
    assert "link set dev eth0 master br0; rolling back" in outcome.err
    assert lasting_difference(before, pod.inside) == ""


FAKE_IP = """\
#!/bin/sh
case "$*" in
    {refused}) echo "not today" >&2; exit 1 ;;
esac
PATH=/usr/sbin:/sbin:/usr/bin:/bin exec ip "$@"
"""


@pytest.mark.parametrize("refused", ["'addr del '*", "'tuntap add '*", "'link set dev br0 up'", "'link set dev lo up'"])
def test_script_takes_back_wherever_a_command_fails(netns: MakeNamespace, tmp_path: Path, refused: str) -> None:
    """Early, in the middle of making a link, and at the last command."""
    pod = everything(netns("host"), netns("pod"))
    plan = Podwire.on(pod, tmp_path / "state").plan()
    fake = tmp_path / "bin" / "ip"
    fake.parent.mkdir()
    fake.write_text(FAKE_IP.format(refused=refused))
    fake.chmod(0o755)
    before = dump(pod.inside)
    outcome = run_script(plan, tmp_path, first_in_path=fake.parent)
    assert outcome.rc == 3
    assert "not today" in outcome.err
    assert lasting_difference(before, pod.inside) == ""
