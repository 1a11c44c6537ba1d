"""The rules, in the order of the specification (1.1.0; SPEC.md of containernetworking/cni at the tag spec-v1.1.0)."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from attrs import frozen

from tests.conformance.trial import (
    IDENTITY,
    VERSIONS,
    Answer,
    Conf,
    NotApplicable,
    Subject,
    Trial,
    error_of,
    expect,
    is_interface,
    namespace,
    trial_of,
)
from tests.support.dumps import dump, lasting_difference

PARAMETERS = "Section 2, Parameters"
ERRORS = "Section 5, Error"
ADD = "Section 2, ADD"
DEL = "Section 2, DEL"
CHECK = "Section 2, CHECK"
STATUS = "Section 2, STATUS"
VERSION = "Section 2, VERSION"
GC = "Section 2, GC"
RESULT = "Section 5, ADD Success"
VERSION_RESULT = "Section 5, VERSION Success"


@frozen
class Rule:
    """A sentence of the specification, and what tries it. ``since`` is the version that it came with."""

    name: str
    section: str
    sentence: str
    since: str
    each_version: bool
    check: Callable[[Trial], None]

    def try_on(self, subject: Subject, version: str) -> None:
        """Try the rule in fresh namespaces. Raises Broken, NotApplicable."""
        with trial_of(subject, version) as trial:
            self.check(trial)


RULES: list[Rule] = []


def rule(
    section: str, *, since: str = "0.3.0", each_version: bool = False
) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Make a function a rule; its docstring is the sentence."""

    def added(check: Callable[[Trial], None]) -> Callable[[Trial], None]:
        RULES.append(Rule(check.__name__, section, (check.__doc__ or "").rstrip("."), since, each_version, check))
        return check

    return added


def supported_versions(subject: Subject) -> tuple[str, ...]:
    """Return the versions that a plugin says it speaks, of those with lists (0.3.0 and later)."""
    with trial_of(subject, VERSIONS[-1]) as trial:
        said = trial.call("VERSION", {"cniVersion": VERSIONS[-1]}, without=IDENTITY).document()
    return tuple(version for version in VERSIONS[2:] if version in said.get("supportedVersions", ()))


# --- parameters and errors --------------------------------------------------------------------------------------------


@rule(PARAMETERS)
def add_names_all_missing_variables(trial: Trial) -> None:
    """ADD requires CNI_CONTAINERID, CNI_NETNS and CNI_IFNAME; error 4 names all that are missing."""
    error = _fails(trial.call("ADD", without=IDENTITY), 4, "ADD without its variables")
    missing = [name for name in IDENTITY if name not in error["msg"] + error.get("details", "")]
    expect(not missing, f"the message does not name {', '.join(missing)}: {error['msg']}")


@rule(PARAMETERS)
def del_names_all_missing_variables(trial: Trial) -> None:
    """DEL requires CNI_CONTAINERID and CNI_IFNAME."""
    error = _fails(trial.call("DEL", without=IDENTITY), 4, "DEL without its variables")
    missing = [
        name for name in ("CNI_CONTAINERID", "CNI_IFNAME") if name not in error["msg"] + error.get("details", "")
    ]
    expect(not missing, f"the message does not name {', '.join(missing)}: {error['msg']}")


@rule(PARAMETERS)
def an_unknown_command_is_refused(trial: Trial) -> None:
    """CNI_COMMAND is one of ADD, DEL, CHECK, GC, STATUS and VERSION."""
    _fails(trial.call("MUL"), 4, "the command MUL")


@rule(PARAMETERS)
def a_missing_command_is_refused(trial: Trial) -> None:
    """A plugin that is given no CNI_COMMAND fails with code 4."""
    _fails(trial.call("ADD", without=["CNI_COMMAND"]), 4, "a call without a command")


@rule(PARAMETERS)
def a_bad_container_id_is_refused(trial: Trial) -> None:
    """A container id begins with a letter or digit; then letters, digits, '_', '.' and '-' may follow."""
    for bad in ("../x", "-x", "a b", ""):
        _fails(trial.call("ADD", trial.conf(trial.prepare()), env={"CNI_CONTAINERID": bad}), 4, f"the id {bad!r}")
        trial.prepare("DEL")


@rule(PARAMETERS)
def a_bad_interface_name_is_refused(trial: Trial) -> None:
    """CNI_IFNAME is not empty, at most 15 characters, not '.' or '..', without '/', ':' and blanks."""
    for bad in ("eth/0", "..", "a" * 16, "eth 0"):
        _fails(trial.call("ADD", trial.conf(trial.prepare()), env={"CNI_IFNAME": bad}), 4, f"the interface {bad!r}")
        trial.prepare("DEL")


