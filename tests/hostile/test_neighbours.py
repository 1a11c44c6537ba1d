"""What is one tenant's blocks no other: damaged entries, journals and paths, and what was put in their place."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from executor.errors import HostError
from executor.netns.namespace import Namespace
from planner.text.values import NetnsPath
from tests.hostile.cases import DEEP, DOCUMENTS, write
from tests.support import MakeNamespace
from tests.support.cli import Cli
from tests.support.dumps import difference, dump
from tests.support.pods import Pod, plain
from tests.support.podwire import Podwire

Json = dict[str, Any]
HUGE = 600 * 1024 * 1024


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        listener.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)


def _foreign(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)
        try:
            os.chown(path, 1234, 1234)
        except OSError:  # in a user namespace root is the only user
            path.unlink()
            path.mkdir()

    return make


# What is no file of podwire's, whatever it should be.
IN_ITS_PLACE: dict[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "fifo": os.mkfifo,
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "loop": lambda path: path.symlink_to(path.name),
    "socket": _socket,
    "foreign": _foreign(b"{}"),
    "huge": lambda path: write(path, HUGE),
}


def damaged_entries(entry: Json, mine: int) -> dict[str, object]:
    """Return what may be left of an entry; ``mine`` is the cookie of a pod that it is not of."""
    text = json.dumps(entry)
    return {
        "half": text[: len(text) // 2].encode(),
        "half-with-my-digits": text.replace('"plan"', f'"links":{{"x":{mine % 2**31}}},"plan"')[:-10].encode(),
        "half-of-another-boot": json.dumps(entry | {"cookie": mine, "boot_id": "earlier"})[:-10].encode(),
        "cookie-as-text": entry | {"cookie": str(mine)},
        "cookie-in-its-plan": entry | {"cookie": -1, "plan": {"cookie": mine}},
        "no-plan": entry | {"plan": None},
        "deep": DEEP,
        "binary": bytes(range(256)) * 1000,
        **{name.replace(" ", "-"): content for name, content in DOCUMENTS.items() if name != "100 MB"},
    }


def odd_lines(mine: str) -> bytes:
    """Return lines of a journal that podwire never writes, some that have in them what it would."""
    wrong: tuple[Json, ...] = (
        {"time": "now"},
        {"time": 10**400},
        {"argv": "ip"},
        {"argv": [5]},
        {"argv": None},
        {"number": []},
        {"netns": 5},
        {"stdin": []},
    )
    wrong_end: tuple[Json, ...] = ({"rc": "0"}, {"stdout": 5}, {"number": None}, {"rc": 2**70})
    running: Json = {"time": 1.5, "event": "running", "number": 1, "argv": ["ip"], "netns": None, "stdin": None}
    ran: Json = {"time": 2, "event": "ran", "number": 1, "rc": 0, "stdout": "", "stderr": "", "duration_ms": 1}
    odd = [
        *(running | change for change in wrong),
        *(ran | change for change in wrong_end),
        {"event": 5},
        {"event": {"event": "began"}},
        {"event": "began", "verb": 7},
        ["event"],
        mine,
        None,
    ]
    texts = [*map(json.dumps, odd), '{"time":NaN,"event":"running","number":1,"argv":[],"netns":null,"stdin":null}']
    return b"\n".join([
        *(text.encode() for text in texts),
        DEEP.encode(),
        b'{"event":"running","time":' + b"9" * 5000 + b"}",
        b'{"event":"' + b"x" * 100_000 + b'"}',
        bytes(range(128, 256)) * 100,
        b"\0" * 10_000,
        b'{"event":"ran","num',
        b"",
    ])  # fmt: skip


def lay_out_damage(state: Path, entry: Json, cookie: int) -> dict[str, list[str]]:
    """Lay out everything that may be wrong with what is not the pod's; return the ids, by where it is."""
    bad: dict[str, list[str]] = {}

    def put(folder: str, kind: str, suffix: str, make: Callable[[Path], None]) -> None:
        name = f"{folder}-{kind}"
        bad.setdefault(folder, []).append(name)
        (state / folder).mkdir(mode=0o700, exist_ok=True)
        make(state / folder / f"{name}{suffix}")

    for folder, suffix in (
        ("wirings", ".json"),
        ("dummies", ".json"),
        ("attachments", ".json"),
        ("dhcp", ".json"),
        ("journal", ".jsonl"),
    ):
        for kind, make in IN_ITS_PLACE.items():
            put(folder, kind, suffix, make)
    for kind, content in damaged_entries(entry, cookie).items():
        put("wirings", kind, ".json", lambda path, content=content: write(path, content))  # type: ignore[misc]
    return bad


