"""If something goes wrong, or somebody else was there: rolled back, left alone or refused, and said so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.errors import RollbackIncomplete, RolledBack
from executor.operations.rollback import restore
from executor.state.events import Event, Listener, Ran, Running
from planner.errors import StalePlan
from planner.formats import render_text
from planner.plan.plan import Plan
from tests.support import MakeNamespace, Namespace, eventually
from tests.support.advertisements import router_advertisement
from tests.support.dumps import difference, dump, lasting_difference
from tests.support.pods import Pod, also, dual_stack, plain
from tests.support.podwire import Podwire
from tests.support.ports import Port


@pytest.fixture
def podwire(netns: MakeNamespace, state_dir: Path) -> Podwire:
    """Make a pod with addresses of both families, and take it in hand."""
    return Podwire.on(dual_stack(netns("host"), netns("pod")), state_dir)


# --- rolled back ------------------------------------------------------------------------------------------------------


def before_the_first(act: Callable[[], object]) -> Listener:
    """Return a listener that acts once, when everything has been looked at and nothing is done yet."""
    events: list[Event] = []

    def listen(event: Event) -> None:
        if isinstance(event, Running) and not events:
            events.append(event)
            act()

    return listen


def after_the_last(program: str, plan: Plan, act: Callable[[], object]) -> Listener:
    """Return a listener that acts when the plan's last command of a program was run, before it is looked again."""
    left = [command for command in plan.commands if command.argv[0] == program]

    def listen(event: Event) -> None:
        if isinstance(event, Ran) and event.command in left:
            left.remove(event.command)
            if not left:
                act()

    return listen


def journal(podwire: Podwire) -> list[dict[str, Any]]:
    """Return the lines of the journal."""
    text = podwire.settings.store.journal_path(podwire.id).read_text()
    return [json.loads(line) for line in text.splitlines() if line]


@pytest.mark.parametrize("name", ["br0", "tap0"])
def test_a_command_that_the_kernel_refuses_is_rolled_back(podwire: Podwire, name: str) -> None:
    """Somebody's link of that name came between the look and the command: it stays, and all else is as it was."""
    inside = podwire.pod.inside
    before = dump(inside)
    plan = podwire.plan()

    with pytest.raises(
        RolledBack, match=rf"^ip .* {name} .* failed: .*; what was done was rolled back, {podwire.netns}"
    ):
        podwire.apply(plan, before_the_first(lambda: inside.ip(f"link add {name} type veth peer name other")))

    inside.ip(f"link del {name}")
    assert lasting_difference(before, inside) == ""
    assert podwire.entry is None


