"""The handler contract: everything about one event type, in one value.

Owns: the shape of a handler and the registry of those that a node runs. Must not know: any handler.

A projector is a deterministic function from opened events to rows of its own tables: in order, twice,
reversed, shuffled and rebuilt from the blobs it gives the same views.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from quire.core.event import Event
from quire.graph.changes import AnyChange
from quire.store.views import View

if TYPE_CHECKING:
    from quire.events.context import Context
    from quire.events.keyring import KeyBox

EventT = TypeVar("EventT", bound=Event)
#: The class of an event type (`type` is a field below).
EventClass = type[Event]


class GraphEvent(Event):
    """Header of the events that make up the membership graph; `after` are ids of those that it builds on."""

    after: list[str]


@dataclass(frozen=True)
class Audience:
    """Whom a body was sealed to: the id of the event that made the audience, and the identities it began with.

    `fixed`: it never changes (one person's devices, or two people).
    """

    audience_id: str
    members: tuple[str, ...]
    fixed: bool


class Opened(msgspec.Struct, Generic[EventT], gc=False, eq=False):
    """An event as one identity received it: its envelope, and the opened event itself."""

    account: int
    space: int
    space_id: str
    #: Public key of the identity that holds this copy.
    received_by: str
    number: int
    device: int
    event_id: str
    event: EventT
    #: The identity whose device wrote it, where the type needs a known device.
    sender: str = ""
    #: Whom its body was sealed to; None for one that every member can read.
    audience: Audience | None = None


@dataclass(frozen=True)
class Operation:
    """A command or query: what people and programs can ask of a handler.

    `run` takes a Context and named, annotated parameters; HTTP routes, CLI verbs and the API document
    are made from its signature and docstring. `name` is the API's name (`sendMessage`); `cli` the words
    of the command line, with `positional` naming the parameters that are given without an option.
    """

    name: str
    run: Callable[..., Any]
    cli: tuple[str, ...] = ()
    positional: tuple[str, ...] = ()
    writes: bool = False
    #: Whether it acts for one identity (`--as`) and in one of its spaces (`--space`).
    scope: str = "space"


NEVER, OPTIONAL, ALWAYS = "never", "optional", "always"


def nothing(_: Opened[Any]) -> Sequence[str]:
    """What an event needs, or provides, where its handler says nothing of it."""
    return ()


@dataclass(frozen=True)
class Handler:
    """One event type (or, with `event` None, a part of the node that has tables and jobs alone)."""

    type: str
    event: EventClass | None = None
    version: int = 1
    #: False: never stored or forwarded, only projected when it arrives (a request, not a fact).
    lasting: bool = True
    tables: tuple[str, ...] = ()
    schema: str = ""
    project: Callable[[View, Sequence[Opened[Any]]], None] | None = None
    #: What must have been provided before the event counts, and what it provides once it does.
    needs: Callable[[Opened[Any]], Sequence[str]] = nothing
    provides: Callable[[Opened[Any]], Sequence[str]] = nothing
    #: For events of the membership graph (GraphEvent): what one says, its proofs checked for a space (32 bytes).
    change: Callable[[Opened[Any], bytes], AnyChange] | None = None
    #: Sealed as the membership graph is: newcomers read it also where they do not get what was written before.
    for_newcomers: bool = False
    #: For those that hand out a key: the key in its wrappings.
    box: "Callable[[Opened[Any]], KeyBox] | None" = None
    #: Run before anything is written under a key (of a scope) that somebody has who must not: makes a new one.
    renew: "Callable[[Context, str], None] | None" = None
    #: Letters to a device that was just reached (public key), and answers to one of its letters (BadEvent for
    #: what is none): what devices say to each other that is no event.
    greets: "Callable[[Context, str], Sequence[bytes]] | None" = None
    answers: "Callable[[Context, str, bytes], Sequence[bytes]] | None" = None
    #: Whether it greets again at every tick, for as long as a device is reached.
    reminds: bool = False
    #: Kinds of doors, beside all spaces, where it greets, answers and runs its jobs.
    doors: tuple[str, ...] = ()
    operations: tuple[Operation, ...] = ()
    #: Run for every identity at every tick.
    jobs: tuple["Callable[[Context], None]", ...] = ()
    #: True: the tables hold local facts, not views; a rebuild leaves them alone.
    local: bool = False
    #: Whether its fields can be sealed to audiences: NEVER, OPTIONAL or ALWAYS. One that is sealed waits for its
    #: author's device alone and provides nothing; its projector sees it where, and when, a key to it is held.
    sealed: str = NEVER
    #: The table whose `body_text` is searched, if any.
    searchable: str | None = None


@dataclass(frozen=True)
class Registry:
    """The handlers of a node, listed explicitly by whoever composes it."""

    handlers: tuple[Handler, ...]
    _by_type: Mapping[str, Handler] = field(init=False)
    _decoders: Mapping[tuple[str, int], tuple[Handler, "msgspec.json.Decoder[Event]"]] = field(init=False)
    _by_ending: Mapping[bytes, tuple[Handler, "msgspec.json.Decoder[Event]"]] = field(init=False)

    def __post_init__(self) -> None:
        decoders = {
            (handler.type, handler.version): (handler, msgspec.json.Decoder(handler.event))
            for handler in self.handlers
            if handler.event is not None
        }
        endings = {
            f',"type":"{type_}","v":{version}}}'.encode(): found
            for (type_, version), found in decoders.items()
            if found[0].sealed != ALWAYS
        }
        object.__setattr__(self, "_decoders", decoders)
        object.__setattr__(self, "_by_ending", endings)
        object.__setattr__(self, "_by_type", {handler.type: handler for handler in self.handlers})

    def get(self, type_: str) -> Handler:
        """The handler of a type. Raises KeyError."""
        return self._by_type[type_]

    def by_ending(self, ending: bytes) -> "tuple[Handler, msgspec.json.Decoder[Event]] | None":
        """The handler and decoder of an event whose canonical bytes end so: `,"type":"…","v":…}`.

        None for types with fields that sort after these, and for those that are always sealed.
        """
        return self._by_ending.get(ending)

    def decoder(self, type_: str, version: int) -> "tuple[Handler, msgspec.json.Decoder[Event]] | None":
        """The handler of an event type at a version, with its typed decoder; None when unsupported."""
        return self._decoders.get((type_, version))
