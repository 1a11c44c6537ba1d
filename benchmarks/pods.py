"""Scratch pods to wire: one veth and an address, or many of them, or many routes."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.namespaces import Namespace
from tests.support.pods import Build, Pod, plain

_NUMBERS = itertools.count(1)


@contextmanager
def scratch_pod(build: Build = plain) -> Iterator[Pod]:
    """Make a pod in two fresh namespaces; delete them in the end."""
    number = f"{os.getpid()}-{next(_NUMBERS)}"
    host, inside = Namespace.create(f"bench-host-{number}"), Namespace.create(f"bench-pod-{number}")
    try:
        yield build(host, inside)
    finally:
        inside.delete()
        host.delete()


@contextmanager
def state_directory() -> Iterator[Path]:
    """Make a state directory on the machine's disk: podwire syncs what it writes, and that is to count."""
    path = Path(tempfile.mkdtemp(prefix="podwire-bench-", dir="/var/tmp"))  # /tmp may be no disk
    try:
        yield path
    finally:
        shutil.rmtree(path)


def links(count: int) -> Build:
    """Make a pod with ``count`` veths, an address each, and a default route by the first."""

    def build(host: Namespace, inside: Namespace) -> Pod:
        pod = Pod.between(host, inside)
        for x in range(count):
            pod.add_veth(f"eth{x}", mac=f"0a:58:0a:02:{x:02x}:05", host_mac=f"0a:58:0a:02:{x:02x}:01")
            gateway = f"10.2.{x}.1" if x == 0 else None
            pod.add_address(f"10.2.{x}.5/24", gateway=gateway, link=f"eth{x}")
        pod.settle()
        return pod

    return build


def routes(count: int) -> Build:
    """Make a plain pod with ``count`` routes in all."""

    def build(host: Namespace, inside: Namespace) -> Pod:
        pod = plain(host, inside)
        lines = [f"route add 10.{64 + n // 256}.{n % 256}.0/24 via 10.1.90.1 dev eth0" for n in range(count - 1)]
        inside.run("ip", "-batch", "-", stdin="".join(f"{line}\n" for line in lines))
        pod.settle()
        return pod

    return build