def test_nothing_of_one_tenant_blocks_another(netns: MakeNamespace, cli: Cli) -> None:
    """Every command works for a pod beside all that may be wrong with others, and names those that it cannot read."""
    pod, other = (plain(netns(f"host{at}"), netns(name)) for at, name in enumerate(("mine", "theirs")))
    name, before = pod.inside.name, dump(pod.inside)
    cli.apply(other)
    entry = json.loads((cli.state_dir / f"wirings/{other.inside.name}.json").read_text())
    cli.ok("teardown", other.inside.name, "--yes")
    with Namespace.open(NetnsPath(str(pod.inside.path))) as opened:
        bad = lay_out_damage(cli.state_dir, entry, opened.cookie)
    cli.plan(pod)
    cli.apply(pod)
    for words, named in (
        (("list",), bad["wirings"]),
        (("check", "--all"), bad["wirings"]),
        (("gc",), [*bad["wirings"], *bad["dummies"]]),
        (("log",), bad["journal"]),
        (("recover",), [*bad["wirings"], *bad["dummies"]]),
    ):
        outcome = cli.run(*words)
        assert outcome.rc == 1, (words, outcome)
        assert outcome.err.replace("\n", "").isprintable()
        assert len(outcome.err.splitlines()) == len(named), (words, outcome.err)
        for one in named:
            assert one in outcome.err, (words, one)
        assert "bug" not in outcome.err
        assert name in outcome.out or words[0] in ("gc", "recover"), (words, outcome.out)
    assert cli.json("log", name)
    cli.ok("check", name)
    cli.ok("teardown", name, "--yes")
    assert difference(before, dump(pod.inside)) == ""
    cli.apply(pod)
    assert cli.run("teardown", "--netns", name, "--yes").rc == 0
    cli.apply(pod)
    assert cli.run("teardown", "--all", "--yes").rc == 1
    assert difference(before, dump(pod.inside)) == ""


def test_odd_lines_of_a_journal_are_passed_over(pod: Pod, cli: Cli) -> None:
    """Each between two of podwire's own, and all in a row; what was run is shown as it was."""
    name = pod.inside.name
    cli.apply(pod)
    cli.ok("teardown", name, "--yes")
    commands = cli.json("log", name)
    journal = cli.state_dir / f"journal/{name}.jsonl"
    lines = [line for line in journal.read_bytes().splitlines() if line]
    odd = odd_lines(name).splitlines()
    mixed = [line for at, own in enumerate(lines) for line in (odd[at % len(odd)], own)]
    journal.write_bytes(b"\n".join([*odd, *mixed, *odd, b""]))
    assert [record["argv"] for record in cli.json("log", name)] == [record["argv"] for record in commands]
    for form in ("text", "commands", "script", "html"):
        assert cli.ok("log", "--format", form)
    cli.apply(pod)  # it is written on
    assert len(cli.json("log", name)) > len(commands)
    cli.ok("teardown", name, "--yes")


PATHS: dict[str, Callable[[Path], None]] = IN_ITS_PLACE | {"file": Path.touch, "nothing": lambda _: None}


