"""The key `dhcp`: a real guest is served from ADD on, until DEL, whatever becomes of what serves it."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cni.helpers_cni import BRIDGE, Attached, attached, without
from tests.conformance.trial import Conf
from tests.guests.machines import Nic, ping, uml
from tests.guests.serving import DHCPCD, udhcpc
from tests.support import eventually
from tests.support.cni import host_local
from tests.support.processes import is_running

DUAL: Conf = BRIDGE | {"ipam": host_local("10.1.90.0/24", "fd00:1:90::/64", routes=("0.0.0.0/0", "::/0"))}


def serving(pod: Attached) -> list[int]:
    """Return the processes that serve a pod's guest."""
    record = pod.state / "dhcp" / f"{pod.trial.pod.name}-eth0.json"
    return [one["pid"] for one in json.loads(record.read_text())["processes"]] if record.exists() else []


def test_a_guest_is_served_from_add_to_del(tmp_path: Path) -> None:
    """In both families. What served it is killed: CHECK starts it again, and so does a repeated ADD."""
    with attached(tmp_path / "state", before=(DUAL,), dhcp=True) as pod:
        result = pod.add()
        (mac,) = (one["mac"] for one in result["interfaces"] if one.get("sandbox") == pod.trial.pod.name)
        first = serving(pod)
        assert len(first) == 2
        with uml(pod.trial.pod, Nic("tap0", mac)) as guest:
            guest.run("ip link set eth0 up")
            guest.run(udhcpc())
            guest.run(DHCPCD)
            assert "inet 10.1.90.2/24 " in guest.run("ip -4 addr show dev eth0")
            assert "inet6 fd00:1:90::2/" in guest.run("ip -6 addr show dev eth0 scope global")
            ping(pod.trial.host, "10.1.90.2")
            ping(pod.trial.host, "fd00:1:90::2")
            os.kill(first[0], signal.SIGKILL)
            eventually(lambda: not is_running(first[0]), "the end of the server")
            assert pod.trial.call("CHECK", pod.trial.conf(result)).ok
            second = serving(pod)
            assert not {*first} & {*second}
            assert not is_running(first[1])
            guest.run(udhcpc())
            for pid in second:
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: not any(map(is_running, second)), "the end of the server")
            assert pod.add() == result
            guest.run(udhcpc())
            third = serving(pod)
            pod.delete()
        assert not any(map(is_running, third))
        assert serving(pod) == []
        assert pod.left() == ""


def test_several_calls_that_start_it_again_do_not_fail_for_each_other(tmp_path: Path) -> None:
    """Whoever is first does, and the others find it served."""
    with attached(tmp_path / "state", dhcp=True) as pod:
        result = pod.add()
        for _ in range(3):
            for pid in serving(pod):
                with suppress(ProcessLookupError):  # it has ended with the other
                    os.kill(pid, signal.SIGKILL)
            calls = [pod.started(verb, prevResult=result) for verb in ("CHECK", "CHECK", "CHECK", "CHECK")]
            calls.append(pod.started("ADD"))
            said = [call.communicate(timeout=60) for call in calls]
            assert [call.returncode for call in calls] == [0] * len(calls), said
            assert len(serving(pod)) == 2
        pod.delete()
        assert pod.left() == ""


def test_without_a_server_an_add_fails_and_leaves_nothing(tmp_path: Path) -> None:
    """ADD says why."""
    with attached(tmp_path / "state", dhcp=True) as pod:
        error = pod.trial.call("ADD", pod.conf(), env=without("dnsmasq", tmp_path)).document()
        assert error["code"] == 101
        assert "no such luck" in error["msg"]
        assert pod.left() == ""


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    """A network of layer 2: there is nothing to lease, and what was wired already is rolled back."""
    with attached(tmp_path / "state", before=({"type": "bridge", "bridge": "cni0"},), dhcp=True) as pod:
        error = pod.trial.call("ADD", pod.conf()).document()
        assert error["code"] == 100
        assert "nothing to lease" in error["msg"]
        assert pod.left() == ""


@pytest.mark.parametrize(
    ("wiring", "env"), [("bridge", {}), ("tc", {"CNI_NETNS": ""})], ids=["with namespace", "tc, without namespace"]
)
def test_a_server_ends_even_if_the_state_is_lost(tmp_path: Path, wiring: str, env: dict[str, str]) -> None:
    """DEL knows it by its record."""
    with attached(tmp_path / "state", dhcp=True, wiring=wiring) as pod:
        pod.add()
        pids = serving(pod)
        for folder in ("wirings", "journal"):
            for path in (pod.state / folder).iterdir():
                path.unlink()
        assert pod.trial.delete(env=env).ok
        assert not any(map(is_running, pids))
