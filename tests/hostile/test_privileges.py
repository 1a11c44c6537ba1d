"""CAP_SYS_ADMIN and CAP_NET_ADMIN suffice, whoever has them; what is missing is said by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.support.cli import Cli, sentence_of
from tests.support.dumps import difference, dump
from tests.support.pods import Pod
from tests.support.running import Outcome, run

NOBODY = 65534
# Python itself may be installed where only root can look, and that is the one use of the third.
_BOTH = ("sys_admin", "net_admin")
# What was given only serves to start: podwire has to hand on to its programs what they need.
_START = """\
import ctypes, sys
ctypes.CDLL(None).prctl(47, 4, 0, 0, 0)
from executor.cli import main
sys.exit(main())
"""


class Somebody:
    """An ordinary user with some capabilities, and with folders of his own."""

    def __init__(self, cli: Cli, folder: Path, *capabilities: str) -> None:
        self._cli = evolve(cli, folder=folder)
        self._capabilities = ",".join(["-all", *(f"+{name}" for name in (*capabilities, "dac_read_search"))])
        self._device = folder / "tun"
        folder.mkdir()
        (folder / "run").mkdir(mode=0o700)
        try:
            for path in (folder, folder / "run"):
                os.chown(path, NOBODY, NOBODY)
            os.mknod(self._device, 0o20666, os.makedev(10, 200))
        except OSError:
            pytest.skip("in this user namespace root is the only user")
        self._device.chmod(0o666)  # as Debian has it

    def run(self, *words: str | Path) -> Outcome:
        """Run `podwire WORDS…` as him."""
        sets = [f"--{name}={self._capabilities}" for name in ("bounding-set", "inh-caps", "ambient-caps")]
        user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *sets]
        mount = f'mount --bind {self._device} /dev/net/tun && exec "$@"'
        argv = ["unshare", "--mount", "sh", "-c", mount, "sh", *user, sys.executable, "-c", _START]
        environment = self._cli.environment | {"PODWIRE_RUN_DIR": str(self._cli.folder / "run")}
        return run([*argv, *map(str, words)], env=environment, timeout=120, check=False)

    def ok(self, *words: str | Path) -> Any:
        """Run it with `--json`, see that it says nothing amiss, and return the document."""
        outcome = self.run(*words, "--json")
        assert (outcome.rc, outcome.err) == (0, ""), outcome
        return json.loads(outcome.out)


def test_two_capabilities_suffice(pod: Pod, cli: Cli, tmp_path: Path) -> None:
    """Plan, apply, check, list, log, repair and teardown, with what podwire's programs need handed on to them."""
    somebody, name, before = Somebody(cli, tmp_path / "somebody", *_BOTH), pod.inside.name, dump(pod.inside)
    wiring = cli.wiring(pod)
    assert somebody.ok("plan", *wiring)["changes"]
    somebody.ok("apply", *wiring, "--yes")
    assert [row["state"] for row in somebody.ok("list")] == ["wired"]
    assert somebody.ok("log", name)
    assert somebody.run("check", name).rc == 0
    pod.inside.ip("link set tap0 mtu 1300")
    assert somebody.run("check", name).rc == 2
    somebody.ok("check", name, "--fix", "--yes")
    somebody.ok("teardown", name, "--yes")
    assert difference(before, dump(pod.inside)) == ""
    assert somebody.run("recover").rc == 0


@pytest.mark.parametrize("given", [(), ("sys_admin",), ("net_admin",)], ids=str)
def test_what_is_missing_is_said_by_name(pod: Pod, cli: Cli, tmp_path: Path, given: tuple[str, ...]) -> None:
    """And nothing is changed."""
    somebody, before = Somebody(cli, tmp_path / "somebody", *given), dump(pod.inside)
    for words in (("apply", *cli.wiring(pod), "--yes"), ("facts", "--netns", pod.inside.name), ("check", "x")):
        said = sentence_of(somebody.run(*words))
        assert said.startswith("this needs root: CAP_"), said
        for name in _BOTH:
            assert (f"CAP_{name.upper()}" in said) == (name not in given), said
    assert difference(before, dump(pod.inside)) == ""


def test_a_tap_device_that_may_not_be_opened_is_said(pod: Pod, cli: Cli, tmp_path: Path) -> None:
    """With what to do, before anything is changed."""
    somebody, before = Somebody(cli, tmp_path / "somebody", *_BOTH), dump(pod.inside)
    (tmp_path / "somebody/tun").chmod(0o600)
    os.chown(tmp_path / "somebody/tun", 0, 0)
    said = sentence_of(somebody.run("apply", *cli.wiring(pod), "--yes"))
    assert said.startswith("/dev/net/tun may not be opened"), said
    assert difference(before, dump(pod.inside)) == ""


def test_a_process_of_somebody_else_takes_one_capability_more(pod: Pod, cli: Cli, tmp_path: Path) -> None:
    """By /proc/PID/ns/net, which is said."""
    somebody = Somebody(cli, tmp_path / "somebody", *_BOTH)
    with subprocess.Popen(["nsenter", f"--net={pod.inside.path}", "sleep", "600"]) as process:
        try:
            said = sentence_of(somebody.run("facts", "--netns", f"/proc/{process.pid}/ns/net"))
        finally:
            process.kill()
    assert said.endswith("cannot be opened: that needs CAP_SYS_PTRACE, or root"), said


def test_a_program_that_podwire_becomes_gets_no_capability(pod: Pod, cli: Cli, tmp_path: Path) -> None:
    """A VMM as that user needs none: its taps are open."""
    somebody = Somebody(cli, tmp_path / "somebody", *_BOTH)
    somebody.ok("apply", *cli.wiring(pod), "--yes")
    outcome = somebody.run("exec", pod.inside.name, "--", "grep", "-E", "Cap(Prm|Eff|Amb)", "/proc/self/status")
    assert (outcome.rc, [line.split()[1] for line in outcome.out.splitlines()]) == (0, ["0" * 16] * 3)
    somebody.ok("teardown", pod.inside.name, "--yes")