@rule(ERRORS)
def an_error_is_an_object(trial: Trial) -> None:
    """An error is an object with cniVersion, code and msg on standard output, and the status is not 0."""
    answer = trial.call("ADD", trial.conf(trial.prepare()), env={"CNI_NETNS": "/run/netns/there-is-none"})
    error = error_of(answer, "ADD to a namespace that is not there")
    expect(isinstance(error.get("cniVersion"), str), "the error has no cniVersion", answer)


@rule(ERRORS)
def a_configuration_that_is_no_json_cannot_be_decoded(trial: Trial) -> None:
    """Code 6: a configuration that is not JSON cannot be decoded."""
    _fails(trial.call("ADD", "{not json"), 6, "a configuration that is not JSON")


@rule(ERRORS)
def an_unknown_version_is_incompatible(trial: Trial) -> None:
    """Code 1: a version of the specification that the plugin does not speak."""
    _fails(trial.call("ADD", trial.conf(trial.prepare(), cniVersion="99.0.0")), 1, "version 99.0.0")


@rule(ERRORS)
def a_configuration_needs_a_name(trial: Trial) -> None:
    """Code 7: a configuration without a name is invalid."""
    conf = trial.conf(trial.prepare())
    del conf["name"]
    _fails(trial.call("ADD", conf), 7, "a configuration without a name")


# --- VERSION ----------------------------------------------------------------------------------------------------------


@rule(VERSION_RESULT)
def version_lists_versions(trial: Trial) -> None:
    """VERSION answers cniVersion and supportedVersions, and needs no variable but CNI_COMMAND."""
    answer = trial.call("VERSION", {"cniVersion": trial.version}, without=IDENTITY)
    expect(answer.ok, "VERSION failed", answer)
    said = answer.document()
    expect(isinstance(said.get("cniVersion"), str), "there is no cniVersion", answer)
    expect(trial.version in said.get("supportedVersions", ()), f"{trial.version} is not among those supported", answer)


# --- ADD --------------------------------------------------------------------------------------------------------------


@rule(RESULT, each_version=True)
def the_result_has_the_wanted_version(trial: Trial) -> None:
    """The result has the cniVersion of the configuration."""
    found = trial.add().get("cniVersion")
    expect(found == trial.version, f"it has {found!r}, not {trial.version!r}")


@rule(RESULT, each_version=True)
def interfaces_are_whole(trial: Trial) -> None:
    """An interface has a name, and a sandbox unless it is on the host; that of CNI_IFNAME is in the namespace."""
    interfaces = trial.add().get("interfaces", [])
    expect(all(one.get("name") for one in interfaces), f"an interface has no name: {interfaces}")
    inside = [one["name"] for one in interfaces if one.get("sandbox") == str(trial.pod.path)]
    expect("eth0" in inside, f"eth0 is not an interface in {trial.pod.path}: {interfaces}")
    there = {line.split(":")[1].strip().split("@")[0] for line in trial.pod.ip("-o link show").splitlines()}
    expect(set(inside) <= there, f"not all that it names are in the namespace: {set(inside) - there}")


@rule(RESULT, each_version=True)
def ips_are_whole(trial: Trial) -> None:
    """An IP is an address with its prefix length; its interface is an index into interfaces."""
    result = trial.add()
    for ip in result.get("ips", []):
        expect(is_interface(ip.get("address")), f"{ip} has no address with a prefix length")
        index = ip.get("interface", 0)
        expect(type(index) is int and 0 <= index < len(result.get("interfaces", [])), f"{ip} names no interface")


@rule(RESULT, each_version=True)
def ips_have_a_version_where_that_is_asked_for(trial: Trial) -> None:
    """An IP has its version, '4' or '6', before 1.0.0, and none since."""
    for ip in trial.add().get("ips", []):
        family = "6" if ":" in ip["address"] else "4"
        wanted = family if trial.version < "1.0.0" else None
        expect(ip.get("version") == wanted, f"{ip} has the version {ip.get('version')!r}, not {wanted!r}")


@rule(RESULT, each_version=True)
def no_key_is_of_a_later_version(trial: Trial) -> None:
    """Keys that a version does not know are not in its result."""
    result = trial.add()
    if trial.version < "1.0.0":
        later = {"mtu", "socketPath", "pciID"} & {key for one in result.get("interfaces", []) for key in one}
        expect(not later, f"{trial.version} knows no {', '.join(sorted(later))} of an interface")


