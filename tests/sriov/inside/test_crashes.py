"""Faults and kills while a virtual function is handed over, or comes home."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial

import pytest

from executor.errors import HostError, RollbackIncomplete, RolledBack
from executor.operations.recover import recover
from executor.state.events import Event, Listener, Ran, Running
from tests.sriov.inside.conftest import MakeVfPod
from tests.sriov.inside.functions import is_as_before


def at_command(number: int, kind: type[Running | Ran], do: Callable[[], None]) -> Listener:
    """Return a listener that does something as a command begins (Running) or has ended (Ran)."""

    def listen(event: Event) -> None:
        if isinstance(event, kind) and event.number == number:
            do()

    return listen


def fail() -> None:
    """Fail as a program does that cannot be started."""
    raise HostError("a fault")


def die() -> None:
    """Die as by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed(work: Callable[[], object]) -> None:
    """Do something in a process of its own, which is killed in it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it was not killed"


def test_a_fault_at_any_command_rolls_back(vf_pod: MakeVfPod) -> None:
    """Each command of the hand-over fails in its turn; all is as it was after each."""
    pod = vf_pod()
    before = pod.state()
    commands = pod.plan().commands
    hand_over = [number for number, command in enumerate(commands, 1) if command.netns is None]
    assert len(hand_over) == 4
    for number in (1, *hand_over):
        with pytest.raises(RolledBack):
            pod.apply(at_command(number, Running, fail))
        assert is_as_before(pod, before)


def test_after_a_kill_at_any_instant_recover_brings_it_home(vf_pod: MakeVfPod) -> None:
    """A sample of the instants, each before or after a command, there and back."""
    pod = vf_pod()
    before = pod.state()
    plan = pod.plan()
    there, back = len(plan.commands), len(plan.reverse_commands)
    killed(partial(pod.apply, at_command(there, Running, die)))
    recover(pod.id, pod.settings)
    assert is_as_before(pod, before)
    instants: list[tuple[int, type[Running | Ran]]] = [(1, Ran), (back - 3, Running)]
    for number, kind in instants:
        pod.apply()
        killed(partial(pod.teardown, at_command(number, kind, die)))
        recover(pod.id, pod.settings)
        assert is_as_before(pod, before)


def test_a_fault_at_any_command_of_the_way_back_is_made_good_by_the_next(vf_pod: MakeVfPod) -> None:
    """Every command fails once, in its turn, and teardown is asked for again: in the end all is as it was."""
    pod = vf_pod()
    before = pod.state()
    wanted = {command.line for command in pod.apply().reverse_commands}
    failed: set[str] = set()

    def fail_once(event: Event) -> None:
        if isinstance(event, Running) and event.command.line not in failed:
            failed.add(event.command.line)
            fail()

    for _ in range(3 * len(wanted)):
        try:
            outcome = pod.teardown(fail_once)
        except RollbackIncomplete:
            continue
        break
    assert outcome.what == "restored"
    assert len(failed & wanted) > len(wanted) // 2  # what is left then is less than the plan, and said otherwise
    assert is_as_before(pod, before)
