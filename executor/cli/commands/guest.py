"""guest: the configuration for a VM's guest, its DHCP server and its VMM."""

from __future__ import annotations

import argparse

from executor.cli.options import OneOf, add_common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from planner.plan.plan import Plan

FORMATS = (
    "json",
    "dnsmasq",
    "cloud-init",
    "user-data",
    "kernel",
    "qemu",
    "firecracker",
    "cloud-hypervisor",
    "libvirt",
)
EXAMPLES = """\
podwire guest pod1 --format cloud-init > network-config
qemu-system-x86_64 ... $(podwire guest pod1 --format qemu)"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("what", metavar="ID|PLAN", help="a wiring, or a stored plan file (- for standard input)")
    text = "only this interface: the pod's link or the tap (default: all)"
    parser.add_argument("--interface", metavar="X", help=text)
    text = "version of the cloud-init network configuration: 1 or 2 (default 2)"
    parser.add_argument("--version", dest="config_version", type=OneOf(("1", "2")), metavar="N", help=text)
    add_common(parser, FORMATS)


def run(arguments: argparse.Namespace) -> int:
    """Print it; what the format cannot express is reported on standard error."""
    from executor.cli.output import complain, put_document
    from planner.guest.formats import guest_nics, guest_text

    form = _format(arguments)
    plan, notes = _plan(arguments)
    told = guest_text(guest_nics(plan, arguments.interface), form)
    put_document([told.text])
    for note in (*notes, *told.notes):
        complain(note, 0)
    return 0


def _format(arguments: argparse.Namespace) -> str:
    from planner.errors import InvalidInput

    form: str = arguments.format
    version = arguments.config_version
    if version is None:
        return form
    if form != "cloud-init":
        raise InvalidInput("--version: only cloud-init's network configurations have versions")
    return "cloud-init-v1" if version == "1" else form


def _plan(arguments: argparse.Namespace) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan of a wiring that is recorded, or that in a file, which is looked for if there is no such id.

    And sentences on what is wrong with the wiring: what is told of it may not be so.
    """
    import os

    from executor.cli.errors import pasteable
    from executor.cli.files import document_name, read_file
    from executor.cli.settings import is_owner, store_of, wiring_meant
    from executor.state.status import refuse_half_done, wired_entry
    from executor.templates import load_templates
    from planner.errors import Refused
    from planner.plan.plan import parse_plan, plan_from_json

    templates = load_templates()
    is_file = arguments.what == "-" or "/" in arguments.what or os.path.isfile(arguments.what)
    if is_file and not (is_owner(arguments) and arguments.what in store_of(arguments).ids()):
        return parse_plan(read_file(arguments.what, "plan"), templates, called=document_name(arguments.what)), ()
    plan_id = wiring_meant(arguments, arguments.what)
    entry = wired_entry(plan_id, store_of(arguments))
    notes = []
    try:
        refuse_half_done(entry)
    except Refused as error:  # what its guest would be told is known all the same
        notes.append(pasteable(error, arguments))
    return plan_from_json(entry.plan, templates), tuple(notes)
