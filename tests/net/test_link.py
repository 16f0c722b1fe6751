import json
from pathlib import Path
from random import Random

import pytest

from quire.core.keys import DeviceKey
from quire.limits import MAX_DATAGRAM
from quire.net.link import LINK_OVERHEAD, Door, Link

SPACE, SPACE_KEY = b"S" * 32, b"K" * 32
ONE, TWO, THREE = (DeviceKey(bytes((number,)) * 32) for number in (1, 2, 3))
NONCE = b"n" * 24
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "net_link.json").read_text())


def link(mine: DeviceKey, other: DeviceKey, space: bytes = SPACE, key: bytes = SPACE_KEY) -> Link:
    return Link(Door(space, key), mine, other.public)


def test_what_one_seals_the_other_opens() -> None:
    datagram = link(ONE, TWO).seal(NONCE, b"frames")
    assert link(TWO, ONE).open(datagram) == b"frames"
    assert len(datagram) == LINK_OVERHEAD + 6


def test_header_names_receiver_and_sender_to_those_with_the_space_key() -> None:
    datagram = link(ONE, TWO).seal(NONCE, b"")
    door = Door(SPACE, SPACE_KEY)
    assert door.peek(datagram) == (door.tag(TWO.public), ONE.public)
    assert Door(SPACE, b"x" * 32).peek(datagram) != door.peek(datagram)


@pytest.mark.parametrize(
    "receiver",
    [
        link(TWO, ONE, key=b"x" * 32),
        link(TWO, ONE, space=b"x" * 32),
        link(THREE, ONE),
        link(TWO, THREE),
        link(ONE, TWO),
    ],
    ids=["space key", "space", "receiver", "sender", "reflected"],
)
def test_opens_nowhere_else(receiver: Link) -> None:
    assert receiver.open(link(ONE, TWO).seal(NONCE, b"frames")) is None


def test_an_altered_bit_anywhere_is_noticed() -> None:
    door = Door(SPACE, SPACE_KEY)
    datagram = link(ONE, TWO).seal(NONCE, b"frames")
    receiver = link(TWO, ONE)
    for at in range(len(datagram)):
        altered = bytearray(datagram)
        altered[at] ^= 1 << at % 8
        # The masked header is not under the cipher: it decides who opens, and there it must be right.
        same_header = door.peek(bytes(altered)) == door.peek(datagram)
        assert not same_header or receiver.open(bytes(altered)) is None


@pytest.mark.parametrize("size", [0, 1, LINK_OVERHEAD - 1, MAX_DATAGRAM + 1])
def test_impossible_sizes(size: int) -> None:
    assert Door(SPACE, SPACE_KEY).peek(bytes(size)) is None
    assert link(TWO, ONE).open(bytes(min(size, LINK_OVERHEAD - 1))) is None


def test_random_bytes_never_open() -> None:
    random = Random(1)
    receiver = link(TWO, ONE)
    assert not any(receiver.open(random.randbytes(random.randrange(200))) for _ in range(500))


def test_an_observer_sees_nothing_that_repeats() -> None:
    random, sender = Random(2), link(ONE, TWO)
    plain = [b"the same frames in every datagram"] * 50 + [bytes(300)] * 50
    datagrams = [sender.seal(random.randbytes(24), frames) for frames in plain]
    seen: dict[bytes, int] = {}
    for number, datagram in enumerate(datagrams):
        for at in range(len(datagram) - 7):
            assert seen.setdefault(datagram[at : at + 8], number) == number
    known = (b"the same", SPACE[:8], ONE.public[:8], TWO.public[:8], Door(SPACE, SPACE_KEY).tag(TWO.public))
    assert not any(part in seen for part in known)


def test_a_key_that_is_no_point_is_refused() -> None:
    with pytest.raises(ValueError, match="public key"):
        Link(Door(SPACE, SPACE_KEY), ONE, bytes(32))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_golden_vectors(vector: dict[str, str]) -> None:
    datagram = link(ONE, TWO).seal(NONCE, bytes.fromhex(vector["payload"]))
    assert datagram.hex() == vector["datagram"]
