from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.certificate import certify
from quire.core.keys import DeviceKey
from quire.errors import BadEvent
from quire.handlers.admit import Request
from quire.handlers.admit_letter import Welcome, pack_request, unpack_request, unpack_welcome
from quire.limits import MAX_CHAIN, MAX_INTEGER, MAX_LETTER_BYTES, MAX_NAME_CHARS
from tests.events.builders import Author, Space, digest

ASKED = msgspec.convert(Author(Space(), "carol").request(), Request)


@given(name=st.text(max_size=MAX_NAME_CHARS), seq=st.integers(0, MAX_INTEGER))
def test_round_trip(name: str, seq: int) -> None:
    asked = msgspec.structs.replace(ASKED, name=name, seq=seq)
    assert unpack_request(pack_request(asked)) == asked


def test_a_chain_of_several_devices_keeps_its_signers() -> None:
    """Signers are not written: each link is signed by the one before, the first by the identity."""
    author = Author(Space(), "carol")
    keys = [author.root, *(DeviceKey(digest(f"device {number}")) for number in range(MAX_CHAIN))]
    chain = [certify(signer, author.identity, key.text, author.wrap) for signer, key in pairwise(keys)]
    asked = msgspec.structs.replace(ASKED, chain=chain)
    assert unpack_request(pack_request(asked)) == asked
    assert len(pack_request(msgspec.structs.replace(asked, name="🦆" * MAX_NAME_CHARS))) < MAX_LETTER_BYTES


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for unpack in (unpack_request, unpack_welcome):
        try:
            found = unpack(data)
        except BadEvent:
            continue
        assert isinstance(found, Request | Welcome)


@given(cut=st.integers(0, len(pack_request(ASKED)) - 1))
def test_a_cut_request(cut: int) -> None:
    with pytest.raises(BadEvent, match="bad-letter"):
        unpack_request(pack_request(ASKED)[:cut])


def test_a_welcome_round_trip() -> None:
    welcome = Welcome("garden", digest("key"), digest("sealer"), "name")
    assert unpack_welcome(msgspec.msgpack.encode(welcome)) == welcome
