"""DEL whatever has become of the state directory: it succeeds, and what can be brought back is."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from planner.text.document import MAX_BYTES
from tests.cni.helpers_cni import BRIDGE, Attached, attached, without
from tests.conformance.trial import Conf
from tests.support.cni import host_local
from tests.support.dumps import difference, dump
from tests.support.running import run

DUAL: Conf = BRIDGE | {"ipam": host_local("10.1.90.0/24", "fd00:1:90::/64", routes=("0.0.0.0/0", "::/0"))}
Damage = Callable[[Path], None]


def cut_off(entry: Path) -> None:
    """As a full disk would leave it, were it not written whole."""
    entry.write_text(entry.read_text()[:100])


def empty(entry: Path) -> None:
    """As a file system leaves it that was not synced."""
    entry.write_text("")


def oversize(entry: Path) -> None:
    """Somebody's log by now."""
    os.truncate(entry, MAX_BYTES + 1)


def give_away(entry: Path) -> None:
    """Give it to somebody else: it can be read all the same."""
    os.chown(entry, 65534, 65534)


def replace_by_a_folder(entry: Path) -> None:
    """With something in it, which is not podwire's to delete."""
    entry.unlink()
    (entry / "precious").mkdir(parents=True)


def replace_by_a_link(entry: Path) -> None:
    """To itself."""
    entry.unlink()
    entry.symlink_to(entry)


def replace_by_a_pipe(entry: Path) -> None:
    """Which nobody writes to."""
    entry.unlink()
    os.mkfifo(entry)


def remove(entry: Path) -> None:
    """So that nothing says any more that there was a wiring."""
    entry.unlink()


def edit_the_plan(entry: Path) -> None:
    """So that its commands are not those of its changes."""
    document = json.loads(entry.read_text())
    document["plan"]["reverse_commands"][0]["argv"] = ["reboot"]
    entry.write_text(json.dumps(document))


def of_a_later_version(entry: Path) -> None:
    """Which this podwire does not read."""
    entry.write_text(json.dumps(json.loads(entry.read_text()) | {"version": 99}))


DAMAGES: list[Damage] = [
    cut_off,
    empty,
    oversize,
    give_away,
    replace_by_a_folder,
    replace_by_a_link,
    replace_by_a_pipe,
    remove,
    edit_the_plan,
    of_a_later_version,
]


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attached]:
    """Return a pod for all damages: after each it must be as it was."""
    with attached(tmp_path_factory.mktemp("pod") / "state") as found:
        yield found


def entry_of(pod: Attached) -> Path:
    """Return the file of a pod's state entry."""
    return pod.state / "wirings" / f"{pod.trial.pod.name}-eth0.json"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda function: function.__name__)
def test_a_damaged_entry_keeps_nothing_from_coming_back(pod: Attached, damage: Damage) -> None:
    """To the last field: there is a copy of it in the journal. Even if DEL comes without namespace and result."""
    pod.add()
    damage(entry_of(pod))
    answer = pod.trial.delete(pod.trial.conf(), env={"CNI_NETNS": ""})
    assert answer.ok, answer
    assert pod.left() == ""
    assert pod.trial.delete().ok
    assert pod.left() == ""


def test_a_repair_does_not_make_the_copy_useless(pod: Attached) -> None:
    """What an operator has repaired comes back like anything else."""
    pod.add()
    pod.trial.pod.ip("link set tap0 down")
    words = ["check", f"{pod.trial.pod.name}-eth0", "--fix", "--yes", "--state-dir", str(pod.state)]
    run([sys.executable, "-m", "executor", *words])
    remove(entry_of(pod))
    assert pod.trial.delete(pod.trial.conf(), env={"CNI_NETNS": ""}).ok
    assert pod.left() == ""


def test_what_went_with_its_namespace_was_not_lost(tmp_path: Path) -> None:
    """A runtime calls DEL again, and hears the same as before, not that something was damaged."""
    with attached(tmp_path / "state") as pod:
        pod.add()
        pod.trial.pod.delete()
        for _ in range(2):
            said = pod.trial.delete(pod.trial.conf(), env={"CNI_NETNS": ""})
            assert said.ok
            assert "lost" not in said.outcome.err, said.outcome.err


def test_what_is_in_the_place_of_an_entry_is_kept(pod: Attached) -> None:
    """And named."""
    pod.add()
    replace_by_a_folder(entry_of(pod))
    there = set(pod.state.glob("damaged/*"))
    said = pod.trial.delete().outcome.err
    (kept,) = set(pod.state.glob("damaged/*")) - there
    assert (kept / "precious").is_dir()
    assert f"it is damaged/{kept.name} now" in said


