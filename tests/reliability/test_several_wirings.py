"""Several wirings in one namespace: applied and torn down in any order, also where podwire is killed in between.

What the namespace has once (lo up, `accept_dad` of all, the ebtables table with its chains, `bridge-nf-call-*`) is
changed by the first and brought back by the last, whichever that is.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_kill import Work, killed_at
from tests.reliability.helpers_trial import Trial
from tests.support import MakeNamespace
from tests.support.cli import Cli
from tests.support.dumps import Dump, difference, dump
from tests.support.frames import arp_request
from tests.support.pods import Pod
from tests.support.ports import Port

LINKS = ("eth0", "net1", "net2")
MACS = {link: f"0a:58:0a:01:5{number}:05" for number, link in enumerate(LINKS)}
ALL = os.environ.get("PODWIRE_KILLS") == "all"


def three_links(host: Any, inside: Any) -> Pod:
    """Make three interfaces, of which the first two need lo up, IPv6 restored without a probe, and DHCP kept inside."""
    pod = Pod(host, inside)
    host.ip("link set lo up")
    for number, link in enumerate(LINKS):
        pod.add_veth(link, mac=MACS[link], host_mac=f"0a:58:0a:01:5{number}:01")
    pod.add_address("10.1.90.5/24", gateway="10.1.90.1")
    pod.inside.ip("addr add fd00:1:90::5 peer fd00:1:90::1/64 dev eth0")
    pod.add_address("10.1.91.5/24", link="net1")
    pod.inside.ip("addr add fd00:1:91::5 peer fd00:1:91::1/64 dev net1")
    pod.settle()
    return pod


def of_link(pod: Pod, link: str) -> Pod:
    """Return the pod with the result of the network of one link, as Multus calls a chain for each."""
    number = next(n for n, one in enumerate(pod.result["interfaces"]) if one["name"] == link)
    ips = [ip | {"interface": 0} for ip in pod.result["ips"] if ip["interface"] == number]
    interfaces = [pod.result["interfaces"][number]]
    return Pod(pod.host, pod.inside, pod.result | {"interfaces": interfaces, "ips": ips, "routes": []})


class Wirings:
    """A pod whose links are wired each under an id of its own, the link's name."""

    def __init__(self, pod: Pod, cli: Cli) -> None:
        self.pod, self.cli = pod, cli
        pod.inside.run("sh", "-c", "for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 1 >$f; done")
        pod.inside.sysctl("net/ipv6/conf/all/accept_dad", 1)
        self.before: Dump = dump(pod.inside)

    def words(self, link: str) -> tuple[str | Path, ...]:
        """Return the options of `apply` for a link."""
        result = self.cli.file(f"{link}.json", of_link(self.pod, link).result)
        return "--result", result, "--netns", self.pod.inside.name, "--id", link

    def apply(self, link: str) -> Any:
        """Wire a link, and return the document."""
        return self.cli.json("apply", *self.words(link), "--yes")

    def teardown(self, link: str) -> Any:
        """Take a link's wiring back."""
        return self.cli.json("teardown", link, "--yes")

    def see_that_it_works(self, link: str) -> None:
        """See that a link is wired as it was applied, and that its VM is heard outside."""
        assert "no drift" in self.cli.ok("check", link), link
        entry = self.cli.json("list")
        assert link in {row["id"] for row in entry if row["state"] == "wired"}
        (tap,) = (line.split(":")[1].strip() for line in self._taps(link))
        with Port.on_tap(self.pod.inside, tap) as vm, Port.on_link(self.pod.host, self.pod.host_end(link)) as outside:
            vm.send(arp_request(MACS[link], "10.9.9.9", "10.9.9.10"))
            outside.receive(lambda frame: str(frame).startswith("ARP who has 10.9.9.10"))

    def _taps(self, link: str) -> list[str]:
        lines = self.pod.inside.ip("-o link show type tun").splitlines()
        return [line for line in lines if f"alias podwire:{link}" in line]

    def see_that_all_is_back(self) -> None:
        """See that the raw dump is that of before, and nothing is listed.

        On a busy host an address may be tentative for a moment: see tests.reliability.helpers_trial.Trial.changed.
        """
        self.pod.inside.settle()
        assert difference(self.before, dump(self.pod.inside)) == ""
        assert self.cli.json("list") == []


@pytest.fixture
def wirings(netns: MakeNamespace, cli: Cli) -> Wirings:
    """Make the pod; nothing is wired."""
    return Wirings(three_links(netns("host"), netns("pod")), cli)


ORDERS = list(itertools.permutations(LINKS))


