"""list, log: what is wired, and what was run."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import Any

from executor.cli.inputs import parse_id, require_root, store_of
from executor.cli.printing import local_time, print_json, print_table
from executor.journal import LogRecord, read_logs
from executor.store import Entry
from executor.wirings import condition
from planner.errors import InvalidInput


def list_command(arguments: argparse.Namespace) -> int:
    """Print what is wired here."""
    require_root()
    rows = [_row(entry) for entry in store_of(arguments).all()]
    if arguments.format == "json":
        print_json(rows)
    elif not rows:
        print("nothing is wired here")
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
    require_root()
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


def _print_log(records: list[LogRecord], form: str) -> None:
    if form == "json":
        print_json([_log_json(record) for record in records])
    elif form == "commands":
        for record in records:
            print(_line(record))
    elif not records:
        print("nothing was run yet")
    else:
        for record in records:
            sys.stdout.write(_log_text(record))


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


def _log_text(record: LogRecord) -> str:
    status = "died" if record.rc is None else "ok" if record.rc == 0 else f"rc {record.rc}"
    took = "" if record.duration_ms is None else f"{record.duration_ms:.1f} ms"
    head = (
        f"{local_time(record.time)}  {record.id}  {record.verb:<8} {status:<5} {took:>9}  {shlex.join(record.argv)}\n"
    )
    more = [("|", record.stdin or ""), (">", record.stdout), ("!", record.stderr)]
    return head + "".join(f"    {mark} {_printable(line)}\n" for mark, text in more for line in text.splitlines())


def _printable(line: str) -> str:
    """Return a line of output without what could move a terminal's cursor."""
    return "".join(char if char.isprintable() else "�" for char in line)
