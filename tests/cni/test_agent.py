"""podwire-cni with an agent: the same result whether that is there, is not, is in the way, or is killed."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager, suppress
from pathlib import Path

import pytest
from attrs import evolve

from tests.cni.helpers_cni import PLUGIN, Attached, attached
from tests.support import eventually
from tests.support.agent import Agent, agent_running
from tests.support.running import run

# How many ADDs and DELs the agent's memory is watched over; 5,000 take a quarter of an hour.
PAIRS = int(os.environ.get("PODWIRE_AGENT_PAIRS", "8"))
# How often each is killed; at other instants each time.
KILLS = int(os.environ.get("PODWIRE_AGENT_KILLS", "2"))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Attached, Agent]]:
    """Return a pod, and an agent that serves nobody else."""
    with agent_running() as agent, attached(tmp_path / "state", env=agent.env) as pod:
        yield pod, agent


def served(agent: Agent) -> list[str]:
    """Return which verbs the agent has answered successfully, in order."""
    return re.findall(r"'([A-Z]+) \S+ \S+': status 0, ", agent.log())


# --- the agent does it ------------------------------------------------------------------------------------------------


def test_the_agent_does_all_of_it(own: tuple[Attached, Agent]) -> None:
    """And the command line finds what it wired."""
    pod, agent = own
    pod.add()
    assert pod.trial.call("CHECK", pod.trial.conf(pod.trial.results[-1])).ok
    words = [sys.executable, "-m", "executor", "check", f"{pod.trial.pod.name}-eth0", "--state-dir", str(pod.state)]
    assert subprocess.run(words, check=False, env=os.environ | agent.env, stdout=subprocess.DEVNULL).returncode == 0
    pod.delete()
    assert pod.left() == ""
    assert served(agent) == ["ADD", "CHECK", "DEL"]


def test_its_memory_stays_as_it_is(own: tuple[Attached, Agent]) -> None:
    """Whatever it is asked, and so do its descriptors and children."""
    pod, agent = own

    def ask(times: int) -> None:
        for _ in range(times):
            pod.add()
            pod.delete()
            assert not pod.trial.call("ADD", pod.conf(queues=0)).ok

    ask(2)
    before = agent.memory(), agent.descriptors()
    ask(PAIRS)
    assert len(served(agent)) == 2 * (PAIRS + 2)
    assert len(agent.children()) == 1
    eventually(lambda: agent.descriptors() <= before[1], "no descriptor is left")
    assert agent.memory() < before[0] + 512  # KiB


def test_it_works_in_the_namespaces_of_its_caller(own: tuple[Attached, Agent], tmp_path: Path) -> None:
    """A DaemonSet has another root than the runtime on its node: paths mean what they mean to the caller."""
    pod, agent = own
    (tmp_path / "conf").write_text(json.dumps(pod.conf(stateDir="/mnt/state")))
    script = f"""
        mount -t tmpfs none /mnt
        CNI_COMMAND=ADD {PLUGIN} <{tmp_path}/conf >/dev/null && ls /mnt/state/wirings
        CNI_COMMAND=DEL {PLUGIN} <{tmp_path}/conf && ls /mnt/state/wirings
    """
    variables = pod.trial.identity() | agent.env | {"PATH": os.environ["PATH"]}
    said = run(["unshare", "--mount", "sh", "-euc", script], env=variables)
    assert said.out == f"{pod.trial.pod.name}-eth0.json\n"
    assert not Path("/mnt/state").exists()
    assert served(agent) == ["ADD", "DEL"]


def test_what_is_to_outlive_it_is_not_started_by_it(tmp_path: Path) -> None:
    """The server of a guest: ADD is left to the plugin, DEL ends that server."""
    with agent_running() as agent, attached(tmp_path / "state", env=agent.env, dhcp=True) as pod:
        pod.add()
        pod.delete()
        assert pod.left() == ""
        assert "left to podwire-cni: the server of a guest is to outlive the agent" in agent.log()
        assert served(agent) == ["DEL"]


def test_until_it_has_asked_the_plugin_loads_next_to_nothing() -> None:
    """What Python does not load by itself are the plugin's own modules, and what is built into it."""
    look = "import sys; before = set(sys.modules); sys.path[:0] = sys.argv[1:]; import executor.agent.shim; "
    root = Path(__file__).parents[2]
    loaded = set(run([sys.executable, "-IS", "-c", f"{look}print(*set(sys.modules) - before)", root]).out.split())
    own = {name for name in loaded if name.split(".")[0] == "executor"}
    assert own == {"executor", "executor.version"} | {f"executor.agent{part}" for part in ("", ".shim", ".protocol")}
    assert loaded - own <= {"_socket", "_signal", "__future__"}