@pytest.mark.parametrize("back", ORDERS, ids="-".join)
@pytest.mark.parametrize("there", ORDERS if ALL else [LINKS], ids="-".join)
def test_any_order_there_and_back(wirings: Wirings, there: tuple[str, ...], back: tuple[str, ...]) -> None:
    """Each works while any others come and go, and after the last all is as it was."""
    for number, link in enumerate(there, 1):
        assert wirings.apply(link)["outcome"] == "wired"
        for wired in there[:number]:
            wirings.see_that_it_works(wired)
    for number, link in enumerate(back, 1):
        left = back[number:]
        said = wirings.cli.ok("teardown", link, "--yes").splitlines()
        assert len(said) == 1, "rules of the other wirings are not a stranger's"
        assert ("except for what is wired there as" in said[0]) == bool(left)
        for wired in left:
            wirings.see_that_it_works(wired)
    wirings.see_that_all_is_back()


@pytest.mark.parametrize("last", ["eth0", "net1"])
@pytest.mark.parametrize("wirings_of", [("bridge", "bridge"), ("bridge", "tc"), ("tc", "bridge"), ("tc", "tc")])
def test_the_last_says_what_others_did_whichever_it_is(
    wirings: Wirings, last: str, wirings_of: tuple[str, str]
) -> None:
    """To links that none of them wired, and to the rules; and nothing of what the other wiring did by right."""
    inside = wirings.pod.inside
    inside.ip("addr add 10.1.92.5/24 dev net2")
    inside.run("ebtables", "-A", "FORWARD", "-p", "0x88cc", "-j", "DROP")
    for link, wiring in zip(("eth0", "net1"), wirings_of, strict=True):
        wirings.cli.ok("apply", *wirings.words(link), "--wiring", wiring, "--yes")
    inside.ip("addr del 10.1.92.5/24 dev net2")
    inside.run("ebtables", "-D", "FORWARD", "-p", "0x88cc", "-j", "DROP")
    inside.run("ebtables", "-A", "FORWARD", "-p", "0x88cd", "-j", "DROP")
    first = "net1" if last == "eth0" else "eth0"
    assert "is as it was before, except for what is wired there" in wirings.cli.ok("teardown", first, "--yes")
    said, *more = wirings.cli.ok("teardown", last, "--yes").splitlines()
    assert "differs from its original state because of changes made outside podwire" in said
    assert [line.removeprefix(f"{last}: ") for line in more] == [
        "left alone because podwire did not create it: ebtables rule '-A FORWARD -p 0x88cd -j DROP'",
        "the ebtables rule '-A FORWARD -p LLDP -j DROP' is gone",
        "address 10.1.92.5/24 on net2 is gone",
    ]


def test_one_that_comes_again_holds_what_is_shared_anew(wirings: Wirings) -> None:
    """The first goes and comes back, as a NIC that is plugged again; the other goes; then it."""
    for link in ("eth0", "net1"):
        wirings.apply(link)
    wirings.teardown("eth0")
    wirings.apply("eth0")
    wirings.teardown("net1")
    wirings.see_that_it_works("eth0")
    wirings.teardown("eth0")
    wirings.see_that_all_is_back()


def test_the_preview_of_a_teardown_is_what_is_run(wirings: Wirings) -> None:
    """It leaves what others hold."""
    for link in ("eth0", "net1"):
        wirings.apply(link)
    shown = wirings.cli.ok("teardown", "eth0", "--dry-run", "--format", "commands").splitlines()
    assert not any("lo down" in line or "all/accept_dad" in line or "init-table" in line for line in shown)
    assert wirings.teardown("eth0")["commands"] == len(shown)
    last = wirings.cli.ok("teardown", "net1", "--dry-run", "--format", "commands").splitlines()
    assert any("dev lo down" in line for line in last)
    assert any("init-table" in line for line in last)
    assert wirings.teardown("net1")["commands"] == sum(line.count(" && ") + 1 for line in last)
    wirings.see_that_all_is_back()


def test_a_stored_plan_says_what_it_shares_and_reads_back(wirings: Wirings) -> None:
    """A note names the other; the state entry of the second knows how everything was before the first."""
    wirings.apply("eth0")
    text = wirings.cli.ok("plan", *wirings.words("net1"))
    assert "eth0 is also wired in this namespace; the last one torn down restores " in text
    plan = wirings.cli.file("net1.plan", wirings.cli.ok("plan", *wirings.words("net1"), "--json"))
    wirings.cli.ok("apply", plan, "--yes")
    wirings.teardown("eth0")
    wirings.teardown("net1")
    wirings.see_that_all_is_back()


@pytest.mark.parametrize("gone", [False, True], ids=["another-came", "the-other-went"])
def test_a_plan_that_was_made_beside_others_is_stale(wirings: Wirings, *, gone: bool) -> None:
    """It would not know what to bring back."""
    wirings.apply("eth0")
    plan = wirings.cli.file("net1.plan", wirings.cli.ok("plan", *wirings.words("net1"), "--json"))
    if gone:
        wirings.teardown("eth0")
    else:
        wirings.apply("net2")
    assert "the plan is stale" in wirings.cli.refused("apply", plan, "--yes")


