"""Looking at the namespaces beside its own that a plan has changes in, each known by its cookie once it was seen."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from executor.errors import HostError, NamespaceGone
from executor.netns.namespace import Namespace
from executor.observe.observe import observe_once
from planner.facts.model import FACTS_VERSION, Elsewhere, NamespaceFacts
from planner.text.values import NetnsPath

# That of the host is the one that podwire runs in, as its commands without a namespace do.
HOST = NetnsPath("/proc/self/ns/net")
_PCI = "pci"


def open_elsewhere(other: Elsewhere) -> Namespace:
    """Open another namespace, wherever it lives now. Raises NamespaceGone, or HostError if it cannot be opened."""
    if other.netns is not None and other.cookie:
        from executor.netns.find import find_namespace  # noqa: PLC0415  most plans have changes in the pod alone

        return find_namespace(other.netns, other.cookie)
    namespace = Namespace.open(other.netns or HOST)
    if other.cookie in (0, namespace.cookie):
        return namespace
    namespace.close()
    raise HostError("podwire runs in another network namespace than the one that is the host's in the plan")


def with_elsewhere(facts: NamespaceFacts, others: Iterable[Elsewhere], *, timeout: float) -> NamespaceFacts:
    """Return the facts with what is in other namespaces now. One that was seen before may be gone since.

    Raises NamespaceGone if one that was not is not there, HostError.
    """
    seen = tuple(_observe(other, timeout) for other in others)
    return evolve(facts, elsewhere=seen) if seen else facts


def pci_devices(facts: NamespaceFacts) -> set[str]:
    """Return the PCI addresses of the devices that links are of: of a virtual function the host knows more."""
    return {str(link.parent_device) for link in facts.links if link.parent_bus == _PCI}


def with_functions(facts: NamespaceFacts, *, timeout: float) -> NamespaceFacts:
    """Return the facts of a pod with what the host knows of its virtual functions; no more of the host is kept.

    Raises HostError.
    """
    devices = pci_devices(facts)
    if not devices or facts.functions:
        return facts
    (host,) = with_elsewhere(facts, (Elsewhere(None),), timeout=timeout).elsewhere
    seen = () if host.facts is None else host.facts.functions
    functions = tuple(function for function in seen if str(function.address) in devices)
    if not functions:
        return facts
    return evolve(facts, elsewhere=(evolve(host, facts=NamespaceFacts(FACTS_VERSION, functions=functions)),))


def _observe(other: Elsewhere, timeout: float) -> Elsewhere:
    try:
        with open_elsewhere(other) as namespace:
            return evolve(other, cookie=namespace.cookie, facts=observe_once(namespace, timeout=timeout))
    except NamespaceGone:
        if not other.cookie:
            raise
        return evolve(other, facts=None)
