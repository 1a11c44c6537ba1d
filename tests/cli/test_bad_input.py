"""Whatever is handed to podwire: one clear sentence on standard error, status 1, and nothing is changed."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.support import Namespace
from tests.support.cli import Cli, tree
from tests.support.dumps import Dump, difference, dump
from tests.support.pods import Pod, dual_stack
from tests.support.preloaded import Preloaded

NETNS = "bad-pod"
DEEP = 100_000


@frozen
class Ground:
    """What must be the same after each bad input: a pod, and a state directory with nothing in it."""

    cli: Cli
    pod: Pod
    before: Dump
    plan: dict[str, Any]
    facts: dict[str, Any]

    def refused(self, *words: str | Path, stdin: str = "") -> str:
        """See that a command line is refused and changes nothing, and return the sentence."""
        try:
            said = self.cli.refused(*words, stdin=stdin)
            assert difference(self.before, dump(self.pod.inside)) == ""
            assert tree(self.cli.state_dir) == {}
        except BaseException:
            self._clean_up()
            raise
        assert said.isprintable()
        assert len(said) < 500
        return said

    def _clean_up(self) -> None:
        """Roll back what should not have been done, so that only this one test fails."""
        self.cli.run("teardown", "--all", "--yes")
        shutil.rmtree(self.cli.state_dir, ignore_errors=True)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, preloaded: Preloaded) -> Iterator[Ground]:
    """Make one pod for all bad inputs, which leave it as it is."""
    cli = Cli(tmp_path_factory.mktemp("bad"), preloaded)
    with ExitStack() as stack:
        host, inside = (Namespace.create(name) for name in ("bad-host", NETNS))
        for namespace in (host, inside):
            stack.callback(namespace.delete)
        pod = dual_stack(host, inside)
        plan = cli.json("plan", "--result", cli.result_of(pod), "--netns", NETNS)
        facts = cli.json("facts", "--netns", NETNS)
        yield Ground(cli, pod, dump(inside), plan, facts)


def with_value(document: Any, path: str, value: Any) -> Any:
    """Return a copy of a document with another value at `path`, such as `ips.0.address`; `...` takes it away."""
    changed = copy.deepcopy(document)
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place = changed
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return changed


# --- the CNI result ---------------------------------------------------------------------------------------------------

TEXTS = {
    "nothing": ("", "the CNI result '{file}' is empty"),
    "blanks": (" \n\t\n", "the CNI result '{file}' is empty"),
    "no JSON": ("eth0 10.1.90.5/24\n", "'{file}' is not JSON"),
    "JSON cut off": ('{"cniVersion": "1.0.0", "ips": [', "'{file}' is not JSON"),
    "two documents": ("{}{}", "'{file}' is not JSON"),
    "JSON with a comment": ('{"ips": [] /* none */}', "'{file}' is not JSON"),
    "no UTF-8": ('{"ips": "\udcff"}', "'{file}' is not valid UTF-8"),
    "a lone surrogate": (r'{"ips": "\ud800"}', "'{file}' is not valid UTF-8"),
    "a key twice": ('{"ips": [], "ips": []}', "duplicate key 'ips'"),
    "not a number": ('{"ips": NaN}', "NaN is not a number"),
    "a number of very many digits": (f'{{"ips": {"9" * 10_000}}}', "a number has too many digits"),
    "lists in lists in lists": ("[" * DEEP, "'{file}' is nested too deeply"),
    "objects in objects": ('{"ips":' * DEEP, "'{file}' is nested too deeply"),
    "a list": ("[]", "a CNI result is a JSON object, this is a list"),
    "null": ("null", "a CNI result is a JSON object, this is null"),
    "a string": ('"eth0"', "a CNI result is a JSON object, this is 'eth0'"),
    "an object of something else": ('{"kind": "Pod"}', "this is not a CNI result"),
    "a plugin's error": (
        '{"code": 7, "msg": "no address is left", "details": "in 10.1.90.0/24"}',
        "this is a plugin's error, not a result: code 7, 'no address is left', 'in 10.1.90.0/24'",
    ),
    "a network configuration": ('{"name": "pods", "type": "bridge"}', "this is a network configuration"),
    "a list of configurations": ('{"name": "pods", "plugins": []}', "this is a list of network configurations"),
    "an empty entry of libcni's cache": (
        '{"kind": "cniCacheV1", "result": {}}',
        "result.result: this is not a CNI result",
    ),
    "a plan": ('{"version": 1, "facts_digest": "", "result": {}}', "this is a podwire plan; pass it to podwire apply"),
    "facts": (
        '{"version": 1, "links": [], "addresses": []}',
        "this is the output of podwire facts; pass it with --facts",
    ),
    "an unknown version": ('{"cniVersion": "2.0.0", "ips": []}', "'2.0.0' is not a CNI version that podwire knows"),
    "no address": ('{"cniVersion": "1.0.0", "interfaces": [], "ips": []}', "result: it has no IP address"),
}

NAME = "interfaces.0.name"
ADDRESS = "ips.0.address"
VALUES = {
    "a name with a space": (NAME, "eth 0", "result.interfaces[0].name: 'eth 0' is not an interface name"),
    "a name with a quote": (NAME, "eth'0", 'result.interfaces[0].name: "eth\'0" is not an interface name'),
    "a name with a line end": (NAME, "eth0\n", r"result.interfaces[0].name: 'eth0\n' is not an interface name"),
    "a name with a slash": (NAME, "eth/0", "result.interfaces[0].name: 'eth/0' is not an interface name"),
    "a name with a leading dash": (NAME, "-eth0", "result.interfaces[0].name: '-eth0' is not an interface name"),
    "a name of 16 bytes": (NAME, "eth0123456789012", "'eth0123456789012' is not an interface name"),
    "a name of very many bytes": (NAME, "e" * 100_000, "is not an interface name"),
    "a name with a letter of two bytes": (NAME, "ethé", r"'eth\xe9' is not an interface name"),
    "a name with a zero": (NAME, "eth0\0", r"'eth0\x00' is not an interface name"),
    "a name that is a command": (NAME, "$(reboot)", "'$(reboot)' is not an interface name"),
    "an empty name": (NAME, "", "'' is not an interface name"),
    "a name that is the folder above": (NAME, "..", "'..' is not an interface name"),
    "a name that is a number": (NAME, 7, "result.interfaces[0].name: expected a string, not 7"),
    "no name": (NAME, ..., "result.interfaces[0]: 'name' is missing"),
    "a MAC that is none": ("interfaces.0.mac", "0a:58:0a", "result.interfaces[0].mac: '0a:58:0a' is not a MAC address"),
    "interfaces that are no list": ("interfaces", {}, "result.interfaces: expected a list, not an object"),
    "an interface that is none": ("interfaces.0", "eth0", "result.interfaces[0]: expected an object, not 'eth0'"),
    "a bad address": (ADDRESS, "10.1.90.300/24", "result.ips[0].address: '10.1.90.300/24' is not an address"),
    "an address without a length": (ADDRESS, "10.1.90.5", "result.ips[0].address: '10.1.90.5' is not an address"),
    "a prefix that is too long": (ADDRESS, "10.1.90.5/33", "'10.1.90.5/33' is not an address"),
    "an address with a netmask": (ADDRESS, "10.1.90.5/255.255.255.0", "is not an address with a prefix length"),
    "an address with a zone": (ADDRESS, "fe80::1%eth0/64", "'fe80::1%eth0/64' is not an address"),
    "an address with another command": (ADDRESS, "10.1.90.5/24\nlink del eth0", "is not an address"),
    "an address that no link carries": (ADDRESS, "10.1.90.77/24", "no link of the namespace carries 10.1.90.77/24"),
    "an address with another length": (ADDRESS, "10.1.90.5/16", "no link of the namespace carries 10.1.90.5/16"),
    "an index too high": ("ips.0.interface", 9, "result.ips[0].interface: interface index 9 is out of range"),
    "an index that is text": ("ips.0.interface", "0", "result.ips[0].interface: expected a whole number, not '0'"),
    "an index below zero": ("ips.0.interface", -7, "result.ips[0].interface: -7 is not between"),
    "a bad gateway": ("ips.0.gateway", "10.1.90", "result.ips[0].gateway: '10.1.90' is not an IP address"),
    "a bad route": ("routes.0.dst", "everywhere", "result.routes[0].dst: 'everywhere' is not"),
    "a bad nameserver": ("dns", {"nameservers": ["10.1"]}, "result.dns.nameservers[0]: '10.1' is not an IP address"),
    "a missing interface": (NAME, "eth9", "eth9"),
}


@pytest.mark.parametrize(("text", "sentence"), TEXTS.values(), ids=TEXTS)
def test_a_result_that_is_none(ground: Ground, text: str, sentence: str) -> None:
    """It is refused as what it is."""
    file = ground.cli.folder / "bad.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    said = ground.refused("plan", "--result", file, "--netns", NETNS)
    assert sentence.replace("{file}", str(file)) in said


@pytest.mark.parametrize(("path", "value", "sentence"), VALUES.values(), ids=VALUES)
def test_a_result_with_a_bad_value(ground: Ground, path: str, value: object, sentence: str) -> None:
    """The path of the value is named, and what is wrong with it. Nor does apply go any further."""
    result = with_value(ground.pod.result, path, value)
    said = ground.refused("apply", "--result", "-", "--netns", NETNS, "--yes", stdin=json.dumps(result))
    assert sentence in said


def test_a_result_that_is_too_large(ground: Ground) -> None:
    """More than any honest one, read no further."""
    file = ground.cli.folder / "large.json"
    with file.open("wb") as stream:
        stream.truncate(200 * 1024 * 1024)
    assert ground.refused("plan", "--result", file, "--netns", NETNS) == f"'{file}' is larger than 32 MiB"
    file.unlink()


# --- files, names and options -----------------------------------------------------------------------------------------

ARGUMENTS = {
    "a file that is not there": (
        "plan --result nowhere --netns {netns}",
        "the CNI result 'nowhere' cannot be read: No",
    ),
    "a file that is a folder": ("plan --result / --netns {netns}", "the CNI result '/' cannot be read: Is a directory"),
    "a file that is a device": ("plan --result /dev/zero --netns {netns}", "the CNI result '/dev/zero' is not a file"),
    "nothing on standard input": ("plan --result - --netns {netns}", "the CNI result on standard input is empty"),
    "a plan that is a namespace": ("show /proc/self/ns/net", "is a namespace: give the ID of its wiring"),
    "facts that are no JSON": ("{plan} --facts /etc/passwd", "'/etc/passwd' is not JSON"),
    "a plan that is no JSON": ("apply /etc/passwd", "'/etc/passwd' is not JSON"),
    "a plan that is not there": ("show ./nowhere", "the plan './nowhere' cannot be read: No such file"),
    "a plan that is a result": ("show {result}", "plan: this is a CNI result, not a plan"),
    "apply of what is no plan": ("apply {result} --yes", "plan: this is a CNI result, not a plan"),
    "facts that are a result": ("{plan} --facts {result}", "facts: this is not what podwire"),
    "facts that are not there": ("{plan} --facts nowhere", "the facts 'nowhere' cannot be"),
    "a plan written to nowhere": ("{plan} -o /nowhere/plan", "the plan '/nowhere/plan' cannot"),
    "a plan written to a folder": ("{plan} -o /", "the plan '/' cannot be written: Is a"),
    "a plan written to -": ("{plan} -o -", "-o: this is not a file"),
    "a namespace that does not exist": (
        "plan --result {result} --netns pod9",
        "there is no network namespace at /run/netns/pod9",
    ),
    "facts of one that does not exist": ("facts --netns pod9", "there is no network namespace at /run/netns/pod9"),
    "a namespace that is a file": ("facts --netns /etc/passwd", "/etc/passwd is not a network namespace"),
    "a namespace that is a device": ("facts --netns /dev/null", "/dev/null is not a network namespace"),
    "a namespace that is a folder": ("facts --netns /run", "/run is not a network namespace"),
    "a namespace of another kind": ("facts --netns /proc/1/ns/mnt", "/proc/1/ns/mnt is not a network namespace"),
    "a namespace of no process": (
        "facts --netns /proc/4194305/ns/net",
        "there is no network namespace at /proc/4194305",
    ),
    "a namespace with a path in its name": ("facts --netns ../pod1", "netns: '../pod1' is neither a name under"),
    "a namespace further up": ("facts --netns /run/netns/../../etc", "is neither a name under /run/netns nor"),
    "an empty namespace": ("facts --netns=", "netns: '' is neither a name under /run/netns nor"),
    "whoever looks": (
        "plan --result {result} --netns /proc/self/ns/net --id x",
        "means a different namespace to each process",
    ),
    "no id for a process": ("plan --result {result} --netns /proc/1/ns/net", "give the wiring one with --id"),
    "an id with a path in it": ("{plan} --id ../pod1", "id: '../pod1' is not an id"),
    "an empty id": ("{plan} --id=", "id: '' is not an id"),
    "an id with a leading dash": ("{plan} --id=-x", "id: '-x' is not an id"),
    "an id that is too long": ("{plan} --id " + "x" * 101, "is not an id (1 to 100 letters"),
    "teardown of an id with a path in it": ("teardown ../../etc/passwd --yes", "id: '../../etc/passwd' is not an id"),
    "log of an id with a path in it": ("log ../../etc/passwd", "id: '../../etc/passwd' is not an id"),
    "recover of an id with a path in it": ("recover /etc", "id: '/etc' is not an id"),
    "an id never seen": ("teardown pod9 --yes", "id: pod9 was never wired here"),
    "a tap owner by name": ("{plan} --tap-owner no-such-user", "--tap-owner: "),
    "a tap owner that is no name": ("{plan} --tap-owner R:", "--tap-owner: the group is empty"),
    "a group without a user": ("{plan} --tap-owner :nogroup", "--tap-owner: the user is empty"),
    "a tap owner that is no number": ("{plan} --tap-owner R", "--tap-owner: 'R' is not a number from 0 to"),
    "a tap owner below zero": ("{plan} --tap-owner -1", "--tap-owner: '-1' is not a number"),
    "a group that is missing": ("{plan} --tap-owner 5:", "--tap-owner: the group is empty"),
    "no owner at all (4294967295)": ("{plan} --tap-owner 4294967295", "--tap-owner: '4294967295' is not a number"),
    "no queues": ("{plan} --tap-queues 0", "--tap-queues: '0' is not a number from 1 to 256"),
    "too many queues": ("{plan} --tap-queues 257", "--tap-queues: '257' is not a number from 1 to 256"),
    "digits of another script": ("{plan} --tap-queues ٣", "is not a number from 1 to 256"),
    "a DHCP address that is none": (
        "{plan} --dhcp-address bridge",
        "--dhcp-address: 'bridge' is not an IPv4 address of a host",
    ),
    "a DHCP address of IPv6": ("{plan} --dhcp-address fe80::1/64", "--dhcp-address: 'fe80::1/64' is not an IPv4"),
    "a DHCP address of a network": ("{plan} --dhcp-address 169.254.7.0/24", "is not an IPv4 address of a host"),
    "a DHCP address for all hosts": ("{plan} --dhcp-address 169.254.7.255", "is not an IPv4 address of a host"),
    "a DHCP address of this network": ("{plan} --dhcp-address 0.0.0.1/1", "is not an IPv4 address of a host"),
    "a DHCP address that is the gateway's": (
        "{plan} --serve-dhcp --dhcp-address 10.1.90.1",
        "--dhcp-address: 10.1.90.1/24 is a gateway of the pod",
    ),
    "a DHCP address of a group": ("{plan} --dhcp-address 224.0.0.7", "is not an IPv4 address of a host"),
    "more DHCP addresses than bridges": ("{plan} --dhcp-address 169.254.7.2 --dhcp-address 169.254.8.2", "2 are given"),
    "a state directory that is a file": ("list --state-dir /etc/passwd", "the state directory '/etc/passwd' is not a"),
    "a state directory below a file": (
        "list --state-dir /etc/passwd/x",
        "the state directory '/etc/passwd/x' cannot be used",
    ),
    "a state directory without a name": ("list --state-dir=", "--state-dir: the name of the directory is empty"),
    "a state directory that can't be made": (
        "apply --result {result} --netns {netns} --yes --state-dir /proc/podwire",
        "the state directory '/proc/podwire' cannot be made",
    ),
    "a state directory that can't be written": (
        "apply --result {result} --netns {netns} --yes --state-dir /proc/sys",
        "the state directory '/proc/sys'",
    ),
    "apply with a plan and a result": (
        "apply {result} --result {result} --netns {netns} --yes",
        "give either a plan file, or",
    ),
    "apply of a result for nowhere": ("apply --result {result} --yes", "apply: --result needs --netns"),
}


@pytest.mark.parametrize(("line", "sentence"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_a_bad_argument(ground: Ground, line: str, sentence: str) -> None:
    """The option or file is named, and what is wrong with it."""
    result = ground.cli.result_of(ground.pod)
    words = line.replace("{plan}", "plan --result {result} --netns {netns}").split()
    said = ground.refused(*(word.format(result=result, netns=NETNS) for word in words))
    assert sentence in said


# --- stored plans and facts -------------------------------------------------------------------------------------------


def smuggled(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the plan with one more command, and a checksum that fits."""
    extra = {"argv": ["reboot"], "netns": None, "stdin": None, "changes": [0]}
    return signed(plan | {"commands": [*plan["commands"], extra]})


