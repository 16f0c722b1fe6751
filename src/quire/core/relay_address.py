"""Where a relay is and which key it has, as one line of text: `wss://host:port/path#key`.

Owns: that text. Must not know: connections.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from quire.core.encoding import from_text, is_key, to_text
from quire.errors import UserError
from quire.limits import MAX_RELAY_URL_CHARS

#: So much of a key tells relays apart that have one host.
_KEY_CHARS: Final = 8
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


class RelayAddress(NamedTuple):
    """`url` is `ws://…` or `wss://…`, `key` the relay's public key (32 bytes)."""

    url: str
    key: bytes

    @property
    def text(self) -> str:
        """The whole address."""
        return f"{self.url}#{to_text(self.key)}"

    @property
    def host(self) -> str:
        """What a person calls it: the host, with its port if one is named."""
        return urlsplit(self.url).netloc


def called(relays: Sequence[RelayAddress]) -> list[str]:
    """What a person calls each of these relays: the host, and the beginning of the key where others have that host."""
    hosts = Counter(one.host for one in relays)
    return [
        one.host if hosts[one.host] == 1 else f"{one.host} (key {to_text(one.key)[:_KEY_CHARS]}…)"
        for one in relays
    ]


def parse_relay(text: str) -> RelayAddress:
    """The address in a text. Raises UserError in plain words."""
    problem = f"{text[:80]!r} is no address of a relay: one looks like wss://relay.example/#KEY"
    try:
        parts = urlsplit(text.strip())
        scheme, port = _SCHEMES.get(parts.scheme), parts.port
    except ValueError:
        raise UserError(f"{problem}.") from None
    if scheme is None or not parts.hostname or port == 0 or parts.username is not None:
        raise UserError(f"{problem}.")
    if len(text) > MAX_RELAY_URL_CHARS or not text.isascii() or not text.strip().isprintable():
        raise UserError(f"{problem}, of at most {MAX_RELAY_URL_CHARS} plain characters.")
    if not is_key(parts.fragment):
        raise UserError(
            f"{problem}. What stands behind the # is its public key, which `quire relay serve` prints: "
            "by it your devices know that they speak to the same relay."
        )
    url = urlunsplit((scheme, parts.netloc, parts.path or "/", parts.query, ""))
    return RelayAddress(url, from_text(parts.fragment, 32))
