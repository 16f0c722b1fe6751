"""The relay's messages: their bytes, and what is refused of them; what is hashed and signed."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.keys import DeviceKey
from quire.limits import MAX_INTEGER, MAX_RELAY_MESSAGE, MAX_RELAY_RECORD, RECORDS_PER_MESSAGE
from quire.net import relay_wire as wire
from quire.net.mailbox import Access
from quire.net.relay_wire import BadRelayMessage, Challenge, Entry, Head, Hello, MailboxKeys, Record

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "relay_wire.json").read_text())
KEY = DeviceKey(b"r" * 32)
CHALLENGE = Challenge(wire.VERSION, KEY.public, b"n" * 32)
ACCESS = Access(b"s" * 32, KEY.public, b"d" * 32, "space")
RECORD = Record(1, 1_790_000_000_000, "space", b"sealed")
DIGEST = wire.digest(ACCESS.device_key.public, RECORD)
CHAIN = wire.link(wire.NO_CHAIN, [DIGEST])
HEAD = wire.sign_head(KEY, ACCESS.id, 1, CHAIN)
SAID: dict[str, wire.Message] = {
    "challenge": CHALLENGE,
    "hello": ACCESS.hello(CHALLENGE, 1, 0, 0, False, [RECORD]),
    "greeting": wire.Greeting(1, HEAD, 0, 1, 0, []),
    "entries": wire.Entries(
        1,
        1,
        wire.NO_CHAIN,
        [b"o" * 32, ACCESS.device_key.public],
        [Entry(0, 7, 5, "space", b"theirs"), Entry(1, 1, 6, "space", None, DIGEST)],
        HEAD,
        True,
    ),
    "ack": wire.Ack(1, 2),
    "refusal": wire.Refusal(1, "full", 3_600_000, "There is no room."),
}
NUMBERS = st.integers(0, MAX_INTEGER)
RECORDS = st.builds(
    Record, st.integers(1, MAX_INTEGER), NUMBERS, st.sampled_from(wire.SCOPES), st.binary(min_size=1)
)
FROM_CLIENT = st.one_of(
    st.builds(wire.Ack, st.integers(1, MAX_INTEGER), NUMBERS),
    st.builds(wire.Read, st.integers(1, MAX_INTEGER), NUMBERS, NUMBERS),
    st.builds(
        wire.Range, st.integers(1, 9), st.text(max_size=9), st.text(max_size=9), NUMBERS, st.booleans()
    ),
    st.builds(wire.Leave, st.integers(1, MAX_INTEGER)),
    st.builds(wire.Add, st.integers(1, MAX_INTEGER), st.lists(RECORDS, max_size=1)),
)


def hello(**other: Any) -> bytes:
    fields = {name: getattr(SAID["hello"], name) for name in Hello.__struct_fields__}
    return wire.encode(Hello(**(fields | other)))


@pytest.mark.parametrize("name", list(SAID))
def test_golden_messages(name: str) -> None:
    assert wire.encode(SAID[name]).hex() == VECTORS[name]
    read = wire.read_client if name in ("hello", "ack") else wire.read_relay
    assert read(bytes.fromhex(VECTORS[name])) == SAID[name]


def test_golden_hashes() -> None:
    assert ACCESS.id.hex() == VECTORS["mailbox id"]
    assert DIGEST.hex() == VECTORS["digest"]
    assert CHAIN.hex() == VECTORS["chain"]
    assert HEAD.sig.hex() == VECTORS["head's signature"]
    assert ACCESS.seal([b"item"], bytes(24)).hex() == VECTORS["bundle"]


@given(FROM_CLIENT)
def test_what_a_client_says_is_read_again(said: wire.FromClient) -> None:
    assert wire.read_client(wire.encode(said)) == said


@given(st.binary(max_size=300))
def test_nothing_else_is_raised(data: bytes) -> None:
    for read in (wire.read_client, wire.read_relay):
        with suppress(BadRelayMessage):
            read(data)


@pytest.mark.parametrize(
    "data",
    [
        hello(n=0),
        hello(n=MAX_INTEGER + 1),
        hello(device=b"short"),
        hello(proof=b"short"),
        hello(keys=MailboxKeys(space=b"short")),
        hello(scope="private"),  # a scope that the mailbox lacks
        hello(seq=-2),
        hello(local=-1),
        hello(records=[RECORD._replace(data=b"")]),
        hello(records=[RECORD._replace(local=0)]),
        hello(records=[RECORD, RECORD]),
        hello(records=[RECORD._replace(ts=-1)]),
        msgspec.msgpack.encode([20]),
        msgspec.msgpack.encode([1, 1, b"", b""]),  # the relay's to say
        b"",
    ],
)
def test_a_message_that_nobody_may_send_is_malformed(data: bytes) -> None:
    with pytest.raises(BadRelayMessage, match="malformed"):
        wire.read_client(data)


def test_sizes_are_bounded() -> None:
    fits = wire.Add(1, [RECORD._replace(data=bytes(MAX_RELAY_RECORD))])
    assert wire.read_client(wire.encode(fits)) == fits
    many = [RECORD._replace(local=place + 1) for place in range(RECORDS_PER_MESSAGE)]
    assert len(wire.read_client(wire.encode(wire.Add(1, many))).records) == RECORDS_PER_MESSAGE  # type: ignore[union-attr]
    for said in (
        wire.Add(1, [RECORD._replace(data=bytes(MAX_RELAY_RECORD + 1))]),
        wire.Add(1, [*many, RECORD._replace(local=RECORDS_PER_MESSAGE + 1)]),
    ):
        with pytest.raises(BadRelayMessage, match="too-large"):
            wire.read_client(wire.encode(said))
    with pytest.raises(BadRelayMessage, match="too-large"):
        wire.read_relay(bytes(MAX_RELAY_MESSAGE + 1))


@pytest.mark.parametrize(
    "entry",
    [
        Entry(1, 1, 1, "space", b"of nobody"),
        Entry(-1, 1, 1, "space", b"of nobody"),
        Entry(0, 1, 1, "space", None),
        Entry(0, 1, 1, "space", b"both", bytes(32)),
    ],
)
def test_entries_name_their_device_and_have_data_or_a_digest(entry: Entry) -> None:
    with pytest.raises(BadRelayMessage, match="malformed"):
        wire.read_relay(wire.encode(wire.Entries(1, 1, wire.NO_CHAIN, [b"o" * 32], [entry], HEAD, True)))


@pytest.mark.parametrize("other", [{"length": 2}, {"chain": bytes(32)}, {"sig": bytes(64)}, {"length": -1}])
def test_a_head_is_the_relay_s_word_on_length_and_chain(other: dict[str, Any]) -> None:
    assert wire.head_holds(KEY.public, ACCESS.id, HEAD)
    assert not wire.head_holds(KEY.public, ACCESS.id, HEAD._replace(**other))
    assert not wire.head_holds(KEY.public, b"m" * 32, HEAD)
    assert not wire.head_holds(b"k" * 32, ACCESS.id, Head(*HEAD))


@pytest.mark.parametrize("other", [{"scope": "friend"}, {"local": 2}, {"ts": 1}, {"data": b"other"}])
def test_a_digest_is_of_all_that_a_relay_knows(other: dict[str, Any]) -> None:
    assert wire.digest(ACCESS.device_key.public, RECORD._replace(**other)) != DIGEST
    assert wire.digest(b"o" * 32, RECORD) != DIGEST


def test_the_owner_has_all_and_others_their_own() -> None:
    assert all(wire.may_have("private", scope) for scope in wire.SCOPES)
    assert [wire.may_have("friend", scope) for scope in wire.SCOPES] == [False, True, False]
    assert [wire.may_have("space", scope) for scope in wire.SCOPES] == [False, False, True]


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.binary(min_size=32, max_size=32)), max_size=20))
def test_sort_keys_are_in_the_order_of_time(places: list[tuple[int, int, bytes]]) -> None:
    by_key = sorted(places, key=lambda place: wire.sort_key(*place))
    assert [place[:2] for place in by_key] == [
        place[:2] for place in sorted(places, key=lambda place: place[:2])
    ]
