"""A relay on real sockets: WebSocket and plain HTTP on one port, TLS, signals.

Owns: the server, and a relay's life from its settings to a clean end. Must not know: what is said on a connection.
"""

import asyncio
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from errno import EADDRINUSE
from http import HTTPStatus
from typing import Any

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from quire.core.address import format_address, parse_address
from quire.core.encoding import to_text
from quire.core.keys import DeviceKey
from quire.core.relay_address import parse_relay
from quire.errors import HomeError, UserError
from quire.limits import MAX_RELAY_MESSAGE
from quire.relay.connection import Connection, Gone
from quire.relay.nats_access import NatsAccess
from quire.relay.service import RelayService
from quire.relay.shared import World
from quire.relay.stores import open_store, place_of, sqlite_path
from quire.runtime.clock import steady_ms, wall_ms
from quire.runtime.relay_config import RelayConfig
from quire.runtime.relay_key import KeyFile
from quire.runtime.relay_log import LOGGER, log, mistake
from quire.runtime.relay_socket import Doorkeeper, RelaySocket

#: Seconds for a handshake and for a goodbye, and between pings; messages (of any size) read ahead of one connection.
_OPEN_S, _CLOSE_S, _PING_S = 10, 2, 45
_READ_AHEAD = 1
#: Connections that the system holds ready while the process is busy: a thousand may come back at once.
_BACKLOG = 4_096
_NEW_STORE = (
    "The relay's key was there before, and its store is new: it holds nothing yet. If it held something, stop the "
    "relay and see that --store names the right place, and that its disk is mounted."
)
#: WebSocket's code for a message that is too large (RFC 6455).
_TOO_BIG = 1009


