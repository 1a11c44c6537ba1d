"""Whatever happens to an ADD or a DEL, nothing of podwire's is left when the last DEL or GC has been called."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from attrs import evolve

from executor.cni.call import Attachment
from tests.cni.helpers_cni import BRIDGE, Attached, attached, without

KILLS = 8
# podwire-cni as it was while a dash in the interface's name was no exception.
FORMER = """\
#!{python}
import sys
from executor.cni import call, main
call.Attachment.plan_id = call.Attachment.hashed_id = call.Attachment.plain_id
sys.exit(main())
"""


@pytest.fixture
def pod(way: dict[str, str], tmp_path: Path) -> Iterator[Attached]:
    """Return a pod behind the bridge plugin, for each way."""
    with attached(tmp_path / "state", env=way) as found:
        yield found


def entry_of(pod: Attached) -> Path:
    """Return the file of a pod's state entry."""
    return pod.state / "wirings" / f"{pod.trial.pod.name}-eth0.json"


def nothing(_pod: Attached) -> None:
    """Do nothing."""


def delete_namespace(pod: Attached) -> None:
    """Delete the namespace, as runtimes do that stop the process first."""
    pod.trial.pod.delete()


def delete_interface(pod: Attached) -> None:
    """Delete the pod's interface, which takes its addresses along."""
    pod.trial.pod.ip("link del eth0")


def delete_tap(pod: Attached) -> None:
    """Delete the tap."""
    pod.trial.pod.ip("link del tap0")


def main_plugin_first(pod: Attached) -> None:
    """Call the DEL of the plugin before, in the wrong order."""
    pod.trial.prepare("DEL")


@pytest.mark.parametrize(
    "happens",
    [nothing, delete_namespace, delete_interface, delete_tap, main_plugin_first],
    ids=lambda function: function.__name__,
)
@pytest.mark.parametrize("env", [{}, {"CNI_NETNS": ""}], ids=["with namespace", "without namespace"])
def test_del_leaves_nothing(pod: Attached, happens: Callable[[Attached], None], env: dict[str, str]) -> None:
    """Called twice, with and without namespace, with and without the result."""
    pod.add()
    happens(pod)
    assert pod.trial.delete(env=env).ok
    assert pod.trial.delete(pod.trial.conf(), env=env).ok
    assert not list((pod.state / "wirings").iterdir())
    assert not list((pod.state / "attachments").iterdir())
    if pod.trial.pod.path.exists():
        shown = pod.trial.pod.ip("-d link show")
        assert "podwire" not in shown
        assert "tap0" not in shown


def test_del_brings_back_exactly(pod: Attached) -> None:
    """To the last field, after each of several rounds."""
    for _ in range(3):
        pod.add()
        assert not pod.is_untouched()
        pod.delete()
        assert pod.left() == ""


def test_an_add_that_fails_takes_back_what_it_did(pod: Attached, tmp_path: Path) -> None:
    """A program of the host fails in the middle: the pod is as it was, and nothing is recorded."""
    answer = pod.trial.call("ADD", pod.conf(), env=without("ebtables-restore", tmp_path))
    error = answer.document()
    assert error["code"] == 102
    assert "no such luck" in error["msg"]
    assert pod.left() == ""


@pytest.mark.parametrize("seed", range(KILLS))
def test_an_add_that_is_killed_is_rolled_back_by_del(pod: Attached, seed: int) -> None:
    """At any instant; the host end, the namespace and the state are as they were."""
    instant = random.Random(seed).uniform(0, pod.seconds_of_add())  # noqa: S311
    pod.interrupted("ADD", signal.SIGKILL, instant)
    pod.delete()
    assert pod.left() == ""


@pytest.mark.parametrize("seed", range(KILLS))
def test_an_add_that_is_killed_can_be_repeated(pod: Attached, seed: int) -> None:
    """Without a DEL in between, though the specification asks runtimes for one."""
    instant = random.Random(100 + seed).uniform(0, pod.seconds_of_add())  # noqa: S311
    pod.interrupted("ADD", signal.SIGKILL, instant)
    pod.add()
    pod.delete()
    assert pod.left() == ""


