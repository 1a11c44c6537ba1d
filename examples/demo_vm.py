"""What `./dev demo --vm` does instead of sending frames: a guest boots behind the tap, and its console is shown."""

from __future__ import annotations

import json

from tests.guests.machines import Nic, ping, uml
from tests.support import Namespace

GATEWAY = "10.1.90.1"
COMMANDS = (
    "uname -sr",
    "udhcpc -i eth0 -n -q -t 20 -T 1 -O mtu -O staticroutes -O search -s /udhcpc.sh",
    "ip -4 addr show dev eth0",
    "ip route",
    f"ping -c 2 -W 10 {GATEWAY}",
)


def boot_a_guest(plan: str, node: Namespace, pod: Namespace) -> None:
    """Boot the guest, type on its console, and reach it from the node. Raises AssertionError if anything fails."""
    interface = json.loads(plan)["interfaces"][0]
    with uml(pod, Nic(interface["name"], interface["mac"])) as guest:
        for command in COMMANDS:
            print(f"  guest # {command}", flush=True)
            said = guest.run(command).strip("\n")
            print("".join(f"  {line}\n" for line in said.splitlines()), end="", flush=True)
        ping(node, interface["guest"]["addresses"][0].partition("/")[0])
