"""What most of these tests work in: a namespace with one veth, up and with a carrier, as a plugin leaves it."""

from __future__ import annotations

from functools import partial

import pytest

from tests.kernel.asking import link_local
from tests.support import MakeNamespace, Namespace, eventually
from tests.support.pods import Pod


@pytest.fixture
def joined(netns: MakeNamespace) -> Pod:
    """Make a pod whose eth0 is joined to a host's h-eth0, both up, without any address but the link-local ones."""
    pod = Pod.between(netns("host"), netns("pod"))
    pod.add_veth()
    for namespace, link in ((pod.host, pod.host_end()), (pod.inside, "eth0")):
        eventually(partial(link_local, namespace, link), f"the link-local address of {link}")
    pod.settle()
    return pod


@pytest.fixture
def inside(joined: Pod) -> Namespace:
    """Take the pod's side of it."""
    return joined.inside
