"""podwire is killed with SIGKILL at every instant that there is: recover brings the namespace to either end.

In CI a sample of the instants; `PODWIRE_KILLS=all` takes them all (some ten minutes).
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest

from tests.reliability.conftest import MakeTrial
from tests.reliability.helpers_faults import Faults
from tests.reliability.helpers_kill import (
    WHENS,
    Work,
    duration,
    instants,
    killed_after,
    killed_at,
    killed_at_end,
    see_that_nobody_is_at_it,
)
from tests.reliability.helpers_trial import Trial
from tests.support import eventually
from tests.support.dumps import dump
from tests.support.pods import dual_stack, two_links
from tests.support.seed import number as drawn_number

ALL = os.environ.get("PODWIRE_KILLS") == "all"
SEED = 13


def sampled(commands: int, stride: int) -> list[tuple[int, str]]:
    """Return the numbers of commands with the instants at each: all of them, or every `stride`-th in turn."""
    everything = [(number, when) for number in range(1, commands + 1) for when in WHENS]
    return everything if ALL else everything[::stride]


def wired_lines(trial: Trial) -> list[str]:
    """Return the raw dump without the numbers of links, of which every new link gets another."""
    return [re.sub(r"(: )\d+: ", r"\1", line) for line in dump(trial.pod.inside).lines()]


def take_back(trial: Trial) -> str | None:
    """Bring the namespace back after a kill, by the command that `list` calls for; return the state that it told."""
    state = trial.state()
    if state == "wired":
        trial.ok("teardown", trial.id, "--yes")
    else:
        trial.ok("recover")
    return state


def see_that_all_is_back(trial: Trial, where: object) -> None:
    """See that the raw dump is that of before, and nothing is listed."""
    assert trial.changed() == "", where
    assert trial.state() is None, where


def see_that_it_is_refused(trial: Trial) -> None:
    """See that plan and apply refuse a half-done wiring, and name recover: status 1, one sentence."""
    see_that_nobody_is_at_it(trial)
    before = dump(trial.pod.inside).lines()
    for words in (
        ("plan", "--result", trial.result, "--netns", trial.id),
        ("apply", "--result", trial.result, "--netns", trial.id, "--yes"),
        ("apply", "--result", trial.result, "--netns", trial.pod.inside.path, "--id", "other", "--yes"),
        ("apply", trial.plan, "--yes"),
    ):
        outcome = trial.podwire(*words)
        assert (outcome.rc, outcome.err.count("\n")) == (1, 1), outcome
        assert f"run podwire recover {trial.id} first" in outcome.err
    assert dump(trial.pod.inside).lines() == before


def test_apply_killed_at_each_command_is_rolled_back(make_trial: MakeTrial, faults: Faults) -> None:
    """Before, during and after it. A command that podwire left running is waited for."""
    trial = make_trial(two_links)
    work = Work(trial, "apply")
    for number, when in sampled(len(trial.commands()), 7):
        assert killed_at(work, when, number, faults), (number, when)
        assert trial.state() == "half-done", (number, when)
        if number % 8 == 1 and when != "during":  # then somebody is still at it
            see_that_it_is_refused(trial)
        take_back(trial)
        see_that_all_is_back(trial, (number, when))


def test_apply_killed_at_each_command_is_finished(make_trial: MakeTrial, faults: Faults) -> None:
    """By `recover --forward`: the same as an apply that nobody disturbed."""
    trial = make_trial(two_links)
    work = Work(trial, "apply")
    assert trial.apply().rc == 0
    undisturbed = wired_lines(trial)
    assert trial.teardown().rc == 0
    for number, when in sampled(len(trial.commands()), 9):
        assert killed_at(work, when, number, faults), (number, when)
        trial.ok("recover", "--forward")
        assert trial.state() == "wired"
        assert wired_lines(trial) == undisturbed, (number, when)
        assert trial.teardown().rc == 0
        see_that_all_is_back(trial, (number, when))


def test_teardown_killed_at_each_command_is_finished(make_trial: MakeTrial, faults: Faults) -> None:
    """By recover, with or without `--forward`: its end is as it was before either way."""
    trial = make_trial(two_links)
    work = Work(trial, "teardown")
    for number, when in sampled(len(trial.commands("reverse_commands")), 5):
        assert trial.apply().rc == 0
        assert killed_at(work, when, number, faults), (number, when)
        assert trial.state() == "half-done", (number, when)
        trial.ok("recover", *(["--forward"] if number % 2 else []))
        see_that_all_is_back(trial, (number, when))


@pytest.mark.parametrize("verb", ["recover", "forward"])
def test_recover_killed_at_each_command_is_recovered(make_trial: MakeTrial, faults: Faults, verb: str) -> None:
    """Rolling back a whole apply, or finishing one that had hardly begun; again and again."""
    trial = make_trial(dual_stack)
    total = len(trial.commands())
    kills = []
    # Finishing, it has less to do: the first command is done, and those that an open `ip` had been sent already.
    for number, when in sampled(total - 3 if verb == "forward" else len(trial.commands("reverse_commands")), 6):
        assert killed_at(Work(trial, "apply"), "after", 1 if verb == "forward" else total, faults)
        killed = killed_at(Work(trial, verb), when, number, faults)
        kills.append(killed)
        if killed:
            assert trial.state() == "half-done", (number, when)
        take_back(trial)
        see_that_all_is_back(trial, (number, when))
    assert sum(kills) > len(kills) / 2


@pytest.mark.parametrize("verb", ["apply", "teardown"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_its_end_it_is_half_done_and_not_lost(trial: Trial, faults: Faults, verb: str, when: str) -> None:
    """All is back by then, and the entry is still there: of an apply that failed, and of a teardown."""
    env: dict[str, str] = {}
    if verb == "teardown":
        assert trial.apply().rc == 0
    else:
        faults.plan(len(trial.commands()), "fail")
        env = dict(faults.env)
    assert killed_at_end(Work(trial, verb), when, env)
    assert trial.changed() == ""
    assert trial.state() == "half-done"
    trial.ok("recover")
    see_that_all_is_back(trial, (verb, when))


@pytest.mark.seeded
@pytest.mark.parametrize("verb", ["apply", "teardown", "recover", "forward"])
def test_killed_at_random_instants(make_trial: MakeTrial, faults: Faults, verb: str) -> None:
    """Also between a command and what the journal says of it, while it looks around, and while it writes its state."""
    trial = make_trial(dual_stack)
    total = len(trial.commands())

    def prepare() -> None:
        if verb == "teardown":
            assert trial.apply().rc == 0
        elif verb != "apply":
            assert killed_at(Work(trial, "apply"), "after", 1 if verb == "forward" else total, faults)

    prepare()
    work = Work(trial, verb)
    longest = 1.1 * duration(work)
    if trial.state() is not None:
        assert trial.teardown().rc == 0
    states = set()
    fixed, drawn = (20, 10) if ALL else (4, 2)
    for seconds in instants(SEED, fixed, longest) + instants(drawn_number("kills", verb), drawn, longest):
        prepare()
        killed_after(work, seconds)
        states.add(take_back(trial))
        see_that_all_is_back(trial, seconds)
    assert "half-done" in states or not ALL


@pytest.mark.seeded
def test_killed_at_random_instants_as_a_process(make_trial: MakeTrial) -> None:
    """As people run it: from its start, with all that it loads, to its end."""
    trial = make_trial(dual_stack)
    fixed, drawn = (14, 6) if ALL else (3, 1)
    for seconds in instants(SEED + 1, fixed, 0.8) + instants(drawn_number("kills", "process"), drawn, 0.8):
        with trial.started("apply", trial.plan, "--yes") as process:
            try:
                process.wait(timeout=seconds)
            except TimeoutError:
                pass
            except Exception as error:  # noqa: BLE001 -- subprocess.TimeoutExpired: it is to be killed now
                assert "timed out" in str(error)  # noqa: PT017
        take_back(trial)
        see_that_all_is_back(trial, seconds)


@pytest.mark.parametrize(
    "torn", ['{"time":1790000000.1,"event":"ran","num', '{"event":"running"}\x00\x00', "\x80\xff{"]
)
def test_a_torn_last_line_of_the_journal_is_normal(trial: Trial, faults: Faults, torn: str) -> None:
    """Recover and log pass over it, and what is written next is on a line of its own."""
    assert killed_at(Work(trial, "apply"), "before", 2, faults)
    with trial.journal.open("ab") as journal:
        journal.write(torn.encode("latin-1"))
    records = json.loads(trial.ok("log", trial.id, "--json"))
    # What runs beside ip may have ended by then, as far as anybody knows.
    assert [record["rc"] for record in records if record["argv"][0] == "ip"] == [0, None]
    assert all(record["rc"] in (0, None) for record in records)
    trial.ok("recover")
    see_that_all_is_back(trial, torn)
    again = json.loads(trial.ok("log", trial.id, "--json"))
    begun = len(records)
    assert again[:begun] == records
    assert len(again) > begun
    assert all(record["rc"] == 0 and record["verb"] == "recover" for record in again[begun:])


def test_an_empty_or_missing_journal_does_not_keep_it_from_being_rolled_back(trial: Trial, faults: Faults) -> None:
    """What is to be done is decided by what is there, not by what was written of it."""
    for spoil in (lambda: trial.journal.write_bytes(b""), trial.journal.unlink):
        assert killed_at(Work(trial, "apply"), "after", 8, faults)
        spoil()
        trial.ok("recover", trial.id)
        see_that_all_is_back(trial, spoil)


def test_what_a_killed_podwire_left_running_is_waited_for(trial: Trial, faults: Faults) -> None:
    """Recover says who is still at it when its time is over, and finishes once that has ended."""
    faults.plan(1, "wait", of="ebtables-restore")
    with trial.started("apply", trial.plan, "--yes", env=faults.env) as process:
        eventually(lambda: faults.waiting, "the command", seconds=20)
        process.kill()
        process.wait()
    outcome = trial.podwire("recover", "--lock-timeout", "0.2")
    assert outcome.rc == 1, outcome
    assert re.search(
        r"is in use by process \d+ \(.+\), left running by (a )?process( \d+)?, which "
        r"is gone",
        outcome.err,
    )
    faults.release()
    trial.ok("recover")
    see_that_all_is_back(trial, outcome)


def test_recover_can_be_looked_at_first(trial: Trial, faults: Faults) -> None:
    """In both directions: a part of the changes each way, in however many commands. Nothing is done by it."""
    plan = json.loads(trial.plan.read_text())
    assert killed_at(Work(trial, "apply"), "after", 6, faults)
    see_that_nobody_is_at_it(trial)
    before = dump(trial.pod.inside).lines()
    back = json.loads(trial.ok("recover", trial.id, "--dry-run", "--json"))
    forward = json.loads(trial.ok("recover", trial.id, "--forward", "--dry-run", "--json"))
    assert 0 < len(changes_of(forward["commands"])) < len(changes_of(plan["commands"]))
    assert 0 < len(changes_of(back["commands"])) < len(changes_of(plan["reverse_commands"]))
    assert dump(trial.pod.inside).lines() == before
    assert trial.state() == "half-done"
    trial.ok("recover")
    see_that_all_is_back(trial, "recovered")


def changes_of(commands: list[dict[str, Any]]) -> set[int]:
    """Return the numbers of the changes that commands carry out."""
    return {number for command in commands for number in command["changes"]}


def test_a_half_done_wiring_can_be_torn_down_too(trial: Trial, faults: Faults) -> None:
    """And if its namespace is gone, recover forgets it."""
    assert killed_at(Work(trial, "apply"), "after", 6, faults)
    trial.ok("teardown", trial.id, "--yes")
    see_that_all_is_back(trial, "torn down")
    assert killed_at(Work(trial, "apply"), "after", 6, faults)
    trial.pod.inside.delete()
    assert "gone" in trial.ok("recover")
    assert trial.state() is None


def test_nothing_of_a_killed_podwire_stays_in_the_state_directory(trial: Trial) -> None:
    """Half-written files of a state that was being replaced are removed by whoever comes next."""
    assert trial.apply().rc == 0
    torn = trial.state_dir / "wirings" / f".{trial.id}.json.4242"
    torn.write_text('{"version":1,"id"')
    assert trial.state() == "wired"
    assert trial.teardown().rc == 0
    assert not torn.exists()
