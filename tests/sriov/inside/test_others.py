"""What happens to a virtual function, or beside it, that podwire did not do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from attrs import evolve

from executor.operations.gc import collect_all
from executor.operations.recover import ids_to_recover, recover
from executor.operations.teardown import teardown
from executor.taps.recover import reopen
from planner.errors import Refused
from planner.options import PlanOptions
from tests.sriov.inside.conftest import MakeVfPod
from tests.sriov.inside.functions import is_as_before
from tests.support import MakeNamespace, eventually


def test_without_the_option_it_is_refused(vf_pod: MakeVfPod) -> None:
    """Never through a bridge, with a random MAC."""
    pod = vf_pod()
    with pytest.raises(Refused, match=r"net1 is the SR-IOV virtual function .*, which is handed .* only with --sriov"):
        pod.plan(PlanOptions())


def test_one_that_a_vm_has_open_is_not_taken_from_under_it(vf_pod: MakeVfPod) -> None:
    """The process is named; with --force it comes home all the same, and whoever had it open goes on without it."""
    pod = vf_pod()
    before = pod.state()
    pod.apply()
    group = (pod.function.device / "iommu_group").readlink().name
    with (
        Path(f"/dev/vfio/{group}").open("r+b", buffering=0) as opened,
        subprocess.Popen(["sleep", "600"], pass_fds=(opened.fileno(),)) as vmm,
    ):
        opened.close()
        with pytest.raises(Refused, match=f"{pod.function.address} is open in process {vmm.pid} .*--force"):
            pod.teardown()
        assert pod.function.driver == "vfio-pci"
        assert teardown(pod.id, evolve(pod.settings, force=True)).what == "restored"
        assert vmm.poll() is None
        vmm.kill()
    assert is_as_before(pod, before)


def test_when_its_namespace_is_deleted_it_is_at_the_host_again(vf_pod: MakeVfPod) -> None:
    """With its driver, and as the card had it: nobody has to look for it."""
    pod = vf_pod()
    setting = pod.function.setting
    pod.apply()
    pod.inside.delete()
    (outcome,) = collect_all(pod.settings)
    assert outcome.what == "gone"
    assert (pod.function.driver, pod.function.override) == ("igbvf", "(null)")
    eventually(lambda: len(pod.function.names) == 1, "its interface on the host")
    assert pod.function.setting == setting


def test_one_that_was_given_to_another_meanwhile_is_left_alone(vf_pod: MakeVfPod) -> None:
    """The first pod is gone and a second has its function when the late DEL of the first comes."""
    first = vf_pod()
    first.apply()
    first.inside.delete()
    first.function.set("mac 02:11:22:33:44:99")
    first.function.set("vlan 7")
    taken = first.function.sysfs()
    assert first.teardown().what == "gone"
    assert first.function.sysfs() == taken
    first.function.set("vlan 0")


def test_two_functions_of_two_pods_are_handed_over_at_once(vf_pod: MakeVfPod) -> None:
    """Neither way back touches the other."""
    one, other = vf_pod(0), vf_pod(1)
    before = one.state(), other.state()
    one.apply()
    other.apply()
    assert (one.function.driver, other.function.driver) == ("vfio-pci", "vfio-pci")
    one.teardown()
    assert other.function.driver == "vfio-pci"
    assert is_as_before(one, before[0])
    other.teardown()
    assert is_as_before(other, before[1])


def test_after_a_restart_of_the_host_nothing_is_left_to_bring_back(vf_pod: MakeVfPod) -> None:
    """All functions are at the host's driver then, and what is recorded is of another boot."""
    pod = vf_pod()
    pod.apply()
    pod.inside.delete()
    pod.function.reset()
    entry = pod.settings.store.load(pod.id)
    assert entry is not None
    (write,) = pod.settings.store.atomic_writes(entry._replace(boot_id="of another boot"), entry.status)
    with write:
        write.write()
        write.commit()
    before = pod.function.sysfs()
    (outcome,) = collect_all(pod.settings)
    assert (outcome.what, outcome.commands) == ("gone", 0)
    assert pod.function.sysfs() == before


def test_what_came_back_to_the_host_is_handed_over_again(vf_pod: MakeVfPod, netns: MakeNamespace) -> None:
    """The card was reset, say: by recover, and by a runtime that opens what survived its restart.

    Not what was given to another pod meanwhile, before that is gone.
    """
    pod = vf_pod()
    before = pod.state()
    pod.apply()
    for again in ("recover", "reopen"):
        pod.function.reset()
        eventually(lambda: bool(pod.function.names), "its interface on the host")
        assert ids_to_recover(pod.settings.store) == (pod.id,)
        if again == "recover":
            assert recover(pod.id, pod.settings).what == "repaired"
        else:
            entry = pod.settings.store.load(pod.id)
            assert entry is not None
            assert [one.pci_address for one in reopen(entry, pod.settings).network.interfaces] == [pod.function.address]
        assert pod.function.driver == "vfio-pci"
        assert ids_to_recover(pod.settings.store) == ()
    pod.function.reset()
    other = netns("other")
    pod.function.give(other, "net1")
    assert ids_to_recover(pod.settings.store) == ()
    assert recover(pod.id, pod.settings).what == "nothing"
    assert pod.function.driver == "igbvf"
    pod.function.reset()
    assert pod.teardown().what == "restored"
    assert is_as_before(pod, before)