def test_a_link_is_wired_once(wirings: Wirings) -> None:
    """Under another id it is refused by the name of the link, named or by the address that it had."""
    wirings.apply("eth0")
    result = wirings.cli.file("again.json", of_link(wirings.pod, "eth0").result)
    words = ("--result", result, "--netns", wirings.pod.inside.name, "--id", "again")
    sentence = "eth0 is already wired, as eth0: run podwire teardown eth0 first"
    assert wirings.cli.refused("plan", *words) == sentence
    nameless = {"cniVersion": "0.3.1", "interfaces": [], "ips": [{"version": "4", "address": "10.1.90.5/24"}]}
    file = wirings.cli.file("nameless.json", nameless)
    assert wirings.cli.refused("plan", "--result", file, *words[2:]) == sentence


def test_unplugging_one_leaves_the_counters_of_the_other(wirings: Wirings) -> None:
    """Its tap and its bridge are not touched: they are the links that they were."""
    for link in ("eth0", "net1"):
        wirings.apply(link)
        wirings.see_that_it_works(link)
    before = wirings.pod.inside.ip("-s link show dev tap1")
    wirings.teardown("eth0")
    assert wirings.pod.inside.ip("-s link show dev tap1") == before


# --- killed -----------------------------------------------------------------------------------------------------------


def trial_of(wirings: Wirings, link: str) -> Trial:
    """Return the trial of one link: its plan as a file, which is applied by its id."""
    file = wirings.cli.file(f"{link}.plan", wirings.cli.ok("plan", *wirings.words(link), "--json"))
    return _Trial(of_link(wirings.pod, link), wirings.cli, file, wirings.before)


class _Trial(Trial):
    """A trial whose id is that of its only link."""

    @property
    def id(self) -> str:
        """The link."""
        return str(self.pod.result["interfaces"][0]["name"])


@pytest.mark.parametrize("first_back", ["eth0", "net1"])
def test_an_apply_killed_beside_another_is_rolled_back(wirings: Wirings, faults: Faults, first_back: str) -> None:
    """At some of its commands; the other goes on working, and either may be rolled back first."""
    wirings.apply("eth0")
    count = len(trial_of(wirings, "net1").commands())
    for number in range(1, count + 1, 1 if ALL else 6):
        trial = trial_of(wirings, "net1")
        assert killed_at(Work(trial, "apply"), "after", number, faults)
        if first_back == "eth0":
            wirings.teardown("eth0")
            wirings.cli.ok("recover", "net1")
            wirings.see_that_all_is_back()
            wirings.apply("eth0")
        else:
            wirings.cli.ok("recover", "net1")
        wirings.see_that_it_works("eth0")
    wirings.teardown("eth0")
    wirings.see_that_all_is_back()


@pytest.mark.parametrize("then", ["recover", "other-first"])
def test_a_teardown_killed_beside_another_is_finished(wirings: Wirings, faults: Faults, then: str) -> None:
    """What is shared stays with whichever is left."""
    trial = trial_of(wirings, "eth0")
    count = len(trial.commands("reverse_commands"))
    for number in range(1, count, 1 if ALL else 6):
        for link in ("eth0", "net1"):
            wirings.apply(link)
        if not killed_at(Work(trial, "teardown"), "after", number, faults):
            wirings.teardown("net1")
            break
        if then == "recover":
            wirings.cli.ok("recover", "eth0")
            wirings.see_that_it_works("net1")
            wirings.teardown("net1")
        else:
            wirings.teardown("net1")
            wirings.cli.ok("recover", "eth0")
        wirings.see_that_all_is_back()


def test_the_last_one_killed_brings_all_back(wirings: Wirings, faults: Faults) -> None:
    """The first went before; its record is gone, and the second's knows what it changed."""
    for number in range(1, 30, 1 if ALL else 5):
        for link in ("eth0", "net1"):
            wirings.apply(link)
        wirings.teardown("eth0")
        trial = _Trial(of_link(wirings.pod, "net1"), wirings.cli, wirings.cli.folder / "none", wirings.before)
        if not killed_at(Work(trial, "teardown"), "after", number, faults):
            break
        wirings.cli.ok("recover", "net1")
        wirings.see_that_all_is_back()
    wirings.see_that_all_is_back()


def damage(path: Path) -> None:
    """As a disk would leave it."""
    path.write_text(path.read_text()[:100])


@pytest.mark.parametrize("lose", [Path.unlink, damage])
def test_what_a_lost_wiring_needs_too_stays(wirings: Wirings, lose: Any) -> None:
    """Its links are there, and its journal has a copy of its entry."""
    wirings.pod.inside.ip("link set lo down")
    wirings.before = dump(wirings.pod.inside)
    for link in LINKS[:2]:
        wirings.apply(link)
    lose(wirings.cli.state_dir / "wirings" / "eth0.json")
    wirings.teardown("net1")
    assert "UP" in wirings.pod.inside.ip("-br link show dev lo")
    wirings.cli.ok("recover", "eth0")
    wirings.see_that_it_works("eth0")
    wirings.teardown("eth0")
    wirings.see_that_all_is_back()
