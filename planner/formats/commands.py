"""Commands that stand alone in a POSIX shell, one physical line each."""

from __future__ import annotations

import shlex

from planner.plan.plan import Plan
from planner.plan.render import Command


def render_commands(plan: Plan) -> str:
    """Return the commands of ``plan``, one line each, with their ``nsenter`` prefix and standard input."""
    return "".join(f"{shell_line(command)}\n" for command in plan.commands)


def shell_line(command: Command) -> str:
    """Return one command as a line of a POSIX shell (nsenter(1))."""
    argv = command.argv if command.netns is None else ("nsenter", f"--net={command.netns}", *command.argv)
    line = shlex.join(argv)
    if command.stdin is None:
        return line
    lines = " ".join(shlex.quote(text) for text in command.stdin.splitlines())
    return f"printf '%s\\n' {lines} | {line}"
