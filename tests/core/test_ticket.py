"""Links of tickets: both forms, what mail programs do to them, and plain words for whatever is no link."""

from dataclasses import replace
from hashlib import sha256
from typing import Any, get_args
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.address import format_address
from quire.core.encoding import to_text
from quire.core.text import is_name
from quire.core.ticket import WEB_HOST, Kind, Ticket, decode_link, encode_link, encode_web_link
from quire.errors import UserError
from quire.limits import MAX_ADDRESSES, MAX_LINK_CHARS, MAX_NAME_CHARS, MAX_QR_CHARS, MAX_TICKET_OTHERS

unhurried = settings(deadline=None)
SCHEME = "quire://join#"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
TICKET = Ticket(
    "join",
    b"s" * 32,
    b"k" * 32,
    b"t" * 32,
    b"i" * 32,
    ["192.0.2.1:7700", "[2001:db8::7]:1"],
    "Garten 🌱",
    [(b"o" * 32, "192.0.2.2:7700")],
)
LINK = encode_link(TICKET)
WEB = encode_web_link(TICKET)
PACKED: list[Any] = [
    0,
    b"s" * 32 + b"k" * 32 + b"t" * 32 + b"i" * 32,
    "Garten",
    [b"\xc0\x00\x02\x01\x1e\x14"],
    [],
]

keys = st.binary(min_size=32, max_size=32)
addresses = st.builds(format_address, st.ip_addresses().map(str), st.integers(0, 65_535))
tickets = st.builds(
    Ticket,
    st.sampled_from(get_args(Kind)),
    keys,
    keys,
    keys,
    keys,
    st.lists(addresses, max_size=MAX_ADDRESSES),
    st.text(max_size=MAX_NAME_CHARS).filter(lambda text: is_name(text, MAX_NAME_CHARS)),
    st.lists(st.tuples(keys, addresses), max_size=MAX_TICKET_OTHERS),
)


def link_of(body: bytes) -> str:
    """A link with a right checksum, whatever it says."""
    return SCHEME + to_text(body + sha256(body).digest()[:4])


def packed(at: int, value: object) -> str:
    return link_of(b"\x02" + msgspec.msgpack.encode([*PACKED[:at], value, *PACKED[at + 1 :]]))


def refusal(link: str) -> str:
    with pytest.raises(UserError, match="link") as caught:
        decode_link(link)
    return str(caught.value)


def test_golden_link() -> None:
    plain = replace(TICKET, addresses=["192.0.2.1:7700"], name="Garten")
    body = b"\x02\x95\x00\xc4\x80" + PACKED[1] + b"\xa6Garten\x91\xc4\x06\xc0\x00\x02\x01\x1e\x14"
    body += b"\x91\xc4\x26" + b"o" * 32 + b"\xc0\x00\x02\x02\x1e\x14"
    assert encode_link(plain) == link_of(body)


@given(tickets)
@unhurried
def test_round_trip_in_both_forms(ticket: Ticket) -> None:
    for link in (encode_link(ticket), encode_web_link(ticket), encode_web_link(ticket, "localhost:8080")):
        assert decode_link(link) == ticket
        assert len(link) <= MAX_QR_CHARS < MAX_LINK_CHARS


def test_both_forms_have_the_same_fragment_and_nothing_secret_before_it() -> None:
    assert LINK.startswith("quire://join#")
    assert WEB.startswith(f"https://{WEB_HOST}/join#")
    assert urlsplit(LINK).fragment == urlsplit(WEB).fragment
    assert encode_link(replace(TICKET, kind="link")).startswith("quire://link#")
    assert encode_web_link(replace(TICKET, kind="link"), "[::1]:80").startswith("https://[::1]:80/link#")


def test_a_typical_link_is_short() -> None:
    usual = replace(
        TICKET, addresses=["192.168.178.20:7700", "203.0.113.77:7700"], name="Allotment", others=[]
    )
    assert len(encode_link(usual)) < len(encode_web_link(usual)) < 250


def test_secrets_stay_out_of_logs() -> None:
    assert repr(TICKET.link_key) not in repr(TICKET)
    assert repr(TICKET.secret) not in repr(TICKET)
    assert repr(TICKET.space_id) in repr(TICKET)


@pytest.mark.parametrize("link", [LINK, WEB])
def test_white_space_from_mail_programs_is_ignored(link: str) -> None:
    assert decode_link(f"  {link[:5]}\n {link[5:90]}\r\n\t{link[90:]} \n") == TICKET


@pytest.mark.parametrize(
    "front", ["Quire://Join#", "quire://join/#", "HTTPS://Quire.Example/JOIN#", "https://a:1/join/#"]
)
def test_what_programs_do_to_the_front_of_a_link(front: str) -> None:
    assert decode_link(front + LINK.partition("#")[2]) == TICKET


@pytest.mark.parametrize("link", [LINK, WEB])
def test_truncated_at_every_length(link: str) -> None:
    for length in range(len(link)):
        assert refusal(link[:length])


def test_each_character_altered() -> None:
    for place, letter in enumerate(LINK):
        for other in ("A" if letter != "A" else "B", "!", "ä", "\x00", "=", "", letter * 2):
            assert refusal(LINK[:place] + other + LINK[place + 1 :])


