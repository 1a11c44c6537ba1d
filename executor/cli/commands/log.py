"""log: the commands that were run, chosen, shown, followed."""

from __future__ import annotations

import argparse
from itertools import groupby

from executor.cli.options import add_common, add_netns, moment, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import Any

    from executor.state.journal import LogRecord
    from executor.state.store import StateStore
    from planner.errors import PodwireError
    from planner.text.values import PlanId

_FORMATS = ("text", "commands", "script", "json", "html")
_FOLLOW_EVERY = 0.3
_MANY_DIGITS = 10
EXAMPLES = """\
podwire log pod1 --since 2h
podwire log --failed --format html > log.html"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", nargs="?", metavar="ID", help="only commands of this wiring")
    text = "only commands since WHEN: an age (90s, 30m, 2h, 1d) or a date (2026-11-24, 2026-11-24T09:30)"
    parser.add_argument("--since", type=moment, metavar="WHEN", help=text)
    add_netns(parser, required=False)
    parser.add_argument(
        "--failed", action="store_true", help="only commands that failed, or whose end podwire did not see"
    )
    parser.add_argument("--tail", type=_count, metavar="N", help="only the last N commands")
    parser.add_argument("--follow", action="store_true", help="keep printing new commands as they finish")
    parser.add_argument("--reverse", action="store_true", help="newest first")
    add_common(parser, _FORMATS)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < _MANY_DIGITS):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a valid number of commands")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Print the commands that were run, oldest first."""
    from executor.cli.exit_status import exit_status
    from executor.cli.output import complain
    from executor.cli.settings import require_owner, store_of
    from planner.errors import InvalidInput

    require_owner(arguments)
    store = store_of(arguments)
    problems: list[PodwireError] = []
    records = _chosen(arguments, store, problems)
    if arguments.tail is not None:
        records = records[max(0, len(records) - arguments.tail) :]
    if not arguments.follow:
        _print(records[::-1] if arguments.reverse else records, arguments.format)
        return max((complain(problem, exit_status(problem)) for problem in problems), default=0)
    if arguments.reverse or arguments.format not in ("text", "commands"):
        raise InvalidInput("--follow: works only with the formats text and commands, oldest first")
    for problem in problems:
        complain(problem, exit_status(problem))
    return _follow(records, arguments, store)


def _chosen(arguments: argparse.Namespace, store: StateStore, problems: list[PodwireError]) -> list[LogRecord]:
    """Return the records that the arguments ask for; add to ``problems`` why a journal of several cannot be read."""
    from executor.netns.naming import resolve_netns
    from executor.state.journal import read_logs

    ids = _ids(arguments, store)
    netns = None if arguments.netns is None else resolve_netns(arguments.netns)
    paths = {plan_id: store.journal_path(plan_id) for plan_id in ids}
    records = read_logs(paths, problems.append if arguments.id is None else None)
    return [
        record
        for record in records
        if (arguments.since is None or record.time >= arguments.since)
        and (netns is None or record.netns == netns)
        and not (arguments.failed and record.rc == 0)
    ]


def _ids(arguments: argparse.Namespace, store: StateStore) -> tuple[PlanId, ...]:
    from executor.netns.naming import parse_id
    from planner.errors import InvalidInput

    ids = store.journalled_ids()
    if arguments.id is None:
        return ids
    wanted = parse_id(arguments.id)
    if wanted not in ids and not arguments.follow:
        raise InvalidInput(f"id: no command was ever run for {wanted}; podwire list shows what is wired")
    return (wanted,)


def _follow(records: list[LogRecord], arguments: argparse.Namespace, store: StateStore) -> int:
    """Print what there is, then what comes, until somebody interrupts. A command is printed when it has ended."""
    import signal
    import time

    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        # An exception could come where none can be raised (a destructor), and be lost; the second time it is for a
        # reader that takes nothing any more.
        if stopped:
            signal.default_int_handler(number, _frame)
        stopped.append(number)

    seen: set[tuple[str, float]] = set()
    signal.signal(signal.SIGINT, stop)
    try:
        while not stopped:
            new = [record for record in records if record.rc is not None and _key(record) not in seen]
            seen.update(map(_key, new))
            if new:
                _print(new, arguments.format)
            time.sleep(_FOLLOW_EVERY)
            records = _chosen(arguments, store, [])
    except KeyboardInterrupt:
        pass
    return 0


def _key(record: LogRecord) -> tuple[str, float]:
    return (record.id, record.time)


def _print(records: Sequence[LogRecord], form: str) -> None:
    from executor.cli.output import put
    from executor.cli.printing import print_json

    if form == "json":
        print_json([_log_json(record) for record in records])
    elif form == "commands":
        from executor.log.lines import shell_line

        put("".join(f"{_printable(shell_line(record))}\n" for record in records))
    elif form == "script":
        from executor.log.script import render_log_script

        put(render_log_script(records))
    elif form == "html":
        from executor.log.html import render_log_html
        from executor.templates import load_pages

        put(render_log_html(records, load_pages()))
    elif not records:
        put("no matching commands\n")
    else:
        from executor.cli.pager import put_long

        operations = groupby(records, key=lambda record: record.operation)
        put_long("\n".join(_operation_text(list(group)) for _, group in operations))


def _log_json(record: LogRecord) -> dict[str, Any]:
    return {
        "time": record.time,
        "id": record.id,
        "netns": record.netns,
        "argv": list(record.argv),
        "stdin": record.stdin,
        "rc": record.rc,
        "stdout": record.stdout,
        "stderr": record.stderr,
        "duration_ms": record.duration_ms,
        "verb": record.verb,
        "asked": record.requested_by,
        "operation": record.operation,
    }


def _operation_text(records: Sequence[LogRecord]) -> str:
    """Return what was run for one command line: when and where it was, and what each command answered."""
    from executor.cli.printing import local_time

    first = min(records, key=lambda record: record.time)
    where = ", ".join(dict.fromkeys("the host" if record.netns is None else record.netns for record in records))
    head = _printable(f"{local_time(first.time)}  {first.verb} {first.id} in {where}")
    return "".join([f"{head}\n", f"    {_printable(first.requested_by)}\n", *map(_command_text, records)])


def _command_text(record: LogRecord) -> str:
    from shlex import join

    from executor.cli.printing import local_clock

    status = "died" if record.rc is None else "ok" if record.rc == 0 else f"rc {record.rc}"
    took = "" if record.duration_ms is None else f"{record.duration_ms:.1f} ms"
    head = f"  {local_clock(record.time)}  {status:<5} {took:>9}  {_printable(join(record.argv))}\n"
    more = [("|", record.stdin or ""), (">", record.stdout), ("!", record.stderr)]
    return head + "".join(f"      {mark} {_printable(line)}\n" for mark, text in more for line in text.splitlines())


def _printable(line: str) -> str:
    """Return a line of output without what could move a terminal's cursor."""
    return "".join(char if char.isprintable() else "�" for char in line)
