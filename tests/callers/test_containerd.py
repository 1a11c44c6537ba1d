"""Real callers: containerd by its client, and its CRI plugin as a kubelet calls it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import frozen

from tests.callers.containerd import BUSYBOX, MISSING, Containerd, containerd, missing, rootfs
from tests.callers.cri import Cri
from tests.guests.machines import Nic, uml

pytestmark = [
    pytest.mark.skipif(missing(), reason=MISSING),
    pytest.mark.xdist_group("containerd"),  # one of them for both
]


@pytest.fixture(scope="module", params=["bridge", "tc"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Containerd]:
    """Start a containerd whose network ends in podwire-cni, in either wiring."""
    with containerd(wiring=request.param) as found:
        yield found


def test_a_container_of_ctr_has_a_tap_and_leaves_nothing(runtime: Containerd, tmp_path: Path) -> None:
    """Its DEL comes without CNI_NETNS: the process is gone by then."""
    root = rootfs(tmp_path / "root")
    said = runtime.ctr("run", "--rm", "--cni", "--rootfs", root, "c1", "/bin/busybox", "ip", "link")
    assert "tap0" in said.out
    assert runtime.left() == []


def test_what_a_client_forgets_is_collected(runtime: Containerd, tmp_path: Path) -> None:
    """`ctr run --detach` never calls DEL: `podwire gc` forgets what belongs to namespaces that are gone."""
    root = rootfs(tmp_path / "root")
    runtime.ctr("run", "--detach", "--cni", "--rootfs", root, "c2", "/bin/busybox", "sleep", "100")
    assert "default-c2-eth0.json" in runtime.left()
    runtime.ctr("task", "rm", "--force", "c2")
    runtime.ctr("container", "rm", "c2")
    _podwire(runtime, "gc")
    assert runtime.left() == []


def test_a_kubelets_pod_has_a_guest_and_leaves_nothing(runtime: Containerd, tmp_path: Path) -> None:
    """RunPodSandbox, StopPodSandbox, RemovePodSandbox: nothing is left of two pods, on the host neither.

    In between a guest boots in one of them, with what `podwire guest` says, and the host reaches it.
    """
    runtime.import_pause_image()
    cri = Cri(runtime.socket)
    before = runtime.inside("nft", "list", "ruleset").out.count("10.1.90")
    sandboxes = [cri.run_pod_sandbox(name, tmp_path) for name in ("vm1", "vm2")]
    for sandbox in sandboxes:
        info = cri.info(sandbox)
        interfaces = info["cniResult"]["Interfaces"]
        assert interfaces["tap0"]["Sandbox"] in {sandbox, _netns(info)}
        shown = runtime.inside("nsenter", f"--net={_netns(info)}", "ip", "-d", "link", "show", "dev", "tap0").out
        assert f"podwire:{sandbox}-eth0" in shown
    log = runtime.inside("grep", "-rl", "pod default/vm1", runtime.state / "journal", check=False)
    assert log.out, "the journal does not name the pod"
    with _guest(runtime, cri, sandboxes[0]) as address:
        runtime.inside(BUSYBOX, "ping", "-c", "1", "-W", "20", address)
        cri.stop_pod_sandbox(sandboxes[0])  # a kubelet does not wait for the VM
    for sandbox in sandboxes:
        cri.stop_pod_sandbox(sandbox)
        cri.stop_pod_sandbox(sandbox)
        cri.remove_pod_sandbox(sandbox)
    assert runtime.left() == []
    assert runtime.inside("nft", "list", "ruleset").out.count("10.1.90") == before


@frozen
class Sandbox:
    """The network namespace of a sandbox, as it is seen from outside of the runtime's mounts."""

    path: Path


@contextmanager
def _guest(runtime: Containerd, cri: Cri, sandbox: str) -> Iterator[str]:
    """Boot a guest in a sandbox, configure it by what podwire says, and yield its address."""
    told = json.loads(_podwire(runtime, "guest", f"{sandbox}-eth0", "--format", "json"))
    (nic,) = told if isinstance(told, list) else told["interfaces"]
    (address,) = nic["guest"]["addresses"]
    with uml(Sandbox(Path(f"/proc/{cri.info(sandbox)['pid']}/ns/net")), Nic(nic["name"], nic["guest"]["mac"])) as guest:
        guest.run(f"ip addr add {address} dev eth0; ip link set eth0 up")
        guest.run("ping -c 1 -W 20 10.1.90.1")
        yield address.partition("/")[0]


def _podwire(runtime: Containerd, *words: str) -> str:
    podwire = Path(runtime.inside("readlink", "-f", "/opt/cni/bin/podwire-cni").out.strip()).with_name("podwire")
    return runtime.inside(podwire, *words, "--state-dir", runtime.state).out


def _netns(info: dict[str, object]) -> str:
    """Return the path of a sandbox's network namespace."""
    spec = info["runtimeSpec"]
    assert isinstance(spec, dict)
    (path,) = (one["path"] for one in spec["linux"]["namespaces"] if one["type"] == "network")
    return str(path)
