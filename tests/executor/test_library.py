"""``import podwire``: the words of the command line as functions, on a real pod."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import podwire
from executor.cli.commands import COMMANDS
from tests.support import MakeNamespace
from tests.support.dumps import difference, dump
from tests.support.pods import Pod, plain

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pod(netns: MakeNamespace) -> Pod:
    """Make a pod with one interface, 10.1.90.5/24 on eth0."""
    return plain(netns("host"), netns("pod"))


@pytest.fixture
def settings(tmp_path: Path) -> podwire.Settings:
    """Work with a state directory of the test's own."""
    return podwire.Settings(podwire.StateStore(tmp_path / "state"))


def test_a_pod_is_wired_and_rolled_back(pod: Pod, settings: podwire.Settings) -> None:
    """Each function returns what its command prints, as a value; afterwards the namespace is as it was."""
    before, name = dump(pod.inside), pod.inside.name
    plan = podwire.plan(pod.result, name, settings=settings)
    assert podwire.apply(plan, settings=settings).what == "wired"
    assert [(wiring.id, wiring.state) for wiring in podwire.list(settings=settings)] == [(name, "wired")]
    assert podwire.plan(pod.result, name, settings=settings).changes == ()
    assert podwire.check(name, settings=settings).plan.changes == ()
    assert podwire.recover(name, settings=settings).what == "nothing"
    assert podwire.confirm(name, settings=settings) is False
    assert podwire.gc(settings=settings) == ()
    assert podwire.teardown(name, settings=settings).what == "restored"
    assert len(podwire.log(name, settings=settings)) > len(plan.commands)
    assert podwire.list(settings=settings) == ()
    assert difference(before, dump(pod.inside)) == ""


def test_a_result_may_be_text_or_a_value(pod: Pod, settings: podwire.Settings) -> None:
    """They are the same, and so is the plan but for what is random in it."""
    text = json.dumps(pod.result)
    plans = [podwire.plan(given, pod.inside.name, settings=settings) for given in (pod.result, text, text.encode())]
    plans.append(podwire.plan(plans[0].result, str(pod.inside.path), settings=settings))
    assert {plan.id for plan in plans} == {pod.inside.name}
    assert len({tuple(str(change.resource) for change in plan.changes) for plan in plans}) == 1


def test_what_drifted_is_repaired(pod: Pod, settings: podwire.Settings) -> None:
    """By check's own plan."""
    name = pod.inside.name
    podwire.apply(podwire.plan(pod.result, name, settings=settings), settings=settings)
    pod.inside.ip("link set dev tap0 down")
    assert [str(change.resource) for change in podwire.check(name, settings=settings).plan.changes] != []
    assert podwire.repair(name, settings=settings).what == "repaired"
    assert podwire.check(name, settings=settings).plan.changes == ()


def test_it_plans_from_captured_facts_on_another_machine(pod: Pod, settings: podwire.Settings) -> None:
    """The document of a plan is a plan again, and is shown as the command shows it."""
    facts = podwire.facts(pod.inside.name)
    plan = podwire.plan(pod.result, "elsewhere", id="vm1", facts=facts, settings=settings)
    assert (plan.id, plan.netns) == ("vm1", "/run/netns/elsewhere")
    assert podwire.parse_plan(podwire.show(plan, "json")) == plan
    assert "+ tap0" in podwire.show(plan)
    assert podwire.show(plan.reverse(), "commands").splitlines() != podwire.show(plan, "commands").splitlines()
    for form in ("script", "markdown", "html", "svg"):
        assert podwire.show(plan, form)


def test_what_is_wrong_is_one_error_with_a_sentence(pod: Pod, settings: podwire.Settings) -> None:
    """Whoever catches ``PodwireError`` has caught all."""

    def text_of(word: Any, *arguments: Any) -> str:
        with pytest.raises(podwire.PodwireError) as caught:
            word(*arguments)
        return str(caught.value)

    plan = podwire.plan(pod.result, pod.inside.name, settings=settings)
    assert text_of(podwire.plan, "{", pod.inside.name).startswith("result")
    assert text_of(podwire.facts, "no such namespace").startswith("netns: ")
    assert "podw1re" in text_of(podwire.facts, "podw1re")
    assert text_of(podwire.show, plan, "gif").startswith("format: 'gif' is not one of text, ")
    assert text_of(podwire.parse_plan, "{}") == "plan: this is not a plan that podwire wrote"
    with pytest.raises(podwire.InvalidInput, match=r"never wired here"):
        podwire.teardown("pod9", settings=settings)


