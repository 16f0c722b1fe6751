"""A connection to any one of some NATS servers that never gives up.

Owns: how servers are reached, that TLS is had where it was asked for, going to another server where one does not
answer, beginning anew where the library gave up for good. Must not know: streams, what is asked.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from random import sample
from time import monotonic
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from quire.limits import NATS_PATIENCE_S, NATS_REQUEST_S, NATS_SWITCH_S
from quire.relay.log_store import StoreUnavailable
from quire.relay.nats_access import NatsAccess, read_credentials, tls_context

#: A server's largest message, unless it is configured otherwise; a page with a snapshot stays below it.
PAYLOAD_BYTES: Final = 1024 * 1024
_TLS = "tls://"


class Unsure(Exception):
    """No answer, or none that tells: it may have happened, or may yet."""


class _Client(Client):
    """The library's; it encrypts only where a server asks for it, and would tell a password to one that does not."""

    def __init__(self, insists: bool) -> None:
        super().__init__()
        self._insists = insists

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._insists and not info.get("tls_required"):
            raise NatsError("the server does not ask for TLS, and tls:// does")
        await super()._process_info(info, initial_connection)


class Servers:
    """Made by `reach()`."""

    def __init__(self, servers: Sequence[str], options: dict[str, Any]) -> None:
        self._servers = servers
        self._options = options
        self._client: Client | None = None
        self._opening = asyncio.Lock()
        self._closing = False
        self._silent_since: float | None = None
        #: What went wrong last in reaching one.
        self.trouble: Exception | None = None

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Client]:
        """The client to ask something; its errors, and a silent server's, are raised as Unsure."""
        client = await self._usable()
        try:
            yield client
        except (NatsError, OSError, TimeoutError) as error:
            await self._unanswered(client)
            raise _unsure(error) from error
        except Unsure:  # it says itself that it cannot tell
            await self._unanswered(client)
            raise
        self._silent_since = None

    async def open(self, seconds: float) -> Client:
        """Connect to one of them. Raises NatsError, OSError, TimeoutError."""
        client = _Client(any(server.startswith(_TLS) for server in self._servers))
        try:
            async with asyncio.timeout(seconds):
                await client.connect(list(self._servers), error_cb=self._troubled, **self._options)
        except BaseException:
            await _close(client)
            raise
        self._client = client
        return client

    async def close(self) -> None:
        """Close the connection, as well as it can be."""
        self._closing = True
        if self._client is not None:
            await _close(self._client)

    async def _usable(self) -> Client:
        """What a server says now and then (as that credentials are good no more) ends its client for good."""
        async with self._opening:
            if self._client is not None and (self._closing or not self._client.is_closed):
                return self._client
            try:
                return await self.open(NATS_REQUEST_S)
            except (NatsError, OSError, TimeoutError) as error:
                raise _unsure(error) from error

    async def _unanswered(self, client: Client) -> None:
        """A server that is cut off from the others lives, and answers nothing: after a while another one is asked."""
        now = monotonic()
        if self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since >= NATS_SWITCH_S:
            self._silent_since = None
            await self._leave(client)

    async def _leave(self, client: Client) -> None:
        """Begin anew at another one. (The library's own way to do so leaves a TLS connection that answers nothing.)"""
        if self._client is not client:
            return
        self._client = None
        left = client.connected_url
        self._servers = sorted(self._servers, key=lambda server: left is not None and left.netloc in server)
        await _close(client)

    async def _troubled(self, error: Exception) -> None:
        if isinstance(error, NatsError) or not isinstance(
            self.trouble, NatsError
        ):  # what a server said tells more
            self.trouble = error


async def reach(servers: Sequence[str], access: NatsAccess) -> Servers:
    """Connect to one of these, whichever comes first.

    Raises UserError for files that cannot be used, StoreUnavailable when none lets in.
    """
    found = Servers(sample(servers, len(servers)), _options(access, servers[0].startswith(_TLS)))
    try:
        await found.open(NATS_PATIENCE_S)
    except (NatsError, OSError, TimeoutError) as error:
        raise unreachable(servers, found.trouble or error) from error
    return found


def unreachable(servers: Sequence[str], error: Exception) -> StoreUnavailable:
    """That none of these can be used, and why."""
    why = "no answer" if isinstance(error, TimeoutError) else _words(error)
    return StoreUnavailable(
        f"None of the {len(servers)} NATS servers can be used: {why}. Do they run, and is what --nats-credentials and "
        "--nats-ca name right?"
    )


def _words(error: Exception) -> str:
    """What went wrong, without the system's number for it."""
    refused = isinstance(error, ConnectionRefusedError)
    return "nothing listens there" if refused else str(error).strip(".") or type(error).__name__


def _options(access: NatsAccess, tls: bool) -> dict[str, Any]:
    options: dict[str, Any] = {
        "name": "quire relay",
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.2,
        "connect_timeout": NATS_REQUEST_S,
        "ping_interval": 5,
        "max_outstanding_pings": 1,
        "pending_size": 16 * PAYLOAD_BYTES,
        "dont_randomize": True,  # in turn, so that the next one is another
    }
    found = read_credentials(access)
    if found.token:
        options["token"] = lambda: read_credentials(access).token
    elif found.user:
        options["user"] = lambda: read_credentials(access).user
        options["password"] = lambda: read_credentials(access).password
    if tls:
        options["tls"] = tls_context(access)
    return options


async def _close(client: Client) -> None:
    """Close a connection, as well as it can be: over TLS the library may wait for ever, or stumble."""
    closing = asyncio.ensure_future(client.close())
    await asyncio.wait([closing], timeout=NATS_REQUEST_S)
    with suppress(NatsError, OSError, TimeoutError, AttributeError):
        if closing.done():
            closing.result()
        else:
            closing.cancel()


def _unsure(error: Exception) -> Unsure:
    """The client's error in words."""
    if isinstance(error, TimeoutError):
        return Unsure("no answer in time")
    return Unsure(str(error).removeprefix("nats: ") or type(error).__name__)
