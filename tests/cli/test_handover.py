"""exec and taps: a VM's taps, open, for the program that runs it and for no other."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

import podwire
from tests.support import MakeNamespace, Outcome, eventually, run
from tests.support.cli import Cli
from tests.support.frames import arp_request
from tests.support.pods import MAC, Pod, two_links
from tests.support.ports import Port

WORDS = "{fd0} {tap0} {mac0} {mtu0} {queues0} {fd1} {tap1} {other}"


@pytest.fixture
def wired(cli: Cli, netns: MakeNamespace) -> Pod:
    """Wire a pod with two links, its taps with two queues each."""
    pod = two_links(netns("host"), netns("pod"))
    cli.ok("apply", *cli.wiring(pod), "--tap-queues", "2", "--yes")
    return pod


def test_placeholders_are_filled_in(cli: Cli, wired: Pod) -> None:
    """Braces that are none of them stay."""
    said = cli.ok("exec", wired.inside.name, "--", "echo", *WORDS.split())
    assert said == f"3:4 tap0 {MAC} 1500 2 5:6 tap1 {{other}}\n"


def test_an_interface_that_there_is_not_is_refused(cli: Cli, wired: Pod) -> None:
    """The sentence says how many there are."""
    assert "{fd2}: the VM has 2 interfaces" in cli.refused("exec", wired.inside.name, "--", "echo", "{fd2}")


def test_the_program_has_the_taps_open_and_nothing_else(cli: Cli, wired: Pod) -> None:
    """In the namespace, as another user without groups."""
    numbers = " ".join(map(str, range(3, 64)))
    look = (
        "readlink /proc/self/ns/net; id -u; id -G; "
        f"for fd in {numbers}; do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done; cat /proc/$$/fdinfo/[3-6]"
    )
    said = cli.ok("exec", wired.inside.name, "--user", "65534:65534", "--", "sh", "-c", look).splitlines()
    assert said[0] == wired.inside.run("readlink", "/proc/self/ns/net").out.strip()
    assert said[1:3] == ["65534", "65534"]
    assert [line for line in said[3:] if line.isdecimal()] == ["3", "4", "5", "6"]
    assert [line.split()[1] for line in said if line.startswith("iff")] == ["tap0", "tap0", "tap1", "tap1"]


def test_a_tap_that_a_vm_has_open_is_not_given_to_another(cli: Cli, pod: Pod) -> None:
    """A tap with one queue has one user."""
    cli.ok("apply", *cli.wiring(pod), "--yes")
    with Port.on_tap(pod.inside, "tap0"):
        assert "tap0 is in use" in cli.refused("exec", pod.inside.name, "--", "true")


def test_a_program_that_is_not_there_is_refused(cli: Cli, wired: Pod) -> None:
    """By name."""
    assert "'no-such-vmm' cannot be run" in cli.refused("exec", wired.inside.name, "--", "no-such-vmm")
    assert "there is no user 'nosuch'" in cli.refused("exec", wired.inside.name, "--user", "nosuch", "--", "true")


@pytest.mark.parametrize("user", ["99999999999", "9" * 5000, "4294967295", "1:99999999999", "0:4294967295"])
def test_a_number_that_no_user_can_have_is_refused(cli: Cli, wired: Pod, user: str) -> None:
    """The kernel takes the last one for "no change"."""
    said = cli.refused("exec", wired.inside.name, "--user", user, "--", "true")
    assert "is not a number from 0 to 4294967294" in said


def test_a_runtime_gets_the_taps_over_a_socket(cli: Cli, pod: Pod, tmp_path: Path) -> None:
    """And frames pass; the socket is gone then."""
    cli.ok("apply", *cli.wiring(pod), "--yes")
    path = tmp_path / "taps.sock"
    with cli.started("taps", pod.inside.name, "--socket", path, "--json") as process:
        eventually(lambda: _is_listened_at(path), "the socket", seconds=20)
        ((description, (fd,)),) = podwire.receive_taps(str(path))
        assert process.stdout
        assert json.loads(process.stdout.read()) == {"id": pod.inside.name, "pid": os.getpid()}
        assert process.wait(20) == 0
    assert description == {
        "tap": "tap0",
        "link": "eth0",
        "mac": MAC,
        "mtu": 1500,
        "queues": 1,
        "vnet_hdr": False,
    }
    assert not path.exists()
    with Port.on_link(pod.host, pod.host_end()) as wire, Port.on_descriptor(fd, pod.inside, "tap0") as vm:
        vm.send(arp_request(MAC, "10.1.90.5", "10.1.90.1"))
        wire.receive(lambda frame: str(frame) == "ARP who has 10.1.90.1 tell 10.1.90.5")


def test_a_socket_is_for_root_and_the_taps_owner_only(cli: Cli, pod: Pod, tmp_path: Path) -> None:
    """Another user cannot connect; and where somebody has opened the socket to all, he gets nothing."""
    cli.ok("apply", *cli.wiring(pod), "--tap-owner", "1234", "--yes")
    for folder in (*tmp_path.parents, tmp_path):
        assert folder.stat().st_uid == 0
    path = Path("/run/netns") / f"{pod.inside.name}.taps"  # a folder that everybody may pass
    asks = f"import socket; s = socket.socket(1, 5); s.connect('{path}'); print(socket.recv_fds(s, 65536, 9)[:2])"

    def ask(user: int) -> Outcome:
        return run(["setpriv", f"--reuid={user}", "--clear-groups", "/usr/bin/python3", "-c", asks], check=False)

    with cli.started("taps", pod.inside.name, "--socket", path) as process:
        eventually(lambda: _is_listened_at(path), "the socket", seconds=20)
        assert "PermissionError" in ask(65534).err
        path.chmod(0o777)
        assert ask(65534).out == "(b'', [])\n"
        assert process.stderr
        assert "user 65534 may not receive the taps" in process.stderr.read()
        assert process.wait(20) == 1
    with cli.started("taps", pod.inside.name, "--socket", path) as process:
        eventually(lambda: _is_listened_at(path), "the socket", seconds=20)
        assert '"tap0"' in ask(1234).out
        assert process.wait(20) == 0


def _is_listened_at(path: Path) -> bool:
    """Say whether somebody listens (unix(7) lists them), without connecting."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return any(line.endswith(f" {path}") and line.split()[3] == "00010000" for line in lines)


