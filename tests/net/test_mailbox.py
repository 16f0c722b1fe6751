"""Mailboxes: who can open them, what a relay can tell from a record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.errors import BadEvent
from quire.limits import BUNDLE_BYTES, BUNDLE_ITEMS, MAX_BLOB_BYTES, MAX_RELAY_RECORD
from quire.net import relay_wire
from quire.net.mailbox import Access, bundles, padme
from quire.net.relay_wire import VERSION, Challenge, MailboxKeys

RELAY, SECRET, SEED = b"r" * 32, b"s" * 32, b"d" * 32
ACCESS = Access(SECRET, RELAY, SEED, "space")
NONCE = bytes(24)
CHALLENGE = Challenge(VERSION, RELAY, b"n" * 32)


def test_everybody_with_the_secret_finds_the_same_mailbox_and_is_another_device() -> None:
    other = Access(SECRET, RELAY, b"e" * 32, "space")
    assert other.id == ACCESS.id
    assert other.device_key.public != ACCESS.device_key.public
    assert ACCESS.keys == MailboxKeys(space=ACCESS.scope_key.public)


@pytest.mark.parametrize(
    "other",
    [
        Access(b"t" * 32, RELAY, SEED, "space"),
        Access(SECRET, b"q" * 32, SEED, "space"),
        Access(SECRET, RELAY, SEED, "friend"),
    ],
)
def test_another_secret_relay_or_scope_has_another_mailbox_and_another_device(other: Access) -> None:
    assert other.id != ACCESS.id
    assert other.device_key.public != ACCESS.device_key.public
    with pytest.raises(BadEvent, match="bad-bundle"):
        other.open(ACCESS.seal([b"item"], NONCE))


def test_a_greeting_proves_the_scope_and_the_device_to_this_connection_alone() -> None:
    hello = ACCESS.hello(CHALLENGE, 1, 0, 0, False, [])
    assert relay_wire.hello_holds(CHALLENGE, hello)
    assert not relay_wire.hello_holds(Challenge(VERSION, RELAY, b"m" * 32), hello)
    assert not relay_wire.hello_holds(Challenge(VERSION, b"q" * 32, b"n" * 32), hello)


@given(st.lists(st.binary(max_size=2_000), max_size=20), st.binary(min_size=24, max_size=24))
def test_what_is_bundled_is_found_again(items: list[bytes], nonce: bytes) -> None:
    assert ACCESS.open(ACCESS.seal(items, nonce)) == items


@given(st.binary(max_size=600))
def test_nothing_else_is_a_bundle(data: bytes) -> None:
    with pytest.raises(BadEvent, match="bad-bundle"):
        ACCESS.open(data)
    with pytest.raises(BadEvent, match="bad-bundle"):
        ACCESS.open(ACCESS.seal([b"x"], NONCE) + data + b"!")


def test_a_record_above_the_bound_is_not_even_opened() -> None:
    with pytest.raises(BadEvent, match="bad-bundle"):
        ACCESS.open(bytes(MAX_RELAY_RECORD + 1))


def test_short_messages_look_alike_and_the_largest_event_fits() -> None:
    assert len({len(ACCESS.seal([b"x" * size], NONCE)) for size in range(400)}) == 1
    largest = ACCESS.seal([bytes(8 + MAX_BLOB_BYTES)], NONCE)
    assert len(largest) <= MAX_RELAY_RECORD


@given(st.integers(1, MAX_BLOB_BYTES * 2))
def test_padding_costs_little_and_leaves_few_sizes(size: int) -> None:
    padded = padme(size)
    assert size <= padded <= max(size * 1.13, 480)
    assert padme(padded) == padded


def test_sizes_are_few() -> None:
    assert len({padme(size) for size in range(1, 2 * BUNDLE_BYTES, 7)}) < 150


@given(st.lists(st.integers(1, BUNDLE_BYTES + 10), max_size=60))
def test_bundles_keep_the_order_and_their_bounds(sizes: list[int]) -> None:
    items = [bytes(size) for size in sizes]
    found = list(bundles(items))
    assert [item for bundle in found for item in bundle] == items
    assert all(len(bundle) == 1 or sum(map(len, bundle)) <= BUNDLE_BYTES for bundle in found)


def test_a_bundle_holds_so_many_items_at_most() -> None:
    assert [len(one) for one in bundles([b"x"] * (2 * BUNDLE_ITEMS + 1))] == [BUNDLE_ITEMS, BUNDLE_ITEMS, 1]
