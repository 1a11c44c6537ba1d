"""facts, plan and show: they look, and touch nothing."""

from __future__ import annotations

import copy
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import MakeNamespace, run
from tests.support.cli import Cli, tree
from tests.support.dumps import difference, dump
from tests.support.pods import Pod, dual_stack

# An ordinary user, but one who may read every file: Python itself may be installed if only root can look.
ONLY_READ = "-all,+dac_read_search"
NOBODY = ("--reuid", "65534", "--regid", "65534", "--clear-groups")
NO_RIGHTS = ("--inh-caps", ONLY_READ, "--ambient-caps", ONLY_READ, "--bounding-set", ONLY_READ)


@pytest.fixture
def nobody() -> tuple[str, ...]:
    """Return the words that run a program as an ordinary user; skip if there is no other user than root."""
    words = (shutil.which("setpriv") or "setpriv", *NOBODY, *NO_RIGHTS)
    if run([*words, "true"], check=False).rc != 0:
        pytest.skip("in this user namespace root is the only user")
    return words


@contextmanager
def untouched(pod: Pod, cli: Cli) -> Iterator[None]:
    """See that the pod and the state directory are in the end what they were."""
    before, state = dump(pod.inside), tree(cli.state_dir)
    yield
    assert difference(before, dump(pod.inside)) == ""
    assert tree(cli.state_dir) == state


def test_facts_are_json_that_names_what_is_there(cli: Cli, pod: Pod) -> None:
    """Links, addresses and routes of the namespace."""
    with untouched(pod, cli):
        facts = json.loads(cli.ok("facts", "--netns", pod.inside.name))
    assert [link["name"] for link in facts["links"]] == ["lo", "eth0"]
    assert "10.1.90.5/24" in [fact["resource"]["address"] for fact in facts["addresses"]]
    assert "10.1.90.1" in [hop.get("via") for fact in facts["routes"] for hop in fact["resource"]["nexthops"]]


@pytest.mark.parametrize("form", [["--json"], ["--format", "json"], []], ids=" ".join)
def test_facts_know_one_format(cli: Cli, pod: Pod, form: list[str]) -> None:
    """Which is JSON, asked for or not."""
    assert json.loads(cli.ok("facts", "--netns", pod.inside.name, *form))["version"] == 1


def test_a_plan_is_a_preview_and_touches_nothing(cli: Cli, pod: Pod, result: Path) -> None:
    """What appears, changes and goes; the commands, numbered; what the VM gets; the totals."""
    with untouched(pod, cli):
        text = cli.ok("plan", "--result", result, "--netns", pod.inside.name)
    lines = text.splitlines()
    assert lines[0] == f"podwire plan {pod.inside.name} · {pod.inside.path} · bridge wiring"
    assert any(line.startswith("  - eth0") and "address 10.1.90.5/24" in line for line in lines)
    assert any(line.startswith("  + tap0") for line in lines)
    assert any(line.startswith("  ~ eth0") and "master none → br0" in line for line in lines)
    assert f"  in {pod.inside.path}" in lines
    assert any(line.startswith("    1  ") for line in lines)
    assert "the VM opens tap0 with mac 0a:58:0a:01:5a:05" in text
    assert "to roll it back" in lines[-1]


def test_a_namespace_can_be_named_in_three_ways(cli: Cli, pod: Pod, result: Path) -> None:
    """By its name, by its path, and by a process that is in it; that needs an id."""
    name, path = pod.inside.name, str(pod.inside.path)
    assert cli.json("plan", "--result", result, "--netns", name)["netns"] == path
    assert cli.json("plan", "--result", result, "--netns", path)["id"] == name
    by_process = f"/proc/{os.getpid()}/ns/net"
    assert "--id" in cli.refused("plan", "--result", result, "--netns", by_process)
    refusal = cli.refused("plan", "--result", result, "--netns", by_process, "--id", "pod")
    assert "is the host's own network namespace" in refusal


def test_the_result_may_come_through_a_pipe(cli: Cli, pod: Pod, result: Path) -> None:
    """On standard input, or as a process substitution of the shell."""
    assert cli.json("plan", "--result", "-", "--netns", pod.inside.name, stdin=json.dumps(pod.result))["changes"]
    through = ("bash", "-c", f'"$@" --result <(cat {result})', "bash")
    outcome = cli.run("plan", "--netns", pod.inside.name, through=through)
    assert (outcome.rc, outcome.err) == (0, "")


