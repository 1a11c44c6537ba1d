"""Makes tests/formats/pods/*.json again: facts and CNI results of real pods, so that the tests of pictures need none.

./dev sandbox .venv/bin/python tests/formats/make_pods.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from executor.observe.observe import observe_netns  # noqa: E402  the checkout is on the path only now
from planner.text.codec import to_json  # noqa: E402
from planner.text.values import NetnsPath  # noqa: E402
from tests.support import cni, pods  # noqa: E402
from tests.support.namespaces import Namespace  # noqa: E402
from tests.support.pods import Pod  # noqa: E402

FOLDER = Path(__file__).parent / "pods"


def by_plugin(host: Namespace, inside: Namespace) -> Pod:
    """Make a pod by the bridge plugin itself, whose result names the host's side."""
    for namespace in (host, inside):
        namespace.ip("link set lo up")
    pod = Pod(host, inside, cni.Network(host, cni.bridge()).add(inside))
    pod.settle()
    return pod


def several(count: int) -> Callable[[Namespace, Namespace], Pod]:
    """Return what makes a dual-stack pod with further interfaces, each with an address of its own."""

    def build(host: Namespace, inside: Namespace) -> Pod:
        pod = pods.dual_stack(host, inside)
        for number in range(1, count):
            mac = f"0a:58:0a:01:{90 + number:02x}:05"
            pod.add_veth(f"net{number}", mac=mac, host_mac=f"0a:58:0a:01:{90 + number:02x}:01")
            pod.add_address(f"10.1.{90 + number}.5/24", link=f"net{number}")
            inside.ip(f"route add 172.{16 + number}.0.0/16 via 10.1.{90 + number}.1 dev net{number} metric 100")
        pod.settle()
        return pod

    return build


def long_addresses(host: Namespace, inside: Namespace) -> Pod:
    """Make a pod whose names and addresses are as long as they can be."""
    link = "net.tenant-4094"
    pod = Pod.between(host, inside)
    pod.add_veth(link, mtu=9000)
    pod.add_address(
        "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff05/112", gateway="2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff01", link=link
    )
    pod.add_address("192.168.100.200/24", gateway="192.168.100.100", link=link)
    inside.ip(
        f"route add 2001:db8:1111:2222:3333:4444:5555:6666/128 via 2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff02 dev {link} "
        "metric 4294967295 table 4294967290"
    )
    pod.settle()
    return pod


BUILDS: dict[str, Callable[[Namespace, Namespace], Pod]] = {
    "plain": by_plugin,
    "dual-stack": pods.dual_stack,
    "aws": pods.aws,
    "calico": pods.calico,
    "ptp": pods.ptp_style,
    "three": several(3),
    "eight": several(8),
    "down": pods.also(pods.plain, "ip link set eth0 down"),
    "long": long_addresses,
    "lo-down": pods.lo_never_up,
}


def main() -> None:
    """Build each pod, look, and write down what was seen."""
    for name, build in BUILDS.items():
        host, inside = Namespace.create("host"), Namespace.create("pod1")
        pod = build(host, inside)
        facts: dict[str, Any] = to_json(observe_netns(NetnsPath(str(inside.path)), timeout=30))
        text = json.dumps({"result": pod.result, "facts": facts | {"observed_at": 0.0}}, indent=1)
        (FOLDER / f"{name}.json").write_text(text + "\n")
        for namespace in (inside, host):
            namespace.delete()


if __name__ == "__main__":
    main()
