"""The commands, a module each: ``add_options(parser)``, ``EXAMPLES``, and ``run(arguments)``, which returns the status.

What a command needs is imported when it runs, so that ``--help`` loads nothing; for the same reason the summaries are
here.
"""

from __future__ import annotations

COMMANDS = {
    "facts": "print what is in a namespace, as JSON",
    "plan": "show what would be done; touches nothing",
    "show": "show a stored plan, or its reverse",
    "guest": "print what the guest, its DHCP server or its VMM is to be told",
    "apply": "wire a namespace as a plan says",
    "dhcp": "serve the guest its addresses and routes",
    "exec": "run a VMM in the namespace, with the taps open",
    "taps": "hand the open taps to a runtime, over a socket",
    "teardown": "undo a wiring, exactly",
    "list": "show what is wired here",
    "log": "show the commands that were run",
    "recover": "roll back what a crash left half done, or finish it",
    "check": "show whether a wiring still is what was applied",
    "confirm": "keep what was applied with --confirm-within",
    "gc": "forget what belongs to namespaces that are gone",
    "agent": "stay, and do the work of podwire-cni at once",
    "completion": "print what makes a shell complete podwire's words",
}
# Those after which something may have changed that nobody said.
CHANGING = ("apply", "teardown", "recover", "check", "gc")
# What is not for people: shells ask it.
HIDDEN = {"complete": "print the candidates for the last word"}
