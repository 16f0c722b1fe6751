import socket
from pathlib import Path

import pytest

from quire.core.address import HostPort, parse_address
from quire.errors import HomeError
from quire.runtime.ports import Ports, bind_again, bind_tcp, keep_ports, last_ports, reachable_at


def test_ports_are_kept(tmp_path: Path) -> None:
    assert last_ports(tmp_path) == Ports(0, 0)
    keep_ports(tmp_path, Ports(7_000, 8_000))
    assert last_ports(tmp_path) == Ports(7_000, 8_000)
    assert (tmp_path / "ports.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"listen":"x"}', b'{"listen":70000}', b'{"api":-1}', b"\xff"]
)
def test_kept_ports_that_cannot_be_read_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ports.json").write_bytes(content)
    assert last_ports(tmp_path) == Ports()


def test_the_last_port_is_taken_again_where_it_is_free() -> None:
    taken: list[HostPort] = []

    def bind(host: str, port: int) -> int:
        taken.append((host, port))
        if port == 7_000:
            raise HomeError("another program uses it")
        return port

    assert bind_again(("h", 0), 6_000, bind) == 6_000
    assert bind_again(("h", 0), 7_000, bind) == 0  # not free: any
    assert bind_again(("h", 0), 0, bind) == 0
    assert bind_again(("h", 5_000), 6_000, bind) == 5_000  # a port that was asked for is that port
    with pytest.raises(HomeError):
        bind_again(("h", 7_000), 6_000, bind)
    assert taken[0] == ("h", 6_000)


def test_only_one_can_have_a_tcp_port_from_the_moment_it_is_bound() -> None:
    with bind_tcp("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(HomeError, match=f"127.0.0.1:{port}: another program uses it"):
            bind_tcp("127.0.0.1", port)
        socket.create_connection(("127.0.0.1", port), 5).close()
    bind_tcp("127.0.0.1", port).close()  # at once, though a connection was open


def test_where_a_socket_can_be_reached() -> None:
    assert reachable_at(("127.0.0.1", 7)) == ("127.0.0.1:7",)
    assert reachable_at(("::1", 7)) == ("[::1]:7",)
    for unspecified, loopback in (("0.0.0.0", "127.0.0.1:7"), ("::", "[::1]:7")):
        found = reachable_at((unspecified, 7))
        assert found[-1] == loopback
        assert len(set(found)) == len(found) <= 2
        assert all(parse_address(text)[1] == 7 for text in found)
