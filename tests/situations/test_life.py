"""Situations 12 to 17: what is there already, what is gone, who is at it too, and what is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.support import MakeNamespace, Namespace, eventually
from tests.support.cli import Cli, ended, sentence_of
from tests.support.dumps import difference, dump, unchanged
from tests.support.frames import arp_request
from tests.support.pods import Pod, one_link
from tests.support.ports import Port
from tests.support.processes import started

# --- 12 ---------------------------------------------------------------------------------------------------------------

FOREIGN = {
    "br0": "link add name br0 type bridge",
    "tap0": "tuntap add dev tap0 mode tap",
    "br0 that is no bridge": "link add br0 type veth peer name other",
    "tap0 as another name of lo": "link property add dev lo altname tap0",
}


@pytest.mark.parametrize("line", FOREIGN.values(), ids=FOREIGN)
def test_12_a_name_that_is_taken(pod: Pod, cli: Cli, line: str) -> None:
    """By a link that isn't ours: it is left as it is, and the next number is taken."""
    pod.inside.ip(line)
    with cli.wired(pod) as network:
        assert [(one["name"], one["bridge"]) for one in network["interfaces"]] == [("tap1", "br1")]


def test_12_the_pod_s_own_link_is_called_tap0(netns: MakeNamespace, cli: Cli) -> None:
    """As slirp4netns and pasta call it."""
    pod = one_link("tap0")(netns("host"), netns("pod"))
    with cli.wired(pod) as network:
        assert [(one["link"], one["name"], one["bridge"]) for one in network["interfaces"]] == [("tap0", "tap1", "br1")]


def test_12_a_tap_that_is_not_open_yet_is_wired_and_said(netns: MakeNamespace, cli: Cli) -> None:
    """RootlessKit makes it before slirp4netns opens it; nobody else is named as its owner."""
    host, inside = netns("host"), netns("pod")
    pod = Pod.between(host, inside)
    inside.ip("tuntap add tap0 mode tap")
    inside.ip("link set tap0 up")
    inside.ip("addr add 10.0.2.100/24 dev tap0")
    interfaces = [{"name": "tap0", "sandbox": str(inside.path)}]
    ips = [{"interface": 0, "address": "10.0.2.100/24", "gateway": "10.0.2.2"}]
    whole = Pod(host, inside, pod.result | {"interfaces": interfaces, "ips": ips, "routes": [{"dst": "0.0.0.0/0"}]})
    assert "tap0 is a tap that no program has open" in cli.ok("plan", *cli.wiring(whole))
    with cli.wired(whole) as network:
        assert [(one["link"], one["name"], one["bridge"]) for one in network["interfaces"]] == [("tap0", "tap1", "br1")]


def test_12_names_and_the_guest_s_hardware_as_asked_for(pod: Pod, cli: Cli) -> None:
    """The guest's frames pass with its own MAC; what can't be is refused with the option that is wrong."""
    mac = "02:00:5e:00:00:01"
    options = ("--tap-name", "vm0", "--bridge-name", "lan0", "--guest-mac", mac, "--guest-mtu", "1400")
    with cli.wired(pod, *options) as network, Port.on_tap(pod.inside, "vm0") as vm:
        (one,) = network["interfaces"]
        assert (one["name"], one["bridge"], one["mac"], one["mtu"]) == ("vm0", "lan0", mac, 1400)
        vm.send(arp_request(mac, "10.1.90.5", "10.1.90.1"))
        assert vm.receive(lambda frame: str(frame).startswith("ARP 10.1.90.1 is at ")).dst == mac
    for option, value, sentence in (
        ("--tap-name", "eth0", "--tap-name: eth0 is already the name of a link"),
        ("--tap-name", "a b", "--tap-name: 'a b' is not an interface name"),
        ("--guest-mac", "01:00:5e:00:00:01", "--guest-mac: 01:00:5e:00:00:01 is not a unicast address"),
        ("--guest-mtu", "1501", "--guest-mtu: 1501 is more than the 1500 of eth0"),
        ("--guest-mtu", "67", "--guest-mtu: '67' is not a number from 68 to 65535"),
    ):
        assert cli.refused("plan", *cli.wiring(pod), option, value).startswith(sentence)


