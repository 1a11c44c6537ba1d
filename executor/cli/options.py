"""Options that several commands have, and how their values are read. Only the standard library is needed for that."""

from __future__ import annotations

import argparse
import os

from executor.state.next_steps import DEFAULT_STATE_DIR

PLAN_FORMATS = ("text", "commands", "script", "json", "markdown", "html", "svg")
# What a stored plan says itself, by the name of its attribute.
WIRING_OPTIONS = (
    "wiring",
    "tap_name",
    "bridge_name",
    "guest_mac",
    "guest_mtu",
    "sriov",
    "tap_owner",
    "tap_queues",
    "tap_vnet_hdr",
    "dhcp_address",
    "serve_dhcp",
    "calico_subnet",
    "dummy_gateway",
    "dummy_result",
    "dummy_netns",
)
# Repeated for further interfaces, in their order.
_FOR_EACH = (
    (
        "--tap-name",
        "NAME",
        "name of the tap; repeat for each further interface (default: first free of tap0, …)",
    ),
    ("--bridge-name", "NAME", "name of the bridge, likewise (default: first free of br0, …)"),
    ("--guest-mac", "MAC", "the guest's MAC address, likewise (default: that of the pod's link)"),
    ("--guest-mtu", "MTU", "the guest's MTU, likewise (default, and at most: that of the pod's link)"),
)
_SHORT = ("text", "json")
_MANY = 3
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_AGO = 1e11
_MAX_PID = 2**22  # proc(5), pid_max


def add_common(parser: argparse.ArgumentParser, formats: tuple[str, ...] = _SHORT, *, has_state: bool = True) -> None:
    """Add what every command has: the format, and the state directory if it ``has_state``."""
    text = " or ".join(formats) if len(formats) < _MANY else f"one of {', '.join(formats)}"
    parser.add_argument("--format", type=OneOf(formats), metavar="F", help=text)
    if "json" in formats:
        parser.add_argument("--json", action="store_true", help="the same as --format json")
    colours = OneOf(("auto", "always", "never"))
    text = "colours in text: auto (on a terminal), always or never"
    parser.add_argument("--color", "--colour", type=colours, default="auto", metavar="WHEN", help=text)
    parser.set_defaults(json=False, state_dir=os.environ.get("PODWIRE_STATE_DIR") or DEFAULT_STATE_DIR)
    if has_state:
        text = f"where the state is kept (default {DEFAULT_STATE_DIR}, or $PODWIRE_STATE_DIR)"
        parser.add_argument("--state-dir", default=parser.get_default("state_dir"), metavar="DIR", help=text)


def add_limits(parser: argparse.ArgumentParser, *, locks: bool = False) -> None:
    """Add the time limits of what runs commands; with ``locks`` also of waiting for another podwire."""
    text = "how long one command may take (default 30)"
    parser.add_argument("--timeout", type=some_seconds, default=30.0, metavar="SECONDS", help=text)
    if locks:
        text = "how long to wait for another podwire (default 10)"
        parser.add_argument("--lock-timeout", type=_seconds, default=10.0, metavar="SECONDS", help=text)


class OneOf:
    """Reads one of a few words, which completion knows too."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words

    def __call__(self, text: str) -> str:
        """Return ``text`` if it is one of the words."""
        if text not in self.words:
            known = f"not one of {', '.join(self.words)}" if len(self.words) > 1 else f"not {self.words[0]}"
            raise argparse.ArgumentTypeError(f"{quoted(text)} is {known}")
        return text


def some_seconds(text: str) -> float:
    """Return a time limit that is more than nothing."""
    if (seconds := _seconds(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a positive time")
    return seconds


def _seconds(text: str) -> float:
    """Return a time limit: ``30``, ``1.5``, ``60s``, ``2m``, ``1h``, at most a day."""
    seconds = _time_with_unit(text if text[-1:] in _UNITS else f"{text}s")
    if not 0 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a time (such as 30, 1.5, 2m or 1h)")
    return seconds


def _time_with_unit(text: str) -> float:
    """Return a time such as ``90s`` or ``1.5h`` in seconds, -1 if it is none."""
    try:
        return float(text[:-1]) * _UNITS[text[-1:]]
    except (ValueError, KeyError):
        return -1.0


def moment(text: str) -> float:
    """Return a moment in seconds since the epoch: so long ago, or a date and perhaps a time (local unless it says)."""
    import time  # noqa: PLC0415  only this option needs them
    from datetime import datetime  # noqa: PLC0415

    try:
        if 0 <= (ago := _time_with_unit(text)) < _LONGEST_AGO:
            return time.time() - ago
        return datetime.fromisoformat(text.removesuffix(" UTC") + "+00:00" * text.endswith(" UTC")).timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is neither an age (such as 2h) nor a date") from None


class _Namespace(argparse.Action):
    """Takes --netns or --pid, either once: both say which namespace."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: object = None,
    ) -> None:
        """Store the name or path; what was required is there then."""
        if getattr(namespace, self.dest) is not None:
            raise argparse.ArgumentError(None, f"{option_string}: the namespace is already given, by --netns or --pid")
        parser._option_string_actions["--netns"].required = False  # noqa: SLF001
        setattr(namespace, self.dest, values)


