"""What podwire knows of a kind of resource, in one record: nothing else names kinds.

A resource is an identity (hashable, comparable); its state is everything else that a restore must bring back. A change
is one resource, before and after. Whatever is done with changes (rendering, looking, ordering, showing, storing) asks
the kind of their resource.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from planner.text.codec import from_json
from planner.text.document import Node
from planner.text.frozen import frozen
from planner.text.values import InterfaceName, shown

if TYPE_CHECKING:
    from planner.text.values import NetnsPath, PlanId

# Instances of the classes that kinds name; which ones there are is only known when all kinds are loaded.
Resource = Any
State = Any


if TYPE_CHECKING:
    from typing import Protocol

    class Seen(Protocol):
        """An index over the facts of one namespace (planner.changes.lookup.Observed)."""

        @property
        def facts(self) -> Any: ...  # noqa: D102
        @property
        def links(self) -> Mapping[Any, Any]: ...  # noqa: D102
        @property
        def sysctls(self) -> Mapping[Any, Any]: ...  # noqa: D102
        @property
        def entries(self) -> Mapping[Any, Any]: ...  # noqa: D102
        @property
        def functions(self) -> Mapping[Any, Any]: ...  # noqa: D102

    class ChangeLike(Protocol):
        """A change, as a kind sees it (planner.changes.change.Change)."""

        @property
        def resource(self) -> Resource: ...  # noqa: D102
        @property
        def before(self) -> State | None: ...  # noqa: D102
        @property
        def after(self) -> State | None: ...  # noqa: D102
        @property
        def known_state(self) -> State: ...  # noqa: D102

else:  # to make a protocol takes as long as to make several classes of values, and nobody asks for it
    Seen = ChangeLike = Any


class Unreadable:
    """The state of what could not be read: it is unknown, not even absent."""


UNREADABLE = Unreadable()


@frozen
class Foreign:
    """The state of a resource that is there under this name but that podwire cannot have made."""

    name: str


# A test of a shell script: the program that shows the resource, and the regular expression that its output matches
# while the resource is in a state. With a leading ``!`` it must not match.
Look = tuple[list[str], str]

# What a change touches, so that changes which touch nothing in common may be made side by side; None is everything.
Touches = frozenset[str] | None


def _nothing(_: Any) -> tuple[Any, ...]:
    return ()


def _no_read(_: Any) -> Iterable[tuple[Resource, State]]:
    return ()


def _as_it_is(changes: tuple[Any, ...], _: Seen) -> tuple[Any, ...]:
    return changes


@frozen(kw_only=True, eq=False)
class Kind:
    """A kind of resource. What has no default here must be given by each kind.

    ``name`` is its tag in JSON, ``template`` the file in ``templates/`` that turns a change of it into commands.
    """

    name: str
    resource: type[Any]
    state: type[Any]
    template: str
    # A state may say more of itself: ``canonical`` is what is compared of it, ``aged(seconds)`` what is left of it
    # then, ``comes_back`` that the network makes it again; where it matches links by name, ``under_names(names)`` is
    # what it is for the names that they have now, and ``knowing(other)`` what it is beside another of the resource.
    # The state in which a resource is, None if it is not there; ``like`` is the state that podwire knows it in.
    observe: Callable[[Seen, Resource, State], State | Foreign | Unreadable | None]
    # The link that a resource is about in a preview, or a word such as ``route``; and what happens to it, a line each.
    subject: Callable[[Resource], str]
    words: Callable[[ChangeLike], list[str]]
    # What differs between how a resource is (``before``) and how it was applied (``after``), a line each.
    drift: Callable[[ChangeLike], list[str]]
    # How a shell script looks whether a resource is in a state.
    looks: Callable[[Resource, State], Iterable[Look]]
    # The links without which a resource cannot be.
    links: Callable[[Resource], frozenset[str]]
    # What a change touches; changes that touch something in common are made in their order.
    touches: Callable[[ChangeLike], Touches]
    # --- what most kinds have no need to say ---
    # The wirings that a resource or a state names as its owner.
    owners: Callable[[ChangeLike], Iterable[PlanId]] = _nothing
    # The namespaces, beside its own, that a change reaches into.
    namespaces: Callable[[ChangeLike], Iterable[NetnsPath]] = _nothing
    # What a resource provides to others, and what it needs of it: with what expires goes what needs it.
    provides: Callable[[Resource], Iterable[Hashable]] = _nothing
    needs: Callable[[Resource], Iterable[Hashable]] = _nothing
    # Features of the host that a change needs: a key of executor.operations.execution.FEATURES.
    features: Callable[[ChangeLike], Iterable[str]] = _nothing
    # A key under which neighbouring changes are made at once, by the template's block ``together``; None is alone.
    together: Callable[[ChangeLike], Hashable | None] = lambda _: None
    # There may be very many resources of which one word differs, and filling in a template costs more than replacing
    # that: what all of these have in common, also in what they touch, and the word; a resource that represents them,
    # and its word.
    shape: Callable[[Resource], tuple[Hashable, str] | None] = lambda _: None
    stand_in: Callable[[Resource], tuple[Resource, str]] = lambda resource: (resource, str(resource))
    # Whether nothing else is to be done while a change is made, though it touches nothing of that.
    runs_alone: Callable[[ChangeLike], bool] = lambda _: False
    # Whether a change only makes something, or sets what is to be set before that goes up: see planner.plan.render.
    only_makes: Callable[[ChangeLike], bool] = lambda _: False
    # Changes of this kind, rewritten for the current state, whatever made it.
    refine: Callable[[tuple[Any, ...], Seen], tuple[Any, ...]] = _as_it_is
    # Sentences on what others have that a change leaves alone, from its ``after`` and the facts.
    left_alone: Callable[[State, Any], Iterable[str]] = lambda _state, _facts: ()
    # Whether a namespace has the resource only once, so that all wirings in it share it (planner.plan.sharing).
    is_shared: Callable[[Resource], bool] = lambda _: False
    # A wiring's ``after`` with what that of another wiring would take away in the end: the last one does.
    joined: Callable[[State, State], State] = lambda own, _other: own
    # Whether others have the same as what a state holds, so that nobody can tell afterwards whose is left.
    has_copies: Callable[[State, Any], bool] = lambda _state, _facts: False
    # What is to be remarked of a change beside what a picture shows of it: a subject, words and the reason.
    remarks: Callable[[ChangeLike], Iterable[tuple[str, str, str]]] = _nothing
    # With what a state that "comes back" on its own returns.
    returns_with: Callable[[Resource, State], str] = lambda _, __: "the next router advertisement"
    # Resources of this kind and their states in the answers of a namespace (planner.facts.parse.ProbeOutput).
    read: Callable[[Any], Iterable[tuple[Resource, State]]] = _no_read
    # The device that a resource is about, as others are, perhaps in other namespaces; and why that is not the wiring's
    # any more, as one of its resources tells: nothing of the device is to be brought back then.
    device: Callable[[Resource], Hashable | None] = lambda _: None
    lost: Callable[[ChangeLike, Seen], str | None] = lambda _change, _seen: None
    # The links that a resource is when it is there, though they were not made by podwire.
    brings: Callable[[Resource], Iterable[str]] = _nothing
    # Whether the resource is the only one of its name that podwire made: it may be "lost" without being said.
    is_made_link: bool = False
    # Whether the rest of a change's commands must not run after one of them failed.
    stops_at_failure: bool = False
    # Whether what comes after a change may be sent before that was answered: it does no harm if the change failed.
    # After a change that makes a link it would, if another link has the name.
    goes_ahead: bool = False
    # Whether the kernel takes its time over a change, so that what does not depend on it is better made beside it.
    is_slow: Callable[[ChangeLike], bool] = lambda _: False


_BY_NAME: dict[str, Kind] = {}
_BY_CLASS: dict[type[Any], Kind] = {}


def register(kind: Kind) -> Kind:
    """Add a kind, and return it. Raises ValueError if its name, or its class, is another's."""
    if getattr(kind.resource, "TAG", None) != {"kind": kind.name}:
        raise ValueError(f"{kind.resource.__name__}.TAG must be {{'kind': {kind.name!r}}}")
    if kind.name in _BY_NAME or kind.resource in _BY_CLASS:
        raise ValueError(f"there is a kind {kind.name} already")
    _BY_NAME[kind.name] = _BY_CLASS[kind.resource] = kind
    return kind