def test_12_ours_is_wired_as_wanted(pod: Pod, cli: Cli) -> None:
    """Nothing to do, said by plan and by apply."""
    cli.apply(pod)
    with unchanged(pod.inside):
        assert cli.ok("apply", *cli.wiring(pod)) == f"{pod.inside.name} is already wired as requested: nothing to do\n"
        assert cli.run("plan", *cli.wiring(pod), "--detailed-exitcode").rc == 0
        assert cli.plan(pod)["commands"] == []


def test_12_ours_with_other_options(pod: Pod, cli: Cli) -> None:
    """Refused by its id, with what to do first."""
    cli.apply(pod)
    name = pod.inside.name
    assert cli.refused("plan", *cli.wiring(pod), "--tap-queues", "2") == (
        f"{name} is already wired with other options: tear it down first (podwire teardown {name})"
    )


def test_12_ours_without_its_state(pod: Pod, cli: Cli, tmp_path: Path) -> None:
    """The alias says whose it is; how it was before can't be known, so it is refused."""
    cli.apply(pod)
    (tmp_path / "elsewhere").mkdir()
    elsewhere = evolve(cli, folder=tmp_path / "elsewhere")
    with unchanged(pod.inside):
        sentence = elsewhere.refused("apply", *elsewhere.wiring(pod), "--yes")
    assert sentence.startswith("br0 was created by podwire ")
    assert f"podwire:{pod.inside.name}" in sentence
    assert "--state-dir" in sentence


# --- 13 ---------------------------------------------------------------------------------------------------------------


def results(pod: Pod) -> dict[str, tuple[dict[str, Any], str]]:
    """Return results that don't fit the pod, and what is said of each."""
    there, ip = pod.result["interfaces"][0], pod.result["ips"][0]
    outside = {"name": "veth1234", "mac": "02:00:00:00:00:01"}
    no_ip = "result: it has no IP address and names no link in the namespace, so there is nothing to give to the VM"
    return {
        "an interface that is gone": (
            pod.result | {"interfaces": [there, there | {"name": "net1"}]},
            "result.interfaces: net1 is not in the namespace",
        ),
        "an address that is gone": (
            pod.result | {"ips": [ip, {"address": "10.1.91.5/24", "interface": 0}]},
            "result.ips[1].address: no link of the namespace carries 10.1.91.5/24 (eth0 has 10.1.90.5/24)",
        ),
        "an empty result": (
            {"cniVersion": "1.0.0"},
            "result: this is not a CNI result: it has none of ips, ip4, ip6 and interfaces",
        ),
        "a result with nothing in it": ({"cniVersion": "1.0.0", "interfaces": [], "ips": []}, no_ip),
        "interfaces on the host only": ({"cniVersion": "1.0.0", "interfaces": [outside]}, no_ip),
    }


@pytest.mark.parametrize(
    "case",
    [
        "an interface that is gone",
        "an address that is gone",
        "an empty result",
        "a result with nothing in it",
        "interfaces on the host only",
    ],
)
def test_13_a_result_that_does_not_fit(pod: Pod, cli: Cli, case: str) -> None:
    """One sentence that says where in the result, and nothing is changed."""
    result, expected = results(pod)[case]
    with unchanged(pod.inside):
        assert cli.refused("apply", *cli.wiring(Pod(pod.host, pod.inside, result)), "--yes") == expected


def test_13_an_address_without_its_interface(pod: Pod, cli: Cli) -> None:
    """A result that knows interfaces on the host only, but an address: the link that carries it is found."""
    outside = {"name": "veth1234", "mac": "02:00:00:00:00:01"}
    result = {"cniVersion": "1.0.0", "interfaces": [outside], "ips": [{"address": "10.1.90.5/24"}]}
    with cli.wired(Pod(pod.host, pod.inside, result)) as wired:
        assert [(entry["name"], entry["link"]) for entry in wired["interfaces"]] == [("tap0", "eth0")]


def test_13_a_namespace_that_is_gone(pod: Pod, cli: Cli) -> None:
    """By its name or by a process that has ended."""
    wiring = cli.wiring(pod)
    pod.inside.delete()
    assert cli.refused("apply", *wiring, "--yes") == f"there is no network namespace at {pod.inside.path}"
    with subprocess.Popen(["true"]) as process:
        process.wait()
    path = f"/proc/{process.pid}/ns/net"
    sentence = cli.refused("plan", *wiring[:2], "--netns", path, "--id", "x")
    assert sentence == f"there is no network namespace at {path}"


