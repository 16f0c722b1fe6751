"""Where connections come from: how many one network address may have at once, and how fast it may open mailboxes.

Owns: what an address is (an IPv4 address, or the /64 of an IPv6 one, which one household has to itself), which header
of a proxy tells it, and what each may. Must not know: sockets, HTTP. Nothing of it is logged or counted by address.
"""

from collections import OrderedDict
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from quire.limits import MAX_RELAY_ORIGINS, RELAY_HELLO_BURST_S
from quire.relay.quota import Bucket

Proxies = Sequence[IPv4Network | IPv6Network]
#: This machine's own address: a proxy or a person here, where nobody else can be told from them.
_HERE = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_HOUSEHOLD_BITS = 64


def proxies_of(text: str) -> Proxies:
    """Networks or addresses with commas between them. Raises ValueError where one is none."""
    return [ip_network(one.strip()) for one in text.split(",") if one.strip()]


def is_proxy(peer: str, proxies: Proxies) -> bool:
    """Whether a peer is one of them."""
    address = _address(peer)
    return address is not None and any(address in network for network in proxies)


def origin_of(peer: str, forwarded: Sequence[str], proxies: Proxies) -> str:
    """What is counted together with a connection of `peer`; "" where nothing is, since it is this machine itself.

    `forwarded` are the values of X-Forwarded-For, in order. Whatever stands there counts as far as it was added by
    one of `proxies`: the last address that is none of theirs is the client's.
    """
    address = _address(peer)
    hops = [hop for value in forwarded for hop in value.split(",")]
    while address is not None and hops and any(address in network for network in proxies):
        hop = _address(hops.pop().strip())
        if hop is None:
            break
        address = hop
    if address is None or address in _HERE:
        return ""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, _HOUSEHOLD_BITS), strict=False))
    return str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, whether a port follows it or not, as IPv4 where it is one in IPv6's clothes."""
    bare = text.partition("]")[0][1:] if text.startswith("[") else text
    bare = bare.partition(":")[0] if bare.count(":") == 1 else bare
    try:
        found = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


class Origin:
    """One address: its connections, and the pace at which they may open mailboxes, together."""

    __slots__ = ("address", "connections", "hellos")

    def __init__(self, address: str, hellos: Bucket) -> None:
        self.address = address
        self.connections = 0
        self.hellos = hellos

    def wait(self, now: int) -> int:
        """0 when a mailbox may be opened now (and is counted), else how long to wait (ms)."""
        wait = self.hellos.wait(1, now)
        if not wait:
            self.hellos.take(1)
        return wait


class Origins:
    """`connections` at once of one address, and `hellos` a second; 0 for no bound."""

    def __init__(self, connections: int, hellos: int) -> None:
        self._most = connections
        self._hellos = hellos
        self._known: OrderedDict[str, Origin] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def enter(self, address: str, now: int) -> Origin:
        """A connection is there; the address that nobody came from for longest is forgotten."""
        origin = self._known.pop(address, None)
        if origin is None:
            rate = self._hellos if address else 0
            origin = Origin(address, Bucket(rate, RELAY_HELLO_BURST_S, now))
        origin.connections += 1
        self._known[address] = origin
        if len(self._known) > MAX_RELAY_ORIGINS:
            gone = next((name for name, one in self._known.items() if not one.connections), None)
            if gone is not None:
                del self._known[gone]
        return origin

    def leave(self, origin: Origin) -> None:
        """A connection is gone."""
        origin.connections -= 1

    def crowded(self, origin: Origin, times: int = 1) -> bool:
        """Whether the address has more connections than it may, or so many `times` as many."""
        return bool(origin.address) and 0 < self._most * times < origin.connections