def test_a_socket_that_cannot_be_made_is_refused(cli: Cli, pod: Pod, tmp_path: Path) -> None:
    """What is there is left alone."""
    cli.ok("apply", *cli.wiring(pod), "--yes")
    taken = tmp_path / "taken"
    taken.write_text("")
    assert "cannot be made" in cli.refused("taps", pod.inside.name, "--socket", taken)
    assert taken.exists()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection, pytest.raises(OSError, match="refused"):
        connection.connect(str(taken))


def test_a_socket_without_a_name_is_refused(cli: Cli, pod: Pod) -> None:
    """The kernel would give it one in a space of names that have neither owner nor mode."""
    cli.ok("apply", *cli.wiring(pod), "--yes")
    assert cli.refused("taps", pod.inside.name, "--socket", "") == "socket: the path is empty"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_whoever_is_told_to_end_takes_the_socket_away(
    cli: Cli, pod: Pod, tmp_path: Path, number: signal.Signals
) -> None:
    """The next one would find its place taken."""
    cli.ok("apply", *cli.wiring(pod), "--yes")
    path = tmp_path / "taps.sock"
    with cli.started("taps", pod.inside.name, "--socket", path) as process:
        eventually(lambda: _is_listened_at(path), "the socket", seconds=20)
        process.send_signal(number)
        assert process.wait(20) == 1
        assert process.stderr
        assert process.stderr.read() == f"podwire: interrupted by {number.name}; nothing was changed\n"
    assert not path.exists()
