"""ebtables of the nf_tables variant: its table, chains and rules, and when each appears and goes.

planner/facts/ebtables_save.py reads `ebtables-save` and `nft -j list chains bridge`; templates/ebtables.j2 writes
`ebtables-restore --noflush`.
"""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tests.kernel.asking import forwards, link
from tests.support import MakeNamespace, Namespace, Outcome, eventually
from tests.support.frames import BROADCAST, ethernet
from tests.support.ports import Port

EMPTY = [":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT"]
OURS = "-i eth0 -j DROP"
FOREIGN = "-p ARP -j ACCEPT"


@pytest.fixture
def table(netns: MakeNamespace) -> Namespace:
    """Make a namespace whose table nobody has touched."""
    return netns("eb")


def save(namespace: Namespace) -> list[str]:
    """Return what `ebtables-save` prints, less the comments with the time of day."""
    return [line for line in namespace.run("ebtables-save").out.splitlines() if not line.startswith("#")]


def chains(namespace: Namespace) -> list[str]:
    """Return the chains that exist, as `nft` tells."""
    found = json.loads(namespace.run("nft", "-j", "list", "chains", "bridge").out)["nftables"]
    return [item["chain"]["name"] for item in found if "chain" in item]


def ruleset(namespace: Namespace) -> str:
    """Return everything that nftables has there."""
    return namespace.run("nft", "list", "ruleset").out


def restore(namespace: Namespace, *lines: str, options: tuple[str, ...] = ("--noflush",)) -> Outcome:
    """Run `ebtables-restore --noflush` on the filter table, whatever its status."""
    text = "".join(f"{line}\n" for line in ("*filter", *lines))
    return namespace.run("ebtables-restore", *options, stdin=text, check=False)


# --- looking ----------------------------------------------------------------------------------------------------------


def test_it_is_the_nf_tables_variant(table: Namespace) -> None:
    """By its version, and by where the name leads; the other one's leads to …-legacy, which observe refuses."""
    assert "(nf_tables)" in table.run("ebtables", "--version").out
    for program in ("ebtables", "ebtables-save", "ebtables-restore"):
        assert "legacy" not in os.path.realpath(shutil.which(program) or "")


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="this is no Debian")
def test_debian_has_it_in_the_package_iptables(table: Namespace) -> None:
    """The package called ebtables has the legacy one only, so no refusal names it (executor/process/spawn.py)."""
    found = table.run("dpkg", "--search", os.path.realpath(shutil.which("ebtables-nft") or ""))
    assert found.out.startswith("iptables: ")


def test_looking_at_an_untouched_table_prints_nothing_and_makes_nothing(table: Namespace) -> None:
    """So observe may ask in a pod that isn't wired, and empty output means that there is no table."""
    assert save(table) == []
    assert ruleset(table) == ""


def test_all_three_chains_are_printed_whichever_exist(table: Namespace) -> None:
    """Even none of them: only nft tells, so observe asks it if there is output."""
    table.run("nft", "add", "table", "bridge", "filter")
    assert save(table) == ["*filter", *EMPTY]
    assert chains(table) == []
    table.run("ebtables", "-A", "FORWARD", *OURS.split())
    assert save(table) == ["*filter", *EMPTY, f"-A FORWARD {OURS}"]
    assert chains(table) == ["FORWARD"]


@pytest.mark.parametrize(
    "rule",
    [
        "-i eth0 -j DROP",
        "-o eth0.100 -j DROP",
        "-p IPv4 -o eth0 --ip-proto udp --ip-dport 67 -j DROP",
        "-p IPv6 -o eth0 --ip6-proto udp --ip6-dport 547 -j DROP",
    ],
)
def test_a_rule_is_printed_as_it_was_written(table: Namespace, rule: str) -> None:
    """In just this order of words, so that podwire knows its own again (planner.kinds.ebtables.read_rule)."""
    assert restore(table, f"-I FORWARD {rule}").rc == 0
    assert save(table)[-1] == f"-A FORWARD {rule}"


