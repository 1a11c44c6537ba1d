"""list, log: what is wired, and what was run."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from executor.cli.inputs import parse_id, require_root, store_of
from executor.cli.printing import local_time, print_json, print_table
from executor.cli.streams import put
from executor.journal import LogRecord, read_logs
from executor.store import Entry
from executor.wirings import condition
from planner.errors import InvalidInput

_ROOTS = "what is wired is written down for root only"


def list_command(arguments: argparse.Namespace) -> int:
    """Print what is wired here."""
    require_root(_ROOTS)
    rows = [_row(entry) for entry in store_of(arguments).all()]
    if arguments.format == "json":
        print_json(rows)
    elif not rows:
        put("nothing is wired here\n")
    else:
        cells = [(row["id"], row["state"], local_time(row["applied_at"]), row["netns"]) for row in rows]
        print_table(("ID", "STATE", "APPLIED", "NAMESPACE"), cells)
    return 0


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "id": str(entry.id),
        "netns": str(entry.netns),
        "state": condition(entry),
        "applied_at": entry.applied_at,
    }


def log_command(arguments: argparse.Namespace) -> int:
    """Print the commands that were run, oldest first."""
    require_root(_ROOTS)
    store = store_of(arguments)
    ids = store.journalled_ids()
    if arguments.id is not None:
        wanted = parse_id(arguments.id)
        if wanted not in ids:
            raise InvalidInput(f"id: nothing was ever run under {wanted}; podwire list shows what is wired")
        ids = (wanted,)
    records = read_logs({plan_id: store.journal_path(plan_id) for plan_id in ids})
    _print_log(records[::-1] if arguments.reverse else records, arguments.format)
    return 0


def _print_log(records: Sequence[LogRecord], form: str) -> None:
    if form == "json":
        print_json([_log_json(record) for record in records])
    elif form == "commands":
        put("".join(f"{_line(record)}\n" for record in records))
    elif not records:
        put("nothing was run yet\n")
    else:
        operations = groupby(records, key=lambda record: (record.id, record.netns, record.verb, record.asked))
        put("\n".join(_operation_text(list(group)) for _, group in operations))


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
        "asked": record.asked,
    }


def _line(record: LogRecord) -> str:
    """Return the command as a line of a POSIX shell."""
    prefix = [] if record.netns is None else ["nsenter", f"--net={record.netns}"]
    line = shlex.join([*prefix, *record.argv])
    if record.stdin is None:
        return line
    lines = " ".join(shlex.quote(text) for text in record.stdin.splitlines())
    return f"printf '%s\\n' {lines} | {line}"


def _operation_text(records: Sequence[LogRecord]) -> str:
    """Return what was run for one command line: when and where it was, and what each command answered."""
    first = min(records, key=lambda record: record.time)
    where = "on the host" if first.netns is None else f"in {first.netns}"
    head = f"{local_time(first.time)}  {first.verb} {first.id} {where}"
    return "".join([f"{head}\n", f"    {_printable(first.asked)}\n", *map(_command_text, records)])


def _command_text(record: LogRecord) -> str:
    status = "died" if record.rc is None else "ok" if record.rc == 0 else f"rc {record.rc}"
    took = "" if record.duration_ms is None else f"{record.duration_ms:.1f} ms"
    clock = f"{time.strftime('%H:%M:%S', time.localtime(record.time))}.{int(record.time * 1000) % 1000:03}"
    head = f"  {clock}  {status:<5} {took:>9}  {shlex.join(record.argv)}\n"
    more = [("|", record.stdin or ""), (">", record.stdout), ("!", record.stderr)]
    return head + "".join(f"      {mark} {_printable(line)}\n" for mark, text in more for line in text.splitlines())


def _printable(line: str) -> str:
    """Return a line of output without what could move a terminal's cursor."""
    return "".join(char if char.isprintable() else "�" for char in line)
