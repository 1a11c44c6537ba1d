"""The plugin's part of a network configuration (CNI specification, section 1), parsed; what is unknown is refused."""

from __future__ import annotations

import json
import re
from typing import Any

from executor.cni import VERSIONS
from executor.cni.errors import BAD_CONFIGURATION, INCOMPATIBLE_VERSION, UNSUPPORTED_FIELD, CniError
from planner.errors import InvalidInput
from planner.options import PlanOptions
from planner.text.document import Node
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, Keyword, shown
from planner.wiring import DEFAULT_WIRING
from planner.wiring.base import wiring_named

_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# The version of the specification that brought a verb.
_SINCE = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}
# What a runtime or the specification puts beside the plugin's own keys.
_COMMON = ("cniVersion", "name", "type", "args", "capabilities", "runtimeConfig", "prevResult", "ipMasq", "ipam", "dns")
OWN_KEYS = ("wiring", "tapName", "tapOwner", "tapGroup", "queues", "vnetHdr", "dhcp", "sriov", "stateDir", "logLevel")
_VALID = ("cni.dev/valid-attachments", "cni.dev/attachments")
LOG_LEVELS = ("error", "warning", "info", "debug")
MAX_USER = 2**32 - 2
_MAX_QUEUES = 256


@frozen
class NetworkConf:
    """What the configuration says. ``previous`` and ``valid`` (attachments) are parsed by the verbs that want them."""

    version: str
    network: str
    options: PlanOptions
    state_dir: str | None
    log_level: str
    previous: Node | None
    valid: tuple[Node, ...] | None


def parse_conf(document: Node, verb: str) -> NetworkConf:
    """Return the configuration in ``document``. Raises CniError, which knows the version if that could be read."""
    version = ""
    try:
        version = _version(document)
        _refuse_too_old(version, verb)
        return _conf(document, version)
    except InvalidInput as error:
        failure = CniError(BAD_CONFIGURATION, str(error))
    except CniError as error:
        failure = error
    failure.version = version
    raise failure from None


def _version(document: Node) -> str:
    version = document.optional("cniVersion", Node.text, "0.1.0")
    if version not in VERSIONS:
        supported = f"podwire-cni speaks {', '.join(VERSIONS)}"
        raise CniError(INCOMPATIBLE_VERSION, f"configuration.cniVersion: {shown(version)} is not supported", supported)
    return version


def _refuse_too_old(version: str, verb: str) -> None:
    since = _SINCE.get(verb, "")
    if version < since:
        raise CniError(INCOMPATIBLE_VERSION, f"{verb} was added in CNI {since}, but this network uses {version}")


def _conf(document: Node, version: str) -> NetworkConf:
    network = document.field("name").text()
    if not _NETWORK.fullmatch(network):
        raise document.field("name").error(f"{shown(network)} is not the name of a network")
    for key, member in document.members():
        if key not in (*_COMMON, *OWN_KEYS, *_VALID):
            raise CniError(UNSUPPORTED_FIELD, f"configuration.{key}: unknown, with the value {_value(member.value)}")
    level = document.optional("logLevel", Node.text, "info")
    if level not in LOG_LEVELS:
        raise document.field("logLevel").error(f"{shown(level)} is not one of {', '.join(LOG_LEVELS)}")
    return NetworkConf(
        version=version,
        network=network,
        options=_options(document),
        state_dir=document.maybe("stateDir", _directory),
        log_level=level,
        previous=document.field("prevResult") if document.has("prevResult") else None,
        valid=_valid(document),
    )


def _options(document: Node) -> PlanOptions:
    return PlanOptions(
        tap_owner=document.maybe("tapOwner", lambda node: node.integer(0, MAX_USER)),
        tap_owner_group=document.maybe("tapGroup", lambda node: node.integer(0, MAX_USER)),
        tap_queues=document.optional("queues", lambda node: node.integer(1, _MAX_QUEUES), 1),
        tap_vnet_hdr=document.optional("vnetHdr", Node.boolean, default=False),
        serve_dhcp=document.optional("dhcp", Node.boolean, default=False),
        sriov=document.optional("sriov", Node.boolean, default=False),
        wiring=document.optional("wiring", _wiring, DEFAULT_WIRING),
        tap_names=document.optional("tapName", lambda node: (node.parse(InterfaceName),), ()),
    )


def _wiring(node: Node) -> Keyword:
    try:
        return Keyword(wiring_named(node.text()).name)
    except InvalidInput as error:
        raise node.error(str(error)) from None


def _directory(node: Node) -> str:
    text = node.text()
    if not text.startswith("/") or not text.isprintable():
        raise node.error(f"{shown(text)} is not an absolute path")
    return text


def _valid(document: Node) -> tuple[Node, ...] | None:
    """Return the attachments that GC is to leave, under whichever name the runtime knows; None if there is no list."""
    lists = [document.field(key) for key in _VALID if document.has(key)]
    return tuple(item for found in lists for item in found.items()) if lists else None


def _value(value: Any) -> str:
    return shown(json.dumps(value), 200)
