from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.encoding import to_text
from quire.errors import UserError
from quire.handlers.invite_link import SCHEME, Invite, decode_link, encode_link
from quire.limits import MAX_ADDRESSES, MAX_LINK_CHARS, MAX_NAME_CHARS
from tests.events.builders import digest

INVITE = Invite(
    digest("s"), digest("k"), "Garten 🌱", digest("i"), ["192.0.2.1:7700", "[::1]:1"], b"sealed" * 40
)
LINK = encode_link(INVITE)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def link_of(body: bytes) -> str:
    """A link with a right checksum, whatever it says."""
    return SCHEME + to_text(body + sha256(body).digest()[:4])


def packed(**fields: object) -> str:
    values = {**msgspec.structs.asdict(INVITE), **fields}
    return link_of(b"\x01" + msgspec.msgpack.encode(list(values.values())))


def test_round_trip() -> None:
    assert decode_link(LINK) == INVITE
    assert LINK.startswith("quire://join#")


def test_white_space_from_mail_programs_is_ignored() -> None:
    assert decode_link(f"  {LINK[:30]}\n {LINK[30:90]}\r\n\t{LINK[90:]} \n") == INVITE


def test_truncated_at_every_length() -> None:
    for length in range(len(LINK)):
        with pytest.raises(UserError, match="link"):
            decode_link(LINK[:length])


def test_each_character_altered() -> None:
    for place, letter in enumerate(LINK):
        for other in ("A" if letter != "A" else "B", "!", "ä", "\x00", "=", "", letter * 2):
            altered = LINK[:place] + other + LINK[place + 1 :]
            with pytest.raises(UserError, match="link"):
                decode_link(altered)


@pytest.mark.parametrize(
    "link",
    ["", " ", "quire:", SCHEME, "https://example.org/", "quire://join?" + LINK[13:], LINK + LINK, LINK + "A",
     SCHEME + "A" * 5, SCHEME + "\udcff", SCHEME + "A" * MAX_LINK_CHARS, LINK.upper()],
)  # fmt: skip
def test_what_is_no_link(link: str) -> None:
    with pytest.raises(UserError, match="link") as error:
        decode_link(link)
    assert str(error.value).rstrip("#")[-1] in ".:/n"


@pytest.mark.parametrize(
    "link",
    [
        link_of(b"\x01"),
        link_of(b"\x01\xc1"),
        link_of(b"\x01" + b"\x91" * 5_000)[: MAX_LINK_CHARS - 1],
        link_of(b"\x01" + b"\x91" * 2_000),
        link_of(b"\x01" + msgspec.msgpack.encode([])),
        link_of(b"\x01" + msgspec.msgpack.encode({"space_id": b""})),
        link_of(b"\x01" + msgspec.msgpack.encode("x")),
        link_of(b"\x01" + b"\xa2\xff\xff"),
        packed(space_id=b"short"),
        packed(space_id="text"),
        packed(space_key=b""),
        packed(inviter=digest("i") + b"x"),
        packed(space_name=""),
        packed(space_name="x" * (MAX_NAME_CHARS + 1)),
        packed(space_name="\x1b[31mred"),
        packed(space_name=7),
        packed(addresses=["192.0.2.1:1"] * (MAX_ADDRESSES + 1)),
        packed(addresses=["nowhere"]),
        packed(addresses=["\x1b[2J"]),
        packed(addresses=["example.org:80"]),
        packed(addresses=["192.0.2.1:99999"]),
        packed(addresses=[7]),
        packed(addresses=None),
        packed(introduction="text"),
        packed(introduction=None),
    ],
)
def test_links_that_say_what_cannot_be(link: str) -> None:
    with pytest.raises(UserError, match=r"link is (damaged|incomplete)"):
        decode_link(link)


def test_a_newer_link() -> None:
    with pytest.raises(UserError, match="newer version"):
        decode_link(link_of(b"\x02anything"))


def test_fields_of_a_later_version_do_no_harm() -> None:
    values = [*msgspec.structs.asdict(INVITE).values(), "more"]
    assert decode_link(link_of(b"\x01" + msgspec.msgpack.encode(values))) == INVITE


@settings(deadline=None)
@given(st.binary(max_size=200), st.text(alphabet=ALPHABET, max_size=60), st.text(max_size=30))
def test_nothing_else_is_raised(body: bytes, letters: str, text: str) -> None:
    for link in (link_of(b"\x01" + body), SCHEME + letters, SCHEME + text, text):
        try:
            decode_link(link)
        except UserError:
            pass


def test_the_longest_link_can_be_read() -> None:
    longest = msgspec.structs.replace(
        INVITE,
        space_name="🌱" * MAX_NAME_CHARS,
        addresses=["[2001:0db8:85a3:0000:0000:8a2e:0370:7334]:65535"] * MAX_ADDRESSES,
        introduction=bytes(1_200),
    )
    link = encode_link(longest)
    assert len(link) <= MAX_LINK_CHARS
    assert decode_link(link) == longest