@rule(ADD)
def a_previous_result_is_handed_on(trial: Trial) -> None:
    """A plugin that is given a prevResult passes it through, or modifies it."""
    if not trial.subject.before:
        raise NotApplicable("it is not chained behind another plugin")
    prev = trial.prepare()
    assert prev is not None
    answer = trial.call("ADD", trial.conf(prev))
    expect(answer.ok, "ADD failed", answer)
    trial.results.append(answer.document())
    _keeps(prev, trial.results[-1], "ips", "address")
    _keeps(prev, trial.results[-1], "interfaces", "name")
    _keeps(prev, trial.results[-1], "routes", "dst")
    expect(answer.document().get("dns", {}) == prev.get("dns", {}), "dns is another")


@rule(ADD)
def an_interface_that_exists_is_not_added(trial: Trial) -> None:
    """If an interface of the requested name exists already, ADD fails."""
    if trial.subject.before:
        raise NotApplicable("chained behind another plugin, it adjusts the interface of that name")
    trial.pod.ip("link add eth0 type bridge")
    error_of(trial.call("ADD"), "ADD of an interface that exists")


@rule(ADD)
def the_addresses_are_there(trial: Trial) -> None:
    """What the result says exists when ADD has ended: the addresses are on the interface."""
    result = trial.add()
    if trial.subject.before:
        raise NotApplicable("the addresses are those of the plugin before it")
    listed = trial.pod.ip("-o addr show dev eth0")
    for ip in result["ips"]:
        expect(f" {ip['address']} " in listed, f"{ip['address']} is not on eth0")


# --- DEL --------------------------------------------------------------------------------------------------------------


@rule(DEL, each_version=True)
def del_takes_back(trial: Trial) -> None:
    """DEL undoes what ADD did, and answers nothing."""
    prev = trial.prepare()
    trial.pod.settle()
    before = (dump(trial.pod), trial.host.ip("-o link show"))
    added = trial.call("ADD", trial.conf(prev))
    expect(added.ok, "ADD failed", added)
    trial.results.append(added.document())
    answer = trial.delete()
    expect(answer.ok, "DEL failed", answer)
    expect(not answer.outcome.out.strip(), "DEL answered something", answer)
    left = lasting_difference(before[0], trial.pod)
    expect(not left, f"the namespace is not as it was:\n{left}")
    veths = [line.split(": ")[1] for line in trial.host.ip("-o link show type veth").splitlines()]
    expect(all(veth in before[1] for veth in veths), f"left on the host: {veths}")


@rule(DEL)
def del_twice_succeeds(trial: Trial) -> None:
    """DEL may be called several times, and succeeds if nothing is left."""
    trial.add()
    for _ in range(3):
        answer = trial.delete()
        expect(answer.ok, "DEL failed", answer)


@rule(DEL)
def del_of_an_unknown_container_succeeds(trial: Trial) -> None:
    """DEL succeeds for a container that was never added."""
    answer = trial.call("DEL", env={"CNI_CONTAINERID": "never-added"})
    expect(answer.ok, "DEL failed", answer)


@rule(DEL)
def del_without_namespace_succeeds(trial: Trial) -> None:
    """DEL does not require CNI_NETNS: the namespace may be gone."""
    trial.add()
    for more in ({"without": ["CNI_NETNS"]}, {"env": {"CNI_NETNS": ""}}):
        answer = trial.delete(**more)
        expect(answer.ok, f"DEL {more} failed", answer)


@rule(DEL)
def del_after_the_namespace_succeeds(trial: Trial) -> None:
    """DEL succeeds if the namespace has been deleted, by its former path."""
    trial.add()
    trial.pod.delete()
    answer = trial.delete()
    expect(answer.ok, "DEL failed", answer)


@rule(DEL)
def del_after_the_interface_succeeds(trial: Trial) -> None:
    """DEL succeeds if the interface is missing."""
    trial.add()
    trial.pod.ip("link del eth0")
    answer = trial.delete()
    expect(answer.ok, "DEL failed", answer)


@rule(DEL)
def del_without_previous_result_succeeds(trial: Trial) -> None:
    """DEL does not require prevResult: a runtime leaves it out if it has none."""
    trial.add()
    answer = trial.delete(trial.conf())
    expect(answer.ok, "DEL failed", answer)