# --- 14 ---------------------------------------------------------------------------------------------------------------


def stored_plan(cli: Cli, pod: Pod) -> Path:
    """Plan, and return the file."""
    path = cli.folder / "plan.json"
    cli.ok("plan", *cli.wiring(pod), "-o", path)
    return path


def test_14_gone_between_plan_and_apply(pod: Pod, cli: Cli) -> None:
    """Refused; and no state is kept of it."""
    plan = stored_plan(cli, pod)
    pod.inside.delete()
    assert cli.refused("apply", plan, "--yes") == f"there is no network namespace at {pod.inside.path}"
    assert cli.json("list") == []


def test_14_another_one_between_plan_and_apply(pod: Pod, cli: Cli) -> None:
    """Of the same name, but not what the plan was made from: stale, and it is left alone."""
    plan = stored_plan(cli, pod)
    pod.inside.delete()
    another = Namespace.create(pod.inside.name)
    with unchanged(another):
        sentence = cli.refused("apply", plan, "--yes")
    assert sentence.startswith("the plan is stale: ")
    assert sentence.endswith("; create a new plan")


@pytest.mark.parametrize("again", [False, True], ids=["gone", "another in its place"])
def test_14_gone_between_apply_and_teardown(pod: Pod, cli: Cli, *, again: bool) -> None:
    """Teardown is done: nothing is left to roll back, and what has the name now is none of its business."""
    cli.apply(pod)
    pod.inside.delete()
    name = pod.inside.name
    assert [entry["state"] for entry in cli.json("list")] == ["gone"]
    if again:
        Namespace.create(name).ip("link set lo up")
    assert cli.ok("teardown", name, "--yes") == f"{name}: its namespace is gone, so nothing is left to roll back\n"
    assert cli.json("list") == []
    assert cli.ok("teardown", name, "--yes") == f"{name}: already torn down\n"
    if again:
        assert "LOOPBACK,UP" in Namespace(name).ip("link show dev lo")


# --- 15 ---------------------------------------------------------------------------------------------------------------

VMM = """
import os, signal, sys
from pathlib import Path
from executor.netns.naming import resolve_netns
from executor.netns.namespace import Namespace
from executor.taps.open import open_tap
from planner.text.values import InterfaceName

Path("/proc/self/comm").write_text("a-vmm")
with Namespace.open(resolve_netns(sys.argv[1])) as namespace:
    held = open_tap(InterfaceName("tap0"), namespace=namespace)
print("ready", flush=True)
signal.pause()
"""


def vmm(pod: Pod) -> AbstractContextManager[subprocess.Popen[str]]:
    """Run a process that holds tap0 as a VMM does, on the host's side; at the end it is killed."""
    root = Path(__file__).resolve().parents[2]
    argv = [sys.executable, "-c", VMM, pod.inside.name]
    return started(argv, says="ready", env=os.environ | {"PYTHONPATH": str(root)})


def test_15_a_vmm_still_holds_the_tap_at_teardown(pod: Pod, cli: Cli) -> None:
    """The tap goes, since that was asked for; who has lost the network is named."""
    before = dump(pod.inside)
    cli.apply(pod)
    with vmm(pod) as process:
        text = cli.ok("teardown", pod.inside.name, "--yes")
        assert f"tap0 is open in process {process.pid} (a-vmm): it has lost its network" in text
        assert process.poll() is None
    assert difference(before, dump(pod.inside)) == ""


def test_15_a_vmm_died_and_left_the_tap(pod: Pod, cli: Cli) -> None:
    """It is ours, so there is nothing to do, and the next VMM opens it."""
    cli.apply(pod)
    with vmm(pod) as process:
        process.kill()
    assert "tap0" in pod.inside.ip("link show")
    assert cli.ok("apply", *cli.wiring(pod)).endswith("nothing to do\n")
    with vmm(pod):
        assert "LOWER_UP" in pod.inside.ip("link show dev tap0")


def test_15_wiring_again_after_a_vmm_died(pod: Pod, cli: Cli) -> None:
    """Teardown and apply, as a runtime does that starts again."""
    before = dump(pod.inside)
    cli.apply(pod)
    with vmm(pod) as process:
        process.kill()
    cli.teardown(pod)
    assert difference(before, dump(pod.inside)) == ""
    with cli.wired(pod), vmm(pod):
        pass