@pytest.mark.parametrize(
    "link",
    ["", " ", "quire:", SCHEME, "https://example.org/", "quire://join?" + LINK[13:], LINK + LINK, LINK + "A",
     "http://quire.example/join#" + LINK[13:], "https:///join#" + LINK[13:], "https://a/b/join#" + LINK[13:],
     "https://a#/join#" + LINK[13:], SCHEME + "A" * 5, SCHEME + "\udcff", SCHEME + "A" * MAX_LINK_CHARS,
     LINK.upper(), "join#" + LINK[13:]],
)  # fmt: skip
def test_what_is_no_link(link: str) -> None:
    assert refusal(link).rstrip("#")[-1] in ".k"


def test_the_kind_must_be_the_one_inside() -> None:
    assert "damaged" in refusal(LINK.replace("join", "link"))
    assert "damaged" in refusal(WEB.replace("join", "link"))


@pytest.mark.parametrize(
    "link",
    [
        link_of(b"\x02"),
        link_of(b"\x02\xc1"),
        link_of(b"\x02" + b"\x91" * 2_000),
        link_of(b"\x02" + b"\xa2\xff\xff"),
        link_of(b"\x02" + msgspec.msgpack.encode([])),
        link_of(b"\x02" + msgspec.msgpack.encode({"kind": 0})),
        link_of(b"\x02" + msgspec.msgpack.encode("x")),
        link_of(b"\x02" + msgspec.msgpack.encode(PACKED) + b"\0"),
        packed(0, 1),
        packed(0, 2),
        packed(0, -1),
        packed(0, -2),
        packed(0, 2**63),
        packed(0, "join"),
        packed(1, b""),
        packed(1, bytes(127)),
        packed(1, bytes(129)),
        packed(1, "text"),
        packed(2, ""),
        packed(2, "x" * (MAX_NAME_CHARS + 1)),
        packed(2, "\x1b[31mred"),
        packed(2, " outer"),
        packed(2, 7),
        packed(3, [bytes(6)] * (MAX_ADDRESSES + 1)),
        packed(3, [b""]),
        packed(3, [b"\x01"]),
        packed(3, [bytes(5)]),
        packed(3, [bytes(17)]),
        packed(3, ["192.0.2.1:1"]),
        packed(3, None),
    ],
)
def test_links_that_say_what_cannot_be(link: str) -> None:
    assert "damaged" in refusal(link)


def test_a_link_of_another_version() -> None:
    for version in (b"\x01", b"\x03"):
        assert "another version" in refusal(link_of(version + b"anything"))


def test_fields_of_a_later_version_do_no_harm() -> None:
    assert decode_link(link_of(b"\x02" + msgspec.msgpack.encode([*PACKED, [], "more"]))).name == "Garten"


def test_the_length_of_a_link_is_bounded() -> None:
    links = [
        link_of(b"\x02" + msgspec.msgpack.encode([*PACKED, [], "x" * size])) for size in range(2_850, 2_950)
    ]
    short = [link for link in links if len(link) <= MAX_LINK_CHARS]
    assert 0 < len(short) < len(links)
    assert {decode_link(link).name for link in short} == {"Garten"}
    assert all("incomplete" in refusal(link) for link in links[len(short) :])


@given(st.binary(max_size=200), st.text(alphabet=ALPHABET, max_size=60), st.text(max_size=30))
@unhurried
def test_nothing_else_is_raised(body: bytes, letters: str, text: str) -> None:
    for link in (link_of(b"\x02" + body), SCHEME + letters, SCHEME + text, text):
        assert refusal(link)


def test_the_longest_link_can_be_read_and_scanned() -> None:
    longest = replace(
        TICKET,
        name="🌱" * MAX_NAME_CHARS,
        addresses=["[2001:db8:85a3:1234:5678:8a2e:370:7334]:65535"] * MAX_ADDRESSES,
    )
    assert decode_link(encode_link(longest)) == longest
    assert len(encode_web_link(longest)) <= MAX_QR_CHARS


@pytest.mark.parametrize(
    "change",
    [
        {"space_id": b""},
        {"link_key": bytes(31)},
        {"secret": bytes(33)},
        {"inviter": b""},
        {"space_id": bytes(31), "link_key": bytes(33)},
        {"name": ""},
        {"name": "two\nlines"},
        {"name": "x" * (MAX_NAME_CHARS + 1)},
        {"addresses": ["192.0.2.1:1"] * (MAX_ADDRESSES + 1)},
        {"others": [(b"o" * 32, "192.0.2.1:1")] * (MAX_TICKET_OTHERS + 1)},
        {"others": [(b"o" * 31, "192.0.2.1:1")]},
    ],
)
def test_tickets_that_are_not_sound(change: dict[str, Any]) -> None:
    for encode in (encode_link, encode_web_link):
        with pytest.raises(ValueError, match="a ticket has"):
            encode(replace(TICKET, **change))


@pytest.mark.parametrize("address", ["nowhere", "example.org:80", "192.0.2.1:99999", "192.0.2.1", ""])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(UserError, match="is no address"):
        encode_link(replace(TICKET, addresses=[address]))


def test_addresses_come_back_in_their_shortest_spelling() -> None:
    loose = replace(TICKET, addresses=["localhost:1", "[2001:0db8:0000::0007]:2"])
    assert decode_link(encode_link(loose)).addresses == ["127.0.0.1:1", "[2001:db8::7]:2"]


@pytest.mark.parametrize(
    "host", ["", "a/b", "a#b", "a b", "https://a", "user@a", "a?b", "a:", "a:b", "ä.example"]
)
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(ValueError, match="not a host"):
        encode_web_link(TICKET, host)
