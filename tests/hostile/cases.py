"""The hostile inputs: what is typed, and what is in the files that it names.

`{name}` in a word is a file of the case; `{netns}`, `{result}` and `{plan}` are the pod's, and `{state}` the state
directory. Content is bytes or text as it is, a number the size of a sparse file, anything else JSON.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import field, frozen

Json = dict[str, Any]
Content = Any


@frozen
class Case:
    """One hostile input."""

    id: str
    words: list[str]
    files: dict[str, Content] = field(factory=dict)
    env: dict[str, str] = field(factory=dict)
    prepare: Callable[[Path], None] | None = None  # is given the state directory
    says: str = ""  # what the sentence must have in it


DEEP = "[" * 10_000 + "]" * 10_000
DEEP_OBJECT = '{"a":' * 10_000 + "1" + "}" * 10_000
SPARSE = 100 * 1024 * 1024
LONG_NUMBER = "9" * 5000

APPLY = ["apply", "--result", "{f}", "--netns", "{netns}", "--yes"]
OFFLINE = ["plan", "--result", "{result}", "--netns", "{netns}", "--facts", "{f}"]
STORED = ["apply", "{f}", "--yes"]
CONFLIST = ["apply", "--result", "{result}", "--netns", "{netns}", "--dummy-conflist", "{f}", "--yes"]
WIRE = ["apply", "--result", "{result}", "--netns", "{netns}", "--yes"]


def changed(document: Json, path: str, value: object) -> Json:
    """Return a document with the element at `a.0.b` replaced."""
    found = copy.deepcopy(document)
    *parents, last = path.split(".")
    target: Any = found
    for key in parents:
        target = target[int(key) if isinstance(target, list) else key]
    target[int(last) if isinstance(target, list) else last] = value
    return found


RESULT: Json = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "mac": "0a:58:0a:01:5a:05", "sandbox": "/run/netns/pod"}],
    "ips": [{"interface": 0, "address": "10.1.90.5/24", "gateway": "10.1.90.1"}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.90.1"}],
    "dns": {"nameservers": ["10.1.90.1"], "domain": "example", "search": ["example"], "options": ["ndots:5"]},
}

# What could become a second word, an option, another command, another line, another file or a bigger thing than meant.
INJECTIONS = {
    "semicolon": "eth0; reboot",
    "second word": "eth0 up",
    "option": "-all",
    "long option": "--batch",
    "newline": "eth0\nlink del eth0",
    "carriage return": "eth0\rlink del eth0",
    "nul": "eth0\0x",
    "command substitution": "$(reboot)",
    "backticks": "`reboot`",
    "quote": "eth0'",
    "double quote": 'eth0"',
    "backslash": "eth0\\",
    "comment": "eth0#x",
    "traversal": "../eth0",
    "slash": "eth0/x",
    "glob": "eth*",
    "jinja": "{{7*7}}",
    "leading blank": " eth0",
    "tab": "eth0\tup",
    "vertical tab": "eth0\x0bup",
    "unicode line end": "eth0\u2028up",
    "full width": "\uff45th0",
    "escape": "\x1b[2Jeth0",
    "too long": "e" * 16,
    "very long": "e" * 100_000,
    "empty": "",
    "dot": ".",
    "dots": "..",
}

DOCUMENTS = {
    "nothing": b"",
    "blanks": b" \n\t ",
    "a nul": b"\0",
    "no json": b"hello",
    "half": b'{"cniVersion":"1.0.0","int',
    "twice": b"{}{}",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "not utf-8": b'{"cniVersion":"\xff"}',
    "utf-16": '{"cniVersion":"1.0.0"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"cniVersion":"1.0.0","ips":[]}',
    "lone surrogate": b'{"cniVersion":"1.0.0","ips":[],"x":"\\ud800"}',
    "lone surrogate as a key": b'{"cniVersion":"1.0.0","ips":[],"\\udfff":1}',
    "nan": b'{"cniVersion":"1.0.0","ips":[],"x":NaN}',
    "infinity": b'{"cniVersion":"1.0.0","ips":[],"x":-Infinity}',
    "long number": b'{"cniVersion":"1.0.0","ips":[],"x":' + LONG_NUMBER.encode() + b"}",
    "duplicate key": b'{"cniVersion":"1.0.0","ips":[],"ips":[]}',
    "deep": DEEP,
    "deep object": DEEP_OBJECT,
    "100 MB": SPARSE,
    "empty object": b"{}",
}


def documents(kind: str, words: list[str]) -> Iterator[Case]:
    """Yield what no document of ours is, as one of a kind."""
    for name, content in DOCUMENTS.items():
        yield Case(f"{kind}: {name}", words, {"f": content})


def results() -> Iterator[Case]:
    """Yield CNI results."""
    yield from documents("result", APPLY)
    for name, text in INJECTIONS.items():
        yield Case(f"result: interface name, {name}", APPLY, {"f": changed(RESULT, "interfaces.0.name", text)})
    values: dict[str, tuple[object, ...]] = {
        "interfaces.0.mac": ("0a:58:0a:01:5a:05; reboot", "0a:58:0a:01:5a", "0a:58:0a:01:5a:05\n", "-", 5),
        "interfaces.0.mtu": (-1, 1e3, 2**63, "1500", True, [1500]),
        "interfaces.0.sandbox": ("a\nb", "x" * 5000, 7),
        "interfaces.0": ("eth0", None, [], {}),
        "interfaces": ({}, "eth0", 3, []),
        "ips.0.address": (
            "10.1.90.5/24; reboot", "10.1.90.5/33", "10.1.90.5", "fe80::1%eth0/64", "010.1.90.5/24", "-10.1.90.5/24",
            "10.1.90.5/24\n", "10.1.90.5/255.255.255.0", "\u0661\u0660.1.90.5/24", "10.1.90.5/٢٤", 168427525,
        ),
        "ips.0.gateway": ("10.1.90.1 dev lo", "10.1.90.1/24", "-1", "fe80::1%1", 7),
        "ips.0.interface": (7, -2, 2**70, "0", 0.5, True),
        "ips": ({}, "x", [None], [[]]),
        "routes.0.dst": ("default; reboot", "0.0.0.0/0 metric 1", "nowhere", 0),
        "routes.0.gw": ("10.1.90.1;", "-10", 1.5),
        "routes": ({"dst": "0.0.0.0/0"}, "x"),
        "dns.nameservers.0": ("10.1.90.1\noptions x", "-", 1),
        "dns.domain": ("a\nb", 5),
        "dns.search": ("example", [7], ["a\nb"]),
        "dns": ([], "x"),
        "cniVersion": ("1.0", "9.9.9", "1.0.0\n", 1, [], "0.2.0"),
    }  # fmt: skip
    for path, hostile in values.items():
        for number, value in enumerate(hostile):
            yield Case(f"result: {path} {number}", APPLY, {"f": changed(RESULT, path, value)})


def facts() -> Iterator[Case]:
    """Yield facts files; `{facts}` of the pod are put in if a case changes them."""
    yield from documents("facts", OFFLINE)


FACTS_CHANGES: list[tuple[str, object]] = [
    ("version", 2),
    ("version", "1"),
    ("observed_at", "now"),
    ("observed_at", 10**400),
    ("links.1.name", "eth0; reboot"),
    ("links.1.name", "eth0\nx"),
    ("links.1.mtu", -1),
    ("links.1.mtu", 2**64),
    ("links.1.mac", "0a:58"),
    ("links.1.flags", "UP"),
    ("links.1.flags", ["UP; x"]),
    ("links.1.group", "a b"),
    ("links.1.surprise", 1),
    ("links.1.alias", 5),
    ("links.1.addrgenmode", "none\nup"),
    ("addresses.1.resource.address", "10.1.90.5/24 dev lo"),
    ("addresses.1.resource.link", "-batch"),
    ("addresses.1.state.label", "eth0 x"),
    ("addresses.1.state.scope", "global; x"),
    ("routes.0.resource.dst", "0.0.0.0/0 x"),
    ("routes.0.resource.table", "main x"),
    ("routes.0.resource.protocol", "kernel\n"),
    ("routes.0.resource.nexthops", [{"dev": "eth0", "via": "10.1.90.1 x"}]),
    ("sysctls.0.key", "kernel/core_pattern"),
    ("sysctls.0.key", "net/ipv6/conf/../../../kernel/core_pattern"),
    ("sysctls.0.value", "1; reboot"),
    ("ebtables", []),
    ("ebtables", {"rules": [5]}),
    ("links", {}),
    ("addresses", None),
]

STATE_CHANGES: list[tuple[str, object]] = [
    ("version", 2),
    ("version", True),
    ("id", "other"),
    ("id", "../../etc/passwd"),
    ("netns", "/run/netns/../../etc/passwd"),
    ("netns", "pod; reboot"),
    ("netns", "/run/netns/a b"),
    ("cookie", -1),
    ("cookie", 2**64),
    ("cookie", "1"),
    ("boot_id", 7),
    ("status", "fine"),
    ("status", ""),
    ("status", None),
    ("applied_at", "now"),
    ("applied_at", 10**400),
    ("surprise", 1),
    ("confirm_by", "soon"),
    ("confirm_token", 7),
]

# Changed in a state entry of a half-done wiring: whoever would run its plan refuses it.
STATE_PLAN_CHANGES: list[tuple[str, object]] = [
    ("plan", {}),
    ("plan", []),
    ("plan", None),
    ("plan.version", 2),
    ("plan.checksum", "sha256:0"),
    ("plan.commands.0.argv", ["reboot"]),
    ("plan.reverse_commands.0.argv", ["ip", "link", "del", "eth0"]),
    ("plan.changes", []),
]


def ids() -> Iterator[Case]:
    """Yield ids."""
    hostile = [
        "../../etc/passwd", "a/b", ".hidden", "-rf", "a b", "a\nb", "a;b", "", "x" * 101, "ä", "pod\x1b[2J", "a\0b",
        "*", "~", "pod1\n", "\u202epod",
    ]  # fmt: skip
    for number, text in enumerate(hostile):
        for verb in ("apply", "teardown", "log", "recover", "confirm"):
            if text.startswith("-") and verb != "apply":
                continue  # an option like any other: it is unknown
            words = [*WIRE, f"--id={text}"] if verb == "apply" else [verb, text]
            if verb == "teardown":
                words.append("--yes")
            yield Case(f"id: {verb} {number}", words)
    for verb in ("teardown", "log", "recover", "confirm"):
        yield Case(f"id: {verb} as an option", [verb, "-rf"])
        yield Case(f"id: {verb} of one never seen", [verb, "never-seen", *(["--yes"] if verb == "teardown" else [])])


def paths() -> Iterator[Case]:
    """Yield paths: of namespaces, of files to read or to write, of the state directory."""
    for number, text in enumerate([
        "../../etc/passwd", "/run/netns/../../etc/passwd", "/etc/passwd", "/dev/zero", "/dev/null", "/", "/run/netns",
        "/proc/self/ns/mnt", "/proc/1/ns/pid", "/proc/self/ns/net", "/proc/thread-self/ns/net", "", ".", "..", "-x",
        "a b", "a\nb", "pod;reboot", "no-such-namespace", "/proc/999999999/ns/net", "/proc/1/mem", "x" * 5000,
        "/" + "a/" * 3000, "pod\0", "//run//netns//pod", "file:///run/netns/pod",
    ]):  # fmt: skip
        yield Case(f"netns: {number}", ["apply", "--result", "{result}", f"--netns={text}", "--id", "x", "--yes"])
        if not text.endswith(("self/ns/net", "thread-self/ns/net")):  # that is a namespace, and facts tells of it
            yield Case(f"netns: facts {number}", ["facts", f"--netns={text}"])
    for number, text in enumerate([
        "/dev/zero", "/dev/null", "/", "/proc/self/mem", "/nowhere/at/all", "a\0b", "x" * 5000, "{loop}", "{fifo}",
        "{folder}", "", "/dev/full", "/proc/kmsg/x",
    ]):  # fmt: skip
        yield Case(f"file: result {number}", ["apply", f"--result={text}", "--netns", "{netns}", "--yes"])
        yield Case(f"file: plan {number}", ["apply", text, "--yes"])
        yield Case(f"file: show {number}", ["show", text])
        yield Case(f"file: facts {number}", [*OFFLINE[:-1], text])
        yield Case(f"file: conflist {number}", [*WIRE, f"--dummy-conflist={text}"])
    for number, text in enumerate(["/nowhere/at/all", "/", "a\0b", "x" * 5000, "", "-", "{loop}", "{result}/x"]):
        yield Case(f"file: output {number}", ["plan", "--result", "{result}", "--netns", "{netns}", f"--output={text}"])
    for number, text in enumerate(["/dev/null", "{result}", "{result}/x", "a\0b", "", "{loop}", "/proc/1", "x" * 5000]):
        yield Case(f"state directory: {number}", [*WIRE, f"--state-dir={text}"])
    for number, text in enumerate(["/dev/null", "{result}", "{loop}", "/proc/1", "x" * 5000]):
        yield Case(f"state directory in the environment: {number}", WIRE, env={"PODWIRE_STATE_DIR": text})


def options() -> Iterator[Case]:
    """Yield every option with what it can't be."""
    hostile: dict[str, list[str]] = {
        "--tap-owner": [
            "0;id",
            "-1",
            "4294967295",
            "1:2:3",
            "no-such-user",
            "٣",
            "1e3",
            "",
            ":",
            "1:",
            "0x10",
            "9" * 5000,
        ],
        "--tap-queues": ["0", "257", "-1", "1 2", "0x10", "\uff19", "", "1.5", "9" * 5000],
        "--dhcp-address": [
            "1.2.3.4/24;x",
            "10.0.0.0/24",
            "::1/64",
            "169.254.1.1/33",
            "224.0.0.1",
            "127.0.0.1",
            "x",
            "",
        ],
        "--calico-subnet": ["0", "33", "x", "-1", "", "2 4"],
        "--dummy-gateway": ["1.1.1.1%x", "x y", "1.1.1.1/24", "-", "", "1.1.1.1\n"],
        "--timeout": ["nan", "inf", "-1", "0", "1e999", "", "1;2", "2d", "0x1", "1_0_0000000"],
        "--lock-timeout": ["nan", "inf", "-1", "-0.5", "", "x", "1e999"],
        "--confirm-within": ["nan", "0", "-5", "", "inf", "60 x", "soon", "1e999"],
        "--format": ["text; x", "yaml", "", "JSON", "../json"],
    }
    for option, texts in hostile.items():
        for number, text in enumerate(texts):
            yield Case(f"option: {option} {number}", [*WIRE, f"{option}={text}"])
    for name, words in {
        "unknown": [*WIRE, "--exec", "reboot"],
        "abbreviated": [*WIRE[:-1], "--ye"],
        "a flag with a value": [*WIRE[:-1], "--yes=no"],
        "a stray word": [*WIRE, "{plan}", "more"],
        "a plan and a result": [*WIRE, "{plan}"],
        "a line end": [*WIRE, "--x\ny"],
        "an escape": [*WIRE, "--\x1b[2J"],
        "no value": ["apply", "--result"],
        "no command": [],
        "an unknown command": ["destroy"],
        "a command with a line end": ["plan\nx"],
        "a command like an option": ["--plan"],
        "an argument file": ["@/etc/passwd"],
        "a surrogate": ["\udcff"],
        "a dummy result alone": [*WIRE, "--dummy-result", "{result}"],
        "a dummy netns alone": [*WIRE, "--dummy-netns", "{netns}"],
        "two gateways": [*WIRE, "--dummy-gateway", "10.1.90.9", "--dummy-conflist", "{result}"],
        "a dummy gateway that nobody has": [*WIRE, "--dummy-result", "{f}", "--dummy-netns", "{netns}"],
        "more addresses than bridges": [*WIRE, "--dhcp-address", "169.254.9.2", "--dhcp-address", "169.254.8.2"],
        "teardown of nothing": ["teardown", "--yes"],
        "teardown of one and all": ["teardown", "x", "--all", "--yes"],
        "confirm without an id": ["confirm"],
        "facts without a namespace": ["facts"],
        "no yes and no terminal": WIRE[:-1],
    }.items():
        yield Case(f"option: {name}", words, {"f": changed(RESULT, "ips.0.address", "192.0.2.1/24")})


