"""What the verbs of podwire-cni do and answer: by the CNI specification, and for the result by Firecracker's SDK."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.netns.namespace import Namespace
from executor.taps.open import open_tap
from planner.text.values import InterfaceName, NetnsPath
from tests.cni.helpers_cni import BRIDGE, PLUGIN, Attached, attached, without
from tests.conformance.__main__ import cases, verdict
from tests.conformance.rules import Rule, supported_versions
from tests.conformance.trial import Conf, Subject, namespace
from tests.support.cni import complete, host_local
from tests.support.dumps import dump, lasting_difference
from tests.support.running import run

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
SUBJECT = Subject(PLUGIN, {"type": "podwire-cni"}, (BRIDGE,))


@pytest.mark.parametrize(
    ("rule", "version"), [pytest.param(*case, id=f"{case[0].name}-{case[1]}") for case in cases(VERSIONS)]
)
def test_it_keeps_every_rule(rule: Rule, version: str, way: dict[str, str]) -> None:
    """Of the conformance kit, in each version, whoever does the work."""
    said = verdict(rule, evolve(SUBJECT, env=way), version)
    assert not said.startswith("broken"), said


def test_version_reads_no_input() -> None:
    """A runtime may leave standard input open."""
    with subprocess.Popen(
        [PLUGIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"CNI_COMMAND": "VERSION"}
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.read())
    assert tuple(said["supportedVersions"]) == VERSIONS == supported_versions(SUBJECT)


# --- the result -------------------------------------------------------------------------------------------------------


def configuration_of_the_vm(result: Conf, container: str, netns: str) -> Conf:
    """Return what firecracker-go-sdk takes from a result (cni/vmconf, StaticNetworkConfFrom; cni/internal, VMTapPair).

    There is exactly one interface whose sandbox is the VM's id; exactly one other has its name, and is the tap. The
    VM's address is the one whose interface is the former.
    """
    interfaces = result["interfaces"]
    (index,) = (at for at, one in enumerate(interfaces) if one.get("sandbox") == container)
    vm = interfaces[index]
    (tap,) = (one for one in interfaces if one["name"] == vm["name"] and one.get("sandbox") != container)
    (address,) = (ip for ip in result["ips"] if ip.get("interface") == index)
    assert tap["sandbox"] == netns
    return {"tap": tap["name"], "mac": vm["mac"], "address": address["address"], "gateway": address["gateway"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_firecracker_reads_the_configuration_of_the_vm_from_the_result(version: str, tmp_path: Path) -> None:
    """Unchanged, as behind tc-redirect-tap."""
    with attached(tmp_path / "state", version=version) as pod:
        (eth0,) = (one for one in pod.previous["interfaces"] if one["name"] == "eth0")
        result = pod.add()
        vm = configuration_of_the_vm(result, pod.trial.pod.name, str(pod.trial.pod.path))
        assert vm == {"tap": "tap0", "mac": eth0["mac"], "address": "10.1.90.2/24", "gateway": "10.1.90.1"}
        link = json.loads(pod.trial.pod.ip("-j link show dev tap0"))[0]
        assert link["mtu"] == 1500
        (tap,) = (one for one in result["interfaces"] if one["name"] == "tap0" and one["sandbox"].startswith("/"))
        assert tap["mac"] == link["address"]
        assert ("mtu" in tap) == (version == "1.1.0")


def test_what_only_the_plugin_before_knows_is_handed_on(pod: Attached) -> None:
    """AWS's plugin notes in its result what its DEL needs, as an interface that is none."""
    note = {"name": "dummy0123456789a", "mac": "7", "sandbox": "3"}
    pod.previous["interfaces"].append(note)
    pod.previous["x-own"] = {"a": 1}
    result = pod.add()
    assert note in result["interfaces"]
    assert result["x-own"] == {"a": 1}
    assert [ip["interface"] for ip in result["ips"]] == [2, 5]


@pytest.mark.parametrize("nothing", [None, []], ids=["null", "empty"])
def test_a_result_that_lists_nothing_gets_the_vms_interfaces(pod: Attached, nothing: object) -> None:
    """A plugin that writes every key may write `null`; what is in the namespace is found all the same."""
    pod.previous.update(interfaces=nothing, routes=nothing)
    for ip in pod.previous["ips"]:
        del ip["interface"]
    result = pod.add()
    assert [one["name"] for one in result["interfaces"]] == ["tap0", "tap0"]
    assert result["ips"][-1]["interface"] == 1
    pod.previous.update(ips=None, interfaces=[{"name": "eth0", "sandbox": str(pod.trial.pod.path)}])
    pod.delete()
    assert [one["name"] for one in pod.add()["interfaces"]] == ["eth0", "tap0", "tap0"]


