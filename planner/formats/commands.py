"""Commands that work on their own in a POSIX shell, one physical line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from planner.plan.plan import Plan
from planner.plan.render import Command
from planner.text.shell import line_with_input
from planner.text.values import NetnsPath


def render_commands(plan: Plan) -> str:
    """Return the commands of ``plan``, one line each, with their ``nsenter`` prefix and standard input."""
    return shell_lines(plan.commands)


def shell_lines(commands: Iterable[Command]) -> str:
    """Return commands as lines of a POSIX shell."""
    return "".join(shell_pieces(commands))


def shell_pieces(commands: Iterable[Command]) -> Iterator[str]:
    """Yield commands as lines of a POSIX shell, piece by piece.

    What must not run if the command before it failed is on the same line, after ``&&``.
    """
    last: Command | None = None
    for command in commands:
        goes_on = last and last.stops_at_failure and not set(last.changes).isdisjoint(command.changes)
        if last:
            yield " && " if goes_on else "\n"
        yield shell_line(command)
        last = command
    if last:
        yield "\n"


def nsenter(netns: NetnsPath | None) -> tuple[str, ...]:
    """Return the words before those of a program that is to run in a namespace, none on the host (nsenter(1))."""
    return () if netns is None else ("nsenter", f"--net={netns}")


def shell_line(command: Command) -> str:
    """Return one command as a line of a POSIX shell."""
    return line_with_input((*nsenter(command.netns), *command.argv), command.stdin)
