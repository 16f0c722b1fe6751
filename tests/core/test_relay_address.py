"""Addresses of relays as people copy them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.relay_address import RelayAddress, called, parse_relay
from quire.errors import UserError
from quire.limits import MAX_RELAY_URL_CHARS

KEY = "S" * 42 + "A"


@pytest.mark.parametrize(
    ("text", "url", "host"),
    [
        (f"wss://relay.example/#{KEY}", "wss://relay.example/", "relay.example"),
        (f"wss://relay.example#{KEY}", "wss://relay.example/", "relay.example"),
        (f"https://relay.example/quire#{KEY}", "wss://relay.example/quire", "relay.example"),
        (f" ws://127.0.0.1:7750/#{KEY}\n", "ws://127.0.0.1:7750/", "127.0.0.1:7750"),
        (f"http://[::1]:7750/#{KEY}", "ws://[::1]:7750/", "[::1]:7750"),
    ],
)
def test_addresses(text: str, url: str, host: str) -> None:
    found = parse_relay(text)
    assert (found.url, found.host) == (url, host)
    assert parse_relay(found.text) == found
    assert found.text.endswith(f"#{KEY}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("relay.example", "no address of a relay"),
        (f"ftp://relay.example/#{KEY}", "no address of a relay"),
        (f"wss:///#{KEY}", "no address of a relay"),
        (f"wss://relay.example:0/#{KEY}", "no address of a relay"),
        (f"wss://relay.example:99999/#{KEY}", "no address of a relay"),
        (f"wss://me:secret@relay.example/#{KEY}", "no address of a relay"),
        (f"wss://[::1/#{KEY}", "no address of a relay"),
        (f"wss://rélay.example/#{KEY}", "plain characters"),
        (f"wss://relay.example/{'x' * MAX_RELAY_URL_CHARS}#{KEY}", "at most"),
        ("wss://relay.example/", "its public key"),
        (f"wss://relay.example/#{KEY}x", "its public key"),
    ],
)
def test_others_are_refused_in_plain_words(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        parse_relay(text)


def test_the_longest_address() -> None:
    fits = f"wss://relay.example/{'x' * MAX_RELAY_URL_CHARS}"[: MAX_RELAY_URL_CHARS - 44] + f"#{KEY}"
    assert len(fits) == MAX_RELAY_URL_CHARS
    assert parse_relay(fits).text == fits


def test_relays_of_one_host_are_told_apart_by_their_keys() -> None:
    alone, one, two = (
        parse_relay(f"wss://{host}/#{letter}{KEY[1:]}")
        for host, letter in (("relay.example", "A"), ("two.example", "B"), ("two.example", "C"))
    )
    assert called([alone, one, two]) == [
        "relay.example",
        "two.example (key BSSSSSSS…)",
        "two.example (key CSSSSSSS…)",
    ]


@given(st.text(max_size=80))
def test_nothing_else_is_raised(text: str) -> None:
    try:
        assert isinstance(parse_relay(text), RelayAddress)
    except UserError:
        pass
