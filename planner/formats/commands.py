"""Commands that stand alone in a POSIX shell, one physical line each."""

from __future__ import annotations

import shlex

from planner.plan.plan import Plan
from planner.plan.render import Command
from planner.text.values import NetnsPath


def render_commands(plan: Plan) -> str:
    """Return the commands of ``plan``, one line each, with their ``nsenter`` prefix and standard input."""
    return "".join(f"{shell_line(command)}\n" for command in plan.commands)


def nsenter(netns: NetnsPath | None) -> tuple[str, ...]:
    """Return the words before those of a program that is to run in a namespace, none on the host (nsenter(1))."""
    return () if netns is None else ("nsenter", f"--net={netns}")


def shell_line(command: Command) -> str:
    """Return one command as a line of a POSIX shell."""
    line = shlex.join((*nsenter(command.netns), *command.argv))
    if command.stdin is None:
        return line
    lines = " ".join(shlex.quote(text) for text in command.stdin.splitlines())
    return f"printf '%s\\n' {lines} | {line}"
