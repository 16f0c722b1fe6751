"""NATS servers whose connections, to each other and from clients, go by wires that can be frozen or slow."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.relay.cluster import SERVERS, Cluster

_CHUNK = 65_536
_LOOK_S = 0.05


class Wire:
    """Passes on what comes to its port to another port.

    `frozen`: nothing gets through either way, and nobody is told, as where a cable is pulled; what was sent meanwhile
    arrives when that is over. `delay_s`: each piece waits so long.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self.target = 0
        self.frozen = threading.Event()
        self.delay_s = 0.0
        self._over = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def hang_up(self) -> None:
        """End every connection that goes by it."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._over.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            self._wait()
            with socket.create_connection(("127.0.0.1", self.target), 5) as other:
                other.settimeout(None)
                self._open |= {client, other}
                self._pass_on(client, other)
                self._open -= {client, other}

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        while not self._over.is_set():
            ready, _, _ = select.select([one, other], [], [], _LOOK_S)
            for source in ready:
                self._wait()
                data = source.recv(_CHUNK)
                if not data:
                    return
                if self.delay_s:
                    time.sleep(self.delay_s)
                self._wait()
                (other if source is one else one).sendall(data)

    def _wait(self) -> None:
        while self.frozen.is_set() and not self._over.is_set():
            time.sleep(_LOOK_S)


class Partitioned(Cluster):
    """Routes between servers, and the ways of clients to each, are wires."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        #: From whom to whom.
        self.routes = {(a, b): Wire() for a in range(SERVERS) for b in range(SERVERS) if a != b}
        #: What servers tell each other of themselves: it leads nowhere, so that all go by the wires above.
        self.nowhere = Wire()
        self.clients = [Wire() for _ in range(SERVERS)]

    @property
    def url(self) -> str:
        """Every server by its wire."""
        return "nats://" + ",".join(f"127.0.0.1:{wire.port}" for wire in self.clients)

    def url_of(self, server: int) -> str:
        """One server by its wire."""
        return f"nats://127.0.0.1:{self.clients[server].port}"

    def __exit__(self, *ended: object) -> None:
        super().__exit__(*ended)
        for wire in (*self.routes.values(), self.nowhere, *self.clients):
            wire.close()

    @contextmanager
    def cut_off(self, server: int) -> Iterator[None]:
        """Nothing gets through between this server and the others; its clients notice nothing."""
        wires = [wire for pair, wire in self.routes.items() if server in pair]
        for wire in wires:
            wire.frozen.set()
        try:
            yield
        finally:
            for wire in wires:
                wire.frozen.clear()

    def _way(self, server: int, to: int) -> int:
        return self._routes[to] if server == to else self.routes[server, to].port

    def _more_cluster(self, _server: int) -> str:
        return f'no_advertise: true\n  advertise: "127.0.0.1:{self.nowhere.port}"'

    def _configure(self) -> None:
        for (_, to), wire in self.routes.items():
            wire.target = self._routes[to]
        for server in range(SERVERS):
            self.clients[server].target = self._ports[server]
        super()._configure()
