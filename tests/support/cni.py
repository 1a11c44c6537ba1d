"""Debian's own CNI plugins, called as a container runtime calls them: by the CNI specification, sections 2 to 4.

    network = Network(host, bridge())
    result = network.add(inside)        # the raw JSON of the last plugin, as it came
    network.delete(inside)

The configuration is a dict: one plugin's, or a list's with "plugins" (a conflist); then each gets the result of the one
before as `prevResult`.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.support.namespaces import Namespace
from tests.support.running import eventually, run

PLUGINS = Path("/usr/lib/cni")
LEASES = Path("/var/lib/cni")  # private to the sandbox

Conf = dict[str, Any]


def host_local(subnet: str = "10.1.90.0/24", *more: str, routes: tuple[str, ...] = ("0.0.0.0/0",)) -> Conf:
    """Address management from one range or, for dual stack, several; the first address of each is the gateway's."""
    return {
        "type": "host-local",
        "ranges": [[{"subnet": each}] for each in (subnet, *more)],
        "routes": [{"dst": route} for route in routes],
    }


def bridge(ipam: Conf | None = None, *, version: str = "1.0.0", **more: object) -> Conf:
    """Configure the `bridge` plugin: veths into cni0 on the host, whose address is the gateway."""
    plugin = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": ipam or host_local()}
    return {"cniVersion": version, "name": "pods", **plugin, **more}


def ptp(ipam: Conf | None = None, *, version: str = "1.0.0", **more: object) -> Conf:
    """Configure the `ptp` plugin: a veth pair for each pod, routed by the host."""
    return {"cniVersion": version, "name": "pods", "type": "ptp", "ipam": ipam or host_local(), **more}


def chain(*plugins: Conf, version: str = "1.0.0") -> Conf:
    """Configure a list of plugins, each called with the result of the one before."""
    return {"cniVersion": version, "name": "pods", "plugins": list(plugins)}


def quick(*namespaces: Namespace) -> None:
    """Spare links that are made from now on the seconds of duplicate address detection."""
    for namespace in namespaces:
        namespace.sysctl("net/ipv6/conf/default/accept_dad", 0)


def complete(pod: Namespace, *links: str) -> None:
    """Wait until the kernel has given each link its own IPv6 address, and none is tentative."""
    for link in links:
        look = partial(pod.ip, f"-6 addr show dev {link} scope link")
        eventually(look, f"the address that the kernel makes for {link}")
    pod.settle()


@frozen
class Network:
    """A network configuration, and the host's namespace that its plugins run in."""

    host: Namespace
    conf: Conf

    def add(self, pod: Namespace, ifname: str = "eth0", *, args: str = "") -> Conf:
        """ADD: call each plugin in order, and return the last one's result."""
        result: Conf = {}
        for plugin in self._plugins():
            result = json.loads(self._call(plugin, result, _environment("ADD", pod, ifname, args)))
        return result

    def check(self, pod: Namespace, ifname: str = "eth0", *, result: Conf, args: str = "") -> None:
        """CHECK: call each plugin in order with the `result` of ADD."""
        for plugin in self._plugins():
            self._call(plugin, result, _environment("CHECK", pod, ifname, args))

    def delete(self, pod: Namespace, ifname: str = "eth0", *, result: Conf | None = None, args: str = "") -> None:
        """DEL: call each plugin in the reverse order, with the `result` of ADD if it is given."""
        for plugin in reversed(self._plugins()):
            self._call(plugin, result, _environment("DEL", pod, ifname, args))

    def _plugins(self) -> list[Conf]:
        common = {key: self.conf[key] for key in ("cniVersion", "name")}
        return [common | self._with_own_leases(plugin) for plugin in self.conf.get("plugins", [self.conf])]

    def _with_own_leases(self, plugin: Conf) -> Conf:
        """Leases are kept for each host of the tests apart, so that every test begins with the first address."""
        if plugin.get("ipam", {}).get("type") != "host-local":
            return plugin
        return plugin | {"ipam": {"dataDir": str(LEASES / self.host.name)} | plugin["ipam"]}

    def _call(self, plugin: Conf, previous: Conf | None, environment: dict[str, str]) -> str:
        stdin = plugin | ({"prevResult": previous} if previous else {})
        argv = ["nsenter", f"--net={self.host.path}", PLUGINS / plugin["type"]]
        return run(argv, stdin=json.dumps(stdin), env=environment).out


def _environment(command: str, pod: Namespace, ifname: str, args: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],  # for iptables
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": pod.name,
        "CNI_NETNS": str(pod.path),
        "CNI_IFNAME": ifname,
        "CNI_PATH": str(PLUGINS),
        "CNI_ARGS": args,
    }
