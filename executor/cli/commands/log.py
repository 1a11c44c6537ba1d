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
    from planner.formats.ansi import Style
    from planner.text.values import PlanId

_FORMATS = ("text", "commands", "script", "json", "html")
_FOLLOW_EVERY = 0.3
_MANY_DIGITS = 10
# What goes on in the next line stands below the beginning of its output.
_HANG = 8
EXAMPLES = """\
podwire log pod1 --since 2h
podwire log --failed --format html > log.html"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", nargs="?", metavar="ID", help="only commands of this wiring")
    text = "only commands since WHEN: an age (90s, 30m, 2h, 1d) or a date (2026-11-24, 2026-11-24T09:30)"
    parser.add_argument("--since", type=moment, metavar="WHEN", help=text)
    add_netns(parser, required=False, what="only commands that were run in this namespace")
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
    from executor.state.journal import read_logs
    from planner.errors import InvalidInput

    require_owner(arguments)
    store = store_of(arguments)
    if arguments.follow:
        if arguments.reverse or arguments.format not in ("text", "commands"):
            raise InvalidInput("--follow: works only with the formats text and commands, oldest first")
        return _follow(arguments, store)
    problems: list[PodwireError] = []
    paths = {plan_id: store.journal_path(plan_id) for plan_id in _ids(arguments, store)}
    records = _wanted(read_logs(paths, problems.append if arguments.id is None else None), arguments)
    if arguments.tail is not None:
        records = records[max(0, len(records) - arguments.tail) :]
    _print(records[::-1] if arguments.reverse else records, arguments)
    return max((complain(problem, exit_status(problem)) for problem in problems), default=0)


def _wanted(records: list[LogRecord], arguments: argparse.Namespace) -> list[LogRecord]:
    """Return those of the records that the arguments ask for."""
    from executor.netns.naming import resolve_netns

    netns = None if arguments.netns is None else resolve_netns(arguments.netns)
    return [
        record
        for record in records
        if (arguments.since is None or record.time >= arguments.since)
        and (netns is None or record.netns == netns)
        and not (arguments.failed and record.rc == 0)
    ]


def _ids(arguments: argparse.Namespace, store: StateStore) -> tuple[PlanId, ...]:
    from executor.cli.settings import id_meant
    from planner.errors import InvalidInput

    ids = store.journalled_ids()
    if arguments.id is None:
        return ids
    wanted = id_meant(arguments.id, store)
    if wanted not in ids and not arguments.follow:
        raise InvalidInput(f"id: no command was ever run for {wanted}; podwire list shows what is wired")
    return (wanted,)


def _follow(arguments: argparse.Namespace, store: StateStore) -> int:
    """Print what there is, then what comes, until somebody interrupts. A command is printed when it has ended."""
    import time

    from executor.cli.output import complain
    from executor.log.follow import FollowedJournals

    def unreadable(problem: PodwireError) -> None:
        if arguments.id is not None:
            raise problem
        if str(problem) not in said:
            said.add(str(problem))
            complain(problem, 0)

    said: set[str] = set()
    journals = FollowedJournals(lambda: {one: store.journal_path(one) for one in _ids(arguments, store)})
    tail, operation = arguments.tail, ""
    stopped = _interrupts()
    try:
        while not stopped:
            new = _wanted(journals.new(unreadable), arguments)
            new, tail = new if tail is None else new[max(0, len(new) - tail) :], None
            if new:
                _print_more(new, arguments, operation)
                operation = new[-1].operation
            time.sleep(_FOLLOW_EVERY)
    except KeyboardInterrupt:
        pass
    return 0


def _interrupts() -> list[int]:
    """Return the list to which SIGINT adds its number, instead of raising KeyboardInterrupt at once."""
    import signal

    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        # An exception could come where none can be raised (a destructor), and be lost; the second time it is for a
        # reader that takes nothing any more.
        if stopped:
            signal.default_int_handler(number, _frame)
        stopped.append(number)

    signal.signal(signal.SIGINT, stop)
    return stopped


def _print_more(records: Sequence[LogRecord], arguments: argparse.Namespace, operation: str) -> None:
    """Print what comes behind commands of ``operation``, whose head was printed with them ("": nothing was)."""
    from executor.cli.output import put

    if arguments.format == "commands":
        _print(records, arguments)
    else:
        is_new = records[0].operation != operation
        put(("\n" if operation and is_new else "") + _text(records, arguments, operation))


def _print(records: Sequence[LogRecord], arguments: argparse.Namespace) -> None:
    from executor.cli.output import put, put_document
    from executor.cli.printing import print_json
    from executor.cli.settings import nothing_there

    if arguments.format == "json":
        print_json([_log_json(record) for record in records])
    elif arguments.format == "commands":
        from executor.log.lines import shell_line

        put_document(f"{_printable(shell_line(record))}\n" for record in records)
    elif arguments.format == "script":
        from executor.log.script import render_log_script

        put_document([render_log_script(records)])
    elif arguments.format == "html":
        from executor.log.html import render_log_html
        from executor.templates import load_pages

        put_document([render_log_html(records, load_pages())])
    elif not records:
        put(nothing_there("no matching commands", arguments) + "\n")
    else:
        from executor.cli.pager import put_long

        put_long(_text(records, arguments))


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


def _text(records: Sequence[LogRecord], arguments: argparse.Namespace, operation: str = "") -> str:
    """Return the commands by operation, as wide as a terminal is; the head of ``operation`` was printed already."""
    from executor.cli.printing import style_of

    style = style_of(arguments)
    blocks = []
    for name, group in groupby(records, key=lambda record: record.operation):
        each = list(group)
        lines = [] if name == operation else _head_lines(each, style)
        lines += [line for record in each for line in _command_lines(record, style)]
        blocks.append("".join(f"{line}\n" for line in lines))
    return "\n".join(blocks)


def _head_lines(records: Sequence[LogRecord], style: Style) -> list[str]:
    """Return when and where the commands of one command line were run, and who asked for that."""
    from executor.cli.printing import local_time
    from planner.formats.ansi import paint
    from planner.formats.fit import fit

    first = min(records, key=lambda record: record.time)
    where = ", ".join(dict.fromkeys("the host" if record.netns is None else record.netns for record in records))
    head = _printable(f"{local_time(first.time)}  {first.verb} {first.id} in {where}")
    lines = [paint(style.strong, line) for line in fit(head, style.width)]
    return [*lines, *fit(f"    {_printable(first.requested_by)}", style.width)]


def _command_lines(record: LogRecord, style: Style) -> list[str]:
    """Return a command with its answer; in colours what failed is seen from afar."""
    from shlex import quote

    from executor.cli.printing import local_clock
    from planner.formats.ansi import paint
    from planner.formats.fit import continued, fit

    status = "died" if record.rc is None else "ok" if record.rc == 0 else f"rc {record.rc}"
    marks = ("", "") if record.rc == 0 else style.removed
    took = "" if record.duration_ms is None else f"{record.duration_ms:.1f} ms"
    head = f"  {local_clock(record.time)}  {paint(marks, f'{status:<5}')} {took:>9}  "
    lines = continued(head, [_printable(quote(word)) for word in record.argv], style.width, hang=_HANG)
    for mark, text in (("|", record.stdin or ""), (">", record.stdout), ("!", record.stderr)):
        for line in text.splitlines():
            pieces = fit(f"      {mark} {_printable(line)}", style.width, hang=_HANG)
            lines += [paint(marks if mark == "!" else ("", ""), piece) for piece in pieces]
    return lines


def _printable(line: str) -> str:
    """Return a line of output without what could move a terminal's cursor."""
    return "".join(char if char.isprintable() else "�" for char in line)
