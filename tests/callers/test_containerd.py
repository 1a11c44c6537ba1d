"""Real callers: containerd by its client, and its CRI plugin as a kubelet calls it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.callers.containerd import MISSING, Containerd, containerd, missing, rootfs
from tests.callers.cri import Cri

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
    podwire = Path(runtime.inside("readlink", "-f", "/opt/cni/bin/podwire-cni").out.strip()).with_name("podwire")
    runtime.inside(podwire, "gc", "--state-dir", runtime.state)
    assert runtime.left() == []


def test_a_kubelets_pod_has_a_tap_and_leaves_nothing(runtime: Containerd, tmp_path: Path) -> None:
    """RunPodSandbox, StopPodSandbox, RemovePodSandbox: nothing is left of two pods, on the host neither."""
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
    for sandbox in sandboxes:
        cri.stop_pod_sandbox(sandbox)
        cri.stop_pod_sandbox(sandbox)
        cri.remove_pod_sandbox(sandbox)
    assert runtime.left() == []
    assert runtime.inside("nft", "list", "ruleset").out.count("10.1.90") == before


def _netns(info: dict[str, object]) -> str:
    """Return the path of a sandbox's network namespace."""
    spec = info["runtimeSpec"]
    assert isinstance(spec, dict)
    (path,) = (one["path"] for one in spec["linux"]["namespaces"] if one["type"] == "network")
    return str(path)