def signed(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the plan with the checksum that it would have if podwire had written it."""
    bare = {key: value for key, value in plan.items() if key != "checksum"}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return bare | {"checksum": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"}


FORGED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "edited": (lambda plan: with_value(plan, "id", "other"), "checksum mismatch"),
    "without a checksum": (lambda plan: with_value(plan, "checksum", ...), "this is not a plan that podwire wrote"),
    "with another command": (smuggled, "plan.commands: they do not match the plan's changes"),
    "with another rollback": (
        lambda plan: signed(plan | {"reverse_commands": []}),
        "plan.reverse_commands: they do not match the plan's changes",
    ),
    "with an unknown key": (lambda plan: signed(plan | {"hooks": ["reboot"]}), "plan: the key 'hooks' is unknown"),
    "of another version": (lambda plan: signed(plan | {"version": 99}), "plan.version: this podwire reads plans of"),
    "with a bad id": (lambda plan: signed(plan | {"id": "../x"}), "plan.id: '../x' is not an id"),
    "with a bad namespace": (lambda plan: signed(plan | {"netns": "x y"}), "plan.netns: 'x y' is not"),
    "with changes that are none": (lambda plan: signed(plan | {"changes": "all"}), "plan.changes: expected a list"),
    "with a change that is none": (lambda plan: signed(with_value(plan, "changes.0", {})), "plan.changes[0]"),
    "with a bad reason": (
        lambda plan: signed(with_value(plan, "changes.0.reason", "a\nb")),
        "plan.changes[0].reason: a reason is one line of text",
    ),
    "with other facts": (
        lambda plan: signed(with_value(plan, "facts.links", plan["facts"]["links"][:1])),
        "plan.facts_digest: it is not the digest of the plan's facts",
    ),
    "without facts": (lambda plan: signed(with_value(plan, "facts", ...)), "plan: 'facts' is missing"),
    "with a change twice": (
        lambda plan: signed(plan | {"changes": [*plan["changes"], plan["changes"][0]]}),
        "plan",
    ),
    "cut off": (lambda plan: json.dumps(plan)[:-200], "' is not JSON"),
}


@pytest.mark.parametrize(("forge", "sentence"), FORGED.values(), ids=FORGED)
def test_a_plan_that_podwire_did_not_write(
    ground: Ground, forge: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    """By accident or by malice: it is neither shown nor applied."""
    forged = ground.cli.file("forged.plan", forge(ground.plan))
    forged.chmod(0o600)
    assert sentence in ground.refused("show", forged)
    assert sentence in ground.refused("apply", forged, "--yes")


FACTS = {
    "of another version": ("version", 99, "facts.version: this podwire reads facts of version"),
    "without links": ("links", ..., "facts: this is not what podwire facts prints"),
    "with links that are none": ("links", "eth0", "facts.links"),
    "with a bad name": ("links.1.name", "eth 0", "facts.links[1].name: 'eth 0' is not an interface name"),
    "with an unknown key": ("links.1.speed", 10, "facts.links[1]: the key 'speed' is unknown"),
    "with a bad address": ("addresses.0.resource.address", "10.1/8", "facts.addresses[0].resource.address"),
    "without the link": ("links.1.name", "eth7", "no link of the namespace carries 10.1.90.5/24"),
}


@pytest.mark.parametrize(("path", "value", "sentence"), FACTS.values(), ids=FACTS)
def test_facts_that_are_none(ground: Ground, path: str, value: object, sentence: str) -> None:
    """Captured elsewhere, and perhaps edited since."""
    facts = ground.cli.file("facts.json", with_value(ground.facts, path, value))
    result = ground.cli.result_of(ground.pod)
    assert sentence in ground.refused("plan", "--result", result, "--netns", NETNS, "--facts", facts)
