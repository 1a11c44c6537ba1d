"""By night: a VM in the host that has the card uses a virtual function, ``./dev test --nightly``."""

from __future__ import annotations

import pytest

from tests.sriov.host import HERE, run_inside


@pytest.mark.nightly
def test_a_vm_uses_a_function() -> None:
    """Two machines within each other, both emulated: some minutes."""
    ran = run_inside(str(HERE / "nested"), "--nightly", "-q", "-s", seconds=1800, cpus=2)
    assert [(case.name, case.problem) for case in ran.cases] == [("test_a_vm_uses_it_and_it_comes_home", "")], (
        ran.console[-6000:]
    )
