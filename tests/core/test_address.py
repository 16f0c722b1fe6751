import pytest

from quire.core.address import HostPort, format_address, parse_address
from quire.errors import UserError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7700", ("127.0.0.1", 7700)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("[::1]:65535", ("::1", 65_535)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
    ],
)
def test_an_address_is_an_ip_address_and_a_port(text: str, address: HostPort) -> None:
    assert parse_address(text) == address
    assert text.startswith("localhost") or format_address(*address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "example.com:1",
        "127.0.0.1",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:١",
        "::1:1",
        "[127.0.0.1]:1",
        # What follows % is free text to the ipaddress module, but not to a socket.
        f"[fe80::1%{'é' * 70}]:1",
        "[fe80::1%\0]:1",
    ],
)
def test_nothing_else_is_one(text: str) -> None:
    with pytest.raises(UserError, match="no address"):
        parse_address(text)
