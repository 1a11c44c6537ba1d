"""Virtual functions of the card, pods that have one, and raw dumps of what must come back."""

from __future__ import annotations

import difflib
import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from executor.operations.apply import apply
from executor.operations.outcome import Outcome
from executor.operations.plan import plan_namespace
from executor.operations.teardown import teardown
from executor.settings import Settings
from executor.state.events import Listener
from executor.state.store import StateStore
from executor.templates import load_templates
from planner.cni.result import parse_result
from planner.options import PlanOptions
from planner.plan.plan import Plan
from planner.text.values import NetnsPath, PlanId
from tests.support import Namespace, eventually, run
from tests.support.dumps import COMMANDS, Dump, read_sysctls
from tests.support.netlink import raw_dump

PF = "eth0"
_INDEX = re.compile(r"^(link: \S+ )\d+: ")
DEVICES = Path("/sys/bus/pci/devices")
TEMPLATES = load_templates()
SRIOV = PlanOptions(sriov=True)


@frozen
class Function:
    """A virtual function of the card."""

    number: int

    @property
    def address(self) -> str:
        """Its PCI address."""
        return Path(f"/sys/class/net/{PF}/device/virtfn{self.number}").readlink().name

    @property
    def device(self) -> Path:
        """Its folder in sysfs."""
        return DEVICES / self.address

    @property
    def driver(self) -> str:
        """The driver that has it, "" if none has."""
        driver = self.device / "driver"
        return driver.readlink().name if driver.exists() else ""

    @property
    def override(self) -> str:
        """The only driver that may have it."""
        return (self.device / "driver_override").read_text().strip()

    @property
    def group_devices(self) -> list[str]:
        """The devices of its IOMMU group."""
        return sorted(path.name for path in (self.device / "iommu_group/devices").iterdir())

    @property
    def mac(self) -> str:
        """The MAC that the card has for it."""
        return self.setting.split("link/ether ")[1].split()[0]

    @property
    def setting(self) -> str:
        """What `ip` prints of it."""
        shown = run(["ip", "link", "show", "dev", PF]).out
        return next(line.strip() for line in shown.splitlines() if line.strip().startswith(f"vf {self.number} "))

    @property
    def names(self) -> list[str]:
        """How its interface is called on the host; none while it is in a pod or at vfio-pci."""
        folder = self.device / "net"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def set(self, line: str) -> None:
        """Set something of it: `ip link set dev eth0 vf N LINE`."""
        run(["ip", "link", "set", "dev", PF, "vf", str(self.number), *line.split()])

    def sysfs(self) -> str:
        """Return what sysfs has of it, and what the card enforces, as text."""
        return f"driver {self.driver}\noverride {self.override}\nhost {self.names}\n{self.setting}"

    def give(self, inside: Namespace, name: str) -> None:
        """Move its interface into a namespace, as a CNI plugin does."""
        eventually(lambda: bool(self.names), f"an interface of {self.address}")
        run(["ip", "link", "set", "dev", self.names[0], "netns", str(inside.path), "name", name])

    def reset(self) -> None:
        """Bring it back to the host and its driver, whatever a test has left, with nothing set."""
        (self.device / "driver_override").write_text("\n")
        if self.driver:
            (self.device / "driver/unbind").write_text(self.address)
        Path("/sys/bus/pci/drivers_probe").write_text(self.address)