def test_what_is_at_the_path_of_one_tenant_blocks_no_other(netns: MakeNamespace, cli: Cli, tmp_path: Path) -> None:
    """Where its namespace was there is a pipe, a folder, a link, somebody else's file: nothing waits, or fails."""
    pod, other = (plain(netns(f"host{at}"), netns(name)) for at, name in enumerate(("mine", "theirs")))
    name, before = pod.inside.name, dump(pod.inside)
    cli.apply(other)
    text = (cli.state_dir / f"wirings/{other.inside.name}.json").read_text()
    paths = {kind: tmp_path / f"odd-{kind}" for kind in PATHS}
    for kind, make in PATHS.items():
        make(paths[kind])
        entry = text.replace(f'"{other.inside.name}"', f'"odd-{kind}"', 1).replace(
            str(other.inside.path), str(paths[kind])
        )
        entry = entry.replace(f'"id":"{other.inside.name}"', f'"id":"odd-{kind}"')
        (cli.state_dir / f"wirings/odd-{kind}.json").write_text(entry)
    cli.apply(pod)
    assert {row["state"] for row in cli.json("list")} == {"wired"}  # it lives, elsewhere
    cli.ok("check", name)
    assert "no drift" in cli.run("check", "--all").out
    for words in (("gc",), ("recover",), ("log",), ("teardown", name, "--yes")):
        cli.ok(*words)
    assert difference(before, dump(pod.inside)) == ""
    for kind in PATHS:
        (cli.state_dir / f"wirings/odd-{kind}.json").unlink()
    cli.ok("teardown", other.inside.name, "--yes")


SWAPPED: tuple[tuple[str, ...], ...] = (("plan",), ("netns", "cookie", "inode", "links"), ("id",), ())


def test_bodies_that_were_swapped_are_noticed(netns: MakeNamespace, cli: Cli) -> None:
    """Whole or in part: that of another wiring is never carried out; put back, each is rolled back exactly."""
    pods = [plain(netns(f"host{at}"), netns("pod")) for at in range(2)]
    before = [dump(pod.inside) for pod in pods]
    for pod in pods:
        cli.apply(pod)
    wired = [dump(pod.inside) for pod in pods]
    paths = [cli.state_dir / f"wirings/{pod.inside.name}.json" for pod in pods]
    texts = [path.read_text() for path in paths]
    first, second = map(json.loads, texts)
    for keys in SWAPPED:
        for path, own, others in ((paths[0], first, second), (paths[1], second, first)):
            path.write_text(json.dumps(own | {key: others[key] for key in keys or own}))
        for pod in pods:
            assert pod.inside.name in cli.refused("teardown", pod.inside.name, "--yes")
            assert pod.inside.name in cli.refused("check", pod.inside.name)
        assert cli.run("list").rc == 1
    for path, text, pod, seen in zip(paths, texts, pods, wired, strict=True):
        assert difference(seen, dump(pod.inside)) == ""
        path.write_text(text)
        cli.ok("teardown", pod.inside.name, "--yes")
    assert [difference(*two) for two in zip(before, (dump(pod.inside) for pod in pods), strict=True)] == ["", ""]


def test_an_entry_that_would_be_too_large_is_refused_before_anything_is_changed(
    pod: Pod, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written can be read, and rolled back, up to the last byte."""
    podwire, before = Podwire.on(pod, state_dir), dump(pod.inside)
    podwire.apply()
    path = state_dir / "wirings/pod1.json"
    size = path.stat().st_size
    podwire.teardown()
    monkeypatch.setattr("executor.state.store._MOST_BYTES", size + 4096 - 200)
    with pytest.raises(HostError, match=r"^the state entry of pod1 cannot be written: it would have 0\.\d MiB, and"):
        podwire.apply()
    assert (path.exists(), difference(before, dump(pod.inside))) == (False, "")
    monkeypatch.setattr("executor.state.store._MOST_BYTES", size + 4096 + 200)
    podwire.apply()
    podwire.teardown()
    assert (path.exists(), difference(before, dump(pod.inside))) == (False, "")