# --- the agent does not -----------------------------------------------------------------------------------------------


def stop_it(agent: Agent) -> None:
    """Stop it, as a debugger does."""
    agent.process.send_signal(signal.SIGSTOP)


def kill_it(agent: Agent) -> None:
    """Kill it: its socket stays, and nobody listens there."""
    agent.process.kill()
    agent.process.wait()


def take_its_socket(agent: Agent) -> None:
    """Remove the socket."""
    (agent.run_dir / "agent.sock").unlink()


@pytest.mark.parametrize("happens", [stop_it, kill_it, take_its_socket], ids=lambda function: function.__name__)
def test_without_it_the_plugin_does_the_same(own: tuple[Attached, Agent], happens: Callable[[Agent], None]) -> None:
    """What the agent wired is taken back."""
    pod, agent = own
    result = pod.add()
    happens(agent)
    assert pod.add() == result
    pod.delete()
    assert pod.left() == ""
    assert served(agent) == ["ADD"]


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param("import executor.version as it; it.__version__ = '0.0.1'", id="another version"),
        pytest.param("import executor.agent.protocol as it; it.PROTOCOL = 0", id="another protocol"),
        pytest.param("import executor.agent.request as it; it.do_it = None", id="it crashes"),
        pytest.param("import os; os.fork = lambda: os.open('/', os.O_WRONLY)", id="it cannot fork"),
        pytest.param("import executor.agent.server as it; it._MOST_WAITING = 0", id="too many wait"),
    ],
)
def test_an_agent_that_will_not_do_is_not_needed(patch: str, tmp_path: Path) -> None:
    """The plugin does the work itself, then; and an agent of a later version finds its wirings."""
    with agent_running(patch) as agent, attached(tmp_path / "state", env=agent.env) as pod:
        result = pod.add()
        assert served(agent) == []
        with agent_running() as upgraded:
            assert pod.trial.call("ADD", pod.conf(), env=upgraded.env).document() == result
            assert pod.trial.delete(env=upgraded.env).ok
            assert served(upgraded) == ["ADD", "DEL"]
        assert pod.left() == ""


@pytest.mark.parametrize("seconds", ["inf", "1e300", "nan", "-1", "soon"])
def test_how_long_it_is_waited_for_may_be_anything(own: tuple[Attached, Agent], seconds: str) -> None:
    """The plugin has an answer in the end, its own or the agent's."""
    pod, agent = own
    assert pod.trial.call("ADD", pod.conf(), env={"PODWIRE_AGENT_TIMEOUT": seconds}).document()["interfaces"]
    pod.delete()
    assert pod.left() == ""
    assert served(agent) == (["DEL"] if seconds in ("nan", "-1") else ["ADD", "DEL"])


def test_paths_that_mean_something_else_to_it_are_left_to_the_plugin(own: tuple[Attached, Agent]) -> None:
    """A state directory by a name without a slash is in the folder that the caller is in."""
    pod, agent = own
    subject = evolve(pod.trial.subject, conf={"type": "podwire-cni"}, env=agent.env | {"PODWIRE_STATE_DIR": "state"})
    trial = evolve(pod.trial, subject=subject)
    with chdir(pod.state.parent):
        assert trial.call("ADD", trial.conf(pod.previous)).ok
        assert pod.left() != ""
        assert trial.call("DEL").ok
    assert pod.left() == ""
    assert "left to podwire-cni: PODWIRE_STATE_DIR is relative to the folder that it is in" in agent.log()


def test_an_agent_that_takes_too_long_is_told_to_stop(own: tuple[Attached, Agent]) -> None:
    """What it has begun it rolls back; meanwhile the plugin waits, and then does the work."""
    pod, _ = own
    answer = pod.trial.call("ADD", pod.conf(), env={"PODWIRE_AGENT_TIMEOUT": "0.01"})
    assert answer.ok, answer
    assert pod.trial.call("CHECK", pod.trial.conf(answer.document())).ok
    pod.delete()
    assert pod.left() == ""