def test_each_namespace_has_a_table_of_its_own(table: Namespace, netns: MakeNamespace) -> None:
    """What podwire does in one pod touches neither the host's nor another's."""
    table.run("ebtables", "-A", "FORWARD", *OURS.split())
    assert ruleset(netns("other")) == ""


def test_native_rules_that_ebtables_knows_are_printed_like_its_own(table: Namespace) -> None:
    """Foreign, but readable."""
    table.run("nft", "add", "table", "bridge", "filter")
    table.run("nft", "add chain bridge filter FORWARD { type filter hook forward priority -200; }")
    table.run("nft", "add rule bridge filter FORWARD ether saddr 02:00:00:00:00:01 drop")
    assert save(table)[-1] == "-A FORWARD -s 02:00:00:00:00:01 -j DROP"


def test_native_rules_that_it_does_not_know_make_it_fail(table: Namespace) -> None:
    """With status 3: such a table is refused, since what is in it can't be told."""
    table.run("nft", "add", "table", "bridge", "filter")
    table.run("nft", "add chain bridge filter FORWARD { type filter hook forward priority -200; }")
    table.run("nft", "add rule bridge filter FORWARD meta mark 5 drop")
    failed = table.run("ebtables-save", check=False)
    assert (failed.rc, "Parsing nftables rule failed" in failed.err) == (3, True)


def test_other_tables_of_the_bridge_family_are_not_its_business(table: Namespace) -> None:
    """Whatever is in them, it prints nothing."""
    table.run("nft", "add", "table", "bridge", "other")
    table.run("nft", "add chain bridge other c { type filter hook forward priority 0; }")
    table.run("nft", "add rule bridge other c meta mark 5 drop")
    assert save(table) == []


# --- appearing and going ----------------------------------------------------------------------------------------------


def test_the_first_rule_makes_the_table_and_its_chain_and_leaves_both(table: Namespace) -> None:
    """Deleting the rule isn't enough: RulesState knows which chains and table came with the rules."""
    table.run("ebtables", "-A", "FORWARD", *OURS.split())
    table.run("ebtables", "-D", "FORWARD", *OURS.split())
    assert chains(table) == ["FORWARD"]
    assert save(table) == ["*filter", *EMPTY]


def test_an_empty_base_chain_can_be_removed_behind_the_deletions(table: Namespace) -> None:
    """In one `ebtables-restore`, which is one transaction."""
    assert restore(table, f"-I INPUT {OURS}", f"-I FORWARD {OURS}").rc == 0
    assert sorted(chains(table)) == ["FORWARD", "INPUT"]
    assert restore(table, f"-D INPUT {OURS}", "-X INPUT").rc == 0
    assert chains(table) == ["FORWARD"]


def test_a_foreign_rule_in_the_chain_makes_the_whole_restore_fail(table: Namespace) -> None:
    """No rule is deleted then: so a chain that isn't only ours is never removed (observed_rules)."""
    restore(table, f"-I INPUT {OURS}", f"-I FORWARD {OURS}")
    table.run("ebtables", "-A", "FORWARD", *FOREIGN.split())
    before = save(table)
    assert restore(table, f"-D INPUT {OURS}", "-X INPUT", f"-D FORWARD {OURS}", "-X FORWARD").rc == 1
    assert save(table) == before


def test_deleting_a_rule_that_is_not_there_makes_the_whole_restore_fail(table: Namespace) -> None:
    """So what is to be deleted is looked up first, whatever was once added."""
    restore(table, f"-I INPUT {OURS}")
    before = save(table)
    assert restore(table, f"-D INPUT {OURS}", f"-D FORWARD {OURS}").rc != 0
    assert save(table) == before


