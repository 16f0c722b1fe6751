"""WebSocket connections to relays on an asyncio loop.

Owns: connecting (through a proxy where the environment names one), sending what is given, telling what came.
Must not know: what messages hold, when to try again.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidURI,
    ProxyError,
    WebSocketException,
)
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from quire.limits import MAX_RELAY_MESSAGE

#: Seconds that connecting may take, between signs of life, and that closing may take.
_PATIENCE_S = 10.0
_ALIVE_S = 20.0
_FAREWELL_S = 2.0


class Events(NamedTuple):
    """What the shell tells of a connection: that it stands, a message, its end and why; and what it asks for."""

    opened: Callable[[int], None]
    received: Callable[[int, bytes], None]
    closed: Callable[[int, str], None]
    to_send: Callable[[int], list[bytes]]


class WebSockets:
    """Connections by the numbers that the caller gives them."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._open: dict[int, ClientConnection] = {}
        self._wake: dict[int, asyncio.Event] = {}

    def call(self, number: int, url: str) -> None:
        """Connect; it is told as closed when that cannot be."""
        self._wake[number] = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._run(number, url))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    def pump(self) -> None:
        """There may be something to send."""
        for wake in self._wake.values():
            wake.set()

    def hang_up(self, number: int) -> None:
        """End a connection, once what is to be said last is sent; it is not told."""
        self._wake.pop(number, None)
        task = self._tasks.get(number)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """End all."""
        tasks = list(self._tasks.values())
        for number in list(self._tasks):
            self.hang_up(number)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, number: int, url: str) -> None:
        why = ""
        try:
            async with connect(
                url,
                compression=None,  # what is sealed does not get smaller
                max_size=MAX_RELAY_MESSAGE,
                open_timeout=_PATIENCE_S,
                ping_interval=_ALIVE_S,
                ping_timeout=_ALIVE_S,
                close_timeout=_FAREWELL_S,
            ) as socket:
                await self._speak(number, socket)
        except (OSError, WebSocketException, ssl.SSLError, TimeoutError, InvalidURI, ValueError) as error:
            why = _reason(error, url)
        if self._wake.pop(number, None) is not None:
            self._events.closed(number, why or "it closed the connection")

    async def _speak(self, number: int, socket: ClientConnection) -> None:
        self._events.opened(number)
        sending = asyncio.create_task(self._send(number, socket))
        try:
            async for message in socket:
                if isinstance(message, bytes) and number in self._wake:
                    self._events.received(number, message)
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await sending

    async def _send(self, number: int, socket: ClientConnection) -> None:
        wake = self._wake.get(number)
        while wake is not None:
            wake.clear()
            for message in self._events.to_send(number):
                await socket.send(message)
            await wake.wait()


def _reason(error: Exception, url: str) -> str:
    """Why there is no connection, for a person."""
    if isinstance(error, ConnectionClosed):
        return "the connection broke"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good ({error.verify_message})"
    proxy = _proxy(url)
    if isinstance(error, ProxyError):
        return f"the proxy {proxy} does not let us through ({error})"
    if isinstance(error, InvalidHandshake):
        return f"what answers there is no relay ({error})"
    refused = isinstance(error, ConnectionRefusedError)
    broke = isinstance(error, ssl.SSLError | ConnectionError | EOFError) and not refused
    if broke and url.startswith("wss:") and not proxy:
        return "it does not speak TLS there: is its address ws:// and not wss://?"
    why = _unreached(error)
    return f"the proxy {proxy}, which the environment names, cannot be used: {why}" if proxy else why


def _unreached(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    # Without the number, which means nothing to a person.
    why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return f"it cannot be reached ({why})"


def _proxy(url: str) -> str:
    """Host and port of the proxy that the environment names for an address; "" for none."""
    try:
        named = get_proxy(parse_uri(url))
    except (InvalidURI, InvalidProxy, ValueError):
        return ""
    return "" if named is None else urlsplit(named).netloc.rpartition("@")[2]