class RunningRelay:
    """A relay that runs on this event loop. `address` is where it listens, `url` what others are told."""

    def __init__(
        self, config: RelayConfig, service: RelayService, key: DeviceKey, bound: socket.socket
    ) -> None:
        self.address = format_address(*bound.getsockname()[:2])
        self.tls = _context(config)
        base = config.base() or f"{'ws' if self.tls is None else 'wss'}://{self.address}"
        self.url = parse_relay(f"{base}/#{to_text(key.public)}").text
        self._config = config
        self._service = service
        self._keeper = Doorkeeper(service.origins, config.trusted(), config.connections)
        self._server: Server | None = None
        self._pinging: asyncio.Future[None] | None = None

    async def start(self, bound: socket.socket) -> None:
        """Begin to serve."""
        quiet = logging.getLogger(f"{LOGGER}.websockets")
        quiet.setLevel(logging.CRITICAL)  # it tells addresses; what matters is logged here
        self._server = await serve(
            self._serve, sock=bound, ssl=self.tls, process_request=self._answer, compression=None,
            max_size=MAX_RELAY_MESSAGE, max_queue=_READ_AHEAD, open_timeout=_OPEN_S, close_timeout=_CLOSE_S,
            ping_interval=None, logger=quiet, server_header=None, create_connection=self._socket,  # type: ignore[arg-type]  # a factory will do
        )  # fmt: skip
        self._service.start()
        self._pinging = asyncio.ensure_future(self._ping(self._server))
        log(
            "listening",
            store=place_of(self._config.store),
            tls=self.tls is not None,
            pid=os.getpid(),
        )

    async def close(self) -> None:
        """End in good order; new connections are refused from now on."""
        await self._service.drain()
        if self._pinging is not None:
            self._pinging.cancel()
            await asyncio.gather(self._pinging, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        log("stopped")

    def reload_certificate(self) -> None:
        """Use the files of the certificate as they are now, for connections from now on."""
        if self.tls is None:
            return
        try:
            _load(self.tls, self._config)
        except UserError as error:
            log("certificate-unreadable", text=str(error))
        else:
            log("certificate-reloaded")

    async def _ping(self, server: Server) -> None:
        """Find out who is gone without a word. One task for all: the library's own takes 2 KB of each connection.

        Those with something to take are left to the time that a client may take nothing.
        """
        asked: dict[ServerConnection, asyncio.Future[float]] = {}
        while True:
            await asyncio.sleep(_PING_S)
            for client, pong in asked.items():
                if not pong.done():
                    self._service.counters.dropped.labels("silent").inc()
                    client.transport.abort()
            asked = {}
            for client in server.connections:
                if not client.transport.get_write_buffer_size():
                    with suppress(ConnectionClosed):
                        asked[client] = asyncio.ensure_future(await client.ping())

    def _socket(self, protocol: ServerProtocol, server: Server, **options: Any) -> RelaySocket:
        return RelaySocket(protocol, server, keeper=self._keeper, **options)

    async def _serve(self, client: ServerConnection) -> None:
        connection: Connection | None = None
        assert isinstance(client, RelaySocket)

        async def send(data: bytes) -> None:
            client.proven = connection is not None and connection.proven
            await self._send(client, data)

        for handshake in (client.request, client.response):
            if handshake is not None:
                handshake.headers.clear()  # 2 KB of each connection that nobody needs any more
        try:
            connection = await self._service.connect(send, lambda: _end(client), client.origin)
            if connection is not None:
                await self._listen(client, connection)
        except Gone:
            pass
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code == _TOO_BIG:
                self._service.counters.refused.labels("too-large").inc()
        except Exception as error:
            # One client's trouble is not the others'; theirs goes on.
            mistake("mistake", error, connection=0 if connection is None else connection.number)
        finally:
            if connection is not None:
                await self._service.gone(connection)

    async def _listen(self, client: ServerConnection, connection: Connection) -> None:
        while not connection.ended:
            data = await client.recv()
            await connection.receive(data if isinstance(data, bytes) else b"")

    async def _send(self, client: ServerConnection, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._config.stall_seconds):
                await client.send(data)
        except TimeoutError:
            if not client.transport.is_closing():  # both who wait for it may be too late
                self._service.counters.dropped.labels("stalled").inc()
                log("dropped", why="stalled")
            client.transport.abort()
            raise Gone from None
        except ConnectionClosed:
            raise Gone from None

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Plain HTTP: health and metrics; what else is no WebSocket is told so."""
        assert isinstance(connection, RelaySocket)
        connection.arrived(request.headers.get_all("X-Forwarded-For"))
        path = request.path.partition("?")[0]
        if path == "/health":
            health = await self._service.health()
            status = HTTPStatus.OK if health["status"] == "ok" else HTTPStatus.SERVICE_UNAVAILABLE
            return _response(status, "application/json", msgspec.json.encode(health))
        if path == "/metrics":
            text = await self._service.metrics()
            return _response(HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", text)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            text = b"This is a relay of Quire. It takes WebSocket connections, /health and /metrics.\n"
            return _response(HTTPStatus.UPGRADE_REQUIRED, "text/plain; charset=utf-8", text)
        return None


async def serve_relay(config: RelayConfig, new_key: bool = False, option: str = "--listen") -> RunningRelay:
    """Start a relay on the running event loop; `close()` ends it. `new_key`: see `KeyFile.key()`; `option` is what
    names the address to listen at.

    Raises UserError for settings that cannot be used, HomeError where the port, the store or a file cannot be had.
    """
    config.trusted()
    config.base()
    file = KeyFile(config.store, config.key)
    _context(config)  # before anything is made: a mistake in the settings leaves nothing behind
    bound = _bind(config.listen, option)
    if sqlite_path(config.store) is None:  # which may take a while
        log("connecting", store=place_of(config.store))
    try:
        store = await open_store(config.store, NatsAccess(config.nats_credentials, config.nats_ca))
        try:
            key = await file.key(store, new_key)
            if file.is_older:
                log("store-new", store=place_of(config.store), text=_NEW_STORE)
            world = World(wall_ms, steady_ms, asyncio.sleep, os.urandom, log)
            relay = RunningRelay(config, RelayService(store, key, config.settings(), world), key, bound)
            await relay.start(bound)
        except BaseException:
            await store.close()
            raise
    except BaseException:
        bound.close()
        raise
    return relay


def run_relay(config: RelayConfig, ready: Callable[[RunningRelay], None], new_key: bool = False) -> None:
    """Run a relay until SIGINT or SIGTERM; SIGHUP reads the certificate again. Raises as `serve_relay()`."""
    asyncio.run(_run(config, ready, new_key))


async def _run(config: RelayConfig, ready: Callable[[RunningRelay], None], new_key: bool) -> None:
    """Signals are taken from the first moment on: one that comes while the store is opened is meant too."""
    loop = asyncio.get_running_loop()
    stopped, reloads = asyncio.Event(), asyncio.Queue[None]()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, reloads.put_nowait, None)
    stopping = asyncio.ensure_future(stopped.wait())
    starting = asyncio.ensure_future(serve_relay(config, new_key))
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    relay = await starting
    reloading = asyncio.ensure_future(_reload(relay, reloads))
    try:
        ready(relay)
        await stopping
    finally:
        reloading.cancel()
        await relay.close()


async def _reload(relay: RunningRelay, reloads: "asyncio.Queue[None]") -> None:
    while True:
        await reloads.get()
        relay.reload_certificate()


def _end(client: ServerConnection) -> None:
    """Close at once, after what was written; who does not close in return is cut off after a while."""
    closing = asyncio.ensure_future(client.close())
    closing.add_done_callback(lambda done: done.cancelled() or done.exception())


def _bind(listen: str, option: str) -> socket.socket:
    host, port = parse_address(listen)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        taken = error.errno == EADDRINUSE
        why = "another program uses it" if taken else (error.strerror or str(error)).lower()
        raise HomeError(f"A relay cannot listen on {listen}: {why}. Choose another with {option}.") from None
    return bound


def _context(config: RelayConfig) -> ssl.SSLContext | None:
    if not config.tls_cert and not config.tls_key:
        return None
    if not (config.tls_cert and config.tls_key):
        raise UserError("TLS takes both a certificate (--tls-cert) and its private key (--tls-key).")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, config)
    return context


def _load(context: ssl.SSLContext, config: RelayConfig) -> None:
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key, password="")
    except ssl.SSLError as error:
        raise UserError(
            f"{config.tls_cert} and {config.tls_key} are no certificate with its private key, in PEM and without "
            f"a passphrase{_detail(error)}."
        ) from None
    except OSError as error:
        raise UserError(
            f"The certificate {config.tls_cert} or its key {config.tls_key} cannot be read: {error.strerror}."
        ) from None


def _detail(error: ssl.SSLError) -> str:
    return ": the key is another certificate's" if error.reason == "KEY_VALUES_MISMATCH" else ""


def _response(status: HTTPStatus, kind: str, body: bytes) -> Response:
    headers = Headers([("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")])
    if status == HTTPStatus.UPGRADE_REQUIRED:
        headers["Upgrade"] = "websocket"
    return Response(status.value, status.phrase, headers, body)
