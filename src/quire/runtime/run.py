"""Run a node: UDP socket, timers, local API; indexing and checkpoints in spare time.

Owns: the event loop and everything that hangs on it, from start to a clean stop.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec
import uvicorn

from quire.api.host import Host
from quire.api.server import make_app
from quire.core.address import HostPort, format_address, parse_address
from quire.errors import HomeError, UserError
from quire.net.stream_link import prepare
from quire.net.streams import Call, HangUp
from quire.node import Arrived, Mistake, Node
from quire.node.relaying import RelayCall, RelayHangUp
from quire.runtime.clock import steady_ms, wall_ms
from quire.runtime.folder import NodeInfo, hold, opened_home, token_of
from quire.runtime.home_key import UNATTENDED, Unlocking
from quire.runtime.host import RunningHost
from quire.runtime.ports import Ports, bind_again, bind_tcp, keep_ports, last_ports, reachable_at
from quire.runtime.private_file import write_private
from quire.runtime.spare_time import SpareTime
from quire.sync import STRATEGIES
from quire.transport.sockets import Sockets
from quire.transport.tcp import Events
from quire.transport.websocket import Events as RelayEvents
from quire.transport.websocket import WebSockets

if TYPE_CHECKING:
    from quire.runtime.relay_config import RelayConfig
    from quire.runtime.relay_server import RunningRelay

#: Seconds of rest after an error that nobody foresaw.
_AFTER_A_MISTAKE = 1.0
#: What a running node has to tell its operator; it goes to standard error.
_log = logging.getLogger("quire")


def run_node(
    folder: Path,
    listen: str,
    api: str,
    strategy: str,
    ready: Callable[[NodeInfo, Host], None],
    unlocking: Unlocking = UNATTENDED,
    mirror: "RelayConfig | None" = None,
    frugal: bool = False,
) -> None:
    """Run until SIGINT or SIGTERM; `ready` is called on the loop once everything listens, with what operations run on.

    With `mirror`, a relay's settings, it serves as a relay too. Port 0 takes the port of the last run again where it
    is free.
    Raises HomeError when the home or a port cannot be had, UserError for an address or strategy that is none.
    """
    if strategy not in STRATEGIES:
        raise UserError(f"There is no strategy {strategy!r}: choose one of {', '.join(STRATEGIES)}.")
    listen_at, api_at = parse_address(listen), parse_address(api)
    gc.set_threshold(*COLLECT)
    with hold(folder, "quire up"):
        last = last_ports(folder)
        with (
            opened_home(folder, unlocking, sharing=True) as home,
            closing(bind_again(listen_at, last.listen, Sockets)) as sockets,
            closing(bind_again(api_at, last.api, bind_tcp)) as server_socket,
        ):
            keep_ports(folder, Ports(sockets.udp.address[1], server_socket.getsockname()[1], last.mirror))
            now = steady_ms()
            with home.store.db.plain_errors():
                own = reachable_at(sockets.udp.address)
                node = Node(home, strategy, now, wall_ms() - now, own, streams=True, frugal=frugal)
                # What whoever is met first would wait for.
                home.store.buckets.step()
                prepare()
            asyncio.run(_Run(folder, node, sockets, server_socket).run(ready, mirror))


#: Python's collector, set to look less often: a batch of events makes tens of thousands of objects that all
#: live until its end, and none in cycles (6 % of the time of ingest, measured).
COLLECT = (50_000, 50, 100)
#: Where this machine itself finds what is bound to every address.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


async def _mirrored(folder: Path, config: "RelayConfig") -> "RunningRelay":
    """A relay beside the node; unless it was told another, its address says where others find this machine."""
    from quire.runtime.relay_server import serve_relay

    async def serve(port: int) -> "RunningRelay":
        scheme = "wss" if config.tls_cert else "ws"
        url = config.url or (f"{scheme}://{reachable_at((host, port))[0]}" if port else "")
        told = msgspec.structs.replace(config, listen=format_address(host, port), url=url)
        return await serve_relay(told, option="--mirror-listen")

    host, port = parse_address(config.listen)
    ports = last_ports(folder)
    if not port and ports.mirror:
        with suppress(HomeError):  # somebody else has it now
            return await serve(ports.mirror)
    made = await serve(port)
    keep_ports(folder, msgspec.structs.replace(ports, mirror=parse_address(made.address)[1]))
    return made


class _Server(uvicorn.Server):
    """Signals are the node's business: it has more to stop than the API."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Run:
    """One run of a node on an event loop."""

    def __init__(self, folder: Path, node: Node, sockets: Sockets, server_socket: socket.socket) -> None:
        self._folder = folder
        self._node = node
        self._udp = sockets.udp
        self._tcp = sockets.tcp
        self._relays = WebSockets(
            RelayEvents(self._relay_opened, self._relay_received, self._relay_closed, node.relaying.to_send)
        )
        self._server_socket = server_socket
        self._timer: asyncio.TimerHandle | None = None
        self._mirror: RunningRelay | None = None
        self._host = RunningHost(node, self._pump, lambda: sockets.udp.unsent)
        self._spare = SpareTime(node.home, lambda: node.fetching)

    async def run(self, ready: Callable[[NodeInfo, Host], None], mirror: "RelayConfig | None") -> None:
        loop = asyncio.get_running_loop()
        self._mirror = await _mirrored(self._folder, mirror) if mirror is not None else None
        token = token_of(self._folder)
        app = make_app(self._host, token, (self._server_socket.getsockname()[0],))
        server = _Server(
            uvicorn.Config(
                app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2
            )
        )
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        if self._mirror is not None:
            loop.add_signal_handler(signal.SIGHUP, self._mirror.reload_certificate)
        serving = asyncio.create_task(server.serve(sockets=[self._server_socket]))
        self._udp.start(loop, self._received, self._came)
        await self._tcp.start(
            Events(self._called, self._stream_received, self._stream_closed, self._stream_to_send)
        )
        self._spare.start()
        self._pump()
        try:
            ready(self._announce(token), self._host)
            await asyncio.wait(
                {serving, asyncio.create_task(stopped.wait())}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            app.state.closing.set()
            server.should_exit = True
            await serving
            await self._stop()

    def _announce(self, token: str) -> NodeInfo:
        host, port = self._server_socket.getsockname()[:2]
        api = format_address(_LOOPBACK.get(host, host), port)
        relay = "" if self._mirror is None else self._mirror.url
        info = NodeInfo(os.getpid(), api, format_address(*self._udp.address), token, relay)
        write_private(self._folder / "node.json", info)
        return info

    async def _stop(self) -> None:
        with suppress(OSError):
            (self._folder / "node.json").unlink()
        if self._timer is not None:
            self._timer.cancel()
        self._udp.close()
        self._tcp.close()
        await self._relays.close()
        if self._mirror is not None:
            await self._mirror.close()
        await self._spare.stop()

    def _received(self, data: bytes, address: HostPort) -> None:
        self._node.receive_datagram(data, address, steady_ms())

    def _called(self, source: str) -> int | None:
        asyncio.get_running_loop().call_soon(self._came)  # another one may have to be hung up on
        return self._node.stream_called(steady_ms(), source)

    def _stream_received(self, number: int, data: bytes) -> None:
        self._node.receive_stream(number, data, steady_ms())
        self._tcp.pump()  # the answer first: the other side works on it while we do on what came
        self._came()

    def _stream_closed(self, number: int) -> None:
        self._node.stream_closed(number, steady_ms())
        self._pump()

    def _stream_to_send(self, number: int) -> bytes:
        return self._node.stream_to_send(number, steady_ms())

    def _relay_opened(self, number: int) -> None:
        self._node.relay_opened(number, steady_ms())
        self._pump()

    def _relay_received(self, number: int, data: bytes) -> None:
        self._node.receive_relay(number, data, steady_ms())
        self._came()

    def _relay_closed(self, number: int, why: str) -> None:
        self._node.relay_closed(number, why, steady_ms())
        self._pump()

    def _came(self) -> None:
        """Take in what has come; whoever waits for it has its turn before it is answered."""
        now = steady_ms()
        self._node.wall_ahead = wall_ms() - now
        self._node.take_in(now)
        if self._tell():
            asyncio.get_running_loop().call_soon(self._pump)
        else:
            self._pump()

    def _pump(self) -> None:
        """Let the node act on what has come and what is due, and send what it gives."""
        soonest = _AFTER_A_MISTAKE
        try:
            self._turn(steady_ms())
            soonest = 0.0
        finally:  # whatever went wrong, the node goes on
            if self._timer is not None:
                self._timer.cancel()
            wait = max(self._node.next_timer() - steady_ms(), 0) / 1000
            self._timer = asyncio.get_running_loop().call_later(max(wait, soonest), self._pump)

    def _turn(self, now: int) -> None:
        self._node.wall_ahead = wall_ms() - now
        if now >= self._node.next_timer():
            self._node.handle_timer(now)
        self._udp.send(self._node.datagrams_to_send(now))
        self._tcp.pump()
        self._relays.pump()
        self._tell()

    def _tell(self) -> bool:
        """Act on what the node tells; whether anything arrived."""
        arrived = False
        while (event := self._node.next_event()) is not None:
            if isinstance(event, Arrived):
                self._host.tell(event.cursor)
                self._spare.changed()
                arrived = True
            elif isinstance(event, Call):
                self._tcp.call(event.number, cast(HostPort, event.address))
            elif isinstance(event, HangUp):
                self._tcp.hang_up(event.number)
            elif isinstance(event, RelayCall):
                self._relays.call(event.number, event.url)
            elif isinstance(event, RelayHangUp):
                self._relays.hang_up(event.number)
            else:
                _log.warning(
                    "quire: %s", event.text, exc_info=event.error if isinstance(event, Mistake) else None
                )
        return arrived
