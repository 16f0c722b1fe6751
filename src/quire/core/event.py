"""The event: an immutable signed fact, one link of its device's log in one space.

Owns: the header every event type shares, its bytes, id and signature.
Must not know: which types exist, or what their fields mean.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType, inspect

from quire.core import canonical
from quire.core.encoding import TEXT_32, from_text, to_text, to_texts
from quire.core.keys import KEY_BYTES, SIGNATURE_BYTES, DeviceKey, verify
from quire.errors import BadEvent
from quire.limits import LOG_PART, MAX_EVENT_BYTES, MAX_INTEGER

_SIGNATURE_DOMAIN = b"quire event 1\0"
_encoder = msgspec.json.Encoder(order="sorted")


class Event(msgspec.Struct, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Header of every event; an event type adds its own fields in a subclass.

    `ts` is the hybrid clock (ms); `author` the device's public key; `seq` counts from 1 in this
    device's log of this space and `prev` is the id of the event before it (None for the first).
    """

    type: str
    v: int
    ts: int
    author: str
    seq: int
    prev: str | None
    sig: str | UnsetType = UNSET


class UnknownEvent(Event):
    """An event of a type or version that this program does not know: kept and synced, not understood."""


class SealedEvent(Event):
    """An event whose own fields are in `sealed`, for whoever holds one of the keys named in `keys`.

    See `core.sealed_body` for both; the type is what it is to those who can open it.
    """

    sealed: str
    keys: dict[str, str]


EventType = TypeVar("EventType", bound=Event)

_TEXT_LIKE = (inspect.StrType, inspect.BoolType, inspect.NoneType)


def encode(event: Event) -> bytes:
    """The canonical bytes of a typed event."""
    data = _encoder.encode(event)
    if data.isascii() or _is_plain(type(event)):
        return data
    return canonical.encode(msgspec.to_builtins(event))  # keys that are not ASCII need RFC 8785's order


@cache
def _is_plain(kind: type[Event]) -> bool:
    """Whether a type's own fields are all text, booleans or null.

    msgspec alone is then as strict as RFC 8785. Numbers, lists and objects could hide a float, a
    number out of range, too many levels or keys in another order.
    """
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        choices = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        if field.name not in Event.__struct_fields__ and not all(isinstance(t, _TEXT_LIKE) for t in choices):
            return False
    return True


def event_id(data: bytes) -> str:
    """The id of event bytes: SHA-256 as 43 characters of base64url."""
    return to_text(sha256(data).digest())


def event_ids(data: Iterable[bytes]) -> list[str]:
    """`event_id` of each of many."""
    return to_texts([sha256(each).digest() for each in data])


def sign(event: EventType, space_id: bytes, key: DeviceKey) -> EventType:
    """Fill in `sig`: the signature covers domain tag, space id and the canonical bytes without `sig`."""
    event.sig = UNSET
    event.sig = to_text(key.sign(_SIGNATURE_DOMAIN + space_id + encode(event)))
    return event


def signature_holds(data: bytes, space_id: bytes) -> bool:
    """Whether event bytes carry their author's own valid signature.

    Raises BadEvent where the bytes are not canonical.
    """
    fields = canonical.decode(data)
    if type(fields) is not dict:
        return False
    sig, author = fields.pop("sig", None), fields.get("author")
    if type(sig) is not str or type(author) is not str:
        return False
    try:
        signature, public = from_text(sig, SIGNATURE_BYTES), from_text(author, KEY_BYTES)
    except ValueError:
        return False
    return verify(public, _SIGNATURE_DOMAIN + space_id + canonical.encode(fields), signature)


def decode(data: bytes, decoder: "msgspec.json.Decoder[EventType]") -> EventType:
    """A typed event from its bytes; requires `encode(decode(data)) == data`.

    Raises BadEvent `bad-fields`, or any reason of `canonical.decode`: no bytes pass here that it refuses.
    """
    if len(data) > MAX_EVENT_BYTES:
        raise BadEvent("too-large")
    try:
        event = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        canonical.decode(data)  # says precisely what is wrong where the bytes are not even canonical
        raise BadEvent("bad-fields") from None
    if _is_plain(type(event)):
        encoded = _encoder.encode(event)
    else:
        canonical.decode(data)
        encoded = encode(event)
    if encoded != data:
        raise BadEvent("not-canonical")
    check_header(event)
    return event


def decode_alike(data: Sequence[bytes], decoder: "msgspec.json.Decoder[EventType]") -> list[EventType] | None:
    """What `decode` gives for each of many events of one type; None unless it takes all of them.

    They are read and written as lines: canonical bytes hold no line feed, so that as many events as there were
    lines, which are written as the same lines, are each what its own line says.
    """
    if max(map(len, data)) > MAX_EVENT_BYTES:
        return None
    lines = b"\n".join(data) + b"\n"
    try:
        events = decoder.decode_lines(lines)
        if (
            len(events) != len(data)
            or not _is_plain(type(events[0]))
            or _encoder.encode_lines(events) != lines
        ):
            return None
        for event in events:
            check_header(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadEvent):
        return None
    return events


def decode_unknown(data: bytes) -> UnknownEvent:
    """The header of an event whose type or version is not known. Raises BadEvent as `decode` does."""
    fields: Any = canonical.decode(data)
    if type(fields) is not dict:
        raise BadEvent("bad-fields")
    try:
        header = {name: fields[name] for name in UnknownEvent.__struct_fields__ if name in fields}
        event = msgspec.convert(header, UnknownEvent)
    except msgspec.ValidationError:
        raise BadEvent("bad-fields") from None
    check_header(event)
    return event


def check_header(event: Event) -> None:
    """Raises BadEvent `bad-fields` unless the header's values are in range."""
    prev = event.prev
    # A part of a log begins with nothing before it where all of the parts before was lost.
    linked = event.seq % LOG_PART == 1 if prev is None else event.seq > 1 and len(prev) == TEXT_32
    in_range = 0 <= event.v <= MAX_INTEGER and 0 <= event.ts <= MAX_INTEGER and event.seq <= MAX_INTEGER
    if not linked or not in_range or len(event.author) != TEXT_32:
        raise BadEvent("bad-fields")
