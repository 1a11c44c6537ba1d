"""The commands, a module each: ``add_options(parser)``, ``EXAMPLES``, and ``run(arguments)``, which returns the status.

What a command needs is imported when it runs, so that ``--help`` loads nothing; for the same reason the summaries are
here.
"""

from __future__ import annotations

COMMANDS = {
    "facts": "print a namespace's state as JSON",
    "plan": "show what would be done, without changing anything",
    "show": "show a wiring, or a stored plan",
    "guest": "print configuration for the guest, its DHCP server or its VMM",
    "apply": "wire a namespace, by a stored plan or a CNI result",
    "dhcp": "serve the guest its addresses and routes",
    "exec": "run a VMM in the namespace with the taps open",
    "taps": "pass the open taps to a runtime over a socket",
    "teardown": "roll back a wiring exactly",
    "list": "show what is wired here",
    "log": "show the commands that were run",
    "recover": "roll back or complete an interrupted operation",
    "check": "check whether a wiring still matches what was applied",
    "confirm": "keep a wiring applied with --confirm-within",
    "gc": "remove records of namespaces that no longer exist",
    "agent": "run the daemon that serves podwire-cni",
    "completion": "print a shell completion script",
}
# Those that may have changed something even if nothing was reported.
CHANGING = ("apply", "teardown", "recover", "check", "gc")
# What is not for people: shells ask it.
HIDDEN = {"complete": "print the candidates for the last word"}