def add_netns(parser: argparse.ArgumentParser, *, required: bool, what: str = "the namespace") -> None:
    """Add the namespace, or ``what`` is meant by it."""
    either = parser.add_mutually_exclusive_group(required=required)
    text = f"{what}: a path (/run/netns/pod1, /proc/4242/ns/net) or a name under /run/netns"
    named = either.add_argument("--netns", action=_Namespace, metavar="NETNS", help=text)
    named.required = required  # so that it is named together with what else is missing
    text = "the namespace of process PID, instead of --netns"
    either.add_argument("--pid", action=_Namespace, dest="netns", type=_netns_of_process, metavar="PID", help=text)


def _netns_of_process(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) < _MAX_PID):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a process ID")
    return f"/proc/{int(text)}/ns/net"


def add_summary(parser: argparse.ArgumentParser) -> None:
    """Add the short preview."""
    parser.add_argument(
        "--summary", action="store_true", help="print only the number of changes of each kind, and the taps"
    )


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add the answer that a question would ask for."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add going on although a VM runs that has a virtual function open."""
    text = "reclaim an SR-IOV virtual function even while a VM has it open"
    parser.add_argument("--force", action="store_true", help=text)


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add looking without doing."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="only show what would be run")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add printing nothing on success."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on success")


def add_talk(parser: argparse.ArgumentParser) -> None:
    """Add how much is printed."""
    add_quiet(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="print each command as it finishes")


def add_wiring(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add what says how a namespace is to be wired."""
    text = "CNI result file (- for standard input); repeat for each additional network of the pod"
    parser.add_argument("--result", action="append", required=required, metavar="FILE", help=text)
    add_netns(parser, required=required)
    parser.add_argument("--id", metavar="ID", help="ID of the wiring (default: the base name of the namespace)")
    parser.add_argument("--wiring", metavar="NAME", help="how the VM is joined to the pod: bridge (default) or tc")
    for option, metavar, text in _FOR_EACH:
        parser.add_argument(option, action="append", default=[], metavar=metavar, help=text)
    parser.add_argument("--sriov", action="store_true", help="hand SR-IOV virtual functions to the VM by vfio-pci")
    parser.add_argument(
        "--tap-owner", metavar="USER[:GROUP]", help="who may open the taps besides root, by name or number"
    )
    parser.add_argument("--tap-queues", metavar="N", help="queues of each tap (default 1)")
    parser.add_argument("--tap-vnet-hdr", action="store_true", help="make taps with the virtio-net header")
    text = "allow wiring the host's own network namespace"
    parser.add_argument("--allow-host-netns", action="store_true", help=text)
    text = "keep the pod network's DHCP and router advertisements from the guest: podwire dhcp serves it"
    parser.add_argument("--serve-dhcp", action="store_true", help=text)
    _add_calico(parser)
    text = "the bridge's own address, for a DHCP server; repeat for further bridges (default 169.254.254.2/24 …)"
    parser.add_argument("--dhcp-address", action="append", default=[], metavar="ADDR", help=text)


def _add_calico(parser: argparse.ArgumentParser) -> None:
    text = "gateway for Calico interfaces: an address allocated by Calico's IPAM for this purpose"
    parser.add_argument("--dummy-gateway", metavar="ADDR", help=text)
    parser.add_argument("--dummy-result", metavar="FILE", help="the same, as the CNI result of --dummy-netns")
    parser.add_argument(
        "--dummy-netns", metavar="NETNS", help="the namespace that carries the address of --dummy-result"
    )
    text = "prefix length for Calico addresses (default 24)"
    parser.add_argument("--calico-subnet", metavar="BITS", help=text)


def quoted(text: str) -> str:
    """Return text of the user's as it may be printed."""
    from planner.text.values import shown  # noqa: PLC0415  only what is wrong needs quoting

    return shown(text)
