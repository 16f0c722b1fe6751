"""Sockets for a node: the ports of the last run again, so that peers find it where it was.

Owns: `ports.json` in the home folder. Must not know: what the sockets are for.
"""

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from quire.core.address import HostPort, format_address
from quire.errors import HomeError
from quire.limits import MAX_ADDRESSES
from quire.runtime.private_file import write_private

Bound = TypeVar("Bound")

DEFAULT_LISTEN = "0.0.0.0:0"
DEFAULT_API = "127.0.0.1:0"
DEFAULT_MIRROR = "0.0.0.0:7750"

#: Linux: the request for an interface's IPv4 address (netdevice(7)), and the bytes of its answer.
_SIOCGIFADDR, _IFREQ_BYTES = 0x8915, 40


class Ports(msgspec.Struct):
    """The ports of the last run; 0 for none."""

    listen: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    api: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    mirror: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0


def last_ports(folder: Path) -> Ports:
    """The ports of the last run on a home."""
    try:
        return msgspec.json.decode((folder / "ports.json").read_bytes(), type=Ports)
    except (OSError, msgspec.DecodeError):
        return Ports()


def keep_ports(folder: Path, ports: Ports) -> None:
    """Remember the ports for the next run, if there is room: they are a convenience."""
    with suppress(HomeError):
        write_private(folder / "ports.json", ports)


def bind_again(wanted: HostPort, last: int, bind: Callable[[str, int], Bound]) -> Bound:
    """Bind `wanted`; for port 0 the last run's port if it is free, else any. Raises HomeError."""
    host, port = wanted
    if not port and last:
        try:
            return bind(host, last)
        except HomeError:
            pass
    return bind(host, port)


def bind_tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket for the local API. Raises HomeError."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen()  # two may bind, but only one may listen
    except OSError as error:
        bound.close()
        why = (
            "another program uses it" if error.errno == EADDRINUSE else (error.strerror or str(error)).lower()
        )
        raise HomeError(
            f"Cannot serve the API on {format_address(host, port)}: {why}. Choose another with --api."
        ) from None
    return bound


def reachable_at(bound: HostPort) -> tuple[str, ...]:
    """Where peers can reach a socket bound to this address: for one bound to all, this machine's addresses.

    Those are the one that packets to elsewhere leave from and loopback; on a network without a way out, all
    that the interfaces have.
    """
    host, port = bound
    if not ipaddress.ip_address(host).is_unspecified:
        return (format_address(host, port),)
    outward = _outward_address(host)
    loopback = "::1" if ":" in host else "127.0.0.1"
    others = [outward] if outward else _interface_addresses() if ":" not in host else []
    return tuple(format_address(at, port) for at in dict.fromkeys((*others[: MAX_ADDRESSES - 1], loopback)))


def _outward_address(unspecified: str) -> str:
    """The address that packets to elsewhere would leave from, or "". No packet is sent to find out."""
    family, elsewhere = (
        (socket.AF_INET6, "2001:db8::1") if ":" in unspecified else (socket.AF_INET, "192.0.2.1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _interface_addresses() -> list[str]:
    """The IPv4 addresses of the interfaces but loopback, where the system tells them as Linux does; else none."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack(f"{_IFREQ_BYTES}s", name.encode())
            with suppress(OSError):  # it has none
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, request)
                found.append(socket.inet_ntoa(answer[20:24]))
    return [address for address in found if not ipaddress.ip_address(address).is_loopback]
