"""What the agent loads before the first request, so that its children need not."""

from __future__ import annotations

import gc
import json
from contextlib import suppress
from importlib import import_module
from pkgutil import walk_packages

from executor.errors import HostError
from executor.netns.handle import libc
from executor.netns.namespace import boot_id
from executor.operations.plan import plan_from_facts
from executor.process.run import find_program
from executor.templates import load_templates
from planner.cni.result import CniResult
from planner.facts.document import parse_facts
from planner.options import PlanOptions
from planner.plan.plan import plan_from_json, plan_to_json
from planner.text.document import load_json
from planner.text.values import Keyword, NetnsPath, PlanId
from planner.wiring.base import every_wiring

_PROGRAMS = ("nsenter", "ip", "tc", "nft", "sysctl", "ebtables-save", "ebtables-restore")
# What only people at a terminal need.
_NOT_LOADED = ("executor.cli", "executor.log", "executor.__main__", "planner.formats")
# A pod as podwire facts shows one, and the result of the plugin that made it.
_FACTS = {
    "version": 1,
    "links": [
        {"name": "lo", "type": "loopback", "mtu": 65536, "flags": ["LOOPBACK", "UP"], "index": 1},
        {
            "name": "eth0",
            "type": "veth",
            "mtu": 1500,
            "flags": ["BROADCAST", "MULTICAST", "UP"],
            "mac": "0a:58:0a:01:5a:05",
            "addrgenmode": "eui64",
            "carrier": True,
            "index": 2,
        },
    ],
    "addresses": [
        {
            "resource": {"kind": "address", "link": "eth0", "address": "10.1.90.5/24"},
            "state": {"scope": "global", "label": "eth0"},
        }
    ],
    "routes": [
        {
            "resource": {
                "kind": "route",
                "dst": "10.1.90.0/24",
                "nexthops": [{"dev": "eth0"}],
                "protocol": "kernel",
                "scope": "link",
                "source": "10.1.90.5",
            },
            "state": {},
        },
        {
            "resource": {
                "kind": "route",
                "dst": "0.0.0.0/0",
                "nexthops": [{"dev": "eth0", "via": "10.1.90.1"}],
                "protocol": "boot",
                "scope": "global",
            },
            "state": {},
        },
    ],
    "sysctls": [{"key": "net/ipv6/conf/eth0/accept_dad", "value": "1"}],
}
_RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "mac": "0a:58:0a:01:5a:05", "sandbox": "/run/netns/pod"}],
    "ips": [{"address": "10.1.90.5/24", "gateway": "10.1.90.1", "interface": 0}],
    "routes": [{"dst": "0.0.0.0/0"}],
}


def warm_up() -> None:
    """Load every module that a request may need, compile the templates, and make a plan of every wiring.

    Children of the agent load nothing: they may be where other files, or none, are found.
    """
    for package in ("planner", "executor"):
        for module in walk_packages(import_module(package).__path__, f"{package}."):
            if not module.name.startswith(_NOT_LOADED):
                import_module(module.name)
    import_module("sh")  # which loads more at its first use
    libc()
    boot_id()
    for program in _PROGRAMS:
        with suppress(HostError):  # a request that needs it will say so
            find_program(program)
    _plan_once()
    gc.collect()
    gc.freeze()  # no collection of a child's touches, and so copies, what all of them share


def _plan_once() -> None:
    """Plan as if for a pod, there and back: what is compiled or remembered at its first use is so then."""
    result, facts = CniResult.parse(load_json(json.dumps(_RESULT), "result")), parse_facts(json.dumps(_FACTS))
    for wiring in every_wiring():
        options = PlanOptions(wiring=Keyword(wiring.name))
        plan = plan_from_facts(
            result,
            facts,
            plan_id=PlanId("pod"),
            netns=NetnsPath("/run/netns/pod"),
            options=options,
            templates=load_templates(),
        )
        plan_from_json(load_json(json.dumps(plan_to_json(plan)), "plan"), load_templates())
