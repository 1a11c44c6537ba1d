"""A virtual function is handed to the VM, and comes home exactly: raw dumps of the pod, sysfs and the card."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from executor.state.events import Event, Running
from executor.state.status import wirings
from planner.network import devices_words
from tests.sriov.inside.conftest import MakeVfPod
from tests.sriov.inside.functions import Function, is_as_before, make_pod
from tests.support import MakeNamespace, run
from tests.support.pods import MAC, plain


def test_it_is_handed_over_and_comes_home_exactly(vf_pod: MakeVfPod) -> None:
    """At vfio-pci with its MAC and VLAN pinned while the VM has it; then as it was, run as previewed."""
    pod = vf_pod()
    before = pod.state()
    ran: list[Event] = []
    plan = pod.apply(ran.append)
    assert (pod.function.driver, pod.function.override) == ("vfio-pci", "vfio-pci")
    assert pod.function.mac == pod.mac
    assert "vlan 42" in pod.function.setting
    assert "net1" not in pod.inside.ip("-o link show")
    assert [event.command for event in ran if isinstance(event, Running)] == list(plan.commands)
    assert pod.plan().changes == ()
    interface = plan.interfaces[0]
    assert (interface.type, interface.pci_address, interface.vlan) == ("vf", pod.function.address, 42)
    assert pod.teardown().what == "restored"
    assert is_as_before(pod, before)


def test_a_pod_may_have_a_veth_too_and_names_may_collide(
    netns: MakeNamespace, functions: tuple[Function, ...], tmp_path: Path
) -> None:
    """One result, one plan. The host has a link of the pod's name, and the pod links of those that the host gives."""
    plain_pod = plain(netns("host"), netns("pod"))
    inside = plain_pod.inside
    made = make_pod(inside, functions[2], tmp_path / "state")
    pod = evolve(made, beside=({"name": "eth0", "mac": MAC, "sandbox": str(inside.path)},))
    for number in range(1, 5):
        inside.ip(f"link add eth{number} type dummy")
    # A function that an earlier pod had may have that name: it came back to the host when its namespace went.
    is_taken = Path("/sys/class/net/net1").exists()
    if not is_taken:
        run(["ip", "link", "add", "net1", "type", "dummy"])
    try:
        before = pod.state()
        plan = pod.apply()
        assert [(one.type, one.link) for one in plan.interfaces] == [("tap", "eth0"), ("vf", "net1")]
        assert "master br0" in inside.ip("-o link show dev eth0")
        assert pod.function.driver == "vfio-pci"
        assert devices_words(plan.interfaces) == f"opens tap0 and is given {pod.function.address}"
        (listed,) = wirings(pod.settings.store)
        assert [words.partition(" (")[0] for words in listed.taps] == [
            "tap0 for eth0",
            f"{pod.function.address} for net1",
        ]
        assert pod.teardown().what == "restored"
        assert is_as_before(pod, before)
    finally:
        if not is_taken:
            run(["ip", "link", "del", "net1"])