@pytest.mark.parametrize("seed", range(KILLS // 2))
def test_a_del_that_is_killed_is_finished_by_the_next(pod: Attached, seed: int) -> None:
    """Or by GC."""
    pod.add()
    instant = random.Random(200 + seed).uniform(0, 0.25)  # noqa: S311
    pod.interrupted("DEL", signal.SIGKILL, instant)
    pod.delete()
    assert pod.left() == ""


@pytest.mark.parametrize("seed", range(KILLS // 2))
def test_an_add_that_is_told_to_end_takes_back_what_it_did(pod: Attached, seed: int) -> None:
    """A runtime that has waited long enough sends SIGTERM: either all is done by then, or nothing of it is left."""
    instant = random.Random(300 + seed).uniform(0, pod.seconds_of_add())  # noqa: S311
    pod.interrupted("ADD", signal.SIGTERM, instant)
    if not entry_of(pod).exists():
        assert pod.is_untouched()
    pod.delete()
    assert pod.left() == ""


def test_what_cannot_be_rolled_back_is_tried_again_and_then_abandoned(pod: Attached, tmp_path: Path) -> None:
    """A container must not be kept for ever by a rule that somebody made irremovable: code 11 once, then 0."""
    pod.add()
    env = without("ebtables-restore", tmp_path)
    first = pod.trial.delete(env=env)
    assert first.document()["code"] == 11
    assert entry_of(pod).exists()
    second = pod.trial.delete(env=env)
    assert second.ok
    assert "record removed" in second.outcome.err
    assert not entry_of(pod).exists()
    assert "podwire" not in pod.trial.pod.ip("-d link show")


def test_an_attachment_whose_id_is_no_id_has_one_all_the_same() -> None:
    """CNI allows names that are no file's, and ids of any length; two attachments never share one."""
    usual = Attachment("a" * 64, "eth0").plan_id
    assert usual == "a" * 64 + "-eth0"
    odd = {Attachment("a" * 200, "eth0").plan_id, Attachment("a" * 201, "eth0").plan_id}
    odd |= {Attachment("a", "vpn#1").plan_id, Attachment("a", "vpn#2").plan_id}
    odd |= {Attachment("a", "b-c").plan_id, Attachment("a-b", "c").plan_id}
    assert len(odd) == 6
    assert all(len(plan_id) <= 100 for plan_id in odd)


@pytest.mark.parametrize("way", ["DEL", "GC"])
def test_what_was_wired_under_a_former_id_is_found(way: str, tmp_path: Path) -> None:
    """A dash in the interface's name was no exception once; a namesake in another container is not mistaken for it."""
    former = tmp_path / "former" / "podwire-cni"
    former.parent.mkdir()
    former.write_text(FORMER.format(python=sys.executable))
    former.chmod(0o755)
    with attached(tmp_path / "state") as pod:
        trial = evolve(pod.trial, ifname="vpn-0")
        assert trial.run(former, "ADD", pod.conf()).ok
        names = [path.name for path in (pod.state / "wirings").iterdir()]
        assert names == [f"{pod.trial.pod.name}-vpn-0.json"]
        namesake = {"CNI_CONTAINERID": f"{pod.trial.pod.name}-vpn", "CNI_IFNAME": "0"}
        assert trial.call("CHECK", pod.conf()).ok
        assert trial.call("DEL", env=namesake).ok
        assert trial.call("CHECK", pod.conf()).ok
        if way == "DEL":
            assert trial.delete().ok
        else:
            valid = [{"containerID": namesake["CNI_CONTAINERID"], "ifname": namesake["CNI_IFNAME"]}]
            conf = trial.conf() | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": valid}
            assert trial.call("GC", conf).ok
        assert pod.left() == ""


def test_pods_side_by_side_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Eight at once, one state directory: all are added, and all are gone."""
    state = tmp_path / "state"
    with ExitStack() as stack:
        pods = [stack.enter_context(attached(state, before=(BRIDGE,))) for _ in range(8)]
        for command in ("ADD", "DEL"):
            running = [pod.started(command) for pod in pods]
            for process in running:
                out, err = process.communicate(timeout=60)
                assert process.returncode == 0, out + err
        for pod in pods:
            assert pod.left() == ""