def test_every_command_has_its_function() -> None:
    """But what is for shells, VMMs and init systems; what is public is what ``dir`` shows, and it is all there."""
    assert set(podwire.__all__) >= {*COMMANDS} - {"agent", "completion", "exec", "taps"}
    assert set(podwire.__all__) <= set(dir(podwire))
    for name in dir(podwire):
        assert getattr(podwire, name) is not None, name


def test_importing_it_loads_no_third_party() -> None:
    """That is for whoever uses it."""
    code = "import sys, podwire; print(sorted({'attr', 'jinja2', 'sh', 'planner', 'executor'} & set(sys.modules)))"
    words = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("given", [Path("r.json"), None, 7, {"ips": Path("x")}, [None]], ids=repr)
def test_what_is_no_result_is_refused_in_a_sentence(settings: podwire.Settings, given: Any) -> None:
    """As everything is that is of another type than it should be."""
    with pytest.raises(podwire.InvalidInput, match=r"^result: "):
        podwire.plan(given, "pod1", settings=settings)


def test_arguments_of_other_types_are_refused_in_a_sentence(pod: Pod, settings: podwire.Settings) -> None:
    """Each is named."""
    wrong: Any = Path("pod1")
    for call, what in (
        (lambda: podwire.plan(pod.result, wrong, settings=settings), "netns: text is wanted, not "),
        (lambda: podwire.plan(pod.result, "pod1", id=wrong, settings=settings), "id: text"),
        (lambda: podwire.facts(wrong, settings=settings), "netns: text"),
        (lambda: podwire.teardown(wrong, settings=settings), "id: text"),
        (lambda: podwire.apply(wrong, settings=settings), "plan: a Plan is wanted"),
        (lambda: podwire.show(wrong), "plan: a Plan"),
        (lambda: podwire.guest(wrong, settings=settings), "plan: a Plan"),
        (lambda: podwire.list(settings=wrong), "settings: a Settings"),
    ):
        with pytest.raises(podwire.InvalidInput, match=rf"^{what}"):
            call()


def test_what_the_machine_has_run_out_of_is_a_sentence(pod: Pod, settings: podwire.Settings) -> None:
    """Not an OSError, of which callers know nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    podwire.plan(pod.result, pod.inside.name, settings=settings)  # so that all is loaded
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        with pytest.raises(podwire.PodwireError):
            podwire.plan(pod.result, pod.inside.name, settings=settings)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_descriptors() -> set[str]:
    """Return the numbers of what is open in this process, but for the one that looks."""
    return {path.name for path in Path("/proc/self/fd").iterdir() if path.exists()}


HANDED = {
    "nothing": (b"", 0),
    "no JSON": (b"{", 1),
    "no list": (b"7", 1),
    "no queues": (b'[{"tap": "tap0"}]', 1),
    "too few": (b'[{"queues": 2}]', 1),
    "too many": (b'[{"queues": 1}]', 2),
}


@pytest.mark.parametrize(("data", "count"), HANDED.values(), ids=HANDED)
def test_taps_that_are_not_handed_over_are_a_sentence(tmp_path: Path, data: bytes, count: int) -> None:
    """And nothing that came stays open."""
    path, before = str(tmp_path / "taps"), open_descriptors()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()

        def hand_over() -> None:
            connection, _ = listener.accept()
            with connection:
                if data:
                    socket.send_fds(connection, [data], [0] * count)

        thread = threading.Thread(target=hand_over)
        thread.start()
        with pytest.raises(podwire.HostError, match=r"^no taps are handed over at"):
            podwire.receive_taps(path)
        thread.join()
    assert open_descriptors() == before
    with pytest.raises(podwire.HostError, match=r"No such file or directory$"):
        podwire.receive_taps(str(tmp_path / "none"))