def marks(pod: Attached) -> str:
    """Return what of the namespace carries marks of podwire's."""
    rules = pod.trial.pod.run("ebtables-save", check=False).out if pod.trial.subject.conf["wiring"] == "bridge" else ""
    shown = pod.trial.pod.ip("-d link show") + pod.trial.pod.run("tc", "filter", "show", "dev", "eth0", "ingress").out
    lines = [*shown.splitlines(), *rules.splitlines()]
    return "\n".join(
        line for line in lines if any(word in line for word in ("podwire", "tap0", "br0", "eth0 -j", "-A"))
    )


@pytest.mark.parametrize(
    ("damage", "wiring"),
    [(cut_off, "bridge"), (remove, "bridge"), (replace_by_a_folder, "tc")],
    ids=["cut off, bridge", "removed, bridge", "a folder, tc"],
)
def test_without_any_record_what_carries_its_marks_goes(damage: Damage, wiring: str, tmp_path: Path) -> None:
    """The journal is lost too. What the pod had comes back as far as the result says."""
    with attached(tmp_path / "state", before=(DUAL,), wiring=wiring) as pod:
        pod.add()
        assert marks(pod)
        shutil.rmtree(pod.state / "journal")
        damage(entry_of(pod))
        answer = pod.trial.delete()
        assert answer.ok, answer
        assert marks(pod) == ""
        if wiring == "tc":  # nothing says any more that it had no queue before a qdisc came
            pod.trial.pod.ip("link set dev eth0 txqueuelen 0")
        assert pod.left() == ""


@pytest.mark.parametrize("wiring", ["bridge", "tc"])
def test_what_keeps_a_served_guest_apart_goes_too(wiring: str, tmp_path: Path) -> None:
    """Rules and filters that redirect nothing: nobody would get DHCP answers by that link any more."""
    with attached(tmp_path / "state", before=(DUAL,), wiring=wiring, dhcp=True) as pod:
        pod.add()
        shutil.rmtree(pod.state / "journal")
        remove(entry_of(pod))
        assert pod.trial.delete().ok
        if wiring == "tc":
            pod.trial.pod.ip("link set dev eth0 txqueuelen 0")
        assert pod.left() == ""


def test_rules_for_the_name_that_a_link_had_go_too(tmp_path: Path) -> None:
    """Somebody renamed it while it was wired."""
    with attached(tmp_path / "state", wiring="bridge") as pod:
        pod.add()
        shutil.rmtree(pod.state / "journal")
        remove(entry_of(pod))
        pod.trial.pod.ip("link set dev eth0 name eth7")
        assert pod.trial.delete().ok
        assert "eth0" not in pod.trial.pod.run("ebtables-save", check=False).out


@pytest.mark.parametrize("damage", [cut_off, remove], ids=lambda function: function.__name__)
def test_what_nobody_could_look_at_is_not_forgotten(damage: Damage, tmp_path: Path) -> None:
    """A program fails while no record can be read: the runtime is told, and comes again."""
    with attached(tmp_path / "state", wiring="bridge") as pod:
        pod.add()
        shutil.rmtree(pod.state / "journal")
        damage(entry_of(pod))
        failed = pod.trial.delete(env=without("ip", tmp_path))
        assert failed.document()["code"] == 101
        assert marks(pod)
        assert pod.trial.delete().ok
        assert marks(pod) == ""
        assert pod.left() == ""


def test_without_record_and_result_nothing_of_podwires_is_left(tmp_path: Path) -> None:
    """ADD has noted where the namespace is."""
    with attached(tmp_path / "state", wiring="bridge") as pod:
        pod.add()
        shutil.rmtree(pod.state / "journal")
        shutil.rmtree(pod.state / "wirings")
        assert pod.trial.delete(pod.trial.conf(), env={"CNI_NETNS": ""}).ok
        assert marks(pod) == ""


def test_the_del_of_another_container_touches_nothing(tmp_path: Path) -> None:
    """Of an attachment that is not known here, with the namespace and the interface of one that is."""
    with attached(tmp_path / "state", wiring="bridge") as pod:
        result = pod.add()
        before = dump(pod.trial.pod)
        assert pod.trial.delete(env={"CNI_CONTAINERID": "another"}).ok
        assert difference(before, dump(pod.trial.pod)) == ""
        assert pod.trial.call("CHECK", pod.trial.conf(result)).ok


def test_a_rule_that_only_looks_like_podwires_stays(tmp_path: Path) -> None:
    """An unknown attachment is done, and nothing of the pod is touched."""
    with attached(tmp_path / "state", wiring="bridge") as pod:
        pod.trial.pod.run("ebtables", "-A", "INPUT", "-i", "eth0", "-j", "DROP")
        assert pod.trial.delete(pod.trial.conf(pod.previous)).ok
        assert "-i eth0 -j DROP" in pod.trial.pod.run("ebtables-save").out