def test_the_neighbours_that_a_guest_needs_are_said(pod: Attached) -> None:
    """Behind AWS's plugin the gateway answers no ARP: the pod has a permanent entry."""
    pod.trial.pod.ip("neigh add 10.1.90.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent")
    (vm,) = (one for one in pod.add()["interfaces"] if one.get("sandbox") == pod.trial.pod.name)
    assert vm["neighbours"] == [{"address": "10.1.90.77", "lladdr": "02:00:00:00:00:77"}]


def test_both_families_are_said_of_the_vm(tmp_path: Path) -> None:
    """Each address once more, for the pseudo-interface."""
    dual: Conf = BRIDGE | {"ipam": host_local("10.1.90.0/24", "fd00:1:90::/64", routes=("0.0.0.0/0", "::/0"))}
    with attached(tmp_path / "state", before=(dual,)) as pod:
        result = pod.add()
        own = [ip["address"] for ip in result["ips"] if result["interfaces"][ip["interface"]]["name"] == "tap0"]
        assert own == [ip["address"] for ip in pod.previous["ips"]]
        assert len(own) == 2


def test_a_repeated_add_answers_as_the_first_did(pod: Attached) -> None:
    """A runtime that missed the answer asks again."""
    assert pod.add() == pod.add()


def test_add_abandons_nothing(pod: Attached) -> None:
    """What a DEL could not roll back yet is kept: the namespace stays, and so does what is known of it."""
    pod.add()
    pod.trial.pod.ip("link set eth0 down")
    assert pod.trial.delete().document()["code"] == 11
    answer = pod.trial.call("ADD", pod.conf())
    assert answer.document()["code"] == 11, answer
    pod.trial.pod.ip("link set eth0 up")
    state = ("--state-dir", str(pod.state))
    run([sys.executable, "-m", "executor", "recover", *state], env=dict(os.environ))
    assert pod.left() == ""


def test_another_configuration_for_the_same_attachment_is_refused(pod: Attached) -> None:
    """Nothing is changed under a VM that may run."""
    pod.add()
    answer = pod.trial.call("ADD", pod.conf(tapOwner=1000))
    assert answer.document()["code"] == 100
    assert "other options" in answer.document()["msg"]


def test_the_keys_of_the_configuration_reach_the_tap(pod: Attached) -> None:
    """`tapOwner`, `tapGroup`, `queues`, `vnetHdr`."""
    pod.add(tapOwner=54321, tapGroup=54322, queues=4, vnetHdr=True)
    found = json.loads(pod.trial.pod.ip("-j -d link show dev tap0"))[0]["linkinfo"]["info_data"]
    assert (str(found["user"]), str(found["group"])) == ("54321", "54322")
    assert found["multi_queue"]
    assert found["vnet_hdr"]


def test_the_arguments_of_tc_redirect_tap_are_understood(pod: Attached) -> None:
    """Whoever calls that one passes them in CNI_ARGS; they go before the configuration."""
    args = "IgnoreUnknown=true;TC_REDIRECT_TAP_NAME=vmtap;TC_REDIRECT_TAP_UID=54321;TC_REDIRECT_TAP_GID=54322"
    answer = pod.trial.call("ADD", pod.conf(tapName="other"), env={"CNI_ARGS": args})
    assert answer.ok, answer
    found = json.loads(pod.trial.pod.ip("-j -d link show dev vmtap"))[0]["linkinfo"]["info_data"]
    assert (str(found["user"]), str(found["group"])) == ("54321", "54322")
    assert [one["name"] for one in answer.document()["interfaces"]][-2:] == ["vmtap", "vmtap"]


# --- CHECK, GC, STATUS ------------------------------------------------------------------------------------------------


def check(pod: Attached) -> Conf:
    """CHECK; return the error, empty for none."""
    answer = pod.trial.call("CHECK", pod.trial.conf(pod.trial.results[-1]))
    return {} if answer.ok else answer.document()


@pytest.mark.parametrize(
    "line",
    [
        "link set eth0 mtu 1400",
        "link set eth0 address 02:00:00:00:00:07",
        "addr add 192.0.2.7/24 dev eth0",
        "route add 192.0.2.0/24 dev lo",
    ],
)
def test_check_tolerates_what_later_plugins_change(pod: Attached, line: str) -> None:
    """Such as `tuning`, `sbr` and `static`."""
    pod.add()
    pod.trial.pod.ip(line)
    assert check(pod) == {}


