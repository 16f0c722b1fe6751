"""One simulated device: a real node on a real database, its clocks and its entropy; crashes and restarts.

Owns: how a virtual shell drives a node (as `quire.runtime` does with a real one), and what a crash leaves:
the database files as they stood between two statements. Must not know: the network, what people do.
"""

import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import apsw

from quire.core.address import HostPort, format_address
from quire.core.keys import KEY_BYTES
from quire.core.vault import Vault
from quire.errors import Damaged, HomeError
from quire.events.home import Home
from quire.handlers import REGISTRY
from quire.net.streams import Call, HangUp
from quire.node import Arrived, Mistake, Node, Trouble
from quire.sim.disk import Disk
from quire.sim.entropy import Stream
from quire.sim.liar import LyingNode

PORT = 7700
#: Virtual time 0 as a time of day: 2026-01-01 00:00 UTC (ms).
EPOCH_MS = 1_767_225_600_000
_FILES = ("quire.db", "quire.db-wal")
#: Pages that a device with a bad disk keeps in memory: else it would hardly ever read.
_FEW_PAGES = 16
#: A device moves its log into the database at one of so many times that something arrives; one that can lose power, as
#: the runtime does, waits for the disk to have what was committed each second (ms).
_CHECKPOINT_EVERY, _SYNC_MS = 12, 1_000


def home_key(seed: int, name: str) -> bytes:
    """The 32-byte key of a device's home: whoever keeps the home needs it to open it."""
    return Stream(f"{seed} device {name} home key")(KEY_BYTES)


class Crashed(BaseException):
    """The device died here. A BaseException, so that nothing mistakes it for an error to live through."""


