"""Wrapping: golden bytes computed apart, every flip, other key and other context refused, unusable keys kept out."""

import json
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings

from quire.core.keys import DeviceKey
from quire.core.wrapping import (
    BOX_BYTES,
    SEALED_OVERHEAD,
    WrapKey,
    is_wrap_public,
    open_from,
    seal_to,
    unwrap,
    wrap,
)
from quire.errors import BadEvent
from quire.limits import MAX_RECIPIENTS, MAX_SEALED_BYTES

unhurried = settings(deadline=None, max_examples=50)
thirty_two = st.binary(min_size=32, max_size=32)
GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "wrapping.json").read_text())

SECRET, SEED, CONTEXT = b"s" * 32, b"e" * 32, b"space and epoch"
KEYS = [WrapKey(bytes([n]) * 32) for n in range(3)]
PUBLIC, BOXES = wrap(SECRET, [key.public for key in KEYS], SEED, CONTEXT)
DATA = b"welcome"
SEALED = seal_to(KEYS[0].public, DATA, SEED, CONTEXT)

# u-coordinates of small order on Curve25519, in the encodings below 2^255: 0, 1, two of order 8, -1, p, p + 1.
SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xed" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",
]
UNUSABLE = [*SMALL_ORDER, b"", bytes(31), bytes(33), KEYS[0].public[:31], KEYS[0].public + b"x"]


def flipped(data: bytes, bit: int) -> bytes:
    altered = bytearray(data)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def refused(box: bytes, public: bytes = PUBLIC, key: WrapKey = KEYS[0], context: bytes = CONTEXT) -> None:
    with pytest.raises(BadEvent, match="cannot-unwrap"):
        unwrap(box, public, key, context)


def not_opened(sealed: bytes, key: WrapKey = KEYS[0], context: bytes = CONTEXT) -> None:
    with pytest.raises(BadEvent, match="cannot-unwrap"):
        open_from(sealed, key, context)


def keyed(key: bytes, purpose: bytes, data: bytes) -> bytes:
    return blake2b(data, key=key, person=purpose.ljust(16, b"\0"), digest_size=32).digest()


def computed_apart(
    purpose: bytes, data: bytes, recipients: list[bytes], seed: bytes, context: bytes
) -> tuple[bytes, list[bytes]]:
    """The construction again, from libsodium's functions and the standard library."""
    private = keyed(seed, b"quire ephemeral", data + context)
    public = bindings.crypto_scalarmult_base(private)
    boxes = []
    for recipient in recipients:
        key = keyed(bindings.crypto_scalarmult(private, recipient), purpose, public + recipient + context)
        boxes.append(bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(data, b"", bytes(24), key))
    return public, boxes


def test_golden_bytes() -> None:
    seeds = [bytes.fromhex(seed) for seed in GOLDEN["recipient_seeds"]]
    keys = [WrapKey(seed) for seed in seeds]
    secret, ephemeral, context, data = (
        bytes.fromhex(GOLDEN[name]) for name in ("secret", "ephemeral_seed", "context", "data")
    )
    assert [key.public.hex() for key in keys] == GOLDEN["recipients"]
    public, boxes = wrap(secret, [key.public for key in keys], ephemeral, context)
    assert (public.hex(), [box.hex() for box in boxes]) == (GOLDEN["ephemeral_public"], GOLDEN["boxes"])
    assert seal_to(keys[0].public, data, ephemeral, context).hex() == GOLDEN["sealed"]
    assert [unwrap(box, public, key, context) for box, key in zip(boxes, keys, strict=True)] == [secret] * 3
    assert open_from(bytes.fromhex(GOLDEN["sealed"]), keys[0], context) == data


@given(thirty_two, st.lists(thirty_two, max_size=5), thirty_two, st.binary(max_size=80))
@unhurried
def test_round_trip_and_an_independent_computation(
    secret: bytes, seeds: list[bytes], ephemeral: bytes, context: bytes
) -> None:
    keys = [WrapKey(seed) for seed in seeds]
    recipients = [key.public for key in keys]
    public, boxes = wrap(secret, recipients, ephemeral, context)
    assert (public, boxes) == computed_apart(b"quire wrap box", secret, recipients, ephemeral, context)
    assert [unwrap(box, public, key, context) for box, key in zip(boxes, keys, strict=True)] == [
        secret for _ in keys
    ]
    assert {len(box) for box in boxes} <= {BOX_BYTES} == {48}


@given(thirty_two, st.binary(max_size=300), thirty_two, st.binary(max_size=80))
@unhurried
def test_sealing_round_trip_and_an_independent_computation(
    seed: bytes, data: bytes, ephemeral: bytes, context: bytes
) -> None:
    key = WrapKey(seed)
    sealed = seal_to(key.public, data, ephemeral, context)
    public, (box,) = computed_apart(b"quire sealed to", data, [key.public], ephemeral, context)
    assert sealed == public + box
    assert len(sealed) == len(data) + SEALED_OVERHEAD
    assert open_from(sealed, key, context) == data


