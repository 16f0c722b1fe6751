import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quire.errors import BadEvent
from quire.handlers.letter import read_letter


class Said(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    name: str
    more: list[object]


@given(st.text(), st.lists(st.integers(0, 9)))
def test_it_is_read_as_it_was_written(name: str, more: list[object]) -> None:
    said = Said(name, more)
    assert read_letter(msgspec.msgpack.encode(said), Said) == said


@given(st.binary(max_size=100))
@example(b"\x92\xa1\xff\x90")  # no UTF-8
@example(b"\x92\xa1x" + b"\x91" * 60_000)  # nested too deep
@example(b"\x93\xa1x\x90\x00")  # more than is known
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    found: Said | str
    try:
        found = read_letter(body, Said)
    except BadEvent as error:
        found = error.reason
    assert isinstance(found, Said) or found == "bad-letter"


def test_what_is_cut_is_refused() -> None:
    whole = msgspec.msgpack.encode(Said("x", [1]))
    for end in range(len(whole)):
        with pytest.raises(BadEvent, match="bad-letter"):
            read_letter(whole[:end], Said)
