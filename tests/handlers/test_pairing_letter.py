import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quire.core.certificate import Certificate
from quire.core.encoding import to_text
from quire.errors import BadEvent
from quire.handlers import pairing_letter
from quire.handlers.pairing_letter import Introduction, Nonce, Reveal
from quire.limits import MAX_CHAIN, MAX_LETTER_BYTES

_key = st.binary(min_size=32, max_size=32)
_sig = st.binary(min_size=64, max_size=64)
_name = st.text(min_size=1, max_size=80)


@given(_key, _key)
def test_nonces_are_read_as_they_were_written(nonce: bytes, identity: bytes) -> None:
    letter = Nonce(nonce, identity)
    assert pairing_letter.unpack_nonce(pairing_letter.pack(letter)) == letter


@given(_key, _key, _sig, _name)
def test_revelations_are_read_as_they_were_written(nonce: bytes, wrap: bytes, sig: bytes, name: str) -> None:
    letter = Reveal(nonce, wrap, sig, name)
    packed = pairing_letter.pack(letter)
    assert pairing_letter.unpack_reveal(packed) == letter
    assert len(packed) < MAX_LETTER_BYTES


@given(_name, st.integers(1, MAX_CHAIN), _key, _sig)
def test_introductions_are_read_as_they_were_written(name: str, links: int, key: bytes, sig: bytes) -> None:
    letter = Introduction(name, links, key, key, key, sig, name)
    packed = pairing_letter.pack(letter)
    assert pairing_letter.unpack_introduction(packed) == letter
    assert len(packed) < MAX_LETTER_BYTES


@given(st.lists(st.tuples(_key, _key, _sig), max_size=MAX_CHAIN))
def test_certificates_are_read_as_they_were_written(chain: list[tuple[bytes, bytes, bytes]]) -> None:
    values = [tuple(to_text(value) for value in link) for link in chain]
    letters = pairing_letter.pack_certificates([Certificate(d, w, "", s) for d, w, s in values])
    assert [pairing_letter.unpack_certificate(one) for one in letters] == list(enumerate(values))


@given(st.binary(max_size=100))
@example(b"\x94\xc4\x00\xc4\x00\xc4\x00\xa1\xff")  # a revelation whose name is no UTF-8
@example(b"\x97\xa1\xff")
@pytest.mark.parametrize(
    "unpack",
    [
        pairing_letter.unpack_nonce,
        pairing_letter.unpack_reveal,
        pairing_letter.unpack_introduction,
        pairing_letter.unpack_certificate,
    ],
)
def test_any_bytes_are_read_or_refused(unpack: object, body: bytes) -> None:
    reasons = {"bad-letter"}
    try:
        unpack(body)  # type: ignore[operator]
    except BadEvent as error:
        reasons.add(error.reason)
    assert reasons == {"bad-letter"}


@pytest.mark.parametrize("size", [31, 33])
def test_keys_of_another_size_are_refused(size: int) -> None:
    short, whole = bytes(size), bytes(32)
    with pytest.raises(BadEvent):
        pairing_letter.unpack_nonce(pairing_letter.pack(Nonce(short, whole)))
    with pytest.raises(BadEvent):
        pairing_letter.unpack_reveal(pairing_letter.pack(Reveal(whole, short, b"", "x")))
    with pytest.raises(BadEvent):
        pairing_letter.unpack_introduction(
            pairing_letter.pack(Introduction("x", 1, short, whole, whole, b"", "x"))
        )


@pytest.mark.parametrize("links", [-1, 0, MAX_CHAIN + 1, 20_000_000])
def test_chains_that_nobody_has_are_refused(links: int) -> None:
    """Before room is made for them."""
    letter = pairing_letter.pack(
        Introduction("ann", links, bytes(32), bytes(32), bytes(32), bytes(64), "phone")
    )
    with pytest.raises(BadEvent, match="bad-letter"):
        pairing_letter.unpack_introduction(letter)
