"""exec: a VMM in the namespace, with the taps open."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# The number after it means "leave it as it is" to the kernel (setuid(2)).
_MAX_ID = 2**32 - 2
EXAMPLES = """\
podwire exec pod1 -- qemu-system-x86_64 -nic tap,model=virtio,fd={fd0},mac={mac0}
podwire exec pod1 --user 1000:1000 -- cloud-hypervisor --net fd={fd0},mac={mac0}"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", metavar="ID", help="the wiring")
    text = (
        "command to run, after --; {fd0} {tap0} {mac0} {mtu0} {queues0} become the first "
        "interface's values, {fd1} … the next's"
    )
    parser.add_argument("program", nargs="+", metavar="PROGRAM", help=text)
    text = "run it as this user, by name or number"
    parser.add_argument("--user", metavar="USER[:GROUP]", help=text)
    add_common(parser, ("text",))


def run(arguments: argparse.Namespace) -> int:
    """Become the program, which then has the exit status."""
    from executor.cli.settings import id_meant, store_of
    from executor.guest.handover import become
    from executor.settings import Settings
    from executor.trust.privileges import require_privileges

    require_privileges()
    store = store_of(arguments)
    become(id_meant(arguments.id, store), arguments.program, _owner(arguments.user), Settings(store))


def _owner(text: str | None) -> tuple[int, int] | None:
    """Return the numbers of a user and a group, by default the user's own. Raises InvalidInput."""
    import grp
    import pwd

    if text is None:
        return None
    user, colon, group = text.partition(":")
    uid = _number(user, "user", lambda name: pwd.getpwnam(name).pw_uid)
    if colon:
        return uid, _number(group, "group", lambda name: grp.getgrnam(name).gr_gid)
    try:
        return uid, pwd.getpwuid(uid).pw_gid
    except KeyError:  # a user without an account, whose group has the same number
        return uid, uid


def _number(text: str, what: str, look_up: Callable[[str], int]) -> int:
    """Return the number of a user or a group, which is given by that or by name. Raises InvalidInput."""
    from planner.errors import InvalidInput
    from planner.text.values import shown

    if text.isascii() and text.isdecimal():
        if len(text) <= len(str(_MAX_ID)) and int(text) <= _MAX_ID:
            return int(text)
        raise InvalidInput(f"--user: {shown(text)} is not a number from 0 to {_MAX_ID}")
    try:
        return look_up(text)
    except KeyError:
        raise InvalidInput(f"--user: there is no {what} {shown(text)}") from None