def test_15_a_tap_that_somebody_else_s_vmm_left(pod: Pod, cli: Cli) -> None:
    """Persistent, without our alias: nobody knows what it is for, so it is left alone, and ours gets another name."""
    pod.inside.ip("tuntap add dev tap0 mode tap")
    with cli.wired(pod) as network:
        assert [(one["link"], one["name"]) for one in network["interfaces"]] == [("eth0", "tap1")]
    assert "tap0" in pod.inside.ip("link show")


# --- 16 ---------------------------------------------------------------------------------------------------------------


def has_open(process: subprocess.Popen[str], namespace: Namespace) -> bool:
    """Say whether a process has the namespace open."""
    inode = namespace.path.stat().st_ino
    try:
        return any(
            entry.stat().st_ino == inode for entry in Path(f"/proc/{process.pid}/fd").iterdir() if entry.exists()
        )
    except OSError:
        return False  # one of them was closed while we looked


def lock(namespace: Namespace, seconds: int = 60) -> subprocess.Popen[str]:
    """Keep everybody out of a namespace, by a process called `sleep`."""
    argv = ["flock", "--exclusive", "--no-fork", str(namespace.lock_file), "sleep", str(seconds)]
    process = subprocess.Popen(argv, text=True)
    eventually(lambda: "lock:\t1: FLOCK" in _fdinfo(process), "the lock")
    return process


def _fdinfo(process: subprocess.Popen[str]) -> str:
    texts = []
    for entry in Path(f"/proc/{process.pid}/fdinfo").iterdir():
        try:
            texts.append(entry.read_text())
        except OSError:
            continue
    return "".join(texts)


@pytest.mark.parametrize("shared", [True, False], ids=["one state directory", "two"])
def test_16_two_applies_at_once(pod: Pod, cli: Cli, tmp_path: Path, *, shared: bool) -> None:
    """Both wait for the lock of the namespace; one wires, the other is refused, and one teardown is back."""
    before = dump(pod.inside)
    plan = stored_plan(cli, pod)
    other = cli if shared else evolve(cli, folder=tmp_path / "other")
    other.folder.mkdir(exist_ok=True)
    holder = lock(pod.inside)
    with cli.started("apply", plan, "--yes") as one, other.started("apply", plan, "--yes") as two:
        try:
            for process in (one, two):
                eventually(partial(has_open, process, pod.inside), "both waiting", seconds=15)
        finally:
            holder.kill()
            holder.wait()
        outcomes = [ended(process) for process in (one, two)]
    assert sorted(outcome.rc for outcome in outcomes) == [0, 1]
    (refused,) = (outcome for outcome in outcomes if outcome.rc == 1)
    sentence = sentence_of(refused)
    assert sentence.startswith((f"{pod.inside.name} is already wired: ", "the plan is stale: "))
    winner = cli if shared or outcomes[0].rc == 0 else other
    winner.teardown(pod)
    assert difference(before, dump(pod.inside)) == ""


def test_16_one_that_does_not_want_to_wait(pod: Pod, cli: Cli) -> None:
    """It is told who is at it, and nothing is changed."""
    holder = lock(pod.inside)
    try:
        with unchanged(pod.inside):
            sentence = cli.refused("apply", *cli.wiring(pod), "--yes", "--lock-timeout", "0")
    finally:
        holder.kill()
        holder.wait()
    assert sentence == (f"{pod.inside.path} is in use by process {holder.pid} (sleep); try again when it has finished")


# --- 17 ---------------------------------------------------------------------------------------------------------------

HIDE = 'empty=$1; shift; while [ "$1" != -- ]; do mount --bind "$empty" "$1" || exit 99; shift; done; shift; exec "$@"'


def without(cli: Cli, *programs: str) -> tuple[str | Path, ...]:
    """Return the command that runs another if these programs aren't installed: files that nobody can run."""
    empty = cli.file("empty", "")
    paths = {os.path.realpath(program if "/" in program else shutil.which(program) or "") for program in programs}
    return "unshare", "--mount", "sh", "-c", HIDE, "sh", empty, *sorted(paths), "--"