def test_one_changed_bit_is_refused() -> None:
    for bit in range(8 * BOX_BYTES):
        refused(flipped(BOXES[0], bit))
    for bit in range(8 * 32):
        refused(BOXES[0], public=flipped(PUBLIC, bit))
    for bit in range(8 * len(SEALED)):
        not_opened(flipped(SEALED, bit))


def test_another_recipient_context_or_purpose_is_refused() -> None:
    for other in KEYS[1:]:
        refused(BOXES[0], key=other)
        not_opened(SEALED, key=other)
    for context in (b"", CONTEXT[:-1], CONTEXT + b"\0", flipped(CONTEXT, 0)):
        refused(BOXES[0], context=context)
        not_opened(SEALED, context=context)
    not_opened(PUBLIC + BOXES[0])
    sealed = seal_to(KEYS[0].public, SECRET, SEED, CONTEXT)
    refused(sealed[32:], public=sealed[:32])


@given(st.binary(max_size=100), st.binary(max_size=40), thirty_two, st.binary(max_size=20))
@unhurried
def test_arbitrary_bytes_raise_nothing_but_bad_event(
    box: bytes, public: bytes, seed: bytes, context: bytes
) -> None:
    refused(box, public, WrapKey(seed), context)
    refused(box.ljust(48, b"\0")[:48], public.ljust(32, b"\0")[:32], WrapKey(seed), context)
    not_opened(box, WrapKey(seed), context)


@pytest.mark.parametrize("public", UNUSABLE)
def test_unusable_public_keys(public: bytes) -> None:
    assert not is_wrap_public(public)
    refused(BOXES[0], public=public)
    with pytest.raises(ValueError, match="not a usable public key"):
        wrap(SECRET, [KEYS[0].public, public], SEED, CONTEXT)
    with pytest.raises(ValueError, match="not a usable public key"):
        seal_to(public, DATA, SEED, CONTEXT)


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_a_box_from_a_key_of_small_order_is_refused_although_it_fits(public: bytes) -> None:
    key = keyed(bytes(32), b"quire wrap box", public + KEYS[0].public + CONTEXT)
    box = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(SECRET, b"", bytes(24), key)
    refused(box, public=public)


@given(thirty_two)
@unhurried
def test_a_usable_key_can_be_wrapped_to(public: bytes) -> None:
    assert is_wrap_public(WrapKey(public).public)
    if is_wrap_public(public):
        assert len(wrap(SECRET, [public], SEED, CONTEXT)[1]) == 1


def test_a_seed_used_twice_seals_nothing_else_under_the_same_key() -> None:
    recipients = [KEYS[0].public]
    assert wrap(SECRET, recipients, SEED, CONTEXT) == wrap(SECRET, recipients, SEED, CONTEXT)
    others = [wrap(b"S" * 32, recipients, SEED, CONTEXT), wrap(SECRET, recipients, SEED, CONTEXT + b"2")]
    assert len({PUBLIC, *(public for public, _ in others)}) == 3


@pytest.mark.parametrize("size", [0, 31, 33])
def test_other_sizes(size: int) -> None:
    recipients = [KEYS[0].public]
    for call in (
        lambda: wrap(bytes(size), recipients, SEED, CONTEXT),
        lambda: wrap(SECRET, recipients, bytes(size), CONTEXT),
        lambda: seal_to(KEYS[0].public, DATA, bytes(size), CONTEXT),
        lambda: WrapKey(bytes(size)),
    ):
        with pytest.raises(ValueError, match="32 bytes"):
            call()


def test_recipients_are_bounded() -> None:
    with pytest.raises(ValueError, match="recipients"):
        wrap(SECRET, [KEYS[0].public] * (MAX_RECIPIENTS + 1), SEED, CONTEXT)
    assert len(wrap(SECRET, [KEYS[0].public] * MAX_RECIPIENTS, SEED, CONTEXT)[1]) == MAX_RECIPIENTS


def test_sealed_data_is_bounded() -> None:
    longest = seal_to(KEYS[0].public, bytes(MAX_SEALED_BYTES), SEED, CONTEXT)
    assert open_from(longest, KEYS[0], CONTEXT) == bytes(MAX_SEALED_BYTES)
    with pytest.raises(ValueError, match="bytes can be sealed"):
        seal_to(KEYS[0].public, bytes(MAX_SEALED_BYTES + 1), SEED, CONTEXT)
    with pytest.raises(BadEvent, match="too-large"):
        open_from(longest + b"\0", KEYS[0], CONTEXT)


def test_the_secret_half_stays_out_of_logs() -> None:
    key = WrapKey(bytes(range(32)))
    for secret in (key.seed, key.private):
        assert repr(secret) not in f"{key!r} {key}"
        assert secret.hex() not in repr(key)


def test_a_wrap_key_is_another_than_the_signing_key() -> None:
    seed = bytes(range(32))
    signing = bindings.crypto_sign_ed25519_pk_to_curve25519(DeviceKey(seed).public)
    assert len({WrapKey(seed).public, signing, DeviceKey(seed).public}) == 3
