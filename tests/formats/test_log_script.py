"""The log as a script: run again, it runs what was run, word by word, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

from executor.log.lines import moment
from executor.log.script import render_log_script
from executor.state.journal import LogRecord
from tests.formats.logs import hostile_records, records

_STUB = """\
#!/bin/sh
cat >/dev/null
printf '%s\\0' {name} "$@" >"$(mktemp -p "$CALLS" "$(ls "$CALLS" | wc -l)XXX")"
"""


def replayed(log: list[LogRecord], folder: Path) -> list[list[str]]:
    """Run the script of a log with programs that only say how they were called; return the words of each call."""
    programs, calls = folder / "programs", folder / "calls"
    for made in (programs, calls):
        made.mkdir()
    for name in ("ip", "nsenter"):
        program = programs / name
        program.write_text(_STUB.format(name=name))
        program.chmod(0o755)
    script = folder / "replay.sh"
    script.write_text(render_log_script(log))
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "CALLS": str(calls)}
    done = subprocess.run(
        ["bash", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    files = sorted(calls.iterdir(), key=lambda file: int(file.name[:-3]))
    return [file.read_text().split("\0")[:-1] for file in files]


def test_it_runs_what_was_run(tmp_path: Path) -> None:
    """In order; what failed or was not seen to end is left out."""
    log = records()
    expected = [["nsenter", f"--net={record.netns}", *record.argv] for record in log if record.rc == 0]
    assert len(expected) == len(log) - 2
    assert replayed(log, tmp_path) == expected


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    """No text of a log becomes a command."""
    log = [record._replace(rc=0) for record in hostile_records() if record.verb.isprintable()]
    assert replayed(log, tmp_path) == [list(record.argv) for record in log]
    assert not (tmp_path / "was-here").exists()


def test_what_cannot_be_printed_is_left_out(tmp_path: Path) -> None:
    """It is there as a comment, made visible."""
    replayed(hostile_records(), tmp_path)
    assert not (tmp_path / "was-here").exists()


def test_each_command_has_its_time_and_its_id() -> None:
    """And each operation who asked for it."""
    lines = render_log_script(records()[:1]).splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-3:-1] == [
        "# --- apply pod1, requested by: podwire apply pod1.json --yes",
        "# 2026-03-04 10:26:40.250 UTC pod1",
    ]
    assert lines[-1].startswith("nsenter --net=/run/netns/pod1 ip link add name br0 type bridge ")


def test_a_time_is_the_same_for_everybody() -> None:
    """UTC; and a nonsensical one does no harm."""
    assert moment(0.0015) == "1970-01-01 00:00:00.001 UTC"
    assert moment(-1) == "1970-01-01 00:00:00.000 UTC"
    assert moment(1e300).startswith("9999-12-31")
