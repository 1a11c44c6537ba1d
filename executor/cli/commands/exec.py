"""exec: a VMM in the namespace, with the taps open."""

from __future__ import annotations

import argparse

from executor.cli.options import add_common

EXAMPLES = """\
podwire exec pod1 -- qemu-system-x86_64 -nic tap,model=virtio,fd={fd0},mac={mac0}
podwire exec pod1 --user 1000:1000 -- cloud-hypervisor --net fd={fd0},mac={mac0}"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("id", metavar="ID", help="the wiring")
    text = "what to run, behind --; {fd0} {tap0} {mac0} {mtu0} {queues0} are filled in, {fd1} … for the next interface"
    parser.add_argument("program", nargs="+", metavar="PROGRAM", help=text)
    text = "run it as this user, by name or number"
    parser.add_argument("--user", metavar="USER[:GROUP]", help=text)
    add_common(parser, ("text",))


def run(arguments: argparse.Namespace) -> int:
    """Become the program, which then has the exit status."""
    from executor.cli.settings import store_of
    from executor.guest.handover import become
    from executor.netns.naming import parse_id
    from executor.settings import Settings
    from executor.trust.privileges import require_privileges

    require_privileges()
    become(parse_id(arguments.id), arguments.program, _owner(arguments.user), Settings(store_of(arguments)))


def _owner(text: str | None) -> tuple[int, int] | None:
    """Return the numbers of a user and a group, by default the user's own. Raises InvalidInput."""
    import grp
    import pwd

    from planner.errors import InvalidInput
    from planner.text.values import shown

    if text is None:
        return None
    user, colon, group = text.partition(":")
    try:
        known = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        uid, gid = known.pw_uid, known.pw_gid
    except (KeyError, OverflowError):
        if not user.isdecimal():
            raise InvalidInput(f"--user: there is no user {shown(user)}") from None
        uid = gid = int(user)
    try:
        if colon:
            gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise InvalidInput(f"--user: there is no group {shown(group)}") from None
    return uid, gid