def test_a_plan_has_what_the_contract_names(cli: Cli, pod: Pod, result: Path) -> None:
    """The keys of the document, of a change and of a command."""
    plan = cli.json("plan", "--result", result, "--netns", pod.inside.name, "--id", "vm-7")
    wanted = "version id netns result options facts_digest interfaces changes commands reverse_commands checksum"
    assert set(wanted.split()) <= plan.keys()
    assert (plan["id"], plan["netns"]) == ("vm-7", str(pod.inside.path))
    assert {"resource", "before", "after", "reason", "netns"} == plan["changes"][0].keys()
    for command in plan["commands"] + plan["reverse_commands"]:
        assert {"argv", "netns", "stdin", "changes"} == command.keys()
        assert all(0 <= index < len(plan["changes"]) for index in command["changes"])
    interface = plan["interfaces"][0]
    assert (interface["type"], interface["name"], interface["mac"]) == ("tap", "tap0", "0a:58:0a:01:5a:05")


def test_options_of_the_tap_and_the_bridge_stand_in_the_plan(cli: Cli, pod: Pod, result: Path) -> None:
    """WiringTag and group, queues, vnet header, the bridge's address; without a length that is a /24."""
    options = ("--tap-owner", "1000:1001", "--tap-queues", "4", "--tap-vnet-hdr", "--dhcp-address", "169.254.7.2")
    commands = cli.ok("plan", "--result", result, "--netns", pod.inside.name, *options, "--format", "commands")
    assert "ip tuntap add dev tap0 mode tap user 1000 group 1001 multi_queue vnet_hdr" in commands
    assert "ip addr add 169.254.7.2/24 dev br0" in commands


def test_detailed_exitcode_tells_whether_there_are_changes(cli: Cli, pod: Pod, result: Path) -> None:
    """2 if there are, 0 if the namespace is already wired, and without the option always 0."""
    arguments = ("plan", "--result", result, "--netns", pod.inside.name)
    assert cli.run(*arguments, "--detailed-exitcode").rc == 2
    assert cli.run(*arguments).rc == 0
    cli.ok("apply", *arguments[1:], "--yes")
    assert cli.run(*arguments, "--detailed-exitcode").rc == 0


def test_planning_twice_is_planning_once(cli: Cli, pod: Pod, result: Path) -> None:
    """On a namespace that is wired as wanted nothing is to be done, in any format."""
    arguments = ("plan", "--result", result, "--netns", pod.inside.name)
    cli.ok("apply", *arguments[1:], "--yes")
    assert "nothing to do" in cli.ok(*arguments)
    assert cli.ok(*arguments, "--format", "commands") == ""
    assert cli.json(*arguments)["changes"] == []
    again = cli.refused(*arguments, "--tap-queues", "2")
    assert "other options" in again
    assert f"podwire teardown {pod.inside.name}" in again


def test_a_stored_plan_is_for_its_owner_only(cli: Cli, pod: Pod, result: Path) -> None:
    """Mode 0600, even if a plan was there and open to all, or a file with nothing in it; the preview is printed too."""
    file = cli.file("pod.plan", "")
    for _ in range(2):
        file.chmod(0o666)
        text = cli.ok("plan", "--result", result, "--netns", pod.inside.name, "-o", file)
        assert "bridge wiring" in text
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    cli.ok("plan", "--result", result, "--netns", pod.inside.name, "--output", cli.folder / "new.plan")
    assert stat.S_IMODE((cli.folder / "new.plan").stat().st_mode) == 0o600
    assert text.startswith(cli.ok("show", file))


def test_a_plan_takes_the_place_of_nothing_but_a_plan(cli: Cli, pod: Pod, result: Path) -> None:
    """What it is made from may be the only copy; a word that other commands take for a format is no file."""
    facts = cli.file("facts.json", cli.ok("facts", "--netns", pod.inside.name))
    words = ("plan", "--result", result, "--netns", pod.inside.name, "--facts", facts, "-o")
    before = tree(cli.folder)
    for kept in (result, facts, cli.file("notes", "what was said")):
        before[kept.name] = kept.read_bytes()
        said = f"the plan '{kept}' is not written: the file exists and is not a plan; remove it, or choose another name"
        assert cli.refused(*words, kept) == said
    assert cli.refused(*words, "json").startswith("-o: json is a format: use --format json")
    assert cli.refused(*words, "") == "-o: the name of the file is empty"
    assert tree(cli.folder) == before
    assert not Path("json").exists()


