"""What a runtime asks for: the variables of a call and the network configuration, parsed once (CNI specification)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import BinaryIO

from attrs import evolve

from executor.cni.conf import MAX_USER, NetworkConf, parse_conf
from executor.cni.errors import BAD_VARIABLES, IO_FAILURE, UNDECODABLE, CniError
from planner.errors import InvalidInput
from planner.options import PlanOptions
from planner.text.document import MAX_BYTES, load_json
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, NetnsPath, PlanId, shown

# By verb, the variables that it requires (section 2, "CNI operations").
_REQUIRED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "GC": (),
    "STATUS": (),
}
_CONTAINER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LONGEST_CONTAINER_ID = 1024
_LONGEST_NAME = 253  # of a pod: that of a subdomain in DNS


@frozen
class Attachment:
    """A container's interface in a network: what a wiring belongs to."""

    container: str
    ifname: str

    @property
    def plan_id(self) -> PlanId:
        """The id of the wiring: CONTAINERID-IFNAME; what is no id, or too long for one, ends in a hash instead.

        So does one whose interface has a dash in its name: what is before the last dash is then always the container,
        and no attachment has the id of another.
        """
        return self.hashed_id if "-" in self.ifname else self.plain_id

    @property
    def plain_id(self) -> PlanId:
        """The id that any attachment had before there was that exception."""
        return self._id("-")

    @property
    def hashed_id(self) -> PlanId:
        """An id that no other attachment ever had."""
        return self._id("/")

    def _id(self, between: str) -> PlanId:
        text = f"{self.container}{between}{self.ifname}"
        try:
            return PlanId(text)
        except ValueError:
            return PlanId(f"{self.container[:64]}-{hashlib.sha256(text.encode()).hexdigest()[:32]}")


@frozen
class Call:
    """One call of the plugin. For GC and STATUS the attachment means nothing, and there is no namespace."""

    verb: str
    attachment: Attachment
    netns: NetnsPath | None
    args: Mapping[str, str]
    conf: NetworkConf

    @property
    def pod(self) -> str:
        """Whose call it is, as Kubernetes names it, or the container's id; GC and STATUS are for a network."""
        if not self.attachment.container:
            return f"network {self.conf.network}"
        name, namespace = (_shown(self.args.get(f"K8S_POD_{key}", "")) for key in ("NAME", "NAMESPACE"))
        return f"pod {namespace}/{name}" if name and namespace else f"container {self.attachment.container}"


def _shown(name: str) -> str:
    """Return a name that goes to logs and terminals as it is; "" for one that could do harm there."""
    return name if name.isascii() and name.isprintable() and len(name) <= _LONGEST_NAME else ""


def read_call(variables: Mapping[str, str], stdin: BinaryIO) -> Call:
    """Return what is asked for. Raises CniError."""
    verb = variables.get("CNI_COMMAND", "")
    if verb not in _REQUIRED:
        what = f"{shown(verb)} is not one of VERSION, {', '.join(_REQUIRED)}" if verb else "it is missing"
        raise CniError(BAD_VARIABLES, f"CNI_COMMAND: {what}", "podwire-cni is called by a container runtime")
    missing = [name for name in _REQUIRED[verb] if not variables.get(name)]
    if missing:
        raise CniError(BAD_VARIABLES, f"{', '.join(missing)}: {verb} needs {'it' if len(missing) == 1 else 'them'}")
    attachment = _attachment(variables, verb)
    netns = _netns(variables, verb)
    args = _args(variables.get("CNI_ARGS", ""))
    conf = _conf(stdin, verb)
    return Call(verb, attachment, netns, args, evolve(conf, options=_with_args(conf.options, args)))


def _attachment(variables: Mapping[str, str], verb: str) -> Attachment:
    if verb in ("GC", "STATUS"):
        return Attachment("", "")
    return Attachment(
        container_id(variables["CNI_CONTAINERID"], "CNI_CONTAINERID"),
        interface_name(variables["CNI_IFNAME"], "CNI_IFNAME"),
    )


def container_id(text: str, where: str) -> str:
    """Return a container id (section 2, "Parameters"). Raises CniError."""
    if not _CONTAINER_ID.fullmatch(text) or len(text) > _LONGEST_CONTAINER_ID:
        raise CniError(BAD_VARIABLES, f"{where}: {shown(text)} is not the id of a container")
    return text


def interface_name(text: str, where: str) -> str:
    """Return the name of a link. Raises CniError."""
    try:
        return InterfaceName(text)
    except ValueError as error:
        raise CniError(BAD_VARIABLES, f"{where}: {error}") from None


def _netns(variables: Mapping[str, str], verb: str) -> NetnsPath | None:
    """Return the namespace; what is no path is as good as none if it is not required."""
    text = variables.get("CNI_NETNS", "")
    try:
        return NetnsPath(text) if text else None
    except ValueError as error:
        if "CNI_NETNS" not in _REQUIRED[verb]:
            return None
        raise CniError(BAD_VARIABLES, f"CNI_NETNS: {error}") from None


def _args(text: str) -> dict[str, str]:
    """Return the pairs of CNI_ARGS; of those that nobody here knows nothing is wanted."""
    pairs = [pair.partition("=") for pair in text.split(";") if pair]
    broken = next((key for key, equals, _ in pairs if not equals), None)
    if broken is not None:
        raise CniError(BAD_VARIABLES, f"CNI_ARGS: {shown(broken)} is not KEY=VALUE")
    return {key: value for key, _, value in pairs}


def _with_args(options: PlanOptions, args: Mapping[str, str]) -> PlanOptions:
    """Return the options with what callers of tc-redirect-tap put into CNI_ARGS (its README, "Arguments")."""
    name, user, group = (args.get(f"TC_REDIRECT_TAP_{key}") for key in ("NAME", "UID", "GID"))
    if name is not None:
        options = evolve(options, tap_names=(InterfaceName(interface_name(name, "CNI_ARGS: TC_REDIRECT_TAP_NAME")),))
    if user is not None:
        options = evolve(options, tap_owner=_number(user, "TC_REDIRECT_TAP_UID"))
    if group is not None:
        options = evolve(options, tap_owner_group=_number(group, "TC_REDIRECT_TAP_GID"))
    return options


def _number(text: str, key: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_USER)) and int(text) <= MAX_USER):
        raise CniError(BAD_VARIABLES, f"CNI_ARGS: {key}: {shown(text)} is not a number from 0 to {MAX_USER}")
    return int(text)


def _conf(stdin: BinaryIO, verb: str) -> NetworkConf:
    try:
        text = stdin.read(MAX_BYTES + 1)
    except OSError as error:
        raise CniError(IO_FAILURE, f"the network configuration cannot be read: {error.strerror}") from None
    try:
        document = load_json(text, "configuration")
    except InvalidInput as error:
        raise CniError(UNDECODABLE, str(error)) from None
    return parse_conf(document, verb)