def break_programs(folder: Path, *names: str) -> str:
    """Make programs that fail; return a PATH on which they come first."""
    for name in names:
        (folder / name).write_text("#!/bin/sh\necho it does not work >&2\nexit 4\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_rules_that_cannot_be_looked_at_are_not_taken_for_gone(
    podwire: Podwire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All else comes back, the wiring stays recorded, and the next teardown finishes it."""
    inside = podwire.pod.inside
    before = dump(inside)
    podwire.apply()
    with monkeypatch.context() as patched:
        patched.setenv("PATH", break_programs(tmp_path, "ebtables-save", "ebtables-restore", "ebtables"))
        with pytest.raises(
            RollbackIncomplete, match=r"ebtables rules of pod1 is not as it was; .*cannot be read: it does not work"
        ):
            podwire.teardown()
    assert podwire.entry is not None
    left = difference(before, dump(inside))
    assert left != ""
    assert "br0" not in left

    podwire.teardown()
    assert podwire.entry is None
    assert lasting_difference(before, inside) == ""


def test_that_no_rules_are_left_is_asked_of_the_kernel(
    podwire: Podwire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an ebtables-save that fails the rules are taken away all the same, and known to be gone."""
    before = dump(podwire.pod.inside)
    podwire.apply()
    with monkeypatch.context() as patched:
        patched.setenv("PATH", break_programs(tmp_path, "ebtables-save"))
        podwire.teardown()
    assert podwire.entry is None
    assert lasting_difference(before, podwire.pod.inside) == ""


def test_the_journal_says_what_failed_and_that_it_was_rolled_back(podwire: Podwire) -> None:
    """Each command before and after it ran, the failure with its reason, and the end."""
    inside = podwire.pod.inside
    with pytest.raises(RolledBack):
        podwire.apply(None, before_the_first(lambda: inside.ip("link add tap0 type veth peer name other")))
    first, *lines, last = journal(podwire)
    turn = next(at for at, line in enumerate(lines) if line["event"] == "taking-back")
    assert (first["event"], first["verb"]) == ("began", "apply")
    assert lines[turn]["why"].startswith("ip tuntap add dev tap0 ")
    assert (last["event"], last["outcome"], last["why"]) == ("ended", "taken back", lines[turn]["why"])
    for phase in (lines[:turn], lines[turn + 1 :]):
        numbers = [[line["number"] for line in phase if line["event"] == event] for event in ("running", "ran")]
        assert sorted(numbers[0]) == sorted(numbers[1]) != []
    failed = [line["number"] for line in lines if line["event"] == "ran" and line["rc"] != 0]
    assert [line["argv"][:5] for line in lines if line["event"] == "running" and line["number"] in failed] == [
        ["ip", "tuntap", "add", "dev", "tap0"]
    ]


UNDONE = {
    "a port that left": ("ip link set eth0 nomaster", "master of eth0"),
    "a bridge of another MTU": ("ip link set br0 mtu 1400", "link br0"),
    "a bridge without its address": ("ip addr del 169.254.254.2/24 dev br0", "link br0"),
    "a tap that went": ("ip link del tap0", "link tap0"),
    "a link that is down": ("ip link set br0 down", "link br0"),
    "a rule that went": ("ebtables -D INPUT -i eth0 -j DROP", "ebtables rules of pod1"),
    "an address that is back": ("ip addr add 10.1.90.5/24 dev eth0", "address 10.1.90.5/24 on eth0"),
    "a MAC that is back": ("ip link set eth0 address 0a:58:0a:01:5a:05", "MAC of eth0"),
}


@pytest.mark.parametrize(("line", "resource"), UNDONE.values(), ids=UNDONE)
def test_what_is_not_there_in_the_end_is_rolled_back(podwire: Podwire, line: str, resource: str) -> None:
    """No command failed, but one of them did not last: apply ends with a look, not with an exit status."""
    inside = podwire.pod.inside
    before = dump(inside)
    plan = podwire.plan()

    program = "ebtables-restore" if "ebtables" in line else "ip"
    with pytest.raises(RolledBack, match=rf"^{resource} is not in the expected state after all commands"):
        podwire.apply(plan, after_the_last(program, plan, lambda: inside.run(*line.split())))

    assert lasting_difference(before, inside) == ""
    assert podwire.entry is None
    assert journal(podwire)[-1]["outcome"] == "taken back"


def test_after_a_failure_the_same_plan_can_be_applied(podwire: Podwire) -> None:
    """What was rolled back is what the plan was made from."""
    inside = podwire.pod.inside
    plan = podwire.plan()
    with pytest.raises(RolledBack):
        podwire.apply(plan, after_the_last("ip", plan, lambda: inside.ip("link del tap0")))
    podwire.apply(plan)
    assert podwire.plan().changes == ()


# --- what others added ------------------------------------------------------------------------------------------------


def test_a_strangers_rule_in_our_chain_stays_and_is_reported(podwire: Podwire) -> None:
    """The chain came with podwire's rules, and would have gone with them."""
    inside = podwire.pod.inside
    before = dump(inside)
    podwire.apply()
    inside.run("ebtables", *["-A", "FORWARD", "-p", "IPv4", "--ip-src", "192.0.2.1", "-j", "DROP"])

    outcome = podwire.teardown()

    assert outcome.notes == (
        "left alone because podwire did not create it: ebtables rule '-A FORWARD -p IPv4 --ip-src 192.0.2.1 -j DROP'",
    )
    rules = [line for line in inside.run("ebtables-save").out.splitlines() if line.startswith("-A")]
    assert rules == ["-A FORWARD -p IPv4 --ip-src 192.0.2.1 -j DROP"]
    inside.run("nft", "delete", "table", "bridge", "filter")
    assert lasting_difference(before, inside) == ""
    assert podwire.entry is None


def test_a_strangers_link_in_our_group_stays(podwire: Podwire) -> None:
    """Links are removed by their group at once, but not if somebody else's would go along."""
    inside = podwire.pod.inside
    plan = podwire.apply()
    inside.ip("link add other type veth peer name another")
    inside.ip(f"link set other group {plan.chosen.group}")
    before = inside.ip("-j link show dev other")

    podwire.teardown()

    assert inside.ip("-j link show dev other") == before
    assert {"br0", "tap0"}.isdisjoint(names(inside))


def names(inside: Namespace) -> set[str]:
    """Return the names of the links in a namespace."""
    return {link["ifname"] for link in json.loads(inside.ip("-j link show"))}


def test_a_namespace_made_again_under_the_name_counts_as_gone(podwire: Podwire, netns: MakeNamespace) -> None:
    """Teardown is done at once and touches nothing of it; and it can be wired."""
    podwire.apply()
    inside = podwire.pod.inside
    inside.delete()
    Namespace.create(inside.name)
    again = Podwire.on(plain(netns("host"), inside), podwire.settings.store.directory)
    before = dump(inside)

    assert again.teardown().what == "gone"

    assert difference(before, dump(inside)) == ""
    assert again.entry is None
    again.apply()
    assert {"br0", "tap0"} <= names(inside)


# --- stale plans ------------------------------------------------------------------------------------------------------

WHEN = "when the plan was made"
STALE = {
    "a link more": ("ip link add cbr type bridge", f"link cbr did not exist {WHEN}"),
    "a link less": ("ip link del spare", f"link spare2 existed {WHEN} but no longer does"),
    "an MTU": ("ip link set eth0 mtu 1400", f"link eth0 was mtu 1500 {WHEN} and is mtu 1400 now"),
    "a MAC": (
        "ip link set eth0 address 02:00:00:00:00:42",
        f"link eth0 was mac 0a:58:0a:01:5a:05 {WHEN} and is mac 02:00:00:00:00:42 now",
    ),
    "a flag": ("ip link set eth0 promisc on", "link eth0 was flags "),
    "an alias": ("ip link set eth0 alias other", f"link eth0 was alias unset {WHEN} and is alias other now"),
    "a master": (
        "ip link add cbr type bridge; ip link set eth0 master cbr; ",
        f"link eth0 was master unset {WHEN} and is master cbr now",
    ),
    "an address more": (
        "ip addr add 10.5.0.1/32 dev eth0",
        f"address 10.5.0.1/32 on eth0 did not exist {WHEN}",
    ),
    "an address less": (
        "ip addr del fd00:3::7/64 dev eth0",
        f"address fd00:3::7/64 on eth0 existed {WHEN} but no longer does",
    ),
    "a lifetime that ends now": (
        "ip addr change fd00:3::7/64 dev eth0 nodad valid_lft 500 preferred_lft 400",
        f"address fd00:3::7/64 on eth0 was preferred_lft unset, valid_lft unset {WHEN} and is ",
    ),
    "the order of addresses": (
        "ip addr del 10.1.90.6/24 dev eth0; ip addr add 10.1.90.6/24 dev eth0",
        f"the addresses are in another order than {WHEN}",
    ),
    "a route more": (
        "ip route add 10.9.0.0/16 via 10.1.90.1",
        f"route 10.9.0.0/16 via 10.1.90.1 dev eth0 did not exist {WHEN}",
    ),
    "a route less": (
        "ip route del default",
        f"route default via 10.1.90.1 dev eth0 existed {WHEN} but no longer does",
    ),
    "a route's MTU": (
        "ip route change default via 10.1.90.1 mtu 1400",
        f"route default via 10.1.90.1 dev eth0 was metrics unset {WHEN} and is metrics ",
    ),
    "a neighbour more": (
        "ip neigh add 10.1.90.9 lladdr 02:00:00:00:00:09 dev eth0",
        f"neighbour 10.1.90.9 on eth0 did not exist {WHEN}",
    ),
    "an ebtables rule": (
        "ebtables -A FORWARD -j ACCEPT",
        f"the ebtables filter table was chains unset, rules unset, table unset {WHEN} and is ",
    ),
    "a sysctl": (
        "sysctl -qw net/ipv6/conf/eth0/accept_dad=2",
        f"sysctl net/ipv6/conf/eth0/accept_dad was value 1 {WHEN} and is value 2 now",
    ),
}

busy = also(
    dual_stack,
    "ip addr add 10.1.90.6/24 dev eth0",
    "ip addr add 10.1.90.7/24 dev eth0",
    "ip addr add fd00:3::7/64 dev eth0 nodad",
    "ip link add spare type veth peer name spare2",
)


@pytest.mark.parametrize(("lines", "sentence"), STALE.values(), ids=STALE)
def test_a_stale_plan_is_refused_and_says_what_differs(
    netns: MakeNamespace, state_dir: Path, lines: str, sentence: str
) -> None:
    """Before anything is changed, and nothing is recorded."""
    podwire = Podwire.on(busy(netns("host"), netns("pod")), state_dir)
    plan = podwire.plan()
    for line in filter(None, lines.split("; ")):
        podwire.pod.inside.run(*line.split())
    before = dump(podwire.pod.inside)

    with pytest.raises(StalePlan) as refused:
        podwire.apply(plan)

    found = str(refused.value)
    assert found.startswith("the plan is stale: ")
    assert sentence in found
    assert found.endswith("; create a new plan")
    assert difference(before, dump(podwire.pod.inside)) == ""
    assert podwire.entry is None


def test_what_moves_by_itself_makes_no_plan_stale(netns: MakeNamespace, state_dir: Path) -> None:
    """Lifetimes, timers, counters, learnt neighbours and a carrier that comes."""
    pod = also(
        busy,
        "ip addr add fd00:2::7/64 dev eth0 nodad valid_lft 500 preferred_lft 400",
        "ip route add fd00:99::/48 via fd00:1:90::1 expires 500",
        "ip route add 10.9.0.0/16 via 10.1.90.1",
        "ip route append 10.9.0.0/16 via 10.1.90.2",
        "ip link add other type bridge",
        "ip link set other up",
        "ebtables -A INPUT -j CONTINUE",
    )(netns("host"), netns("pod"))
    inside, podwire = pod.inside, Podwire.on(pod, state_dir)
    plan, shown = podwire.plan(), inside.ip("addr show dev eth0")

    inside.run("bash", "-c", "echo hello >/dev/udp/10.1.90.1/9; echo hello >/dev/udp/10.1.90.77/9")
    eventually(lambda: "10.1.90.1 " in inside.ip("neigh show nud reachable"), "the gateway's answer")
    eventually(lambda: inside.ip("addr show dev eth0") != shown, "a second's passing")

    facts = podwire.facts()
    assert facts != plan.facts
    assert facts.digest() == plan.facts_digest
    podwire.apply(plan)


# --- router advertisements --------------------------------------------------------------------------------------------

LEARNT = ("default via fe80::1 dev eth0", "2001:db8:5:0:858:aff:fe01:5a05/64")


def advertise(pod: Pod) -> None:
    """Be a router on the link, until the pod has learnt what it says."""
    with Port.on_link(pod.host, pod.host_end()) as port:
        port.send(router_advertisement())
    eventually(lambda: "2001:db8:5:" in pod.inside.ip("-6 route show table local"), "the address from the prefix")
    eventually(lambda: "proto ra" in pod.inside.ip("-6 route show default"), "the router's default route")


def test_what_was_learnt_from_a_router_comes_back_from_the_router(netns: MakeNamespace, state_dir: Path) -> None:
    """It is removed, named as coming back with the next advertisement, not restored, and then learnt again."""
    pod = plain(netns("host"), netns("pod"))
    podwire = Podwire.on(pod, state_dir)
    without = dump(pod.inside)
    advertise(pod)
    learnt = dump(pod.inside)
    assert difference(without, learnt) != ""

    plan = podwire.apply()

    named = [line for line in render_text(plan).splitlines() if line.endswith("with the next router advertisement")]
    for learnt_thing in LEARNT:
        assert any(line.startswith("  - ") and learnt_thing in line for line in named), learnt_thing
    assert not any("2001:db8:5:" in command.line for command in plan.reverse_commands)
    assert "2001:db8:5:" not in pod.inside.ip("addr show dev eth0")

    podwire.teardown()

    assert lasting_difference(without, pod.inside) == ""
    advertise(pod)
    assert lasting_difference(learnt, pod.inside) == ""


# --- a namespace that has gone, or an id that is used again -----------------------------------------------------------


def test_a_namespace_that_went_is_gone(podwire: Podwire) -> None:
    """It is forgotten, and no error."""
    podwire.apply()
    podwire.pod.inside.delete()
    assert podwire.teardown().what == "gone"
    assert podwire.entry is None


def test_another_namespace_under_the_name_is_gone_too(podwire: Podwire) -> None:
    """And is left alone."""
    podwire.apply()
    name = podwire.pod.inside.name
    podwire.pod.inside.delete()
    again = Namespace.create(name)
    try:
        before = dump(again)
        assert podwire.teardown().what == "gone"
        assert podwire.entry is None
        assert difference(before, dump(again)) == ""
    finally:
        again.delete()


def test_an_id_that_is_used_again_is_not_forgotten(podwire: Podwire, netns: MakeNamespace) -> None:
    """Whoever saw that the old namespace was gone comes late."""
    podwire.apply()
    old = podwire.entry
    assert old is not None
    podwire.pod.inside.delete()
    new = evolve(podwire, pod=dual_stack(netns("host2"), netns("pod2")))
    new.apply(new.plan(again=True))
    assert restore(old, podwire.settings, "gc").what == "nothing"
    assert new.entry is not None
    assert new.teardown().what == "restored"
