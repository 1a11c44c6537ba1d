"""An address of a link (ip-address(8))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any, ClassVar

from attrs import evolve

from planner.kinds.kind import ChangeLike, Kind, Look, Seen, link_touch, register
from planner.kinds.lifetime import finite
from planner.kinds.route import Route
from planner.kinds.shown import differences
from planner.kinds.sysctl import DAD
from planner.text.frozen import frozen
from planner.text.values import (
    LOOPBACK,
    InterfaceName,
    IpAddress,
    IpInterface,
    IpNetwork,
    Keyword,
    Label,
    MacAddress,
    SysctlValue,
)

# The modes of ip-link(8), addrgenmode, as the sysctl addr_gen_mode counts them (kernel, ip-sysctl.rst).
GENERATIONS = ("eui64", "none", "stable_secret", "random")


@frozen
class GeneratedFrom:
    """The ``mac`` from which the kernel made an address before its link got the MAC that it has ``now``."""

    mac: MacAddress
    now: MacAddress


@frozen
class Kept:
    """An IPv6 address has outlived its link's going down, by ``keep_addr_on_down``, which is ``now`` that."""

    now: SysctlValue


@frozen
class AddressState:
    """An address less its identity. Lifetimes are seconds, None is forever.

    ``tentative``: whether the kernel still probes for duplicates (without a carrier it never stops), ``duplicate``:
    it has found one. ``learnt``: made from a router advertisement, which will bring it back. ``absent_routes``: the
    prefix routes that the kernel makes with the address but that somebody had removed, so that they have to go again
    (ptp does that).
    ``unmade_routes``: other routes that it makes and that go again: they were not there, or are changes of their own.
    ``generated``: the address generation mode by which the kernel made the address, and makes it again;
    ``generated_from``: from which MAC, if that is not the link's any more; ``generated_once``: the link's mode is
    another one by now.
    ``made_by``: ``kernel_ll`` for such a one, ``kernel_ra`` if an advertisement did; None if somebody or nobody knows.
    ``unsupported`` names what podwire could not bring back; an address that has it is never touched.
    ``kept``: it was there when its link, which is down, was up; ``unheard``: such a link does not listen to its group.
    """

    scope: Keyword
    label: Label | None = None
    broadcast: IpAddress | None = None
    flags: tuple[Keyword, ...] = ()
    metric: int | None = None
    valid_lft: int | None = None
    preferred_lft: int | None = None
    tentative: bool = False
    learnt: bool = False
    absent_routes: tuple[IpNetwork, ...] = ()
    unmade_routes: tuple[Route, ...] = ()
    generated: Keyword | None = None
    generated_from: GeneratedFrom | None = None
    generated_once: bool = False
    made_by: Keyword | None = None
    kept: Kept | None = None
    unheard: bool = False
    duplicate: bool = False
    unsupported: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.generated is not None and self.generated not in GENERATIONS:
            raise ValueError(f"{self.generated} is none of the modes {', '.join(GENERATIONS)}")

    @property
    def comes_back(self) -> bool:
        """Say whether the network itself restores this."""
        return self.learnt

    @property
    def canonical(self) -> AddressState:
        """Return this without what ticks or ends on its own: two observations of one address are then equal.

        Nor with how it is brought back.
        """
        if (
            self.valid_lft is None
            and self.preferred_lft is None
            and not (self.tentative or self.unmade_routes or self.generated or self.made_by)
            and not (self.kept or self.unheard or self.duplicate)
        ):
            return self
        valid, preferred = finite(self.valid_lft), finite(self.preferred_lft)
        settled = evolve(self, valid_lft=valid, preferred_lft=preferred, tentative=False, unmade_routes=())
        settled = evolve(settled, kept=None, unheard=False, duplicate=False)
        return evolve(settled, generated=None, generated_from=None, generated_once=False, made_by=None)

    @property
    def generation(self) -> int:
        """Return the mode of generation as the sysctl ``addr_gen_mode`` counts it."""
        return GENERATIONS.index(self.generated or "none")

    @property
    def lives_for(self) -> int | None:
        """How many seconds it has to live, None if that does not tick."""
        return self.valid_lft

    def aged(self, elapsed: float) -> AddressState | None:
        """Return the state ``elapsed`` seconds later, or None when the address has expired by then."""
        if self.valid_lft is None:
            left = None
        elif (left := self.valid_lft - int(elapsed)) <= 0:
            return None
        preferred = None if self.preferred_lft is None else max(0, self.preferred_lft - int(elapsed))
        return evolve(self, valid_lft=left, preferred_lft=preferred)


