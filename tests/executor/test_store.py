"""The state directory: entries that are replaced whole, and found without reading those of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.errors import HostError
from executor.netns.namespace import boot_id
from executor.state.record import APPLYING, WIRED, WiringRecord
from executor.state.store import StateStore
from planner.errors import InvalidInput
from planner.text.document import Node
from planner.text.values import NetnsPath, PlanId


def entry(name: str, cookie: int = 7) -> WiringRecord:
    """Return an entry; what its plan says does not matter here."""
    return WiringRecord(
        PlanId(name), NetnsPath(f"/run/netns/{name}"), cookie, "boot", WIRED, 1.5, Node({"x": [1]}, "plan")
    )


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    """Make a store in a directory of its own."""
    made = StateStore(tmp_path / "state")
    made.prepare()
    return made


def files(store: StateStore) -> list[str]:
    """Return what lies in the store's directory of wirings."""
    return sorted(path.name for path in (store.directory / "wirings").iterdir())


def test_what_was_saved_is_loaded(store: StateStore) -> None:
    """Every field."""
    waiting = entry("pod1")._replace(confirm_by=2.5)
    store.save(waiting)
    found = store.load(PlanId("pod1"))
    assert found is not None
    assert found._replace(plan=waiting.plan) == waiting
    assert found.plan.value == waiting.plan.value


def test_until_it_is_committed_the_old_one_stands(store: StateStore) -> None:
    """And what is not committed leaves nothing."""
    store.save(entry("pod1"))
    applying, wired = store.atomic_writes(entry("pod1", cookie=8), APPLYING, WIRED)
    with applying, wired:
        applying.write()
        wired.write()
        before = store.load(PlanId("pod1"))
        assert before is not None
        assert before.cookie == 7
        applying.commit()
        now = store.load(PlanId("pod1"))
        assert now is not None
        assert (now.cookie, now.status) == (8, APPLYING)
    assert files(store) == ["pod1.json"]
    with wired:
        wired.commit()  # written again
    now = store.load(PlanId("pod1"))
    assert now is not None
    assert now.status == WIRED


def test_what_a_killed_process_left_goes_with_the_entry(store: StateStore) -> None:
    """Its own leftovers, not those of an id that begins alike."""
    store.save(entry("pod1"))
    for left in (".pod1.json.4242.1", ".pod1.json.4242", ".pod1.json.4242.x", ".pod1.json.json.4242.1"):
        (store.directory / "wirings" / left).touch()
    store.delete(PlanId("pod1"))
    assert files(store) == [".pod1.json.4242.x", ".pod1.json.json.4242.1"]


def test_a_full_disk_is_said_and_leaves_the_old_one(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, and no half of a file."""
    store.save(entry("pod1"))

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HostError, match=r"cannot be written: No space left on device$"):
        store.save(entry("pod1", cookie=8))
    assert files(store) == ["pod1.json"]
    now = store.load(PlanId("pod1"))
    assert now is not None
    assert now.cookie == 7


def test_entries_of_others_are_not_read(store: StateStore) -> None:
    """Not even if they are damaged: a host has hundreds."""
    for name, cookie in (("pod1", 11), ("pod2", 12), ("pod3", 11), ("pod4", 111)):
        store.save(entry(name, cookie))
    (store.directory / "wirings" / "pod2.json").write_text("{")
    assert [found.id for found in store.concerning(PlanId("pod9"), 11)] == ["pod1", "pod3"]
    assert [found.id for found in store.concerning(PlanId("pod4"), 99)] == ["pod4"]
    with pytest.raises(InvalidInput, match=r"^state entry pod2 is not JSON"):
        list(store.concerning(PlanId("pod2"), 11))


def test_the_cookie_of_an_entry_is_a_field_of_it(store: StateStore) -> None:
    """Its digits anywhere else mean nothing, and an entry of which only the plan is damaged is known by it."""
    plan = Node({"cookie": 11, "x": [11, "11"]}, "plan")
    store.save(entry("others", 12)._replace(plan=plan, links={"plan": 11, "cookie": 11}))
    path = store.directory / "wirings" / "others.json"
    text = path.read_text()
    for damaged in (text, text[:-5], text + "x" * 100):
        path.write_text(damaged)
        assert list(store.concerning(PlanId("pod9"), 11)) == list(store.beside(PlanId("pod9"), 11)) == []
    assert list(store.beside(PlanId("pod9"), 12)) == []  # of another boot
    path.write_text(text.replace('"boot"', f'"{boot_id()}"')[:-5])
    with pytest.raises(InvalidInput, match=r"^state entry others is not JSON"):
        list(store.concerning(PlanId("pod9"), 12))
    backwards = json.dumps(dict(reversed(json.loads(text).items())))  # as no podwire writes it, but anybody may
    path.write_text(backwards)
    assert [found.id for found in store.concerning(PlanId("pod9"), 12)] == ["others"]