def unregister(kind: Kind) -> None:
    """Remove a kind again: for tests that define one."""
    del _BY_NAME[kind.name], _BY_CLASS[kind.resource]


def kind_of(resource: Resource) -> Kind:
    """Return the kind of a resource."""
    return _BY_CLASS[type(resource)]


def kinds() -> Sequence[Kind]:
    """Return all kinds."""
    from planner.kinds import load_all  # noqa: PLC0415  code that has resources has loaded their kinds

    load_all()
    return tuple(_BY_NAME.values())


def readers() -> Iterable[Callable[[Any], Iterable[tuple[Resource, State]]]]:
    """Return the readers of the kinds that have one."""
    return tuple(kind.read for kind in _BY_NAME.values() if kind.read is not _no_read)


def resource_from_json(node: Node) -> Resource:
    """Return the resource that ``node`` holds. Raises InvalidInput if it is of no known kind, or malformed."""
    tag = node.field("kind")
    name = tag.text()
    kind = _BY_NAME.get(name) or next((each for each in kinds() if each.name == name), None)
    if kind is None:
        raise tag.error(f"expected one of {', '.join(sorted(_BY_NAME))}, not {shown(tag.value)}")
    return from_json(kind.resource, node)


def canonical(state: State) -> Any:
    """Return ``state`` without what moves on its own (lifetimes), so that two observations compare equal."""
    return getattr(state, "canonical", state)


def equivalent(one: State, other: State) -> bool:
    """Say whether two states of one resource are equal except for what moves on its own."""
    return bool(canonical(one) == canonical(other))


def link_touch(name: InterfaceName | str) -> str:
    """Return what changes of a link, and of what is on it, have in common."""
    return f"link {name}"
