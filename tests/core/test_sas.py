"""Short authentication string: both ends the same, any change another, and a commitment that binds."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.sas import COMMITMENT_BYTES, SHORT_STRING_DIGITS, commitment, commitment_holds, short_string

unhurried = settings(deadline=None)
thirty_two = st.binary(min_size=32, max_size=32)
NONCE, PUBLIC = b"n" * 32, b"p" * 32
COMMITTED = commitment(NONCE, PUBLIC)


def flipped(data: bytes, bit: int) -> bytes:
    altered = bytearray(data)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def test_golden_values() -> None:
    assert COMMITTED.hex() == "8f40bdcc88341e39a3054e6d6560b3e288c11a31011386afd481dec3cf1ed313"
    assert short_string(COMMITTED, PUBLIC, b"q" * 32, NONCE, b"m" * 32) == "956 816"


@given(thirty_two, thirty_two, thirty_two, thirty_two)
@unhurried
def test_two_honest_ends_show_the_same(
    mine: bytes, theirs: bytes, my_nonce: bytes, their_nonce: bytes
) -> None:
    committed = commitment(my_nonce, mine)
    # What each side holds at the end, one having made it and the other received it.
    first = [committed, mine, theirs, my_nonce, their_nonce]
    second = [bytes(part) for part in first]
    assert commitment_holds(second[0], second[3], second[1])
    assert short_string(*first) == short_string(*second)


@given(st.lists(st.binary(max_size=40), max_size=6))
@unhurried
def test_six_digits_in_two_groups(transcript: list[bytes]) -> None:
    one, two = short_string(*transcript).split(" ")
    assert len(one) == len(two) == SHORT_STRING_DIGITS // 2
    assert (one + two).isascii()
    assert (one + two).isdecimal()


def test_every_changed_bit_changes_the_digits() -> None:
    transcript = [COMMITTED, PUBLIC, b"q" * 32, NONCE, b"m" * 32]
    honest = short_string(*transcript)
    shown = [
        short_string(*transcript[:at], flipped(part, bit), *transcript[at + 1 :])
        for at, part in enumerate(transcript)
        for bit in range(8 * len(part))
    ]
    assert len(shown) == 5 * 256
    # One in a million by chance for each: none is to be expected, and the transcript is fixed.
    assert honest not in shown


def test_parts_do_not_run_into_each_other() -> None:
    transcripts = [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b""), (b"", b"abc"), (b"c", b"ab"), ()]
    assert len({short_string(*parts) for parts in transcripts}) == len(transcripts)


def test_digits_are_spread_evenly() -> None:
    shown = [short_string(n.to_bytes(4)) for n in range(20_000)]
    assert len(set(shown)) > 19_500  # 19,801 are to be expected of a million
    for place in (0, 1, 2, 4, 5, 6):
        counts = Counter(text[place] for text in shown)
        assert set(counts) == set("0123456789")
        assert 1_800 < min(counts.values()) <= max(counts.values()) < 2_200


@given(thirty_two, thirty_two, st.integers(0, 8 * 64 - 1))
@unhurried
def test_a_commitment_binds(nonce: bytes, public: bytes, bit: int) -> None:
    committed = commitment(nonce, public)
    assert len(committed) == COMMITMENT_BYTES
    assert commitment_holds(committed, nonce, public)
    other = flipped(nonce + public, bit)
    assert not commitment_holds(committed, other[:32], other[32:])
    assert not commitment_holds(flipped(committed, bit % 256), nonce, public)
    if nonce != public:
        assert not commitment_holds(committed, public, nonce)


def test_a_commitment_tells_nothing() -> None:
    made = {commitment(n.to_bytes(32), PUBLIC) for n in range(1_000)}
    assert len(made) == 1_000
    assert all(PUBLIC[:4] not in value for value in made)


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
@unhurried
def test_commitment_holds_never_raises(committed: bytes, nonce: bytes, public: bytes) -> None:
    assert commitment_holds(committed, nonce, public) is False


@pytest.mark.parametrize(
    ("nonce", "public"), [(b"", PUBLIC), (NONCE, b""), (NONCE[1:], PUBLIC), (NONCE, PUBLIC + b"x")]
)
def test_a_commitment_is_to_32_bytes_each(nonce: bytes, public: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes each"):
        commitment(nonce, public)
