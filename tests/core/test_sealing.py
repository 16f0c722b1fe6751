"""Blobs: the cipher's published vector, what is bound to a blob, and every altered bit refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.exceptions import CryptoError

from quire.core.sealing import (
    KEY_ID_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    blob_context,
    key_id,
    open_blob,
    open_blobs,
    open_sealed,
    seal,
)
from quire.errors import BadEvent
from quire.limits import BLOB_OVERHEAD, MAX_BLOB_BYTES, MAX_EVENT_BYTES

unhurried = settings(deadline=None)
KEY, NONCE, SPACE = b"k" * 32, b"n" * NONCE_BYTES, b"s" * 32
CONTEXT = blob_context(SPACE, key_id(KEY))
DATA = b'{"type":"message"}'
BLOB = seal(KEY, NONCE, DATA, CONTEXT)


def open_reason(key: bytes, blob: bytes, context: bytes) -> str:
    with pytest.raises(BadEvent) as caught:
        open_blob(key, blob, context)
    return caught.value.reason


def test_draft_irtf_cfrg_xchacha_a_3_1() -> None:
    plain = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    context = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    key, nonce = bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58))
    expected = bytes.fromhex(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
        "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52e"
        "c0875924c1c7987947deafd8780acf49"
    )
    assert seal(key, nonce, plain, context) == nonce + expected
    assert open_sealed(key, nonce + expected, context) == plain


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=24, max_size=24),
    st.binary(max_size=300),
    st.binary(),
)
@unhurried
def test_round_trip(key: bytes, nonce: bytes, data: bytes, context: bytes) -> None:
    blob = seal(key, nonce, data, context)
    assert blob[:NONCE_BYTES] == nonce
    assert len(blob) == len(data) + BLOB_OVERHEAD == len(data) + NONCE_BYTES + TAG_BYTES
    assert open_sealed(key, blob, context) == open_blob(key, blob, context) == data
    assert seal(key, nonce, data, context) == blob


@pytest.mark.parametrize("bit", range(8 * len(BLOB)))
def test_one_changed_bit_is_refused(bit: int) -> None:
    altered = bytearray(BLOB)
    altered[bit // 8] ^= 1 << bit % 8
    assert open_reason(KEY, bytes(altered), CONTEXT) == "cannot-open"


@pytest.mark.parametrize("length", range(len(BLOB)))
def test_a_shortened_blob_is_refused(length: int) -> None:
    assert open_reason(KEY, BLOB[:length], CONTEXT) == "cannot-open"


def test_many_blobs_are_opened_as_each_alone() -> None:
    longest = b"x" * MAX_EVENT_BYTES
    other = b"o" * 32
    given = [
        (KEY, BLOB, CONTEXT),
        (other, BLOB, CONTEXT),
        (KEY, BLOB, CONTEXT + b"!"),
        (KEY, BLOB[:-1], CONTEXT),
        (KEY, b"", CONTEXT),
        (KEY[1:], BLOB, CONTEXT),
        (KEY, seal(KEY, NONCE, b"", CONTEXT), CONTEXT),
        (other, seal(other, NONCE, longest, b""), b""),
        (KEY, seal(KEY, NONCE, longest + b"x", CONTEXT), CONTEXT),
        (KEY, BLOB, CONTEXT),
    ]
    assert open_blobs(given) == [DATA, None, None, None, None, None, b"", longest, None, DATA]
    assert open_blobs([]) == []


def test_a_lengthened_blob_is_refused() -> None:
    assert open_reason(KEY, BLOB + b"\0", CONTEXT) == "cannot-open"
    assert open_reason(KEY, b"\0" + BLOB, CONTEXT) == "cannot-open"


def test_another_key_space_or_key_id_is_refused() -> None:
    other = b"K" * 32
    assert open_reason(other, BLOB, CONTEXT) == "cannot-open"
    assert open_reason(KEY, BLOB, blob_context(b"S" * 32, key_id(KEY))) == "cannot-open"
    assert open_reason(KEY, BLOB, blob_context(SPACE, key_id(other))) == "cannot-open"
    assert open_reason(KEY, BLOB, b"") == "cannot-open"


@pytest.mark.parametrize("key", [b"", KEY[:31], KEY + b"k"])
def test_open_refuses_another_size_of_key(key: bytes) -> None:
    assert open_reason(key, BLOB, CONTEXT) == "cannot-open"


@given(st.binary(max_size=200), st.binary(max_size=40), st.binary(max_size=60))
@unhurried
def test_arbitrary_bytes_raise_nothing_but_bad_event(blob: bytes, key: bytes, context: bytes) -> None:
    assert open_reason(key, blob, context) == "cannot-open"
    with pytest.raises(CryptoError):
        open_sealed(key, blob, context)


@pytest.mark.parametrize(
    ("key", "nonce"), [(KEY[:31], NONCE), (KEY + b"k", NONCE), (KEY, NONCE[:23]), (KEY, b"")]
)
def test_seal_refuses_another_size_of_key_or_nonce(key: bytes, nonce: bytes) -> None:
    with pytest.raises(ValueError, match="nonce of 24 bytes and key of 32 bytes wanted"):
        seal(key, nonce, DATA, CONTEXT)


def test_size_is_bounded_before_opening() -> None:
    largest = seal(KEY, NONCE, b"a" * MAX_EVENT_BYTES, CONTEXT)
    assert len(largest) == MAX_BLOB_BYTES
    assert open_blob(KEY, largest, CONTEXT) == b"a" * MAX_EVENT_BYTES
    assert open_reason(KEY, seal(KEY, NONCE, b"a" * (MAX_EVENT_BYTES + 1), CONTEXT), CONTEXT) == "too-large"
    assert open_reason(KEY, bytes(MAX_BLOB_BYTES + 1), CONTEXT) == "too-large"


def test_key_ids_name_keys_and_do_not_show_them() -> None:
    assert key_id(KEY) == key_id(bytes(KEY))
    assert len(key_id(KEY)) == KEY_ID_BYTES
    assert len({key_id(bytes([n]) * 32) for n in range(256)}) == 256
    assert key_id(KEY) not in KEY


def test_context_binds_version_space_and_key() -> None:
    assert b"quire blob 1" + SPACE + key_id(KEY) == CONTEXT
