"""A bash script that does what a plan does, on its own: it checks first, and rolls back if a command fails."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from planner.changes.change import Change
from planner.formats.commands import nsenter, shell_line, shell_lines
from planner.kinds.kind import kind_of
from planner.plan.plan import Plan
from planner.plan.render import Command, Templates

_HEAD = """\
#!/usr/bin/env bash
# {title}
# Looks, with ip, sysctl and ebtables-save only, that everything is as it was when the plan was made; then changes it.
# Exit status: 0 done, 1 refused and nothing changed, 3 failed and rolled back, 4 failed and not completely rolled back.
set -u

# has REGEX PROGRAM…: what the program prints, on one line, matches.  lacks REGEX PROGRAM…: it does not.
has() {{
  local regex=$1 seen
  shift
  seen=$("$@" 2>/dev/null)
  [[ " ${{seen//[[:space:]]/ }} " =~ $regex ]]
}}
lacks() {{ ! has "$@"; }}
"""

_TAIL = """\
for ((i = 1; i <= {count}; i++)); do
  "before_$i" || {{ printf 'refused: %s is not as it was when the plan was made\\n' "${{what[i]}}" >&2; exit 1; }}
done

roll_back() {{
  local i left=0
  trap '' HUP INT TERM
  printf 'failed: %s; rolling back\\n' "$2" >&2
  for ((i = $1; i >= 1; i--)); do "before_$i" || "back_$i"; done
  for ((i = $1; i >= 1; i--)); do
    "before_$i" || [[ ${{by_itself[i]}} ]] || {{ printf 'not rolled back: %s\\n' "${{what[i]}}" >&2; left=1; }}
  done
  exit $((left ? 4 : 3))
}}
reached=0
trap 'roll_back "$reached" "interrupted"' HUP INT TERM

# run LAST-CHANGE LINE: runs a line of the plan.
run() {{
  reached=$1
  eval "$2" || roll_back "$1" "$2"
}}

"""


def render_script(plan: Plan, templates: Templates) -> str:
    """Return ``plan`` as a bash script; the commands in it are the plan's, the checks and the rollback its changes'."""
    return "".join(script_pieces(plan, templates))


def script_pieces(plan: Plan, templates: Templates) -> Iterator[str]:
    """Yield the bash script of ``plan`` piece by piece."""
    title = f"podwire plan {plan.id}, {plan.netns}: {len(plan.changes)} changes, {len(plan.commands)} commands"
    yield _HEAD.format(title=title)
    yield "what=('')\nby_itself=('')\n"
    for number, change in enumerate(plan.changes, 1):
        yield _functions(number, change, templates)
    yield _TAIL.format(count=len(plan.changes))
    for last, command in _with_last_change(plan):
        yield f"run {last} {shlex.quote(shell_line(command))}\n"


def _with_last_change(plan: Plan) -> Iterator[tuple[int, Command]]:
    """Yield each command with the number of the last change that has begun then: up to there it may have to go back."""
    reached = 0
    for command in plan.commands:
        reached = max(reached, *(index + 1 for index in command.changes))
        yield reached, command


def _functions(number: int, change: Change, templates: Templates) -> str:
    """Return what looks whether the resource is at its ``before``, and what brings it back there."""
    checks = " &&\n  ".join(_checks(change)) or "true"
    back = shell_lines(templates.commands((change.inverse(),))).splitlines() or ["true"]
    by_itself = "1" if change.inverse().happens_by_itself else "''"
    lines = [f"what+=({shlex.quote(str(change.resource))})", f"by_itself+=({by_itself})"]
    lines += [f"before_{number}() {{", f"  {checks}", "}"]
    lines += [f"back_{number}() {{", *(f"  {line}" for line in back), "}", ""]
    return "\n".join(lines) + "\n"


def _checks(change: Change) -> Iterator[str]:
    """Yield the shell tests that hold if a change's resource is at its ``before``."""
    known: Any = change.known_state if change.before is None else change.before
    test = "lacks" if change.before is None else "has"
    for argv, regex in kind_of(change.resource).looks(change.resource, known):
        line = shlex.join([*nsenter(change.netns), *argv])
        yield f"{test if regex[:1] != '!' else 'lacks'} {shlex.quote(regex.lstrip('!'))} {line}"
