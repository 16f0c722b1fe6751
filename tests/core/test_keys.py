"""Key pairs: RFC 8032's vectors, agreement, derivation, and nothing that raises on a stranger's bytes."""

from hashlib import blake2b, sha512

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.encoding import from_text
from quire.core.keys import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    DeviceKey,
    as_content,
    as_control,
    derive,
    is_content,
    is_usable,
    verify,
)

unhurried = settings(deadline=None, max_examples=50)
seeds = st.binary(min_size=32, max_size=32)

# RFC 8032 section 7.1: seed, public key, message, signature.
RFC_8032 = {
    "test 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        b"",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    "test 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        b"\x72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "test 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        b"\xaf\x82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
    "test SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        sha512(b"abc").digest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
        "3dca179c138ac17ad9bef1177331a704",
    ),
}

# Points of small order (RFC 7748 section 7): agreeing with one would give a secret that anybody knows.
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]


@pytest.mark.parametrize("name", RFC_8032)
def test_rfc_8032(name: str) -> None:
    seed, public, message, signature = RFC_8032[name]
    key = DeviceKey(bytes.fromhex(seed))
    assert key.public.hex() == public
    assert key.sign(message).hex() == signature
    assert verify(key.public, message, bytes.fromhex(signature))


@given(seeds, st.binary(max_size=64))
@unhurried
def test_same_seed_same_key_and_signature(seed: bytes, message: bytes) -> None:
    one, two = DeviceKey(seed), DeviceKey(seed)
    assert one == two
    assert (one.public, one.text, one.sign(message)) == (two.public, two.text, two.sign(message))
    assert from_text(one.text, KEY_BYTES) == one.public
    assert len(one.sign(message)) == SIGNATURE_BYTES


@given(seeds, st.binary(max_size=64), st.integers(0, 8 * (SIGNATURE_BYTES + KEY_BYTES) - 1))
@unhurried
def test_one_changed_bit_breaks_a_signature(seed: bytes, message: bytes, bit: int) -> None:
    key = DeviceKey(seed)
    joined = bytearray(key.sign(message) + key.public)
    joined[bit // 8] ^= 1 << bit % 8
    signature, public = bytes(joined[:SIGNATURE_BYTES]), bytes(joined[SIGNATURE_BYTES:])
    assert not verify(public, message, signature)
    assert not verify(key.public, message + b"\0", key.sign(message))


def test_a_signature_has_one_form() -> None:
    # S + L is S modulo the order L of the group: taking it would give one event two ids (RFC 8032, 5.1.7).
    order = 2**252 + 27742317777372353535851937790883648493
    key = DeviceKey(bytes(32))
    signature = key.sign(b"x")
    other = int.from_bytes(signature[32:], "little") + order
    assert not verify(key.public, b"x", signature[:32] + other.to_bytes(32, "little"))


@given(st.binary(max_size=80), st.binary(max_size=8), st.binary(max_size=80))
@unhurried
def test_verify_never_raises(public: bytes, message: bytes, signature: bytes) -> None:
    assert verify(public, message, signature) is False


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_verify_refuses_keys_of_small_order(point: str) -> None:
    public = bytes.fromhex(point)
    assert not verify(public, b"x", public + bytes(32))
    assert not verify(public, b"x", bytes(64))


@given(seeds, seeds)
@unhurried
def test_both_sides_agree_and_a_third_does_not(mine: bytes, theirs: bytes) -> None:
    me, them, other = DeviceKey(mine), DeviceKey(theirs), DeviceKey(bytes(31) + b"\x01")
    secret = me.agree(them.public)
    assert secret == them.agree(me.public)
    assert len(secret) == KEY_BYTES
    if other not in (me, them):
        assert secret != other.agree(me.public)


@pytest.mark.parametrize(
    "public", [*map(bytes.fromhex, SMALL_ORDER), b"", bytes(31), bytes(33), b"\xff" * 32]
)
def test_agree_refuses_what_is_no_key(public: bytes) -> None:
    with pytest.raises(ValueError, match="not a usable public key"):
        DeviceKey(bytes(32)).agree(public)


@given(st.binary(min_size=32, max_size=32))
@unhurried
def test_agree_raises_nothing_but_value_error(public: bytes) -> None:
    try:
        assert len(DeviceKey(bytes(32)).agree(public)) == KEY_BYTES
    except ValueError:
        pass


def test_the_seed_stays_out_of_logs() -> None:
    seed = bytes(range(32))
    assert repr(seed) not in f"{DeviceKey(seed)!r} {DeviceKey(seed)}"
    assert seed.hex() not in repr(DeviceKey(seed))


def test_derive_is_keyed_blake2b() -> None:
    expected = blake2b(b"context", key=b"k" * 32, person=b"purpose".ljust(16, b"\0"), digest_size=32).digest()
    assert derive(b"k" * 32, "purpose", b"context") == expected


def test_a_key_tells_what_it_is_for() -> None:
    for last in range(256):
        key = bytes(31) + bytes((last,))
        assert is_content(as_content(key))
        assert not is_content(as_control(key))
        assert key in (as_content(key), as_control(key)), "no other bit is changed"


def test_derived_keys_differ_in_everything_that_goes_in() -> None:
    key, other = b"k" * 32, b"l" * 32
    derived = [
        derive(key, "one"),
        derive(key, "two"),
        derive(other, "one"),
        derive(key, "one", b"context"),
        derive(key, "one", b"contexts"),
        derive(key, "one", length=16).ljust(32, b"\0"),
    ]
    assert len(set(derived)) == len(derived)
    assert [len(value) for value in derived] == [32] * len(derived)
    assert derive(key, "one", length=16) != derive(key, "one")[:16]


def test_a_purpose_too_long_to_be_kept_apart_is_refused() -> None:
    assert derive(b"k" * 32, "p" * 16)
    with pytest.raises(ValueError):
        derive(b"k" * 32, "p" * 17)


@pytest.mark.parametrize(
    "public",
    [*map(bytes.fromhex, SMALL_ORDER), b"", bytes(31), bytes(33), b"\xff" * 32, b"\2".ljust(32, b"\0")],
)
def test_keys_that_nothing_can_be_sealed_to_are_told(public: bytes) -> None:
    assert not is_usable(public)
    assert is_usable(DeviceKey(bytes(32)).public)
