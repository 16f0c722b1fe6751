"""Sockets for a node: the ports of the last run again, so that peers find it where it was.

Owns: `ports.json` in the home folder. Must not know: what the sockets are for.
"""

import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from quire.core.address import HostPort, format_address
from quire.errors import HomeError
from quire.runtime.private_file import write_private

Bound = TypeVar("Bound")

DEFAULT_LISTEN = "0.0.0.0:0"
DEFAULT_API = "127.0.0.1:0"


class Ports(msgspec.Struct):
    """The ports of the last run; 0 for none."""

    listen: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    api: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0


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
    """Where peers can reach a socket bound to this address: for one bound to all, this machine's addresses."""
    host, port = bound
    if not ipaddress.ip_address(host).is_unspecified:
        return (format_address(host, port),)
    outward = _outward_address(host)
    loopback = "::1" if ":" in host else "127.0.0.1"
    return tuple(format_address(at, port) for at in dict.fromkeys((outward, loopback)) if at)


def _outward_address(unspecified: str) -> str:
    """The address that packets to elsewhere would leave from. No packet is sent to find out."""
    family, elsewhere = (
        (socket.AF_INET6, "2001:db8::1") if ":" in unspecified else (socket.AF_INET, "192.0.2.1")
    )
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])