# --- killed at any instant --------------------------------------------------------------------------------------------


def kill_child(agent: Agent, _shim: subprocess.Popen[str]) -> None:
    """Kill what is at work on the request."""
    for pid in agent.children():
        os.kill(pid, signal.SIGKILL)


def kill_agent(agent: Agent, _shim: subprocess.Popen[str]) -> None:
    """Kill the agent: its child goes on, and answers."""
    agent.process.kill()


def kill_agent_and_child(agent: Agent, shim: subprocess.Popen[str]) -> None:
    """Kill the agent with all that it has started, as systemd does in the end."""
    children = agent.children()
    agent.process.kill()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    del shim


def kill_all(agent: Agent, shim: subprocess.Popen[str]) -> None:
    """Kill everything at once."""
    shim.kill()
    kill_agent_and_child(agent, shim)


@pytest.mark.parametrize("seed", range(KILLS))
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize(
    "kill", [kill_child, kill_agent, kill_agent_and_child, kill_all], ids=lambda function: function.__name__
)
def test_whoever_is_killed_nothing_is_lost(
    kill: Callable[[Agent, subprocess.Popen[str]], None], verb: str, seed: int, tmp_path: Path
) -> None:
    """At any instant. If the plugin lives, its answer is what it would have been; a DEL leaves nothing."""
    with agent_running() as agent, attached(tmp_path / "state", env=agent.env) as pod:
        took = pod.seconds_of_add()
        if verb == "DEL":
            pod.add()
        shim = pod.started(verb)
        try:
            shim.wait(random.Random(f"{kill.__name__} {verb} {seed}").uniform(0, took))  # noqa: S311
        except subprocess.TimeoutExpired:
            kill(agent, shim)
        out, err = shim.communicate(timeout=60)
        if kill is not kill_all:
            assert shim.returncode == 0, out + err
        pod.delete()
        assert pod.left() == ""


# --- who may ask, and how ---------------------------------------------------------------------------------------------