@pytest.mark.parametrize(
    ("line", "name"), [("link del tap0", "tap0"), ("link set eth0 nomaster", "eth0"), ("link set tap0 down", "tap0")]
)
def test_check_says_what_is_missing(pod: Attached, line: str, name: str) -> None:
    """By the name of the link."""
    pod.add()
    pod.trial.pod.ip(line)
    error = check(pod)
    assert error["code"] == 104
    assert name in error["msg"]


def test_check_says_nothing_good_of_another_namespace(pod: Attached) -> None:
    """What is wired elsewhere under that attachment does not give a VM of this one its network."""
    pod.add()
    with namespace("other") as other:
        error = pod.trial.call(
            "CHECK", pod.trial.conf(pod.trial.results[-1]), env={"CNI_NETNS": str(other.path)}
        ).document()
    assert error["code"] == 104
    assert f"wired in another namespace than {other.path}" in error["msg"]


def gc(pod: Attached, *valid: Conf, env: dict[str, str] | None = None, **changed: Any) -> Conf:
    """GC, in version 1.1.0; return the error, empty for none."""
    conf = pod.trial.conf() | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": list(valid), **changed}
    answer = pod.trial.call("GC", conf, env=env, without=["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"])
    return {} if answer.ok else answer.document()


def test_gc_leaves_other_networks_alone(pod: Attached) -> None:
    """Each network of a host is collected by itself, and all of them are in one state directory."""
    pod.add()
    assert gc(pod, name="other") == {}
    assert check(pod) == {}
    assert gc(pod) == {}
    assert pod.left() == ""


def test_gc_understands_both_names_of_the_list(pod: Attached) -> None:
    """As libcni sends them: `cni.dev/valid-attachments` and, for older plugins, `cni.dev/attachments`."""
    pod.add()
    valid = {"containerID": pod.trial.pod.name, "ifname": "eth0"}
    listed: dict[str, Any] = {"cni.dev/attachments": [valid]}
    assert gc(pod, **listed) == {}
    assert check(pod) == {}


def test_gc_without_a_list_is_an_error(pod: Attached) -> None:
    """Taking it for an empty one would take the network from every VM."""
    pod.add()
    assert gc(pod, **{"cni.dev/valid-attachments": None})["code"] == 7
    assert check(pod) == {}


def test_gc_goes_on_past_errors_and_reports_them(tmp_path: Path) -> None:
    """One attachment that cannot be rolled back keeps no other one."""
    state = tmp_path / "state"
    with attached(state, wiring="bridge") as stuck, attached(state, wiring="tc") as free:
        stuck.add()
        free.add()
        error = gc(stuck, env=without("ebtables-restore", tmp_path))
        assert error["code"] == 103
        assert stuck.trial.pod.name in error["details"]
        assert free.trial.pod.name not in free.left()
        assert gc(stuck) == {}
        assert stuck.left() == ""


def test_status_says_what_is_missing(tmp_path: Path) -> None:
    """With code 50: an ADD could not be served."""
    (tmp_path / "file").write_text("")
    conf = {"cniVersion": "1.1.0", "name": "pods", "type": "podwire-cni", "stateDir": str(tmp_path / "file")}
    answer = run([PLUGIN], stdin=json.dumps(conf), env={"CNI_COMMAND": "STATUS"}, check=False)
    assert answer.rc == 1
    assert json.loads(answer.out)["code"] == 50


@pytest.mark.parametrize(("program", "needed_by"), [("sysctl", "bridge tc"), ("ebtables-save", "bridge"), ("tc", "tc")])
@pytest.mark.parametrize("wiring", ["bridge", "tc"])
def test_status_looks_for_the_programs_of_the_wiring(tmp_path: Path, wiring: str, program: str, needed_by: str) -> None:
    """Those that an ADD would run, and no others. The one that is missing is a file that nobody can run."""
    (tmp_path / "empty").touch()
    place = os.path.realpath(shutil.which(program) or "")
    hidden: list[str | Path] = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount --bind "$1" "$2" && exec "$3"',
        "sh",
        tmp_path / "empty",
        place,
    ]
    conf = {"cniVersion": "1.1.0", "name": "pods", "type": "podwire-cni", "wiring": wiring, "stateDir": str(tmp_path)}
    answer = run([*hidden, PLUGIN], stdin=json.dumps(conf), env={"CNI_COMMAND": "STATUS"}, check=False)
    assert answer.rc == (1 if wiring in needed_by else 0), answer
    if answer.rc:
        assert f"the program {program} is not installed" in json.loads(answer.out)["msg"]


