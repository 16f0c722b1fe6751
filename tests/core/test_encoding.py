"""Base64url without padding: one spelling for each value."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.encoding import TEXT_32, from_text, from_texts, is_key, to_text, to_texts

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# RFC 4648 section 10, without padding.
RFC_4648 = [
    (b"", ""),
    (b"f", "Zg"),
    (b"fo", "Zm8"),
    (b"foo", "Zm9v"),
    (b"foob", "Zm9vYg"),
    (b"fooba", "Zm9vYmE"),
    (b"foobar", "Zm9vYmFy"),
    (b"\xfb\xff\xbf", "-_-_"),
]


@pytest.mark.parametrize(("value", "text"), RFC_4648)
def test_rfc_4648(value: bytes, text: str) -> None:
    assert to_text(value) == text
    assert from_text(text) == value


@given(st.binary(max_size=100))
def test_round_trip_agrees_with_the_standard_library(value: bytes) -> None:
    text = to_text(value)
    assert text == base64.urlsafe_b64encode(value).decode().rstrip("=")
    assert from_text(text) == from_text(text, len(value)) == value


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=5))
def test_many_values_at_once_are_spelled_alike(values: list[bytes]) -> None:
    assert to_texts(values) == [to_text(value) for value in values]
    assert from_texts(to_texts(values)) == values


@pytest.mark.parametrize(
    "texts",
    [
        ["A" * 42],
        ["A" * 44],
        ["A" * 42 + "B"],
        ["A" * 42, "A" * 44],
        ["A" * 43, ""],
        ["A" * 43, "A" * 42 + "+"],
        ["A" * 43, "A" * 42 + "é"],
        ["A" * 43 + "\n"],
    ],
)
def test_values_are_read_at_once_only_where_each_is_spelled_as_it_must_be(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_texts(texts)


@given(st.text(ALPHABET + "+/= \n\té\x00", max_size=50) | st.text(max_size=20))
def test_any_text_is_the_one_spelling_or_a_value_error(text: str) -> None:
    try:
        value = from_text(text)
    except ValueError:
        return
    assert to_text(value) == text


@pytest.mark.parametrize(
    "text",
    [
        "Zg==",
        "Zg=",
        "Zh",
        "Zm9",
        "A",
        "Zm9vY",
        " Zg",
        "Zg ",
        "Z g",
        "Zg\n",
        "+/+/",
        "Zm8=",
        "Z\x00g",
        "Zg\xe9",
        "Ａg",
        "=",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_text(text)


def test_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes wanted, 31 found"):
        from_text(to_text(bytes(31)), 32)


@given(st.binary(min_size=32, max_size=32))
def test_32_bytes_are_a_key(value: bytes) -> None:
    assert len(to_text(value)) == TEXT_32
    assert is_key(to_text(value))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A" * 42,
        "A" * 44,
        "A" * 42 + "B",
        "A" * 42 + "=",
        "A" * 42 + "+",
        "A" * 42 + "é",
        " " * 43,
        "A" * 42 + "\n",
    ],
)
def test_these_are_no_keys(text: str) -> None:
    assert not is_key(text)
