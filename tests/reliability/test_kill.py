"""podwire is killed with SIGKILL at every instant that there is: recover brings the namespace to either end.

In CI a sample of the instants; `PODWIRE_KILLS=all` takes them all (some ten minutes).
"""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.reliability.conftest import MakeDesk
from tests.reliability.helpers_desk import Desk
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_kill import WHENS, Work, duration, instants, killed_after, killed_at
from tests.support import eventually, run
from tests.support.dumps import dump
from tests.support.pods import dual_stack, two_links

ALL = os.environ.get("PODWIRE_KILLS") == "all"
SEED = 13


def sampled(commands: int, stride: int) -> list[tuple[int, str]]:
    """Return the numbers of commands with the instants at each: all of them, or every `stride`-th in turn."""
    everything = [(number, when) for number in range(1, commands + 1) for when in WHENS]
    return everything if ALL else everything[::stride]


def wired_lines(desk: Desk) -> list[str]:
    """Return the raw dump without the numbers of links, of which every new link gets another."""
    return [re.sub(r"(: )\d+: ", r"\1", line) for line in dump(desk.pod.inside).lines()]


def see_that_nobody_is_at_it(desk: Desk) -> None:
    """Wait for what a killed podwire left running: it has the lock."""
    run(["flock", "--timeout", "10", desk.pod.inside.path, "true"])


def take_back(desk: Desk) -> str | None:
    """Bring the namespace back after a kill, by the command that `list` calls for; return the state that it told."""
    state = desk.state()
    if state == "wired":
        desk.ok("teardown", desk.id, "--yes")
    else:
        desk.ok("recover")
    return state


def see_that_all_is_back(desk: Desk, where: object) -> None:
    """See that the raw dump is that of before, and nothing is listed."""
    assert desk.changed() == "", where
    assert desk.state() is None, where


def see_that_it_is_refused(desk: Desk) -> None:
    """See that plan and apply refuse a half-done wiring, and name recover: status 1, one sentence."""
    see_that_nobody_is_at_it(desk)
    before = dump(desk.pod.inside).lines()
    for words in (
        ("plan", "--result", desk.result, "--netns", desk.id),
        ("apply", "--result", desk.result, "--netns", desk.id, "--yes"),
        ("apply", "--result", desk.result, "--netns", desk.pod.inside.path, "--id", "other", "--yes"),
        ("apply", desk.plan, "--yes"),
    ):
        outcome = desk.podwire(*words)
        assert (outcome.rc, outcome.err.count("\n")) == (1, 1), outcome
        assert f"podwire recover {desk.id} first" in outcome.err
    assert dump(desk.pod.inside).lines() == before


def test_apply_killed_at_each_command_is_taken_back(make_desk: MakeDesk, faults: Faults) -> None:
    """Before, during and after it. A command that podwire left running is waited for."""
    desk = make_desk(two_links)
    work = Work(desk, "apply")
    for number, when in sampled(len(desk.commands()), 7):
        assert killed_at(work, when, number, faults), (number, when)
        assert desk.state() == "half-done", (number, when)
        if number % 8 == 1 and when != "during":  # then somebody is still at it
            see_that_it_is_refused(desk)
        take_back(desk)
        see_that_all_is_back(desk, (number, when))


def test_apply_killed_at_each_command_is_finished(make_desk: MakeDesk, faults: Faults) -> None:
    """By `recover --forward`: the same as an apply that nobody disturbed."""
    desk = make_desk(two_links)
    work = Work(desk, "apply")
    assert desk.apply().rc == 0
    undisturbed = wired_lines(desk)
    assert desk.teardown().rc == 0
    for number, when in sampled(len(desk.commands()), 9):
        assert killed_at(work, when, number, faults), (number, when)
        desk.ok("recover", "--forward")
        assert desk.state() == "wired"
        assert wired_lines(desk) == undisturbed, (number, when)
        assert desk.teardown().rc == 0
        see_that_all_is_back(desk, (number, when))


def test_teardown_killed_at_each_command_is_finished(make_desk: MakeDesk, faults: Faults) -> None:
    """By recover, with or without `--forward`: its end is as it was before either way."""
    desk = make_desk(two_links)
    work = Work(desk, "teardown")
    for number, when in sampled(len(desk.commands("reverse_commands")), 5):
        assert desk.apply().rc == 0
        assert killed_at(work, when, number, faults), (number, when)
        assert desk.state() == "half-done", (number, when)
        desk.ok("recover", *(["--forward"] if number % 2 else []))
        see_that_all_is_back(desk, (number, when))


@pytest.mark.parametrize("verb", ["recover", "forward"])
def test_recover_killed_at_each_command_is_recovered(make_desk: MakeDesk, faults: Faults, verb: str) -> None:
    """Taking back a whole apply, or finishing one that had hardly begun; again and again."""
    desk = make_desk(dual_stack)
    total = len(desk.commands())
    kills = []
    # Finishing, it has less to do: the first command is done, and those that an open `ip` had been sent already.
    for number, when in sampled(total - 3 if verb == "forward" else len(desk.commands("reverse_commands")), 6):
        assert killed_at(Work(desk, "apply"), "after", 1 if verb == "forward" else total, faults)
        killed = killed_at(Work(desk, verb), when, number, faults)
        kills.append(killed)
        if killed:
            assert desk.state() == "half-done", (number, when)
        take_back(desk)
        see_that_all_is_back(desk, (number, when))
    assert sum(kills) > len(kills) / 2