@pytest.mark.parametrize(
    ("program", "package"),
    [
        ("ip", "iproute2"),
        ("nsenter", "util-linux"),
        ("ebtables", "iptables"),
        ("sysctl", "procps"),
    ],
)
def test_17_a_program_that_is_missing(pod: Pod, cli: Cli, program: str, package: str) -> None:
    """Said before the first change, with the package that has it; `sysctl` only once there is something to set."""
    wiring = cli.wiring(pod)
    through = without(cli, program)
    with unchanged(pod.inside), cli.started("apply", *wiring, "--yes", through=through) as process:
        sentence = sentence_of(ended(process))
    assert sentence.startswith(f"the program {program}")
    assert sentence.endswith(f"is not installed: on Debian it comes with the package {package}")
    assert cli.json("list") == []


def test_17_without_tc(pod: Pod, cli: Cli) -> None:
    """It is needed by the wiring of that name only."""
    through, wiring = without(cli, "tc"), cli.wiring(pod)
    words = ("apply", *wiring, "--wiring", "tc", "--yes")
    with unchanged(pod.inside), cli.started(*words, through=through) as process:
        assert sentence_of(ended(process)).endswith("is not installed: on Debian it comes with the package iproute2")
    with cli.started("apply", *wiring, "--yes", through=through) as process:
        assert ended(process).rc == 0
    cli.teardown(pod)


def test_17_without_ebtables(pod: Pod, cli: Cli) -> None:
    """The wiring by tc needs none from its first command to its last, and neither does who looks at it."""
    before, name = dump(pod.inside), pod.inside.name
    wiring, through = cli.wiring(pod), without(cli, "ebtables-save", "ebtables-restore")
    lines = ("apply", *wiring, "--wiring", "tc", "--yes"), ("check", name), ("check", name, "--fix", "--yes")
    for words in (*lines, ("check", name), ("teardown", name, "--yes")):
        if "--fix" in words:
            pod.inside.ip("link set tap0 down")
        with cli.started(*words, through=through) as process:
            outcome = ended(process)
            assert (outcome.rc, outcome.err) == (0, ""), words
    assert difference(before, dump(pod.inside)) == ""


def test_17_without_nft(pod: Pod, cli: Cli) -> None:
    """It only tells which of ebtables' chains exist: without it there is a wiring all the same, and all comes back."""
    before = dump(pod.inside)
    wiring, through = cli.wiring(pod), without(cli, "nft")
    for words in (("apply", *wiring, "--yes"), ("teardown", pod.inside.name, "--yes")):
        with cli.started(*words, through=through) as process:
            outcome = ended(process)
            assert (outcome.rc, outcome.err) == (0, "")
    assert difference(before, dump(pod.inside)) == ""


def test_17_the_legacy_ebtables(pod: Pod, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its table is one for the whole machine and not seen by the nf_tables one: refused with what to select."""
    tools = cli.folder / "tools"
    tools.mkdir()
    (tools / "ebtables-legacy-save").write_text("#!/bin/sh\nexit 0\n")
    (tools / "ebtables-legacy-save").chmod(0o755)
    (tools / "ebtables-save").symlink_to("ebtables-legacy-save")
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    with unchanged(pod.inside):
        sentence = cli.refused("apply", *cli.wiring(pod), "--yes")
    assert sentence == (
        "this host's ebtables is the legacy one: select the nf_tables variant (update-alternatives --config ebtables)"
    )


def test_17_a_kernel_without_taps(pod: Pod, cli: Cli) -> None:
    """/dev/net/tun is no such device: said before the first change, with the module that makes it one."""
    wiring = cli.wiring(pod)
    through = without(cli, "/dev/net/tun")
    with unchanged(pod.inside), cli.started("apply", *wiring, "--yes", through=through) as process:
        sentence = sentence_of(ended(process))
    assert "/dev/net/tun" in sentence
    assert "modprobe tun" in sentence


def test_17_planning_off_the_host_needs_none_of_them(pod: Pod, cli: Cli) -> None:
    """With captured facts a plan takes neither programs nor the namespace."""
    facts = cli.file("facts.json", cli.json("facts", "--netns", pod.inside.name))
    wiring = cli.wiring(pod)
    pod.inside.delete()
    through = without(cli, "ip", "nsenter", "ebtables", "sysctl", "nft")
    with cli.started("plan", *wiring, "--facts", facts, "--json", through=through) as process:
        outcome = ended(process)
    assert (outcome.rc, outcome.err) == (0, "")
    assert json.loads(outcome.out)["interfaces"][0]["name"] == "tap0"