def test_show_needs_nothing_but_the_file(
    cli: Cli, netns: MakeNamespace, tmp_path: Path, nobody: tuple[str, ...]
) -> None:
    """No root, no namespace; every format, forwards and back; also from standard input."""
    pod = dual_stack(netns("host"), netns("pod"))
    file = tmp_path / "pod.plan"
    stored = cli.json("plan", "--result", cli.result_of(pod), "--netns", pod.inside.name, "-o", file)
    pod.inside.delete()

    def show(*words: str) -> str:
        outcome = cli.run("show", *words, through=nobody)
        assert (outcome.rc, outcome.err) == (0, "")
        return outcome.out

    assert json.loads(show(str(file), "--json")) == stored
    assert "teardown" in show(str(file), "--reverse").splitlines()[0]
    assert show(str(file), "--format", "script").startswith("#!/usr/bin/env bash\n")
    reverse = json.loads(show(str(file), "--reverse", "--json"))
    assert reverse["commands"] == stored["reverse_commands"]
    assert reverse["reverse_commands"] == stored["commands"]
    assert cli.ok("show", "-", stdin=file.read_text()) == show(str(file))


def test_a_plan_from_captured_facts_needs_neither_root_nor_the_namespace(
    cli: Cli, pod: Pod, result: Path, nobody: tuple[str, ...]
) -> None:
    """What it plans off the host is what it plans there, less what is random."""
    facts = cli.file("facts.json", cli.ok("facts", "--netns", pod.inside.name))
    here = cli.json("plan", "--result", result, "--netns", pod.inside.name)
    pod.inside.delete()
    arguments = ("plan", "--result", result, "--netns", pod.inside.name, "--facts", facts)
    outcome = cli.run(*arguments, "--json", env={"PATH": "/nonexistent"}, through=nobody)
    assert (outcome.rc, outcome.err) == (0, "")
    there = json.loads(outcome.out)
    assert there["facts_digest"] == here["facts_digest"]
    assert [change["resource"] for change in there["changes"]] == [change["resource"] for change in here["changes"]]
    assert len(there["commands"]) == len(here["commands"])


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("facts --netns {netns}", id="facts"),
        pytest.param("plan --result {result} --netns {netns}", id="plan"),
        pytest.param("apply --result {result} --netns {netns} --yes", id="apply"),
        pytest.param("teardown pod1 --yes", id="teardown"),
        pytest.param("list", id="list"),
        pytest.param("log", id="log"),
        pytest.param("recover", id="recover"),
    ],
)
def test_whatever_looks_into_a_namespace_needs_root(
    cli: Cli, pod: Pod, result: Path, nobody: tuple[str, ...], words: str
) -> None:
    """Said in the first place, and nothing is changed."""
    filled = [word.format(netns=pod.inside.name, result=result) for word in words.split()]
    with untouched(pod, cli):
        assert cli.refused(*filled, through=nobody).startswith(("this needs root: ", "root is required to "))


def test_a_wiring_is_chosen_by_its_name(cli: Cli, pod: Pod, result: Path) -> None:
    """The bridge is the default; what there is not is refused, with what there is, and completion knows it too."""
    words = ("plan", "--result", result, "--netns", pod.inside.name, "--wiring")
    with untouched(pod, cli):
        assert cli.json(*words, "bridge")["options"] == {}
        assert "wiring: 'teleport' is not one of bridge" in cli.refused(*words, "teleport")
        assert "bridge" in cli.ok("complete", "--", "plan", "--wiring", "").splitlines()


def test_a_pod_of_two_networks_has_two_results(cli: Cli, pod: Pod, result: Path) -> None:
    """Each is the answer of a plugin of its own; together they are one wiring, applied, known again and rolled back."""
    before = copy.deepcopy(pod.result)
    pod.add_veth("net1", mac="0a:58:0a:01:5b:05", host_mac="0a:58:0a:01:5b:01")
    pod.add_address("10.1.91.5/24", link="net1")
    second = copy.deepcopy(pod.result)
    index = next(index for index, link in enumerate(second["interfaces"]) if link["name"] == "net1")
    second |= {
        "interfaces": [second["interfaces"][index]],
        "ips": [ip | {"interface": 0} for ip in second["ips"] if ip["interface"] == index],
        "routes": [],
    }
    cached = {"kind": "cniCacheV1", "ifName": "net1", "result": second}
    words = ("--result", result, "--result", cli.file("net1.json", json.dumps(cached)), "--netns", pod.inside.name)
    assert before == json.loads(result.read_text())
    plan = cli.json("plan", *words)
    assert [(each["link"], each["name"]) for each in plan["interfaces"]] == [("eth0", "tap0"), ("net1", "tap1")]
    untouched = dump(pod.inside)
    cli.ok("apply", *words, "--yes")
    assert "nothing to do" in cli.ok("apply", *words, "--yes")
    cli.ok("teardown", pod.inside.name, "--yes")
    assert difference(untouched, dump(pod.inside)) == ""
    assert "eth0 appears in several results" in cli.refused(
        "plan", "--result", result, "--result", result, "--netns", pod.inside.name
    )
    assert "standard input can be used only once" in cli.refused(
        "plan", "--result", "-", "--result", "-", "--netns", pod.inside.name, stdin="{}"
    )
