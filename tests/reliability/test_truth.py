"""What podwire says in the end is what raw dumps say: "as it was before" if they are equal, else what differs."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from attrs import evolve

from executor.errors import RollbackIncomplete, RolledBack
from executor.state.events import Event, Running
from tests.reliability.conftest import MakeTrial
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_kill import Work
from tests.reliability.helpers_trial import Trial
from tests.support import eventually
from tests.support.cli import ended
from tests.support.pods import plain, two_links

# What others do in a wired namespace, what is said of it, and how they undo it.
OTHERS = {
    "an address": (
        "ip addr add 10.99.0.1/24 dev eth0",
        "address 10.99.0.1/24 on eth0",
        "ip addr del 10.99.0.1/24 dev eth0",
    ),
    "an address of lo": ("ip addr add 10.98.0.1/32 dev lo", "10.98.0.1/32 on lo", "ip addr del 10.98.0.1/32 dev lo"),
    "a route": ("ip route add 10.97.0.0/16 dev eth0", "10.97.0.0/16", "ip route del 10.97.0.0/16 dev eth0"),
    "an MTU": ("ip link set eth0 mtu 1400", "mtu 1500 and is mtu 1400", "ip link set eth0 mtu 1500"),
    "a rule": (
        "ebtables -A FORWARD -p 0x88cc -j DROP",
        "ebtables rule '-A FORWARD -p LLDP -j DROP'",
        "ebtables -D FORWARD -p 0x88cc -j DROP",
    ),
    "a policy": ("ebtables -P FORWARD DROP", "chain FORWARD with the policy DROP", "ebtables -P FORWARD ACCEPT"),
    "a neighbour": (
        "ip neigh add 10.1.90.44 lladdr 0a:00:00:00:00:44 dev eth0 nud permanent",
        "10.1.90.44",
        "ip neigh del 10.1.90.44 dev eth0",
    ),
    "a link": ("ip link add other0 type veth peer name other1", "link other0", "ip link del other0"),
    "a qdisc": ("tc qdisc add dev eth0 clsact", "ingress qdisc of eth0", "tc qdisc del dev eth0 clsact"),
}


def test_what_others_did_meanwhile_is_said_and_left_alone(trial: Trial) -> None:
    """Status 0; each is said, is still there, and when they undo it all is as it was."""
    inside = trial.pod.inside
    assert trial.apply().rc == 0
    for do, _, _ in OTHERS.values():
        inside.run(*do.split())
    outcome = trial.teardown()
    assert outcome.rc == 0, outcome
    trial.see_the_truth(outcome)
    lines = outcome.out.splitlines()[1:]
    for what, (_, said, _) in OTHERS.items():
        assert any(said in line for line in lines), (what, outcome)
    assert len(lines) == len(OTHERS) + 1, "the other end of the link is the only thing beside them"
    for _, _, undo in OTHERS.values():
        inside.run(*undo.split())
    inside.run("nft", "delete", "table", "bridge", "filter")
    assert trial.changed() == ""


def test_an_address_that_others_put_in_front_is_said(trial: Trial) -> None:
    """The pod's own comes back behind it, and what it sends has the other's address from then on."""
    inside = trial.pod.inside
    (own,) = (line.split()[3] for line in inside.ip("-4 -o addr show dev eth0").splitlines())
    other = f"{own.rpartition('.')[0]}.77/{own.partition('/')[2]}"
    assert trial.apply().rc == 0
    inside.ip(f"addr add {other} dev eth0")
    outcome = trial.teardown()
    assert outcome.rc == 0, outcome
    trial.see_the_truth(outcome)
    assert f"address {own} on eth0 now comes after address {other} on eth0" in outcome.out
    assert f"{own} scope global secondary" in inside.ip("addr show dev eth0")


def test_a_link_that_others_set_down_is_said_beside_what_could_not_come_back(trial: Trial) -> None:
    """A route that cannot be added is no riddle then; when the link is up again, recover brings it back."""
    assert trial.apply().rc == 0
    trial.pod.inside.ip("link set eth0 down")
    outcome = trial.teardown()
    assert outcome.rc == 4, outcome
    assert "in the meantime link eth0 was flags ['BROADCAST', 'MULTICAST', 'UP'] and is flags" in outcome.err
    trial.pod.inside.ip("link set eth0 up")
    recovered = trial.podwire("recover")
    assert recovered.rc == 0, recovered
    trial.pod.settle()
    assert trial.changed() == ""


@pytest.mark.parametrize("what", ["a policy", "a neighbour", "a qdisc"])
def test_one_thing_that_others_did_is_enough_not_to_say_that_all_is_as_it_was(trial: Trial, what: str) -> None:
    """Each kind that was once overlooked."""
    assert trial.apply().rc == 0
    trial.pod.inside.run(*OTHERS[what][0].split())
    outcome = trial.teardown()
    assert outcome.rc == 0, outcome
    assert len(outcome.out.splitlines()) == 2, outcome
    trial.see_the_truth(outcome)


def test_commands_that_are_drawn_fail_and_it_is_true_what_is_said(
    make_trial: MakeTrial, faults: Faults, rng: random.Random
) -> None:
    """Of a pod with one or two interfaces, in apply and teardown, by any action; then recover brings it back."""
    trial = make_trial(rng.choice((plain, two_links)))
    for _ in range(5):
        verb, action = rng.choice(("apply", "teardown")), rng.choice(("fail", "late", "end", "SIGTERM"))
        if verb == "teardown":
            assert trial.apply().rc == 0
        commands = trial.commands("commands" if verb == "apply" else "reverse_commands")
        number = rng.randint(1, len(commands))
        faults.plan(number, action)
        outcome = trial.apply(faults.env) if verb == "apply" else trial.teardown(faults.env)
        what = f"{verb}, {action} at {number}. {commands[number - 1]}: {outcome}"
        assert outcome.rc in (0, 3, 4), what
        if outcome.rc == 3 or (outcome.rc == 0 and trial.state() is None):
            trial.see_the_truth(outcome)
        assert trial.state() in {0: (None, "wired"), 3: (None,), 4: ("half-done",)}[outcome.rc], what
        if trial.state() == "half-done":
            trial.see_the_truth(trial.podwire("recover"))
        assert trial.teardown().rc == 0
        assert trial.changed() == "", what


# --- links that others rename, delete or move -------------------------------------------------------------------------


def renamed(trial: Trial, old: str, new: str) -> None:
    """Rename a link."""
    for line in (f"link set {old} down", f"link set {old} name {new}", f"link set {new} up"):
        trial.pod.inside.ip(line)


def test_check_says_that_a_link_was_renamed(trial: Trial) -> None:
    """It is followed; what matches it by its name is drift, another name beside its own is none."""
    assert trial.apply().rc == 0
    trial.pod.inside.ip("link property add dev eth0 altname other-name")
    renamed(trial, "eth0", "eth0-nic")
    outcome = trial.podwire("check", trial.id)
    assert outcome.rc == 2, outcome
    assert "1 resource drifted" in outcome.out
    assert "eth0 is now called eth0-nic" in outcome.out
    assert trial.podwire("check", trial.id, "--fix", "--yes").rc == 0
    outcome = trial.teardown()
    assert outcome.rc == 0, outcome
    trial.see_the_truth(outcome)
    assert [line.removeprefix(f"{trial.id}: ") for line in outcome.out.splitlines()[1:]] == [
        "eth0 is now called eth0-nic",
        "link eth0-nic was altnames unset and is altnames ['other-name']",
    ]


@pytest.mark.parametrize("how", ["link del eth0", "link set eth0 netns {host} name moved"])
def test_check_says_that_a_link_is_gone_and_fix_what_it_cannot_do(trial: Trial, how: str) -> None:
    """Deleted or moved away: no state is invented for it, a stranger under its name is no repair, and is let be."""
    assert trial.apply().rc == 0
    trial.pod.inside.ip(how.format(host=trial.pod.host.name))
    trial.pod.inside.ip("link add eth0 address 02:ff:ff:ff:ff:01 type veth peer name x")
    stranger = trial.pod.inside.ip("-d link show dev eth0")
    outcome = trial.podwire("check", trial.id, "--json")
    assert outcome.rc == 2, outcome
    assert '"gone": [\n  "eth0"\n ]' in outcome.out
    assert '"drift": []' in outcome.out
    fix = trial.podwire("check", trial.id, "--fix", "--yes")
    assert (fix.rc, fix.err.count("\n")) == (1, 1), fix
    assert "eth0 of" in fix.err
    assert "is gone, which no command can repair" in fix.err
    outcome = trial.teardown()
    assert outcome.rc == 0, outcome
    assert "eth0 is gone" in outcome.out
    assert "is as it was" not in outcome.out
    assert trial.pod.inside.ip("-d link show dev eth0") == stranger


@pytest.mark.parametrize(("verb", "direction"), [("apply", "commands"), ("teardown", "reverse_commands")])
def test_a_stranger_under_the_old_name_is_not_touched_whenever_it_comes(
    trial: Trial, verb: str, direction: str
) -> None:
    """Before each command in turn the link is renamed (Linux 6.2 does so while it is up) and another gets its name."""
    inside, work = trial.pod.inside, Work(trial, verb)
    for number in range(1, len(trial.commands(direction)) + 1):
        if verb == "teardown":
            assert trial.apply().rc == 0
        strangers: list[str] = []

        def replace(event: Event, number: int = number, strangers: list[str] = strangers) -> None:
            if isinstance(event, Running) and event.number == number and not strangers:
                inside.ip("link set dev eth0 name eth0-nic")
                inside.ip("link add eth0 address 02:ff:ff:ff:ff:01 type veth peer name x")
                strangers.append(inside.ip("-d addr show dev eth0"))

        with suppress(RolledBack, RollbackIncomplete):
            work.do(evolve(work.settings, listeners=(replace,)))
            assert verb == "teardown", "what named the link by then was done"
        assert [inside.ip("-d addr show dev eth0")] == strangers, number
        inside.ip("link del dev eth0")
        inside.ip("link set dev eth0-nic name eth0")
        trial.ok("recover")
        assert trial.changed() == "", number


def test_a_stranger_under_the_old_name_in_the_middle_of_apply_is_not_touched(trial: Trial, faults: Faults) -> None:
    """The pod's link is renamed and another gets its name while a command runs."""
    faults.plan(6, "wait")
    with trial.started("apply", trial.plan, "--yes", env=faults.env) as process:
        eventually(lambda: faults.waiting, "the sixth command", seconds=20)
        renamed(trial, "eth0", "eth0-nic")
        trial.pod.inside.ip("link add eth0 address 02:ff:ff:ff:ff:01 type veth peer name x")
        stranger = trial.pod.inside.ip("-d link show dev eth0")
        faults.release()
        outcome = ended(process)
    assert outcome.rc == 3, outcome
    assert "is as it was" not in outcome.err
    assert trial.pod.inside.ip("-d link show dev eth0") == stranger
    assert "10.1.90.5/24" in trial.pod.inside.ip("-br addr show dev eth0-nic")