CONF: Json = {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "no-such-plugin"}]}


def conflists() -> Iterator[Case]:
    """Yield network configuration lists, whose plugins would run as root."""
    yield from documents("conflist", CONFLIST)
    for number, kind in enumerate([
        "../../bin/sh", "/bin/sh", "sh; reboot", "", ".", "..", "-c", "a b", "a\nb", "x" * 65, "ä", None, 5, ["sh"],
        "no-such-plugin",
    ]):  # fmt: skip
        yield Case(f"conflist: type {number}", CONFLIST, {"f": changed(CONF, "plugins.0.type", kind)})
    for path, value in (("plugins", {}), ("plugins", [5]), ("plugins", [None]), ("name", 5), ("cniVersion", None)):
        yield Case(f"conflist: {path} {value}", CONFLIST, {"f": changed(CONF, path, value)})
    for name, path in {"relative": "bin:../bin", "empty": ":", "odd": "/nowhere:\n:/dev/null"}.items():
        yield Case(f"conflist: CNI_PATH {name}", CONFLIST, {"f": CONF}, {"CNI_PATH": path})


def link_to(target: str, *place: str) -> Callable[[Path], None]:
    """Return what puts a symlink into the state directory; `{netns}` in its name is the pod's."""

    def prepare(state: Path) -> None:
        lay_out(state)
        path = state.joinpath(*place)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.symlink_to(target)

    return prepare


