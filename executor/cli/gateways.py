"""The three ways to name Calico's dummy gateway, as the user gave them."""

from __future__ import annotations

import argparse

from executor.cli.inputs import read_file
from executor.netns.naming import resolve_netns
from executor.operations.calico_gateway import Conflist, observed_gateway
from planner.cni.result import parse_result
from planner.errors import InvalidInput
from planner.text.document import load_json
from planner.text.values import IpAddress, parse_address

_WAYS = ("dummy_gateway", "dummy_result", "dummy_conflist")


def named_gateway(arguments: argparse.Namespace) -> IpAddress | None:
    """Return the gateway that --dummy-gateway or --dummy-result names, None where there is none of them.

    Raises InvalidInput where they are not what they should be, or more than one way is taken.
    """
    given = [f"--{way.replace('_', '-')}" for way in _WAYS if getattr(arguments, way, None) is not None]
    if len(given) > 1:
        raise InvalidInput(f"{' and '.join(given)} say the same: give one of them")
    if (arguments.dummy_result is None) != (arguments.dummy_netns is None):
        raise InvalidInput("--dummy-result and --dummy-netns go together")
    if arguments.dummy_result is not None:
        return _gateway_of_result(arguments)
    if arguments.dummy_gateway is None:
        return None
    try:
        return parse_address(arguments.dummy_gateway)
    except ValueError as error:
        raise InvalidInput(f"--dummy-gateway: {error}") from None


def _gateway_of_result(arguments: argparse.Namespace) -> IpAddress:
    """Return the gateway that --dummy-result and --dummy-netns name."""
    result = parse_result(read_file(arguments.dummy_result, "dummy result"))
    return observed_gateway(result, resolve_netns(arguments.dummy_netns), timeout=arguments.timeout)


def read_conflist(name: str) -> Conflist:
    """Return the network configuration list in a file."""
    return Conflist.parse(load_json(read_file(name, "conflist"), "conflist"))
