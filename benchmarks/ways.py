"""The ways that are compared, each setting the same wiring of a plain pod up and down again."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import frozen

from benchmarks.rtnetlink import Rtnetlink
from planner.formats.commands import shell_line
from planner.plan.plan import Plan
from planner.plan.render import Command
from tests.support.pods import Pod
from tests.support.podwire import Podwire

_NAIVE = Path(__file__).with_name("naive.sh")


@frozen
class Way:
    """One way to set a wiring up and to take it down."""

    up: Callable[[], object]
    down: Callable[[], object]


def naive(pod: Pod) -> Way:
    """Return the reference's order, one nsenter process a command (naive.sh)."""
    return Way(*(lambda verb=verb: _run(["bash", str(_NAIVE), verb, str(pod.inside.path)]) for verb in ("up", "down")))


def preview(plan: Plan) -> Way:
    """Return the plan's preview as a shell script: ``podwire plan --format commands | bash -e``."""
    return Way(*(_script(commands) for commands in (plan.commands, plan.reverse_commands)))


def batch(plan: Plan, pod: Pod) -> Way:
    """Return what somebody would write by hand who knows ``ip -batch`` and ``ebtables-restore``: no looking, no log."""
    return Way(*(_batch(commands, pod) for commands in (plan.commands, plan.reverse_commands)))


def rtnetlink(pod: Pod, *, looks: bool) -> Way:
    """Return pyroute2 doing the same over netlink, in process; ``looks`` before and after as podwire does, or not."""
    done = Rtnetlink(pod, looks)
    return Way(done.up, done.down)


def podwire(wired: Podwire, plan: Plan) -> Way:
    """Return podwire in process: it looks, journals, runs, and looks again."""
    return Way(lambda: wired.apply(plan), wired.teardown)


def _script(commands: Sequence[Command]) -> Callable[[], object]:
    text = "set -e\n" + "".join(f"{shell_line(command)}\n" for command in commands)
    return lambda: _run(["bash"], text)


def _batch(commands: Sequence[Command], pod: Pod) -> Callable[[], object]:
    """Return a script that gives neighbouring ``ip`` commands to one ``ip -batch``."""
    inside = f"nsenter --net={pod.inside.path}"
    lines = ["set -e"]
    together: list[str] = []
    for command in (*commands, None):
        if command is not None and command.argv[0] == "ip":
            together.append(shlex.join(command.argv[1:]))
            continue
        if together:
            lines.append("\n".join((f"{inside} ip -batch - <<'END'", *together, "END")))
            together = []
        if command is not None:
            lines.append(shell_line(command))
    text = "\n".join(lines) + "\n"
    return lambda: _run(["bash"], text)


def _run(argv: list[str], text: str = "") -> None:
    subprocess.run(argv, input=text, text=True, check=True, capture_output=True)