def connected(agent: Agent) -> socket.socket:
    """Return a connection to an agent that has greeted."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(20)
    connection.connect(f"{agent.run_dir}/agent.sock")
    assert connection.recv(64).startswith(b"podwire-agent 1 ")
    return connection


def test_only_root_reaches_it(agent: Agent) -> None:
    """By the modes of the socket and its folder; and one who comes through all the same is not served."""
    path = agent.run_dir / "agent.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(agent.run_dir.stat().st_mode) == 0o700
    become = "import os, socket, sys; os.setuid(int(sys.argv[2]))"
    ask = "it = socket.socket(socket.AF_UNIX); it.connect(sys.argv[1]); print(it.recv(64))"
    words = [sys.executable, "-c", f"{become}; {ask}", str(path)]
    with others_let_in(path):
        refused, welcome = (run([*words, uid]) for uid in ("54321", "0"))
    assert refused.out == "b''\n"
    assert "podwire-agent" in welcome.out


@contextmanager
def others_let_in(path: Path) -> Iterator[None]:
    """Let everybody reach a socket."""
    path.parent.chmod(0o755)
    path.chmod(0o666)
    try:
        yield
    finally:
        path.chmod(0o600)
        path.parent.chmod(0o700)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n" + b"x" * 100,
        b"0 99999999999999\n",
        b"-1 5\nabcde",
        b"4 0\nFOO=",
        b"15 2\nLD_PRELOAD=/x.so{}",
        b"0 0\n",
        b"5 2\nPATH={}more",
        b"3",
        b"",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_request_is_not_answered(request_: bytes, agent: Agent) -> None:
    """And does no harm."""
    with connected(agent) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):  # it has not read all of it
            assert connection.recv(64) == b""
    assert agent.process.poll() is None


def test_who_says_nothing_is_sent_away() -> None:
    """After a while."""
    patch = "import executor.agent.server as it; it.TRANSFER_WITHIN = 0.2"
    with agent_running(patch) as agent, connected(agent) as silent:
        assert silent.recv(64) == b""


def test_that_nobody_can_be_heard_is_said_once(own: tuple[Attached, Agent]) -> None:
    """Too many connections for its descriptors; when they are gone it serves again."""
    pod, agent = own
    limits = resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, (24, limits[1]))

    def turns() -> int:
        status = Path(f"/proc/{agent.process.pid}/status").read_text()
        return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)[0])

    with ExitStack() as stack:
        for _ in range(30):
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            waiting.connect(f"{agent.run_dir}/agent.sock")
        eventually(lambda: "cannot accept connections" in agent.log(), "what it says")
        began = turns()
        eventually(lambda: turns() > began + 5, "it tries again")
    resource.prlimit(agent.process.pid, resource.RLIMIT_NOFILE, limits)
    pod.add()
    assert agent.log().count("cannot accept connections: Too many open files") == 1


def test_a_second_agent_is_refused(agent: Agent) -> None:
    """It would take the socket of the first; one that was killed is no hindrance."""
    words = [sys.executable, "-m", "executor", "agent"]
    second = subprocess.run(words, env=os.environ | agent.env, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert second.stderr == f"podwire: an agent is listening on {agent.run_dir}/agent.sock already\n"


# What systemd does for a socket unit (sd_listen_fds(3)): the socket is descriptor 3.
HANDED_OVER = """
import os, socket
os.umask(0o{umask})
it = socket.socket(socket.{family})
it.bind({address})
it.listen()
os.dup2(it.fileno(), 3)
os.environ |= {{"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "{count}"}}
"""
OWN_SOCKET = "os.environ['PODWIRE_RUN_DIR'] + '/agent.sock'"


def test_systemd_may_hand_its_socket_over(tmp_path: Path) -> None:
    """Which stays when the agent ends: who comes meanwhile waits in its queue."""
    patch = HANDED_OVER.format(umask="077", family="AF_UNIX", address=OWN_SOCKET, count=1)
    with agent_running(patch) as agent, attached(tmp_path / "state", env=agent.env) as pod:
        pod.add()
        pod.delete()
        assert served(agent) == ["ADD", "DEL"]
        agent.process.terminate()
        assert agent.process.wait(20) == 0
        assert (agent.run_dir / "agent.sock").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"umask": "000"}, "can be reached by others"),
        ({"count": 2}, "takes one socket"),
        ({"family": "AF_INET", "address": "('127.0.0.1', 0)"}, "socket of the Unix domain"),
        ({"address": "chr(0) + 'podwire-test'"}, "in the file system"),
    ],
    ids=["others reach it", "two sockets", "of the Internet", "abstract"],
)
def test_a_socket_that_will_not_do_is_refused(changed: dict[str, object], words: str, tmp_path: Path) -> None:
    """It could be anybody's."""
    given = {"umask": "077", "family": "AF_UNIX", "address": OWN_SOCKET, "count": 1} | changed
    program = f"{HANDED_OVER.format(**given)}\nimport sys\nfrom executor.cli import main\nsys.exit(main())"
    tmp_path.chmod(0o700)
    said = run(
        [sys.executable, "-c", program, "agent"], env=os.environ | {"PODWIRE_RUN_DIR": str(tmp_path)}, check=False
    )
    assert said.rc == 1
    assert words in said.err


def test_a_socket_that_is_not_there_is_no_shortage(agent: Agent) -> None:
    """Who has closed descriptor 3 is told what was wanted there."""
    words = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "{sys.executable}" -m executor agent 3<&-'
    said = run(["bash", "-c", words], env=os.environ | agent.env, check=False)
    assert said.rc == 1
    assert said.err == "podwire: LISTEN_FDS: what was handed over is no socket: Bad file descriptor\n"


def test_told_to_end_it_ends_what_it_has_begun(own: tuple[Attached, Agent]) -> None:
    """And takes its socket away; who comes then does the work itself."""
    pod, agent = own
    shim = pod.started("ADD")
    eventually(agent.children, "it is at work")
    agent.process.terminate()
    out, err = shim.communicate(timeout=60)
    assert shim.returncode == 0, out + err
    assert agent.process.wait(20) == 0
    assert not (agent.run_dir / "agent.sock").exists()
    pod.delete()
    assert pod.left() == ""
