"""What a rule is tried on: a plugin, called as a runtime calls it, in namespaces that nothing was done to yet."""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

from tests.support.cni import LEASES
from tests.support.namespaces import Namespace
from tests.support.running import Outcome, run

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
# The variables of a call, without CNI_COMMAND.
IDENTITY = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME")

# Where plugins are looked for, as in CNI_PATH.
DIRECTORIES = "/usr/lib/cni:/opt/cni/bin"

Conf = dict[str, Any]


class Broken(AssertionError):
    """The plugin does not keep the rule; the text says what it did."""


class NotApplicable(Exception):
    """The rule says nothing about this plugin; the text says why."""


@frozen
class Subject:
    """A plugin under trial: its file, its own configuration, and those of the plugins that are chained before it.

    ``env`` are variables that it is given besides those of the specification.
    """

    plugin: Path
    conf: Conf
    before: tuple[Conf, ...] = ()
    path: str = DIRECTORIES
    env: Mapping[str, str] = field(factory=dict)

    @property
    def name(self) -> str:
        """What it is called in a configuration."""
        return self.plugin.name

    def file_of(self, kind: str) -> Path:
        """Return the file of a plugin of the chain."""
        if kind == self.name:
            return self.plugin
        return next(path for path in (Path(part, kind) for part in self.path.split(":")) if path.exists())


@frozen
class Answer:
    """What a call left."""

    outcome: Outcome

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.outcome.rc == 0

    def __str__(self) -> str:
        said = (self.outcome.out or self.outcome.err).strip()
        return f"status {self.outcome.rc}: {said[:300] or 'nothing was printed'}"

    def document(self) -> Conf:
        """Return the JSON object on standard output."""
        try:
            found = json.loads(self.outcome.out)
        except ValueError:
            raise Broken(f"standard output is not JSON; {self}") from None
        if not isinstance(found, dict):
            raise Broken(f"standard output is no JSON object; {self}")
        return found


@frozen
class Trial:
    """One container of one network, and calls for it."""

    subject: Subject
    host: Namespace
    pod: Namespace
    version: str
    ifname: str = "eth0"
    results: list[Conf] = field(factory=list)

    def identity(self) -> dict[str, str]:
        """Return the variables that name the attachment."""
        return dict(zip(IDENTITY, (self.pod.name, str(self.pod.path), self.ifname), strict=True))

    def conf(self, prev: Conf | None = None, **changed: object) -> Conf:
        """Return what the plugin is given on standard input."""
        return self._conf(self.subject.conf, prev) | changed

    def call(
        self,
        command: str,
        conf: Conf | str | None = None,
        *,
        env: Mapping[str, str] | None = None,
        without: Iterable[str] = (),
    ) -> Answer:
        """Call the plugin; ``env`` changes variables, ``without`` leaves some out."""
        variables = {"CNI_COMMAND": command, **self.identity(), **(env or {})}
        given = {key: value for key, value in variables.items() if key not in without}
        return self._run(self.subject.plugin, given, self.conf() if conf is None else conf)

    def run(self, plugin: Path, command: str, conf: Conf) -> Answer:
        """Call any plugin for the attachment."""
        return self._run(plugin, {"CNI_COMMAND": command, **self.identity()}, conf)

    def prepare(self, command: str = "ADD") -> Conf | None:
        """Call the plugins before this one; return the last result of ADD, None if there is none.

        One that is too old for the version is called in its latest: from 1.0.0 to 1.1.0 results only got more keys.
        """
        result: Conf | None = None
        for conf in self.subject.before if command == "ADD" else reversed(self.subject.before):
            plugin = self.subject.file_of(conf["type"])
            said = self._run(plugin, {"CNI_COMMAND": "VERSION"}, {"cniVersion": self.version}).document()
            spoken = max(version for version in said["supportedVersions"] if version <= self.version)
            given = self._conf(conf, result) | {"cniVersion": spoken}
            answer = self._run(plugin, {"CNI_COMMAND": command, **self.identity()}, given)
            if not answer.ok:
                raise AssertionError(f"{conf['type']}, which comes before it, failed {command}; {answer}")
            result = answer.document() | {"cniVersion": self.version} if command == "ADD" else None
        return result

    def add(self) -> Conf:
        """ADD, with the plugins before it; return the result, which must be one."""
        answer = self.call("ADD", self.conf(self.prepare()))
        if not answer.ok:
            raise Broken(f"ADD failed; {answer}")
        self.results.append(answer.document())
        return self.results[-1]

    def delete(self, conf: Conf | None = None, **more: Any) -> Answer:
        """DEL of this plugin alone, with the result of ADD unless another configuration is given."""
        prev = self.results[-1] if self.results else None
        return self.call("DEL", self.conf(prev) if conf is None else conf, **more)

    def _conf(self, own: Conf, prev: Conf | None) -> Conf:
        conf = {"cniVersion": self.version, "name": "pods", **own}
        if conf.get("ipam", {}).get("type") == "host-local":
            conf["ipam"] = {"dataDir": str(LEASES / self.host.name)} | conf["ipam"]
        return conf | ({"prevResult": prev} if prev is not None else {})

    def _run(self, plugin: Path, variables: Mapping[str, str], conf: Conf | str) -> Answer:
        given = {"PATH": os.environ["PATH"], "CNI_PATH": self.subject.path, **self.subject.env, **variables}
        text = conf if isinstance(conf, str) else json.dumps(conf)
        enter = ["nsenter", f"--net={self.host.path}"] if self.host.path.exists() else []
        return Answer(run([*enter, plugin], stdin=text, env=given, check=False))


@contextmanager
def trial_of(subject: Subject, version: str) -> Iterator[Trial]:
    """Yield a trial in two fresh namespaces, which are deleted in the end, whatever is left in them."""
    with namespace("host") as host, namespace("pod") as pod:
        for inside in (host, pod):
            inside.ip("link set lo up")
            inside.sysctl("net/ipv6/conf/default/accept_dad", 0)
        trial = Trial(subject, host, pod, version)
        try:
            yield trial
        finally:
            if pod.path.exists():
                trial.delete()


@contextmanager
def namespace(hint: str) -> Iterator[Namespace]:
    """Yield a fresh network namespace."""
    made = Namespace.create(f"{hint}-{secrets.token_hex(4)}")
    try:
        yield made
    finally:
        made.delete()


def expect(condition: object, what: str, answer: Answer | None = None) -> None:
    """Raise Broken, with ``what`` should have been, unless the condition holds."""
    if not condition:
        raise Broken(f"{what}; {answer}" if answer else what)


def error_of(answer: Answer, what: str) -> Conf:
    """Return the error object of a call that must have failed."""
    expect(not answer.ok, f"{what} succeeded")
    error = answer.document()
    expect(type(error.get("code")) is int and error["code"] > 0, f"{what} answered no error code", answer)
    expect(isinstance(error.get("msg"), str) and error["msg"], f"{what} answered no msg", answer)
    return error


def is_interface(text: object) -> bool:
    """Say whether this is an address with its prefix length."""
    try:
        ipaddress.ip_interface(str(text))
    except ValueError:
        return False
    return "/" in str(text)