class Device:
    """`now` is virtual time (ms) throughout; the node sees its own steady clock and its own time of day.

    `disk` is there for those whose disk can go bad, or that can lose power; the others' is the system's. Those that are
    `lying` are made to by `lie`.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        host: str,
        seed: int,
        strategy: str,
        bad_disk: bool = False,
        lying: bool = False,
        streams: bool = False,
        power: bool = True,
    ) -> None:
        self.name = name
        self.host = host
        self.ahead = 0
        self.due = 0
        #: The newest arrival that the node has told of, or that was there when it started.
        self.cursor = 0
        self.troubles: list[str] = []
        self.crashes = self._boots = 0
        #: How long it has been there (ms), and what it has sent.
        self.lived_ms = self.datagrams_sent = self.bytes_sent = 0
        random = Random(f"{seed} disk {name}")
        self.bad_disk = bad_disk
        self.disk = Disk(f"disk of {folder}", random, not power) if bad_disk or not power else None
        self._lying = lying
        self._folder = folder
        self._seed = seed
        self.strategy = strategy
        self.has_streams = streams
        #: What the node wants of its streams, to be done by whoever drives it.
        self.calls: deque[Call | HangUp] = deque()
        self._vault = Vault(home_key(seed, name))
        self._home: Home | None = None
        self._node: Node | None = None
        self._steady = 0
        self._statements_left = 0
        self._losing = False
        self._random = Random(f"{seed} spare time {name}")
        #: Whether something is left for spare time.
        self._behind = False
        #: What was written before this (ms) outlasts a power cut.
        self.kept_ms = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def running(self) -> bool:
        """Whether the node runs."""
        return self._node is not None

    @property
    def node(self) -> Node:
        """The running node."""
        assert self._node is not None
        return self._node

    @property
    def losing_power(self) -> bool:
        """Whether its death, if it dies, is one of power."""
        return self._losing

    @property
    def home(self) -> Home:
        """The running node's home."""
        return self.node.home

    @property
    def database(self) -> Path:
        """The file that it keeps everything in."""
        return self._folder / "quire.db"

    @property
    def address(self) -> HostPort:
        """Where the device is on the network."""
        return self.host, PORT

    def wall(self, now: int) -> int:
        """The time of day that this device believes in."""
        return EPOCH_MS + now + self.ahead

    def start(self, now: int) -> None:
        """Start the node from what the disk holds. Raises HomeError when it cannot be read."""
        entropy = Stream(f"{self._seed} device {self.name} run {self.crashes}")
        self._steady = int.from_bytes(entropy(3), "big")
        vfs = None if self.disk is None else self.disk.name
        self._home = Home(self._folder / "quire.db", REGISTRY, entropy, self._vault, vfs)
        try:
            with self._home.store.db.plain_errors():
                self._home.store.power.came_back(f"boot {self._boots}")
                self._home.store.power.begin(f"boot {self._boots}")
                self._run_node(self._home, now)
                # What was there before is told by no node.
                self.cursor = self._home.store.blobs.last_cursor()
        except HomeError:
            self._end()
            raise
        self.due = now
        self._behind = True

    def _run_node(self, home: Home, now: int) -> None:
        if self.bad_disk:
            home.store.db.execute(f"PRAGMA cache_size = {_FEW_PAGES}").fetchall()
        steady = now + self._steady
        how = home, self.strategy, steady, self.wall(now) - steady, (format_address(*self.address),)
        if self._lying:
            random = Random(f"{self._seed} liar {self.name} run {self.crashes}")
            self._node = LyingNode(*how, random, self.has_streams)
        else:
            self._node = Node(*how, streams=self.has_streams)

    def receive(self, data: bytes, source: HostPort, now: int) -> None:
        """Hand a datagram to the node."""
        self.node.receive_datagram(data, source, now + self._steady)
        self.due = now

    def stream_called(self, now: int) -> int | None:
        """Somebody calls: the stream's number, None when nobody answers."""
        self.due = now
        return self.node.stream_called(now + self._steady)

    def receive_stream(self, number: int, data: bytes, now: int) -> None:
        """Hand bytes of a stream to the node."""
        self.node.receive_stream(number, data, now + self._steady)
        self.due = now

    def stream_to_send(self, number: int, now: int) -> bytes:
        """What the node has to write on a stream."""
        data = self.node.stream_to_send(number, now + self._steady)
        self.bytes_sent += len(data)
        return data

    def stream_closed(self, number: int, now: int) -> None:
        """A stream of the node's is gone."""
        self.node.stream_closed(number, now + self._steady)
        self.due = now

    def lie(self, how: str, now: int) -> dict[str, Any]:
        """See `LyingNode.lie`. Raises NotIn."""
        assert isinstance(self.node, LyingNode)
        self.due = now
        return self.node.lie(how, now + self._steady)

    def committed(self, now: int) -> None:
        """Tell the node that somebody wrote, as the API does."""
        self.node.committed(now + self._steady)
        self.due = now

    def pump(self, now: int) -> list[tuple[bytes, HostPort]]:
        """Let the node act on what has come and what is due; the datagrams it sends."""
        steady, node = now + self._steady, self.node
        node.wall_ahead = self.wall(now) - steady
        if steady >= node.next_timer():
            node.handle_timer(steady)
        out = node.datagrams_to_send(steady)
        while (event := node.next_event()) is not None:
            if isinstance(event, Trouble):
                self.troubles.append(event.text.replace(str(self._folder), self.name))
            elif isinstance(event, Arrived):
                self.cursor = event.cursor
                self._behind = True
            elif isinstance(event, Mistake):  # a node goes on after it, a run does not
                raise event.error
            elif isinstance(event, Call | HangUp):  # relays are not simulated: nobody adds one
                self.calls.append(event)
        if self._behind:
            self._rest(node.home)
        self._sync(node.home, now)
        self.due = max(now, node.next_timer() - self._steady)
        self.lived_ms = now
        self.datagrams_sent += len(out)
        self.bytes_sent += sum(len(data) for data, _ in out)
        return out

    def _rest(self, home: Home) -> None:
        """What a node does in spare time."""
        moves = self.bad_disk or self._random.randrange(_CHECKPOINT_EVERY) == 0
        with self._tried_again(), home.store.db.plain_errors():
            home.search.catch_up()
            if moves:
                home.store.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._behind = False

    def _sync(self, home: Home, now: int) -> None:
        if self.disk is not None and now >= self.kept_ms + _SYNC_MS:
            with self._tried_again():
                home.store.db.sync()
                self.kept_ms = now

    @contextmanager
    def _tried_again(self) -> Iterator[None]:
        """What fails in here because the disk is bad now is done again later; whatever else is raised is a mistake."""
        try:
            yield
        except Damaged:
            raise
        except HomeError:
            if self.disk is None or not self.disk.is_bad:
                raise

    @contextmanager
    def sound(self) -> Iterator[None]:
        """The disk is sound in here, and the device does not die: for whoever judges."""
        connection = None if self._home is None else self._home.store.db.connection
        tracer = None if connection is None else connection.exec_trace
        if connection is not None:
            connection.exec_trace = None
        try:
            with self._sound_disk():
                yield
        finally:
            if connection is not None:
                connection.exec_trace = tracer

    def _sound_disk(self) -> AbstractContextManager[None]:
        return nullcontext() if self.disk is None else self.disk.sound()

    def tear_after(self, writes: int) -> None:
        """Die in the midst of the write to the log after so many more; as for `crash_after`."""
        assert self.disk is not None
        self.disk.die_after(writes, self._die)

    def _die(self) -> NoReturn:
        self._keep_files()
        raise Crashed

    def crash_after(self, statements: int) -> None:
        """Die before the SQL statement after so many more; `crash` is then called by whoever catches Crashed."""
        self._statements_left = statements
        self.home.store.db.connection.exec_trace = self._count

    def lose_power_after(self, statements: int) -> None:
        """As `crash_after`, and lose what the disk had not yet."""
        self._losing = True
        self.crash_after(statements)

    def crash(self) -> None:
        """Lose everything but the database files as they stand now."""
        self._keep_files()
        self._end()
        self.crashes += 1
        self._boots += self._losing
        self._losing = False
        for name in _FILES:
            (self._folder / name).unlink(missing_ok=True)
            if (self._folder / f"left-{name}").exists():
                (self._folder / f"left-{name}").rename(self._folder / name)
        if self.disk is not None:
            self.disk.forget()

    def stop(self) -> None:
        """End the run cleanly."""
        if self._home is not None:
            with self._sound_disk():
                self._home.store.power.end()
            self._end()

    def _end(self) -> None:
        mistakes = self._untold()
        if self._home is not None:
            self._home.store.db.connection.exec_trace = None
            with self._sound_disk():
                self._home.close()
        if self.disk is not None:
            self.disk.spare()
        self._home = self._node = None
        for one in mistakes:
            raise one.error

    def _untold(self) -> list[Mistake]:
        """Mistakes that the node has not come to tell of."""
        events = [] if self._node is None else list(iter(self._node.next_event, None))
        return [event for event in events if isinstance(event, Mistake)]

    def _count(self, _: apsw.Cursor, __: str, ___: object) -> bool:
        # Below zero it is dead already: let it roll back. (APSW does not bear a tracer that removes itself.)
        self._statements_left -= 1
        if self._statements_left != -1:
            return True
        # What follows rolls back and closes tidily: the files must be kept before that.
        self._die()

    def _keep_files(self) -> None:
        if not (self._folder / f"left-{_FILES[0]}").exists():
            for name in _FILES:
                if (self._folder / name).exists():
                    shutil.copyfile(self._folder / name, self._folder / f"left-{name}")
                    if self._losing and self.disk is not None:
                        self.disk.lose_power(self._folder / name, self._folder / f"left-{name}")
