"""What is left at a door: its bytes, and for whom it opens."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.keys import DeviceKey
from quire.errors import BadEvent
from quire.limits import MAX_LEFT_BYTES
from quire.net import left
from quire.net.left import Ahead, Left, Letter

ANN, BEN, EVE = (DeviceKey(name * 32) for name in (b"a", b"b", b"e"))
SPACE, NONCE = b"s" * 32, bytes(24)
KEYS = st.binary(min_size=32, max_size=32)
EVERY = st.one_of(
    st.builds(Letter, KEYS, KEYS | st.just(b""), st.binary(max_size=500)),
    st.builds(Ahead, KEYS, st.binary(max_size=8), st.binary(max_size=300)),
)


@given(EVERY)
def test_what_was_left_is_found_again(one: Left) -> None:
    assert left.unpack(left.pack(one)) == one


@given(st.binary(max_size=200))
def test_nothing_else_is_raised(data: bytes) -> None:
    with suppress(BadEvent):
        left.unpack(data)


@pytest.mark.parametrize(
    "one", [Letter(b"short", b"", b""), Letter(b"k" * 32, b"short", b""), Ahead(b"", b"", b"")]
)
def test_keys_have_their_size(one: Left) -> None:
    with pytest.raises(BadEvent, match="bad-letter"):
        left.unpack(left.pack(one))


def test_its_size_is_bounded() -> None:
    over = len(left.pack(Letter(b"k" * 32, b"", bytes(MAX_LEFT_BYTES)))) - MAX_LEFT_BYTES
    largest = Letter(b"k" * 32, b"", bytes(MAX_LEFT_BYTES - over))
    assert left.unpack(left.pack(largest)) == largest
    with pytest.raises(BadEvent, match="bad-letter"):
        left.unpack(left.pack(Letter(b"k" * 32, b"", bytes(MAX_LEFT_BYTES - over + 1))))


def test_a_letter_opens_for_its_two_ends_and_nobody_else() -> None:
    letter = left.seal_letter(ANN, BEN.public, b"hello", NONCE, SPACE)
    assert b"hello" not in letter.body
    assert left.open_letter(letter, BEN, SPACE) == left.open_letter(letter, ANN, SPACE) == b"hello"
    for other, key, space in (
        (letter, EVE, SPACE),
        (letter, BEN, b"t" * 32),
        (Letter(EVE.public, BEN.public, letter.body), BEN, SPACE),
        (Letter(letter.sender, letter.to, letter.body[:-1]), BEN, SPACE),
        (Letter(bytes(32), BEN.public, letter.body), BEN, SPACE),  # no usable key
    ):
        with pytest.raises(BadEvent, match="bad-letter"):
            left.open_letter(other, key, space)


def test_a_letter_does_not_pass_for_its_answer() -> None:
    letter = left.seal_letter(ANN, BEN.public, b"hello", NONCE, SPACE)
    with pytest.raises(BadEvent, match="bad-letter"):
        left.open_letter(Letter(BEN.public, ANN.public, letter.body), ANN, SPACE)


def test_a_letter_to_nobody_in_particular_is_for_whoever_has_the_door() -> None:
    assert (
        left.open_letter(left.seal_letter(ANN, b"", b"who lets me in?", NONCE, SPACE), EVE, SPACE)
        == b"who lets me in?"
    )