@frozen
class Address:
    """An address of a link; with a peer the prefix length is the peer's.

    ``ip addr add 10.1.90.5/24 dev eth0`` (ip-address(8)).
    """

    TAG: ClassVar = {"kind": "address"}
    link: InterfaceName
    address: IpInterface
    peer: IpAddress | None = None

    @property
    def is_spared(self) -> bool:
        """Say whether the kernel would probe for duplicates when it is added, but can be kept from it by ``nodad``.

        A peer with a shorter prefix than its whole length is left to ``accept_dad``: ``ip addr change`` would give it a
        second connected route (addrconf.c, modify_prefix_route).
        """
        whole = self.peer is None or self.address.network.prefixlen == self.address.max_prefixlen
        return self.address.version == 6 and whole

    @property
    def subnet(self) -> IpNetwork:
        """Return the network that the address is in: with a peer, the peer's."""
        own = self.address.network
        return own if self.peer is None else ip_network(f"{self.peer}/{own.prefixlen}", strict=False)

    def __str__(self) -> str:
        peer = f" peer {self.peer}" if self.peer else ""
        return f"address {self.address}{peer} on {self.link}"


def _observe(seen: Seen, resource: Address, _like: Any) -> AddressState | None:
    found: AddressState | None = seen.entries.get(resource)
    return found


def _words(change: ChangeLike) -> list[str]:
    return [str(change.resource).rsplit(" on ", 1)[0]]


def _looks(resource: Address, state: AddressState) -> Iterator[Look]:
    """Yield what shows an address with its scope and its label, and whether it is there forever."""
    argv = ["ip", "-o", "addr", "show", "dev", resource.link]
    label = rf"{re.escape(state.label)}[ \\]" if state.label else ""
    yield argv, rf"{_shown(resource)}([^\\]* )?scope {state.scope} ([^\\]* )?{label}"
    yield argv, rf"{'!' if state.valid_lft is None else ''}{_shown(resource)}[^\\]*\\ *valid_lft [0-9]"


def _shown(resource: Address) -> str:
    address = resource.address
    shown = f"{address.ip} peer {resource.peer}/{address.network.prefixlen}" if resource.peer else str(address)
    # iproute2 leaves a full prefix length out.
    shown = shown.removesuffix(f"/{address.max_prefixlen}")
    return f" inet6? {re.escape(shown)}(/{address.max_prefixlen})? "


def _runs_alone(change: ChangeLike) -> bool:
    """Say whether nothing else may run at the same time: not while addresses go.

    IPv6 tells its neighbours of each within milliseconds, and is silent only if the link-local address has gone as well
    by then (tests/executor/test_frames.py heard it one time in three).
    """
    return change.after is None


def _returns_with(_: Address, state: AddressState) -> str:
    """Say what brings it; of a temporary one (RFC 8981) there is another then."""
    return f"the next router advertisement{', as another one' if state.unsupported else ''}"


ADDRESS = register(
    Kind(
        name="address",
        resource=Address,
        state=AddressState,
        template="address.j2",
        observe=_observe,
        subject=lambda resource: str(resource.link),
        words=_words,
        drift=lambda change: [*_words(change), *differences(change.before, change.after)],
        looks=_looks,
        links=lambda resource: frozenset((resource.link,)),
        touches=lambda change: frozenset((link_touch(change.resource.link), DAD)),
        runs_alone=_runs_alone,
        provides=lambda resource: (resource.address.ip,),
        is_shared=lambda resource: resource.link == LOOPBACK,
        returns_with=_returns_with,
        goes_ahead=True,
    )
)
