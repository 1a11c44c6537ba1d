"""Many wirings are worked at side by side, and few one after the other."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable

import pytest

from executor.errors import HostError
from executor.process.many import results
from planner.text.values import PlanId

IDS = tuple(PlanId(f"pod{number}") for number in range(10, 22))
SECONDS = 30


def outcome_of(result: Callable[[], str]) -> str:
    """Return what a result is, or what it raises, as text."""
    try:
        return result()
    except HostError as error:
        return str(error)


def test_each_is_said_in_its_order_whichever_ends_first() -> None:
    """The first waits for the third here; an error is its own id's."""
    third = threading.Event()

    def work(plan_id: PlanId) -> str:
        if plan_id == IDS[0]:
            assert third.wait(SECONDS)
        if plan_id == IDS[1]:
            raise HostError("a fault")
        if plan_id == IDS[2]:
            third.set()
        return f"{plan_id} done"

    found = [(plan_id, outcome_of(result)) for plan_id, result in results(work, IDS, 4)]
    assert found == [(each, "a fault" if each == IDS[1] else f"{each} done") for each in IDS]


@pytest.mark.parametrize(("ids", "at_once"), [(IDS[:8], 4), (IDS, 1)], ids=["few", "one at a time"])
def test_one_after_the_other_nothing_is_begun_before_it_is_asked_for(ids: tuple[PlanId, ...], at_once: int) -> None:
    """On the caller's own thread, which is the one that signals interrupt."""
    done: list[tuple[PlanId, bool]] = []

    def work(plan_id: PlanId) -> None:
        done.append((plan_id, threading.current_thread() is threading.main_thread()))

    for number, (_, result) in enumerate(results(work, ids, at_once), 1):
        result()
        assert done == [(each, True) for each in ids[:number]]


def test_whoever_leaves_early_waits_for_what_has_begun() -> None:
    """And nothing more is begun."""
    begun, ended = set(), set()
    go_on = threading.Event()

    def work(plan_id: PlanId) -> None:
        begun.add(plan_id)
        if plan_id != IDS[0]:
            assert go_on.wait(SECONDS)
        ended.add(plan_id)

    found = results(work, IDS, 4)
    next(found)[1]()
    threading.Timer(0.05, go_on.set).start()
    found.close()
    assert begun == ended
    assert len(begun) < len(IDS)


def test_without_threads_to_be_had_it_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mock: root has no limit of its own that could be set here."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    assert [result() for _, result in results(str, IDS, 4)] == list(IDS)
