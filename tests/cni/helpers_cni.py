"""`podwire-cni` as a runtime calls it, behind Debian's plugins, with a state directory of the test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.conformance.trial import Conf, Subject, Trial, trial_of
from tests.support.cni import complete, host_local
from tests.support.dumps import Dump, difference, dump, lasting_difference

PLUGIN = Path(sys.executable).with_name("podwire-cni")
BRIDGE: Conf = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "ipam": host_local()}
PTP: Conf = {"type": "ptp", "ipMasq": True, "ipam": host_local()}


@frozen
class Attached:
    """A pod that the plugins before podwire-cni have made, and how it was then."""

    trial: Trial
    previous: Conf
    before: Dump
    state: Path

    def conf(self, **changed: object) -> Conf:
        """Return the configuration of an ADD."""
        return self.trial.conf(self.previous, **changed)

    def add(self, **changed: object) -> Conf:
        """ADD, which must succeed."""
        answer = self.trial.call("ADD", self.conf(**changed))
        assert answer.ok, answer
        self.trial.results.append(answer.document())
        return self.trial.results[-1]

    def delete(self) -> None:
        """DEL, which must succeed."""
        answer = self.trial.delete()
        assert answer.ok, answer

    def left(self) -> str:
        """Return what is left of podwire: in the pod's namespace, if that is there, and in the state directory."""
        state = "\n".join(str(path) for folder in ("wirings", "attachments", "dummies") for path in self._files(folder))
        return state + (lasting_difference(self.before, self.trial.pod) if self.trial.pod.path.exists() else "")

    def is_untouched(self) -> bool:
        """Whether the namespace is as it was, right now."""
        return not difference(self.before, dump(self.trial.pod))

    def _files(self, folder: str) -> list[Path]:
        return sorted((self.state / folder).glob("*")) if (self.state / folder).exists() else []

    def started(self, command: str, **changed: object) -> subprocess.Popen[str]:
        """Start a call and return it running, with all of its input."""
        variables = {"CNI_COMMAND": command, **self.trial.identity(), "CNI_PATH": "", "PATH": os.environ["PATH"]}
        variables |= self.trial.subject.env
        argv = ["nsenter", f"--net={self.trial.host.path}", str(PLUGIN)]
        process = subprocess.Popen(
            argv, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(self.conf(**changed)))
        process.stdin.close()
        process.stdin = None  # communicate() would flush it
        return process

    def interrupted(self, command: str, number: signal.Signals, after: float) -> None:
        """Start a call and send it a signal `after` seconds; it may have ended by then."""
        process = self.started(command)
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        process.wait(30)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()

    def seconds_of_add(self) -> float:
        """Return how long an ADD takes; it is rolled back."""
        began = time.monotonic()
        self.add()
        took = time.monotonic() - began
        self.delete()
        return took


@contextmanager
def attached(
    state: Path,
    *,
    before: tuple[Conf, ...] = (BRIDGE,),
    version: str = "1.0.0",
    env: Mapping[str, str] | None = None,
    **own: Any,
) -> Iterator[Attached]:
    """Yield a pod behind `before`, whose ADD has been called; its DEL is called in the end. `env` is for each call."""
    subject = Subject(PLUGIN, {"type": "podwire-cni", "stateDir": str(state), **own}, before, env=env or {})
    with trial_of(subject, version) as trial:
        previous = trial.prepare()
        assert previous is not None
        complete(trial.pod, "eth0")
        yield Attached(trial, previous, dump(trial.pod), state)


def without(program: str, folder: Path) -> dict[str, str]:
    """Return the variables of a call in which a program fails."""
    broken = folder / "bin" / program
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no such luck >&2\nexit 4\n")
    broken.chmod(0o755)
    return {"PATH": f"{broken.parent}:/usr/sbin:/usr/bin:/sbin:/bin"}
