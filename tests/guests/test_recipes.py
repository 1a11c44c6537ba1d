"""What docs/guests.md tells to paste, pasted: QEMU boots by it, and libvirt would take its XML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from planner.guest.formats import guest_nics, guest_text
from tests.guests.machines import Guest, ping, readable_by_all, started
from tests.guests.readers import domain_is_valid
from tests.guests.serving import served, udhcpc
from tests.planner.builders import plan_of
from tests.planner.situations import SITUATIONS
from tests.support import MakeNamespace
from tests.support.cli import PODWIRE, Cli
from tests.support.pods import Pod, one_link, plain

PAGE = (Path(__file__).parents[2] / "docs/guests.md").read_text()
LARGEST = 9000 - 28  # of what a ping carries with that MTU
DOMAIN = """\
<domain type='kvm'>
  <name>vm1</name>
  <memory unit='MiB'>1024</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
{}
</domain>
"""


def recipe(beginning: str) -> str:
    """Return the one block of the page that begins so, without its indentation."""
    blocks = re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)
    (found,) = (block for block in blocks if block.strip().startswith(beginning))
    return "".join(line[4:] + "\n" for line in found.splitlines())


@contextmanager
def pasted(cli: Cli, pod: Pod, lines: str) -> Iterator[Guest]:
    """Paste a recipe into a shell, in a folder that has a kernel and a RAM disk."""
    with readable_by_all() as files:
        (files / "podwire").write_text(f'#!/bin/sh\nexec {" ".join(map(str, PODWIRE))} "$@"\n')
        (files / "podwire").chmod(0o755)
        environment = cli.environment | {"PATH": f"{files}:{cli.environment['PATH']}"}
        own = lines.replace("pod1", pod.inside.name).replace("--user qemu", "--user nobody")
        settings = [f"{key}={value}" for key, value in environment.items()]
        with started(["env", *settings, "sh", "-c", f"cd {files}; exec {own}"]) as guest:
            yield guest


def test_qemu_by_the_name_of_the_tap(netns: MakeNamespace, cli: Cli) -> None:
    """The guest has the pod's MTU before it asks anybody, and frames of that size pass both ways."""
    pod = one_link(mtu=9000)(netns("host"), netns("pod"))
    mtu = "cat /sys/class/net/eth0/mtu"
    with served(cli, pod), pasted(cli, pod, recipe("nsenter --net=/run/netns/pod1 qemu")) as guest:
        told = guest.run(mtu)
        guest.run(udhcpc())
        assert (told, guest.run(mtu)) == ("9000\n", "9000\n")
        guest.run(f"ping -c 1 -W 10 -s {LARGEST} 10.1.90.1")


def test_an_unprivileged_qemu(netns: MakeNamespace, cli: Cli) -> None:
    """It has a descriptor, and nothing to open."""
    pod = plain(netns("host"), netns("pod"))
    lines = recipe("podwire exec pod1 --user qemu -- qemu-system-x86_64 -m 1024 -kernel")
    with served(cli, pod, "--tap-vnet-hdr"), pasted(cli, pod, lines) as guest:
        guest.run(udhcpc())
        guest.run("ping -c 1 -W 10 10.1.90.1")
        ping(pod.host, "10.1.90.5")


def test_an_unprivileged_qemu_with_queues(netns: MakeNamespace, cli: Cli) -> None:
    """The guest has both of them, and still after a reboot."""
    pod = plain(netns("host"), netns("pod"))
    lines = recipe("podwire exec pod1 --user qemu -- qemu-system-x86_64 -m 1024 -smp 2")
    with served(cli, pod, "--tap-vnet-hdr", "--tap-queues", "2"), pasted(cli, pod, lines) as guest:
        for boots in range(2):
            assert guest.run("ls /sys/class/net/eth0/queues").split() == ["rx-0", "rx-1", "tx-0", "tx-1"]
            guest.run(udhcpc())
            guest.run("ping -c 1 -W 10 10.1.90.1")
            ping(pod.host, "10.1.90.5")
            if boots == 0:
                guest.reboot()


def test_libvirt_takes_the_interface(tmp_path: Path) -> None:
    """By its own schema, as the page shows it and as podwire writes it; a libvirtd is not started."""
    domain_is_valid(DOMAIN.format(recipe("<devices")), tmp_path)
    for situation in ("plain", "several-interfaces", "tap-options"):
        found = SITUATIONS[situation]
        nics = guest_nics(plan_of(found.facts, options=found.options))
        domain_is_valid(DOMAIN.format(guest_text(nics, "libvirt").text), tmp_path)
