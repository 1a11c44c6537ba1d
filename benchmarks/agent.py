"""What the agent brings: calls of podwire-cni with and without it, many at once, and what the kernel alone takes."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from attrs import frozen

from benchmarks import installed
from benchmarks.cold import BARE
from benchmarks.measuring import Times, in_turns, timed
from benchmarks.pods import scratch_pod, state_directory
from executor.agent.protocol import greeting
from executor.process.ip_batch import batch_line
from executor.state.journal import read_logs
from executor.state.store import StateStore
from executor.version import __version__
from planner.plan.render import Command
from tests.conformance.trial import Conf
from tests.support.agent import agent_running
from tests.support.package import Package
from tests.support.pods import Pod
from tests.support.podwire import Podwire

VERBS = ("ADD", "CHECK", "DEL")
BY_ITSELF, BY_THE_AGENT = "podwire-cni by itself", "podwire-cni by the agent"
IP_BATCH, IP_EACH = "one `ip -batch` a pod", "one `ip` a command"
AT_ONCE = "100 calls of podwire-cni at once, by the agent"
ASKED = "podwire-cni until it has asked"
_CALLERS = 8


@frozen
class Crowd:
    """Many pods of several callers: how many a second are wired and rolled back, and how long each ADD took."""

    up: float
    down: float
    times: Times

    @property
    def p99(self) -> float:
        """Return what 99 of 100 ADDs stay below, in milliseconds."""
        return statistics.quantiles(self.times.ms, n=100)[98]


@frozen
class AgentResults:
    """Calls (the times of the verbs), starts, crowds, and what commands take alone and in one, in milliseconds."""

    calls: dict[str, tuple[Times, ...]]
    starts: dict[str, tuple[Times, ...]]
    crowds: dict[str, Crowd]
    waits: dict[str, tuple[float, float]]


def with_agent(rounds: int, pods: int, at_once: int, package: Package) -> AgentResults:
    """Measure everything: ``pods`` by 8 callers, ``at_once`` calls at the same time."""
    with ExitStack() as stack:
        agent, state = (
            stack.enter_context(agent_running(command=[package.podwire])),
            stack.enter_context(state_directory()),
        )
        many = [stack.enter_context(scratch_pod()) for _ in range(max(pods, at_once))]
        calls = in_turns(
            rounds,
            {
                f"{name}, `{wiring}`": _calls(_Caller(package.plugin, many[0], state, env, wiring))
                for wiring in ("bridge", "tc")
                for name, env in ((BY_ITSELF, {}), (BY_THE_AGENT, agent.env))
            },
        )
        alone = _durations(state)
        callers = [_Caller(package.plugin, pod, state, agent.env, "bridge") for pod in many]
        crowds = {BY_THE_AGENT: _crowd([caller.call for caller in callers[:pods]], _CALLERS)}
        crowded = _durations(state)
        batches, commands = zip(*(_ip_alone(pod) for pod in many[:pods]), strict=True)
        crowds |= {IP_BATCH: _crowd(batches, _CALLERS), IP_EACH: _crowd(commands, _CALLERS)}
        crowds[AT_ONCE] = _crowd([caller.call for caller in callers[:at_once]], at_once)
        waits = {name: (alone[name], crowded[name]) for name in alone if name in crowded}
        return AgentResults(calls, _starts(rounds, package.plugin), crowds, waits)


@frozen
class _Caller:
    """Whoever calls podwire-cni for a pod."""

    plugin: Path
    pod: Pod
    state: Path
    env: dict[str, str]
    wiring: str

    def call(self, verb: str) -> None:
        """Call it, as a whole process."""
        conf: Conf = {"cniVersion": "1.0.0", "name": "bench", "type": "podwire-cni", "wiring": self.wiring}
        conf |= {"stateDir": str(self.state), "prevResult": self.pod.result}
        inside = self.pod.inside
        variables = {"CNI_COMMAND": verb, "CNI_CONTAINERID": inside.name, "CNI_NETNS": str(inside.path)}
        variables |= {"CNI_IFNAME": "eth0", "PATH": os.environ["PATH"], **self.env}
        done = subprocess.run(
            [self.plugin], input=json.dumps(conf), env=variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{verb} failed: {done.stdout}")


def _calls(caller: _Caller) -> Callable[[], Iterable[float]]:
    return lambda: [timed(lambda verb=verb: caller.call(verb)) for verb in VERBS]  # type: ignore[misc]


_Call = Callable[[str], None]


def _crowd(calls: Sequence[_Call], at_once: int) -> Crowd:
    """Let ``at_once`` of the calls be at their ADD at a time, until all have ended it; then DEL as well."""

    def all_of(verb: str) -> tuple[float, tuple[float, ...]]:
        began = time.perf_counter()
        times = tuple(pool.map(lambda call: timed(lambda: call(verb)), calls))
        return len(calls) / (time.perf_counter() - began), times

    with ThreadPoolExecutor(at_once) as pool:
        up, times = all_of("ADD")
        down, _ = all_of("DEL")
    return Crowd(up, down, Times(times))


def _ip_alone(pod: Pod) -> tuple[_Call, _Call]:
    """Return what makes and removes the same objects by ``ip``: all by one process, or each by its own.

    It looks at nothing, writes nothing down, and leaves rules and sysctls alone.
    """
    with state_directory() as state:
        plan = Podwire.on(pod, state).plan()
    lines = {"ADD": _lines(plan.commands), "DEL": _lines(plan.reverse_commands)}
    enter = ["nsenter", f"--net={pod.inside.path}", "ip"]

    def batch(verb: str) -> None:
        text = "".join(f"{line}\n" for line in lines[verb])
        subprocess.run([*enter, "-batch", "-"], input=text, text=True, check=True, capture_output=True)

    def each(verb: str) -> None:
        for line in lines[verb]:
            subprocess.run([*enter, *line.split()], check=True, capture_output=True)

    return batch, each


def _lines(commands: Iterable[Command]) -> list[str]:
    found = [batch_line(command.argv) for command in commands if command.program == "ip"]
    # A link-local address comes back by a sysctl: it would be gone the second time.
    return [line for line in found if not line.startswith("addr del fe80:")]


def _durations(state: Path) -> dict[str, float]:
    """Return by the kind of command how many milliseconds it took, as the log has it, which is then removed."""
    store = StateStore(state)
    found: dict[str, list[float]] = {}
    for record in read_logs({plan_id: store.journal_path(plan_id) for plan_id in store.journalled_ids()}):
        if record.duration_ms is not None:
            found.setdefault(" ".join(record.argv[:3]), []).append(record.duration_ms)
    for path in store.journals.iterdir():
        path.unlink()
    return {name: statistics.median(times) for name, times in found.items()}


def _starts(rounds: int, plugin: Path) -> dict[str, tuple[Times, ...]]:
    """Return how long bare Python takes, and podwire-cni until the agent has been sent the whole request."""

    def start() -> float:
        return timed(lambda: subprocess.run(installed.BARE, check=True, stdin=subprocess.DEVNULL))

    with tempfile.TemporaryDirectory(prefix="agent-") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/agent.sock")
        listener.listen()
        return in_turns(
            5 * rounds, {BARE: lambda: (start(),), ASKED: lambda: (_until_asked(plugin, listener, folder),)}
        )


def _until_asked(plugin: Path, listener: socket.socket, folder: str) -> float:
    """Be an agent that takes a request and answers that it failed; return when it had it, in milliseconds."""
    asked: list[float] = []

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(greeting(__version__))
            connection.recv(65536)
            asked.append(time.perf_counter())
            connection.sendall(b"1 0 0\n1")

    thread = threading.Thread(target=answer)
    thread.start()
    began = time.perf_counter()
    variables = {"CNI_COMMAND": "CHECK", "PODWIRE_RUN_DIR": folder}
    subprocess.run([plugin], env=variables, stdin=subprocess.DEVNULL, check=False)
    thread.join()
    return (asked[0] - began) * 1000
