"""Logs to show: of a morning's work, and of programs that say what they should not."""

from __future__ import annotations

from executor.state.journal import LogRecord
from tests.formats.plans import HOSTILE, plan_of

START = 1_772_620_000.25
NASTY = ("\x1b[31mred\x1b[0m\x00\x07", "\u202etxt.exe", "\ud800", "line\r\nline\u2028line", "\ufffe")


def records() -> list[LogRecord]:
    """Return what was run for two pods: one is wired and rolled back, the other's wiring fails."""
    found: list[LogRecord] = []
    now = START
    for name, pod, verb, failing in (("dual-stack", "pod1", "apply", None), ("aws", "pod2", "apply", 5)):
        for number, command in enumerate(plan_of(name).commands[: None if failing is None else failing + 1]):
            took = (0.12, 3.0, 18.5)[number % 3]
            failed = number == failing
            found.append(
                LogRecord(
                    time=now,
                    id=pod,
                    netns=command.netns,
                    verb=verb,
                    requested_by=f"podwire {verb} {pod}.json --yes",
                    argv=command.argv,
                    stdin=command.stdin,
                    rc=2 if failed else 0,
                    stderr="RTNETLINK answers: Device or resource busy\n" if failed else "",
                    duration_ms=took,
                    operation=f"{pod}@{START}",
                )
            )
            now += took / 1000 + 0.0004
        now += 3600
    return [
        *found,
        found[0]._replace(
            time=now,
            verb="teardown",
            requested_by="podwire teardown pod1",
            rc=None,
            duration_ms=None,
            operation=f"pod1@{now}",
        ),
    ]


def hostile_records() -> list[LogRecord]:
    """Return a log in which everything that can be is what would become markup, or another command."""
    texts = [*HOSTILE, *NASTY, "; touch was-here #", "$(touch was-here)", "\ntouch was-here", "'; touch was-here; '"]
    return [
        LogRecord(
            time=START + number,
            id=f"pod{number}",
            netns=None,
            verb=text,
            requested_by=text,
            argv=("ip", text, "", "'", *text.split()),
            stdin=f"{text}\n{text}",
            rc=number % 2,
            stdout=text,
            stderr=text * 3,
            duration_ms=float(number),
            operation=f"pod{number}@{START}",
        )
        for number, text in enumerate(texts)
    ]