def lay_out(state: Path) -> None:
    """Make the folders of a state directory."""
    for folder in (state, state / "wirings", state / "dummies", state / "journal"):
        folder.mkdir(mode=0o700, exist_ok=True)


def _open_to_all(*place: str) -> Callable[[Path], None]:
    def prepare(state: Path) -> None:
        lay_out(state)
        state.joinpath(*place).chmod(0o777)

    return prepare


def _somebody_elses(state: Path) -> None:
    lay_out(state)
    try:
        os.chown(state, 1234, 1234)
    except OSError:
        state.chmod(0o722)  # in a user namespace root is the only user


def _folder_instead(*place: str) -> Callable[[Path], None]:
    def prepare(state: Path) -> None:
        lay_out(state)
        state.joinpath(*place).mkdir()

    return prepare


def _fifo_instead(*place: str) -> Callable[[Path], None]:
    def prepare(state: Path) -> None:
        lay_out(state)
        os.mkfifo(state.joinpath(*place))

    return prepare


def state_directories() -> Iterator[Case]:
    """Yield what may be where podwire keeps its state; the pod's namespace is called pod, and so is its entry."""
    for name, prepare in {
        "open to all": _open_to_all(),
        "wirings open to all": _open_to_all("wirings"),
        "journals open to all": _open_to_all("journal"),
        "somebody else's": _somebody_elses,
        "wirings elsewhere": link_to("/etc", "wirings"),
        "journals elsewhere": link_to("/usr", "journal"),
        "dummies elsewhere": link_to("/usr", "dummies"),
        "an entry that is a link": link_to("/etc/passwd", "wirings", "pod.json"),
        "an entry that is a link to nothing": link_to("/nowhere", "wirings", "pod.json"),
        "an entry that is a loop": link_to("pod.json", "wirings", "pod.json"),
        "an entry that is a folder": _folder_instead("wirings", "pod.json"),
        "an entry that is a pipe": _fifo_instead("wirings", "pod.json"),
        "a journal that is a link": link_to("/etc/passwd", "journal", "pod.jsonl"),
        "a journal that is a link to nothing": link_to("/nowhere", "journal", "pod.jsonl"),
        "a journal that is a folder": _folder_instead("journal", "pod.jsonl"),
        "a journal that is a pipe": _fifo_instead("journal", "pod.jsonl"),
    }.items():
        yield Case(f"state: {name}", WIRE, prepare=prepare)
    for verb in (["list"], ["teardown", "pod", "--yes"], ["recover"], ["gc"], ["confirm", "pod"]):
        for name, prepare in {
            "link": link_to("/etc/passwd", "wirings", "pod.json"),
            "loop": link_to("pod.json", "wirings", "pod.json"),
            "folder": _folder_instead("wirings", "pod.json"),
            "pipe": _fifo_instead("wirings", "pod.json"),
        }.items():
            yield Case(f"state: {verb[0]} of an entry that is a {name}", verb, prepare=prepare)
    for name, prepare in {
        "link": link_to("/etc/passwd", "journal", "pod.jsonl"),
        "loop": link_to("pod.jsonl", "journal", "pod.jsonl"),
        "folder": _folder_instead("journal", "pod.jsonl"),
    }.items():
        yield Case(f"state: log of a journal that is a {name}", ["log", "pod"], prepare=prepare)
    for name, content in DOCUMENTS.items():
        yield Case(f"state: entry, {name}", ["list"], prepare=_entry(content))
        if name not in ("nothing", "blanks"):
            yield Case(f"state: dummy, {name}", ["recover", "pod"], prepare=_dummy(content))


def _entry(content: Content) -> Callable[[Path], None]:
    def prepare(state: Path) -> None:
        lay_out(state)
        write(state / "wirings" / "pod.json", content)

    return prepare


def _dummy(content: Content) -> Callable[[Path], None]:
    def prepare(state: Path) -> None:
        lay_out(state)
        write(state / "dummies" / "pod.json", content)
        write(state / "journal" / "pod.jsonl", b"")

    return prepare


def plans() -> Iterator[Case]:
    """Yield plan files that are none; those that were edited are made from the pod's (test_hostile)."""
    yield from documents("plan", STORED)
    yield from (Case(f"show: {name}", ["show", "{f}"], {"f": content}) for name, content in DOCUMENTS.items())


def write(path: Path, content: Content) -> None:
    """Write a file."""
    if isinstance(content, int):
        with path.open("wb") as file:
            file.truncate(content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


CASES: list[Case] = [
    case for kind in (results, facts, plans, conflists, ids, paths, options, state_directories) for case in kind()
]