@pytest.mark.parametrize("is_there", [False, True])
def test_a_restore_of_nothing_changes_nothing(table: Namespace, *, is_there: bool) -> None:
    """So that one may be started ahead, and sent home."""
    if is_there:
        restore(table, f"-I INPUT {OURS}")
    before = ruleset(table)
    done = table.run("ebtables-restore", "--noflush", stdin="")
    assert (done.out, done.err) == ("", "")
    assert ruleset(table) == before
    assert (before != "") is is_there


def test_init_table_is_no_line_of_a_restore(table: Namespace) -> None:
    """Rules and table do not go in one transaction: the kernel waits twice."""
    restore(table, f"-I INPUT {OURS}")
    before = save(table)
    done = restore(table, f"-D INPUT {OURS}", "-X INPUT", "--init-table")
    assert done.rc != 0
    assert "--init-table is not supported" in done.err
    assert save(table) == before


def test_init_table_removes_the_table_with_everything_in_it(table: Namespace) -> None:
    """A stranger's rules along with ours: only if no chain is left does podwire say it."""
    table.run("ebtables", "-A", "FORWARD", *FOREIGN.split())
    table.run("ebtables", "--init-table")
    assert save(table) == []
    assert ruleset(table) == ""


def test_without_noflush_a_restore_removes_the_rules_of_others(table: Namespace) -> None:
    """And their policies."""
    table.run("ebtables", "-A", "FORWARD", *FOREIGN.split())
    table.run("ebtables", "-P", "FORWARD", "DROP")
    assert restore(table, f"-I FORWARD {OURS}", options=()).rc == 0
    assert save(table) == ["*filter", *EMPTY, f"-A FORWARD {OURS}"]


@pytest.mark.parametrize(("line", "policy"), [((), "DROP"), ((":FORWARD ACCEPT",), "ACCEPT")])
def test_a_chain_line_would_reset_a_policy(table: Namespace, line: tuple[str, ...], policy: str) -> None:
    """So templates/ebtables.j2 has none."""
    table.run("ebtables", "-P", "FORWARD", "DROP")
    assert restore(table, *line, f"-I FORWARD {OURS}").rc == 0
    assert f":FORWARD {policy}" in save(table)


# --- order ------------------------------------------------------------------------------------------------------------


def test_inserted_rules_come_first_the_last_one_before_the_others(table: Namespace) -> None:
    """The other way round than they were written."""
    table.run("ebtables", "-A", "FORWARD", *FOREIGN.split())
    restore(table, "-I FORWARD -i eth1 -j DROP", "-I FORWARD -i eth2 -j DROP")
    assert save(table)[4:] == ["-A FORWARD -i eth2 -j DROP", "-A FORWARD -i eth1 -j DROP", f"-A FORWARD {FOREIGN}"]


@pytest.mark.parametrize(("how", "arrives"), [("-A", True), ("-I", False)])
def test_a_rule_behind_an_accept_never_matches(table: Namespace, how: str, *, arrives: bool) -> None:
    """Appended, a DROP behind somebody's ACCEPT lets everything pass."""
    table.ip("link add name br7 type bridge")
    table.ip("link set br7 up")
    for name in ("left", "right"):
        table.ip(f"link add {name} type veth peer name far-{name}")
        table.ip(f"link set {name} master br7")
        for end in (name, f"far-{name}"):
            table.ip(f"link set {end} up")
    eventually(lambda: forwards(table, "left") and forwards(table, "right"), "both ports forwarding")
    table.run("ebtables", "-A", "FORWARD", "-j", "ACCEPT")
    table.run("ebtables", how, "FORWARD", "-i", "left", "-d", "02:00:00:00:00:09", "-j", "DROP")
    mac = link(table, "far-left")["address"]
    with Port.on_link(table, "far-left") as left, Port.on_link(table, "far-right") as right:
        left.send(ethernet(mac, "02:00:00:00:00:09", 0x88B5, b"one".ljust(46)))
        left.send(ethernet(mac, BROADCAST, 0x88B5, b"end".ljust(46)))
        right.receive(lambda frame: frame.payload.startswith(b"end"))
        assert any(frame.payload.startswith(b"one") for frame in right.frames()) is arrives