@frozen
class VfPod:
    """A namespace with the interface of a virtual function, and podwire on it."""

    inside: Namespace
    function: Function
    mac: str
    settings: Settings
    name: str = "net1"
    beside: tuple[dict[str, Any], ...] = ()

    @property
    def id(self) -> PlanId:
        """What its wiring is called."""
        return PlanId(self.inside.name)

    @property
    def netns(self) -> NetnsPath:
        """Its path."""
        return NetnsPath(str(self.inside.path))

    @property
    def result(self) -> dict[str, Any]:
        """What its CNI plugin answered."""
        return {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": self.name, "mac": self.mac, "sandbox": self.netns}, *self.beside],
            "ips": [{"address": "10.3.0.5/24", "interface": 0, "gateway": "10.3.0.1"}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.3.0.1"}],
            "dns": {},
        }

    def plan(self, options: PlanOptions = SRIOV) -> Plan:
        """Plan, as `podwire plan --sriov` does."""
        return plan_namespace(
            parse_result(json.dumps(self.result)),
            plan_id=self.id,
            netns=self.netns,
            options=options,
            settings=self.settings,
        )

    def apply(self, *listeners: Listener) -> Plan:
        """Plan and apply, while `listeners` listen."""
        plan = self.plan()
        apply(plan, evolve(self.settings, listeners=listeners))
        return plan

    def teardown(self, *listeners: Listener) -> Outcome:
        """Roll the wiring back."""
        return teardown(self.id, evolve(self.settings, listeners=listeners))

    def state(self) -> str:
        """Return all that must come back, as text: the pod, sysfs, and what the card enforces."""
        return "\n".join((*_links(self.inside), *_listed(self.inside), self.function.sysfs()))


def _links(inside: Namespace) -> list[str]:
    """Return what `ip` prints of the links, in the order of their names and less their index.

    What comes back from a driver is a new link to the kernel. It is `ip -n`, not nsenter, and all else is read without
    a program: to load one takes long here.
    """
    printed = run(["ip", "-n", inside.name, *COMMANDS["link"].split()[1:]]).out
    lines = [_INDEX.sub(r"\1", line) for line in Dump({"link": printed}).lines()]
    return sorted(lines, key=lambda line: line.split()[1])


def _listed(inside: Namespace) -> Iterator[str]:
    """Yield what the kernel lists by netlink, with the names of links for their indices, and the sysctls."""
    numbers = inside.inside(socket.if_nameindex)
    for table, lines in raw_dump(inside).items():
        named = [f"{table}: {_named(line, numbers)}" for line in lines]
        yield from sorted(named, key=_link_of if table == "address" else None)
    yield inside.inside(read_sysctls)


def _named(line: str, numbers: list[tuple[int, str]]) -> str:
    """Return a line of the raw dump with links by their names: `link 4`, and RTA_OIF in a route."""
    for index, name in numbers:
        line = re.sub(rf"\blink {index}\b", f"link {name}", line)
        line = re.sub(rf"\b4:{index.to_bytes(4, sys.byteorder).hex()}\b", f"4:{name}", line)
    return line


def _link_of(line: str) -> str:
    """Return the link that an address is on: on each they stay in the kernel's order."""
    return line.split()[2]


def difference(before: str, after: str) -> str:
    """Return what differs, as a unified diff."""
    return "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))


def is_as_before(pod: VfPod, before: str, *, seconds: float = 20) -> bool:
    """Say whether all is as it was, after a while in which the kernel notices a carrier; fail with what differs."""
    deadline = time.monotonic() + seconds
    while (found := difference(before, pod.state())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not found, found
    return True


def make_pod(inside: Namespace, function: Function, state_dir: Path, *, name: str = "net1") -> VfPod:
    """Give a namespace a function with addresses, routes, a neighbour and settings that are not the usual ones."""
    mac = f"02:11:22:33:44:5{function.number}"
    function.set(f"mac {mac} vlan 42 qos 3")
    function.reset()
    function.give(inside, name)
    inside.run("sysctl", "-qw", f"net/ipv6/conf/{name}/accept_ra=0", f"net/ipv4/conf/{name}/rp_filter=2")
    lines = (  # by one `ip`: a process takes long here
        f"link set dev {name} mtu 1400 txqueuelen 500 promisc on allmulticast on multicast off",
        f'link set dev {name} alias "the tenant\'s {name}"',
        f"link property add dev {name} altname data-{function.number}",
        "link set dev lo up",
        f"link set dev {name} up",
        f"addr add 10.3.0.5/24 dev {name}",
        f"addr add fd00:3::5/64 dev {name} nodad",
        f"route add default via 10.3.0.1 dev {name} metric 50",
        f"neigh add 10.3.0.9 lladdr 02:00:00:00:00:09 dev {name}",
    )
    inside.run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
    inside.settle()
    assert _mac_of(inside, name) == mac
    return VfPod(inside, function, mac, Settings(StateStore(state_dir), TEMPLATES, timeout=30.0), name)


def _mac_of(inside: Namespace, name: str) -> str:
    return inside.ip(f"-o link show dev {name}").split("link/ether ")[1].split()[0]