@pytest.mark.parametrize("verb", ["apply", "teardown", "recover", "forward"])
def test_killed_at_random_instants(make_desk: MakeDesk, faults: Faults, verb: str) -> None:
    """Also between a command and what the journal says of it, while it looks around, and while it writes its state."""
    desk = make_desk(dual_stack)
    total = len(desk.commands())

    def prepare() -> None:
        if verb == "teardown":
            assert desk.apply().rc == 0
        elif verb != "apply":
            assert killed_at(Work(desk, "apply"), "after", 1 if verb == "forward" else total, faults)

    prepare()
    work = Work(desk, verb)
    longest = 1.1 * duration(work)
    if desk.state() is not None:
        assert desk.teardown().rc == 0
    states = set()
    for seconds in instants(SEED, 30 if ALL else 6, longest):
        prepare()
        killed_after(work, seconds)
        states.add(take_back(desk))
        see_that_all_is_back(desk, seconds)
    assert "half-done" in states or not ALL


def test_killed_at_random_instants_as_a_process(make_desk: MakeDesk) -> None:
    """As people run it: from its start, with all that it loads, to its end."""
    desk = make_desk(dual_stack)
    for seconds in instants(SEED + 1, 20 if ALL else 4, 0.8):
        with desk.started("apply", desk.plan, "--yes") as process:
            try:
                process.wait(timeout=seconds)
            except TimeoutError:
                pass
            except Exception as error:  # noqa: BLE001 -- subprocess.TimeoutExpired: it is to be killed now
                assert "timed out" in str(error)  # noqa: PT017
        take_back(desk)
        see_that_all_is_back(desk, seconds)


@pytest.mark.parametrize(
    "torn", ['{"time":1790000000.1,"event":"ran","num', '{"event":"running"}\x00\x00', "\x80\xff{"]
)
def test_a_torn_last_line_of_the_journal_is_normal(desk: Desk, faults: Faults, torn: str) -> None:
    """Recover and log pass over it, and what is written next stands on a line of its own."""
    assert killed_at(Work(desk, "apply"), "before", 4, faults)
    with desk.journal.open("ab") as journal:
        journal.write(torn.encode("latin-1"))
    records = json.loads(desk.ok("log", desk.id, "--json"))
    assert [record["rc"] for record in records] == [0, 0, 0, None]
    desk.ok("recover")
    see_that_all_is_back(desk, torn)
    again = json.loads(desk.ok("log", desk.id, "--json"))
    assert again[:4] == records
    assert len(again) > 4
    assert all(record["rc"] == 0 and record["verb"] == "recover" for record in again[4:])


def test_an_empty_or_missing_journal_does_not_keep_it_from_being_taken_back(desk: Desk, faults: Faults) -> None:
    """What is to be done is decided by what is there, not by what was written of it."""
    for spoil in (lambda: desk.journal.write_bytes(b""), desk.journal.unlink):
        assert killed_at(Work(desk, "apply"), "after", 8, faults)
        spoil()
        desk.ok("recover", desk.id)
        see_that_all_is_back(desk, spoil)


def test_what_a_killed_podwire_left_running_is_waited_for(desk: Desk, faults: Faults) -> None:
    """Recover says who is still at it when its time is over, and finishes once that has ended."""
    number = next(at for at, line in enumerate(desk.commands(), 1) if line.startswith("ebtables-restore"))
    faults.plan(number, "wait")
    with desk.started("apply", desk.plan, "--yes", env=faults.env) as process:
        eventually(lambda: faults.waiting, "the command", seconds=20)
        process.kill()
        process.wait()
    outcome = desk.podwire("recover", "--lock-timeout", "0.2")
    assert outcome.rc == 1, outcome
    assert re.search(
        r"is being changed by process \d+ \(.+\), left running by (a )?process( \d+)? that is gone", outcome.err
    )
    faults.release()
    desk.ok("recover")
    see_that_all_is_back(desk, number)


def test_recover_can_be_looked_at_first(desk: Desk, faults: Faults) -> None:
    """In both directions; nothing is done by it."""
    assert killed_at(Work(desk, "apply"), "after", 6, faults)
    see_that_nobody_is_at_it(desk)
    before = dump(desk.pod.inside).lines()
    back = json.loads(desk.ok("recover", desk.id, "--dry-run", "--json"))
    forward = json.loads(desk.ok("recover", desk.id, "--forward", "--dry-run", "--json"))
    assert 0 < len(forward["commands"]) <= len(desk.commands()) - 5
    assert 0 < len(back["commands"]) < len(desk.commands("reverse_commands"))
    assert dump(desk.pod.inside).lines() == before
    assert desk.state() == "half-done"
    desk.ok("recover")
    see_that_all_is_back(desk, "recovered")


def test_a_half_done_wiring_can_be_torn_down_too(desk: Desk, faults: Faults) -> None:
    """And where its namespace is gone, recover forgets it."""
    assert killed_at(Work(desk, "apply"), "after", 6, faults)
    desk.ok("teardown", desk.id, "--yes")
    see_that_all_is_back(desk, "torn down")
    assert killed_at(Work(desk, "apply"), "after", 6, faults)
    desk.pod.inside.delete()
    assert "gone" in desk.ok("recover")
    assert desk.state() is None


def test_nothing_of_a_killed_podwire_stays_in_the_state_directory(desk: Desk) -> None:
    """Half-written files of a state that was being replaced are removed by whoever comes next."""
    assert desk.apply().rc == 0
    torn = desk.state_dir / "wirings" / f".{desk.id}.json.4242"
    torn.write_text('{"version":1,"id"')
    assert desk.state() == "wired"
    assert desk.teardown().rc == 0
    assert not torn.exists()
