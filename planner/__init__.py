"""podwire's planner: from a CNI result and facts to an ordered list of changes, and from those to commands. Pure.

    facts = read_probes(answers)                  what ip, ebtables-save and /proc/sys said
    result = parse_result(text)                    what the CNI plugin answered
    plan = make_plan(result, facts, …)             the changes, their commands, and the commands of the way back
    plan.reverse()                                 the same, taken back

No function here runs a program, opens a file, reads a clock or rolls dice; whatever it needs is handed in.
Names are loaded when they are first used: printing a list of what is wired needs no template engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.changes.change import Change, inverse, pending
    from planner.cni.calico import detect_calico, fix_calico_networking
    from planner.cni.fix import validate_and_fix_cni_result
    from planner.cni.links import extract_link_info, find_veth, get_container_links
    from planner.cni.result import CniResult, parse_result
    from planner.errors import InvalidInput, PlannerError, Refused, RenderError, StalePlan
    from planner.facts.model import NamespaceFacts
    from planner.facts.parse import ProbeOutput, read_probes
    from planner.network import ContainerSideNetwork, VmInterface
    from planner.options import PlanOptions
    from planner.plan.plan import Plan, parse_plan, plan_to_json, reverse_after
    from planner.plan.render import Command, Templates
    from planner.planning import make_plan
    from planner.recovery import recover_container_side_network
    from planner.text.values import NetnsPath, PlanId
    from planner.wiring.allocate import Allocation, allocate, generate_mac_address, random_veth_name
    from planner.wiring.bridge import setup_container_side_network
    from planner.wiring.links import (
        WiringTag,
        create_bridge,
        create_tap,
        set_hardware_addr,
        setup_bridge,
        teardown_bridge,
    )
    from planner.wiring.strip import strip_link
    from planner.wiring.veth import configure_link, create_escape_veth_pair, setup_veth

_HOMES = {
    "wiring.links": (
        "WiringTag",
        "create_bridge",
        "create_tap",
        "set_hardware_addr",
        "setup_bridge",
        "teardown_bridge",
    ),
    "cni.calico": ("detect_calico", "fix_calico_networking"),
    "facts.parse": ("ProbeOutput", "read_probes"),
    "changes.change": ("Change", "inverse", "pending"),
    "cni.result": ("CniResult", "parse_result"),
    "errors": ("InvalidInput", "PlannerError", "Refused", "RenderError", "StalePlan"),
    "facts.model": ("NamespaceFacts",),
    "cni.fix": ("validate_and_fix_cni_result",),
    "cni.links": ("extract_link_info", "find_veth", "get_container_links"),
    "wiring.allocate": ("Allocation", "allocate", "generate_mac_address", "random_veth_name"),
    "network": ("ContainerSideNetwork", "VmInterface"),
    "options": ("PlanOptions",),
    "plan.plan": ("Plan", "parse_plan", "plan_to_json", "reverse_after"),
    "planning": ("make_plan",),
    "recovery": ("recover_container_side_network",),
    "plan.render": ("Command", "Templates"),
    "wiring.strip": ("strip_link",),
    "text.values": ("NetnsPath", "PlanId"),
    "wiring.veth": ("configure_link", "create_escape_veth_pair", "setup_veth"),
    "wiring.bridge": ("setup_container_side_network",),
}

__all__ = [
    "Allocation",
    "Change",
    "CniResult",
    "Command",
    "ContainerSideNetwork",
    "InvalidInput",
    "NamespaceFacts",
    "NetnsPath",
    "Plan",
    "PlanId",
    "PlanOptions",
    "PlannerError",
    "ProbeOutput",
    "Refused",
    "RenderError",
    "StalePlan",
    "Templates",
    "VmInterface",
    "WiringTag",
    "allocate",
    "configure_link",
    "create_bridge",
    "create_escape_veth_pair",
    "create_tap",
    "detect_calico",
    "extract_link_info",
    "find_veth",
    "fix_calico_networking",
    "generate_mac_address",
    "get_container_links",
    "inverse",
    "make_plan",
    "parse_plan",
    "parse_result",
    "pending",
    "plan_to_json",
    "random_veth_name",
    "read_probes",
    "recover_container_side_network",
    "reverse_after",
    "set_hardware_addr",
    "setup_bridge",
    "setup_container_side_network",
    "setup_veth",
    "strip_link",
    "teardown_bridge",
    "validate_and_fix_cni_result",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the module that it lives in (PEP 562)."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"planner.{module}"), name)
    raise AttributeError(f"module 'planner' has no attribute {name!r}")