# --- logs -------------------------------------------------------------------------------------------------------------


def test_podwire_log_says_for_which_pod_a_command_was_run(pod: Attached) -> None:
    """Its name comes with CNI_ARGS."""
    args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=vm1;K8S_POD_INFRA_CONTAINER_ID=x"
    answer = pod.trial.call("ADD", pod.conf(logLevel="debug"), env={"CNI_ARGS": args})
    assert answer.ok
    assert "podwire-cni: debug: ADD pod default/vm1: ip link set dev eth0 master br0: 0\n" in answer.outcome.err
    log = run([sys.executable, "-m", "executor", "log", "--json", "--state-dir", pod.state], env=dict(os.environ)).out
    assert {entry["id"] for entry in json.loads(log)} == {f"{pod.trial.pod.name}-eth0"}
    text = run([sys.executable, "-m", "executor", "log", "--state-dir", pod.state], env=dict(os.environ)).out
    assert "podwire-cni ADD in network pods for pod default/vm1" in text


@pytest.mark.parametrize("name", ["vm\n1", "vm\x1b[2J", "vm\u202e", "v" * 254, ""], ids=ascii)
def test_a_pods_name_that_could_do_harm_in_a_log_is_not_said(pod: Attached, name: str) -> None:
    """The container's id says for whom it was as well."""
    env = {"CNI_ARGS": f"K8S_POD_NAMESPACE=default;K8S_POD_NAME={name}"}
    answer = pod.trial.call("ADD", pod.conf(), env=env)
    assert answer.outcome.err == f"podwire-cni: info: ADD container {pod.trial.pod.name}: done\n"


def test_gc_and_status_are_said_of_their_network(pod: Attached) -> None:
    """They are for no container."""
    pod.add()
    conf = pod.trial.conf() | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
    for verb in ("STATUS", "GC"):
        answer = pod.trial.call(verb, conf, without=["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"])
        assert answer.outcome.err.endswith(f"podwire-cni: info: {verb} network pods: done\n")
    text = run([sys.executable, "-m", "executor", "log", "--state-dir", pod.state], env=dict(os.environ)).out
    assert "    podwire-cni GC in network pods\n" in text


def test_at_level_error_nothing_is_said_that_went_well(pod: Attached) -> None:
    """A runtime copies standard error to its own log."""
    assert pod.trial.call("ADD", pod.conf(logLevel="error")).outcome.err == ""


def test_a_vm_that_runs_does_not_keep_it_from_being_deleted(pod: Attached) -> None:
    """A kubelet stops the sandbox with what is in it."""
    pod.add()
    with Namespace.open(NetnsPath(str(pod.trial.pod.path))) as namespace:
        (fd,) = open_tap(InterfaceName("tap0"), namespace=namespace)
    try:
        pod.delete()
    finally:
        os.close(fd)
    assert pod.left() == ""


# --- several networks of one pod --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wiring", ["bridge", "tc"])
@pytest.mark.parametrize("first_out", [0, 1], ids=["in the order of ADD", "backwards"])
def test_each_network_of_a_pod_is_a_wiring_of_its_own(wiring: str, first_out: int, tmp_path: Path) -> None:
    """As a delegate of Multus: one namespace, two attachments, deleted in either order."""
    with attached(tmp_path / "state", wiring=wiring) as pod:
        other = evolve(
            pod.trial.subject,
            conf=pod.trial.subject.conf | {"name": "second"},
            before=(BRIDGE | {"name": "second", "bridge": "cni1", "ipam": host_local("10.2.90.0/24", routes=())},),
        )
        second = evolve(pod.trial, subject=other, ifname="net1", results=[])
        prev = second.prepare()
        complete(pod.trial.pod, "eth0", "net1")
        before = dump(pod.trial.pod)
        pod.add()
        added = second.call("ADD", second.conf(prev))
        assert added.ok, added
        second.results.append(added.document())
        taps = {one["name"] for one in added.document()["interfaces"] if one.get("sandbox") == pod.trial.pod.name}
        assert taps == {"tap1"}
        for trial in (pod.trial, second):
            assert trial.call("CHECK", trial.conf(trial.results[-1])).ok
        trials = (pod.trial, second) if first_out == 0 else (second, pod.trial)
        assert trials[0].delete().ok
        assert trials[1].call("CHECK", trials[1].conf(trials[1].results[-1])).ok
        assert trials[1].delete().ok
        assert lasting_difference(before, pod.trial.pod) == ""
        second.prepare("DEL")
