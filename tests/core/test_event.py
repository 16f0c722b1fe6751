"""Events: golden bytes, signatures, and a typed decoder that is just as strict as the untyped one."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from quire.core import canonical, event
from quire.core.encoding import from_text, to_text
from quire.core.event import Event, UnknownEvent
from quire.core.keys import DeviceKey
from quire.core.sealing import blob_context, key_id, open_blob, seal
from quire.errors import BadEvent
from quire.limits import MAX_EVENT_BYTES, MAX_EVENT_DEPTH, MAX_INTEGER

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "event.json").read_text(encoding="utf-8"))
SPACE = bytes.fromhex(VECTORS["space_id"])
KEY = DeviceKey(bytes.fromhex(VECTORS["seed"]))
ID = to_text(bytes(range(32)))

unhurried = settings(deadline=None)


class Message(Event, kw_only=True):
    """An event type as most are: text only, so that msgspec alone decides."""

    room: str
    body: str
    reply_to: str | None | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET


class Open(Event, kw_only=True):
    """An event type that lets every kind of value in."""

    any: Any = None
    count: int | UnsetType = UNSET
    names: dict[str, int] | UnsetType = UNSET
    room: str | UnsetType = UNSET


MESSAGE = msgspec.json.Decoder(Message)
OPEN = msgspec.json.Decoder(Open)
DECODERS: list["msgspec.json.Decoder[Any]"] = [MESSAGE, OPEN]


def fields(**changes: Any) -> dict[str, Any]:
    header = {"type": "message", "v": 1, "ts": 5, "author": KEY.text, "seq": 1, "prev": None}
    return {name: value for name, value in (header | changes).items() if value is not UNSET}


def message(**changes: Any) -> bytes:
    return canonical.encode(fields(room="a", body="b") | changes)


def splice(name: str, value: bytes) -> bytes:
    """An Open event whose field `name` is spelled exactly so."""
    return canonical.encode(fields(any=None) | {name: "\x01"}).replace(b'"\\u0001"', value)


def reason(data: bytes, decoder: "msgspec.json.Decoder[Any]" = MESSAGE) -> str:
    with pytest.raises(BadEvent) as caught:
        event.decode(data, decoder)
    return caught.value.reason


def unknown_reason(data: bytes) -> str:
    with pytest.raises(BadEvent) as caught:
        event.decode_unknown(data)
    return caught.value.reason


def outcome(data: bytes, decoder: "msgspec.json.Decoder[Any] | None" = None) -> str:
    try:
        if decoder:
            event.decode(data, decoder)
        else:
            canonical.decode(data)
    except BadEvent as error:
        return error.reason
    return "ok"


# --- Golden bytes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("golden", VECTORS["events"], ids=["first", "second"])
def test_golden_event(golden: dict[str, Any]) -> None:
    data = golden["bytes"].encode()
    made = Message(**golden["fields"])
    assert event.encode(made) == golden["unsigned"].encode() == canonical.encode(golden["fields"])
    assert event.sign(made, SPACE, KEY).sig == golden["sig"]
    assert event.encode(made) == data
    assert event.decode(data, MESSAGE) == made
    assert event.event_id(data) == golden["id"] == to_text(sha256(data).digest())
    assert event.signature_holds(data, SPACE)


@pytest.mark.parametrize("golden", VECTORS["events"], ids=["first", "second"])
def test_golden_blob(golden: dict[str, Any]) -> None:
    key, nonce, blob = (
        bytes.fromhex(text) for text in (VECTORS["epoch_key"], VECTORS["nonce"], golden["blob"])
    )
    context = blob_context(SPACE, key_id(key))
    assert (key_id(key).hex(), context.hex()) == (VECTORS["key_id"], VECTORS["context"])
    assert seal(key, nonce, golden["bytes"].encode(), context) == blob
    assert open_blob(key, blob, context) == golden["bytes"].encode()


def test_golden_events_are_linked() -> None:
    first, second = VECTORS["events"]
    assert second["fields"]["prev"] == first["id"]
    assert VECTORS["public"] == KEY.public.hex()


# --- Signatures --------------------------------------------------------------------------------------


def signed(**changes: Any) -> bytes:
    return event.encode(event.sign(Message(**fields(room="a", body="b") | changes), SPACE, KEY))


def test_signing_again_gives_the_same_signature() -> None:
    made = event.sign(Message(**fields(room="a", body="b")), SPACE, KEY)
    first = made.sig
    assert event.sign(made, SPACE, KEY).sig == first


def test_a_signature_covers_the_space() -> None:
    assert event.signature_holds(signed(), SPACE)
    assert not event.signature_holds(signed(), bytes(32))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "other"),
        ("v", 2),
        ("ts", 6),
        ("seq", 2),
        ("prev", ID),
        ("body", "c"),
        ("room", ""),
        ("more", None),
    ],
)
def test_a_signature_covers_every_field(name: str, value: Any) -> None:
    changed = canonical.decode(signed()) | {name: value}
    assert not event.signature_holds(canonical.encode(changed), SPACE)
    without = {key: item for key, item in canonical.decode(signed()).items() if key != name}
    assert (name == "more") is event.signature_holds(canonical.encode(without), SPACE)


def test_another_author_cannot_claim_an_event() -> None:
    changed = canonical.decode(signed()) | {"author": DeviceKey(bytes(32)).text}
    assert not event.signature_holds(canonical.encode(changed), SPACE)


@pytest.mark.parametrize("sig", [UNSET, "", "A", "A" * 86, "=" * 86, "é" * 86, None, 1, True, [], {}])
def test_what_is_no_signature_does_not_hold(sig: Any) -> None:
    assert not event.signature_holds(message(sig=sig) if sig is not UNSET else message(), SPACE)


@pytest.mark.parametrize("author", ["", "A" * 42, "A" * 43, "é" * 43, None, 1, []])
def test_what_is_no_author_signed_nothing(author: Any) -> None:
    changed = canonical.decode(signed()) | {"author": author}
    assert not event.signature_holds(canonical.encode(changed), SPACE)


@pytest.mark.parametrize("data", [b"1", b"null", b"[]", b"{}", b'"sig"', b'{"sig":"x"}', b'{"author":"x"}'])
def test_what_is_no_event_has_no_signature(data: bytes) -> None:
    assert not event.signature_holds(data, SPACE)


# --- Headers -----------------------------------------------------------------------------------------

LINKED = {"seq": 2, "prev": ID}
GOOD_HEADERS = [{}, LINKED, {"ts": 0}, {"ts": MAX_INTEGER}, {"v": MAX_INTEGER}, LINKED | {"seq": MAX_INTEGER}]
BAD_HEADERS: list[dict[str, Any]] = [
    *({"seq": seq} for seq in (0, -1, 2, MAX_INTEGER, None, "1", True)),
    *(LINKED | {"seq": seq} for seq in (1, 0, -1, None, "2")),
    *(LINKED | {"prev": prev} for prev in (None, "", ID[:-1], ID + "A", 1, False)),
    {"ts": -1},
    {"ts": None},
    {"ts": "5"},
    {"ts": []},
    *({"v": v} for v in (-1, None, "1")),
    *({"author": author} for author in ("", ID[:-1], ID + "A", None, 1)),
    {"type": None},
    {"type": 1},
    {"type": []},
    {"sig": None},
    {"sig": 1},
    {"sig": []},
]


@pytest.mark.parametrize("changes", GOOD_HEADERS, ids=str)
def test_headers_in_range(changes: dict[str, Any]) -> None:
    data = message(**changes)
    assert event.encode(event.decode(data, MESSAGE)) == data
    header = event.decode_unknown(data)
    assert type(header) is UnknownEvent
    assert all(getattr(header, name) == value for name, value in fields(**changes).items())


@pytest.mark.parametrize("changes", BAD_HEADERS, ids=str)
def test_headers_out_of_range(changes: dict[str, Any]) -> None:
    assert reason(message(**changes)) == "bad-fields"
    assert unknown_reason(message(**changes)) == "bad-fields"


@pytest.mark.parametrize("name", ["type", "v", "ts", "author", "seq", "prev"])
def test_no_part_of_a_header_may_be_missing(name: str) -> None:
    left = {key: value for key, value in canonical.decode(message()).items() if key != name}
    assert reason(canonical.encode(left)) == "bad-fields"
    assert unknown_reason(canonical.encode(left)) == "bad-fields"


@pytest.mark.parametrize("name", ["ts", "seq", "v"])
def test_integers_out_of_range_are_refused(name: str) -> None:
    for value in (b"9007199254740992", b"18446744073709551616", b"-9007199254740992", b"1" * 400):
        data = splice(name, value)
        for decoder in DECODERS:
            assert (
                outcome(data.replace(b'"any":null,', b"" if decoder is MESSAGE else b'"any":null,'), decoder)
                != "ok"
            )
        assert unknown_reason(data)


def test_an_unknown_event_keeps_its_header_alone() -> None:
    data = canonical.encode(fields(type="poll", v=9, question="?", options=["a", {"b": 1}], sig="s"))
    assert event.decode_unknown(data) == UnknownEvent(**fields(type="poll", v=9, sig="s"))


@pytest.mark.parametrize("data", [b"1", b"null", b"[]", b'""', b"{}"])
def test_what_is_no_object_is_no_event(data: bytes) -> None:
    assert reason(data) == "bad-fields"
    assert unknown_reason(data) == "bad-fields"


@pytest.mark.parametrize(
    "changes", [{"extra": 1}, {"room": 1}, {"body": None}, {"pinned": 1}, {"reply_to": []}], ids=str
)
def test_fields_of_another_type_are_refused(changes: dict[str, Any]) -> None:
    assert reason(message(**changes)) == "bad-fields"


# --- As strict as canonical JSON ---------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8") | st.sampled_from('\x00\x1f"\\/\x7f\x80\ufb33😀'), max_size=12)
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
messages = st.fixed_dictionaries(
    {"room": texts, "body": texts}, optional={"reply_to": st.none() | texts, "pinned": st.booleans()}
)
anything = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
open_fields = st.fixed_dictionaries(
    {"any": anything},
    optional={"count": integers, "names": st.dictionaries(texts, integers, max_size=3), "room": texts},
)
# fmt: off
tokens = st.sampled_from([
    b"", b" ", b"0", b"-0", b"1.0", b".5", b"1e2", b"e9", b"9" * 20, b'"', b"\\", b"\\u0041", b"\\ud800",
    b"\\/", b",", b":", b"[", b"]", b"{", b"}", b"null", b"NaN", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"[" * 20, b'"v":1,', b'"a":1,', b'"any":1.5,', b'"any":[[]],', b'"count":9007199254740993,',
    b'"names":{"b":1,"a":2},',
])
# fmt: on


@st.composite
def mutated(draw: st.DrawFn, contents: st.SearchStrategy[dict[str, Any]]) -> bytes:
    data = canonical.encode(fields() | draw(contents))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(tokens) + data[at + draw(st.integers(0, 2)) :]
    return data


def assert_as_strict(data: bytes, decoder: "msgspec.json.Decoder[Any]") -> None:
    """Typed decoding takes nothing that canonical JSON refuses, and adds no reason but `bad-fields`."""
    typed, untyped = outcome(data, decoder), outcome(data)
    if untyped == "ok":
        assert typed in {"ok", "bad-fields"}
    else:
        assert typed != "ok"
    if typed == "ok":
        made = event.decode(data, decoder)
        assert event.encode(made) == data == canonical.encode(canonical.decode(data))
        assert msgspec.to_builtins(made) == canonical.decode(data)
        assert event.decode_unknown(data).seq == made.seq


@given(mutated(messages))
@settings(unhurried, max_examples=400)
def test_a_text_only_type_is_as_strict(data: bytes) -> None:
    assert_as_strict(data, MESSAGE)


@given(mutated(open_fields))
@settings(unhurried, max_examples=400)
def test_an_open_type_is_as_strict(data: bytes) -> None:
    assert_as_strict(data, OPEN)


@given(st.binary(max_size=80) | texts.map(str.encode) | anything.map(canonical.encode))
@unhurried
def test_arbitrary_bytes_raise_nothing_but_bad_event(data: bytes) -> None:
    for decoder in DECODERS:
        assert reason(data, decoder)
    assert unknown_reason(data)
    try:
        assert not event.signature_holds(data, SPACE)
    except BadEvent:
        pass


STRICT = [
    ("float", [b"1.5", b"0.0", b"[1.0]", b'{"a":1e2}', b"18446744073709551616"]),
    ("integer-range", [b"9007199254740992", b"[-9007199254740992]", b'{"a":9223372036854775807}']),
    ("not-canonical", [b"-0", b" 1", b'"\\u0041"', b'"\\/"', b'{"b":1,"a":1}', b'{"a":1,"a":1}', b"[1, 2]"]),
    ("not-canonical", ['{"\ufb33":1,"\U00010000":2}'.encode()]),
    (
        "not-json",
        [b"NaN", b"01", b'"\xff"', b'{"\xff":1}', b'"\xed\xa0\x80"', b'"\\ud800"', b"1e400", b"9" * 5000],
    ),
    ("too-deep", [b"[" * n + b"]" * n for n in (MAX_EVENT_DEPTH, 1_000, 1_100, 30_000)]),
    ("too-large", [b"[" * 100_000 + b"]" * 100_000, b'"' + b"a" * MAX_EVENT_BYTES + b'"']),
]


@pytest.mark.parametrize(("why", "value"), [(why, value) for why, row in STRICT for value in row], ids=repr)
def test_a_field_of_any_kind_is_canonical_json(why: str, value: bytes) -> None:
    data = splice("any", value)
    assert reason(data, OPEN) == why
    assert unknown_reason(data) == why
    with pytest.raises(BadEvent, match=why):
        event.signature_holds(data, SPACE)


def test_bytes_that_are_no_text_are_refused_in_a_text_field() -> None:
    assert reason(message(body="\x01").replace(b"\\u0001", b"\xff")) == "not-json"
    assert reason(message(body="\x01").replace(b"\\u0001", b"\xed\xa0\x80")) == "not-json"


def test_the_deepest_value_is_taken() -> None:
    levels = MAX_EVENT_DEPTH - 1  # the event itself is one
    data = splice("any", b"[" * levels + b"]" * levels)
    assert event.encode(event.decode(data, OPEN)) == data


def test_keys_that_are_not_ascii_take_rfc_8785_order() -> None:
    made = Open(**fields(any=None, names={"\ufb33": 1, "\U00010000": 2, "a": 3}))
    data = event.encode(event.sign(made, SPACE, KEY))
    assert '{"a":3,"\U00010000":2,"\ufb33":1}'.encode() in data
    assert event.decode(data, OPEN) == made
    assert event.signature_holds(data, SPACE)


def test_size_is_bounded_before_parsing() -> None:
    largest = message(body="b" * (MAX_EVENT_BYTES - len(message(body=""))))
    assert len(largest) == MAX_EVENT_BYTES
    assert len(event.decode(largest, MESSAGE).body) > MAX_EVENT_BYTES // 2
    assert reason(largest.replace(b'"room":"a"', b'"room":"aa"')) == "too-large"
    assert reason(b"\xff" * (MAX_EVENT_BYTES + 1)) == "too-large"


def test_events_of_one_type_are_read_at_once() -> None:
    given = [signed(body="a\nb"), message(seq=2, prev=ID), message(body="é", pinned=True)]
    assert event.decode_alike(given, MESSAGE) == [event.decode(data, MESSAGE) for data in given]
    assert event.event_ids(given) == [event.event_id(data) for data in given]
    largest = message(body="b" * (MAX_EVENT_BYTES - len(message(body=""))))
    assert event.decode_alike([largest], MESSAGE) is not None
    assert event.decode_alike([largest.replace(b'"room":"a"', b'"room":"aa"')], MESSAGE) is None
    assert event.decode_alike([message()], OPEN) is None  # its fields could be numbers


ONE, TWO = message(), message(seq=2, prev=ID)


@pytest.mark.parametrize(
    "given",
    [
        [b""],
        [ONE, b""],
        [ONE, b"null"],
        [ONE, message(seq=0)],
        [ONE, message(nothing=1)],
        [ONE, ONE.replace(b'"room"', b' "room"')],
        [ONE + b"\n" + TWO],
        [ONE + b"\n", TWO],
        [ONE, b"\n" + TWO],
        [ONE + b"\n" + TWO, b""],
        [ONE[:10], ONE[10:]],
        [ONE + b"\n" + TWO[:10], TWO[10:]],
        [ONE, message(body="\x01").replace(b"\\u0001", b"\xff")],
        [ONE, b"[" * 100_000],
    ],
)
def test_what_one_event_would_be_refused_for_is_not_read_with_others(given: list[bytes]) -> None:
    assert event.decode_alike(given, MESSAGE) is None
    assert any(outcome(data, MESSAGE) != "ok" for data in given)


@unhurried
@given(st.data())
def test_lines_that_are_cut_anywhere_are_read_as_each_alone_or_not_at_all(draw: st.DataObject) -> None:
    whole = b"\n".join(draw.draw(st.lists(st.sampled_from([ONE, TWO, b"", b"{}"]), min_size=1, max_size=4)))
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(whole)), max_size=3)))
    given = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    alone = [outcome(data, MESSAGE) == "ok" for data in given]
    assert (event.decode_alike(given, MESSAGE) is not None) == all(alone)


def test_ids_are_43_characters_of_32_bytes() -> None:
    assert from_text(event.event_id(b""), 32) == sha256(b"").digest()