@rule("Section 3, Lifecycle & Ordering")
def del_after_a_failed_add_succeeds(trial: Trial) -> None:
    """After an ADD that failed, DEL succeeds."""
    prev = trial.prepare()
    error_of(trial.call("ADD", trial.conf(prev), env={"CNI_NETNS": "/run/netns/there-is-none"}), "ADD to nowhere")
    answer = trial.call("DEL", trial.conf(prev), env={"CNI_NETNS": "/run/netns/there-is-none"})
    expect(answer.ok, "DEL failed", answer)


# --- CHECK ------------------------------------------------------------------------------------------------------------


@rule(CHECK, since="0.4.0", each_version=True)
def check_after_add_succeeds(trial: Trial) -> None:
    """CHECK right after ADD succeeds, and answers nothing."""
    answer = trial.call("CHECK", trial.conf(trial.add()))
    expect(answer.ok, "CHECK failed", answer)
    expect(not answer.outcome.out.strip(), "CHECK answered something", answer)


@rule(CHECK, since="0.4.0")
def check_needs_a_previous_result(trial: Trial) -> None:
    """CHECK needs prevResult."""
    trial.add()
    error_of(trial.call("CHECK", trial.conf()), "CHECK without prevResult")


@rule(CHECK, since="0.4.0")
def check_sees_that_an_interface_is_missing(trial: Trial) -> None:
    """CHECK fails if an interface of the result is missing."""
    result = trial.add()
    for one in result["interfaces"]:
        if one.get("sandbox") == str(trial.pod.path):
            trial.pod.run("ip", "link", "del", one["name"], check=False)
    error_of(trial.call("CHECK", trial.conf(result)), "CHECK without the interface")


@rule(CHECK, since="0.4.0")
def check_allows_for_routes_of_others(trial: Trial) -> None:
    """CHECK allows for a later plugin to have added routes."""
    result = trial.add()
    trial.pod.ip("route add 198.51.100.0/24 dev lo metric 77")
    answer = trial.call("CHECK", trial.conf(result))
    expect(answer.ok, "CHECK failed", answer)


# --- STATUS and GC ----------------------------------------------------------------------------------------------------


@rule(STATUS, since="1.1.0")
def status_is_good(trial: Trial) -> None:
    """STATUS succeeds and answers nothing if the plugin could serve an ADD."""
    answer = trial.call("STATUS", without=IDENTITY)
    expect(answer.ok, "STATUS failed", answer)
    expect(not answer.outcome.out.strip(), "STATUS answered something", answer)


@rule(GC, since="1.1.0")
def gc_removes_what_is_stale(trial: Trial) -> None:
    """GC removes what is not among cni.dev/valid-attachments, and leaves the others."""
    result = trial.add()
    kept = _gc(trial, [{"containerID": trial.pod.name, "ifname": "eth0"}])
    expect(kept.ok, "GC failed", kept)
    answer = trial.call("CHECK", trial.conf(result))
    expect(answer.ok, "GC took what was valid", answer)
    emptied = _gc(trial, [{"containerID": f"other-{secrets.token_hex(2)}", "ifname": "eth0"}])
    expect(emptied.ok, "GC failed", emptied)
    error_of(trial.call("CHECK", trial.conf(result)), "CHECK of what GC should have removed")


@rule(GC, since="1.1.0")
def gc_tells_interfaces_apart(trial: Trial) -> None:
    """An attachment is a container id and an interface name: another interface is another attachment."""
    result = trial.add()
    expect(_gc(trial, [{"containerID": trial.pod.name, "ifname": "net1"}]).ok, "GC failed")
    error_of(trial.call("CHECK", trial.conf(result)), "CHECK of what GC should have removed")


@rule(GC, since="1.1.0")
def gc_twice_succeeds(trial: Trial) -> None:
    """GC needs no attachment to remove: a second one succeeds."""
    with namespace("other"):
        for _ in range(2):
            answer = _gc(trial, [])
            expect(answer.ok, "GC failed", answer)


def _gc(trial: Trial, valid: list[Conf]) -> Answer:
    return trial.call("GC", trial.conf() | {"cni.dev/valid-attachments": valid}, without=IDENTITY)


def _fails(answer: Answer, code: int, what: str) -> Conf:
    error = error_of(answer, what)
    expect(error["code"] == code, f"{what} has the code {error['code']}, not {code}", answer)
    return error


def _keeps(prev: Conf, result: Conf, key: str, name: str) -> None:
    wanted, found = ([one.get(name) for one in side.get(key, [])] for side in (prev, result))
    lost = [one for one in wanted if one not in found]
    expect(not lost, f"{key} of prevResult are lost: {lost}")
