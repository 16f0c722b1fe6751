"""The client's side of the relay protocol: the scenarios of seed 001, and relays that lie."""

from collections.abc import Callable

import pytest

from quire.limits import MAX_MAILBOXES, RECORDS_PER_READ, RELAY_WINDOW_BYTES
from quire.net import relay_wire
from quire.net.mailbox import Access
from quire.net.relay_client import Came, Fault, Grew, Mark, Posted, Refused, RelayClient, RelayEvent, Unposted
from quire.net.relay_wire import Hello, Read, Record, Refusal
from tests.net.memory_relay import Kept, MemoryRelay

SECRET, ONE, TWO = b"s" * 32, b"1" * 32, b"2" * 32


def access(relay: MemoryRelay, seed: bytes = ONE) -> Access:
    return Access(SECRET, relay.key.public, seed, "space")


def write(relay: MemoryRelay, *data: bytes, seed: bytes = TWO) -> None:
    """Another device adds records."""
    box = access(relay, seed)
    device = box.device_key.public
    for one in data:
        local = relay.last(box.id, device) + 1
        relay.add(box.id, device, Record(local, 1_000 + local, "space", one))


class Device:
    """A client and what it keeps between connections."""

    def __init__(self, relay: MemoryRelay, seed: bytes = ONE, frugal: bool = False) -> None:
        self.relay, self.access, self.frugal = relay, access(relay, seed), frugal
        self.mark, self.read = Mark(), list[bytes]()
        self.events: list[RelayEvent] = []

    def connect(self, *data: bytes) -> "Device":
        self.relay.lines.clear()
        self.line = self.relay.connect()
        self.client = RelayClient(self.relay.key.public)
        self.n = self.client.open(self.access, self.mark, data, 5_000, self.frugal)
        return self.run()

    def post(self, *data: bytes) -> "Device":
        self.client.post(self.n, data, 6_000)
        return self.run()

    def run(self) -> "Device":
        """Let both sides speak until nothing is left to say."""
        moved = True
        while moved:
            said = self.client.messages_to_send()
            for data in said:
                self.line.receive(data)
            answers, self.line.out = self.line.out, []
            for message in answers:
                self.client.receive(relay_wire.encode(message))
            moved = bool(said or answers)
            while (event := self.client.next_event()) is not None:
                self._take(event)
        return self

    def _take(self, event: RelayEvent) -> None:
        self.events.append(event)
        if isinstance(event, Came):
            self.read += event.data
            self.mark = event.mark
            self.client.kept(event.n, event.mark.cursor)
        elif isinstance(event, Posted):
            self.mark = event.mark

    def of(self, kind: type) -> list[RelayEvent]:
        return [event for event in self.events if isinstance(event, kind)]


def test_client_goes_offline_and_adds_some_new_messages() -> None:
    """`last_synced` is 7, `last_added` 9: the hello holds 8 and 9."""
    relay = MemoryRelay()
    device = Device(relay).connect(*(b"%d" % n for n in range(1, 8)))
    assert device.mark.local == 7
    device.connect(b"8", b"9")
    hello = relay.heard[-1] if isinstance(relay.heard[-1], Hello) else relay.heard[-2]
    assert isinstance(hello, Hello)
    assert [(one.local, one.data) for one in hello.records] == [(8, b"8"), (9, b"9")]
    assert device.of(Posted)[-1].post == 0  # type: ignore[union-attr]
    assert [one.record.data for one in relay.logs[device.access.id]] == [b"%d" % n for n in range(1, 10)]
    assert device.read == []  # nobody's own is sent back


def test_client_has_not_added_messages_and_the_server_has_new_ones() -> None:
    relay = MemoryRelay()
    device = Device(relay).connect()
    write(relay, b"a", b"b", b"c", b"d", b"e")
    device.connect()
    assert device.read == [b"a", b"b", b"c", b"d", b"e"]
    assert device.mark.cursor == 5


def test_client_and_server_both_have_new_messages() -> None:
    relay = MemoryRelay()
    device = Device(relay).connect(b"1", b"2")
    write(relay, b"a", b"b", b"c", b"d", b"e")
    device.connect(b"3", b"4", b"5")
    assert device.read == [b"a", b"b", b"c", b"d", b"e"]
    assert [one.record.data for one in relay.logs[device.access.id]][-3:] == [b"3", b"4", b"5"]
    assert (device.mark.cursor, device.mark.local) == (10, 5)
    assert not device.of(Fault)


def test_a_connected_device_is_pushed_what_arrives_and_may_post_once_it_has_read_all() -> None:
    relay = MemoryRelay()
    write(relay, *(b"%d" % n for n in range(10)))
    device = Device(relay)
    device.line = relay.connect()
    device.client = RelayClient(relay.key.public)
    device.n = device.client.open(device.access, device.mark, [], 0)
    assert device.client.room(device.n) == 0
    device.run()
    assert device.client.room(device.n) == RELAY_WINDOW_BYTES
    write(relay, b"live")
    device.run()
    assert device.read[-1] == b"live"
    device.post(b"mine")
    assert device.mark.local == 1


def test_a_frugal_device_is_told_the_length_and_reads_by_itself() -> None:
    relay = MemoryRelay(page=50)
    write(relay, *(b"%d" % n for n in range(700)))
    device = Device(relay, frugal=True).connect()
    assert len(device.read) == 700
    write(relay, b"live")
    assert [type(one).__name__ for one in device.line.out] == ["Grown"]
    device.run()
    assert device.of(Grew) == [Grew(device.n)]
    assert device.read[-1] == b"699"  # nothing is read before it is asked for
    device.client.read_on(device.n)
    device.run()
    assert device.read[-1] == b"live"
    assert not device.of(Fault)
    asked = [one.limit for one in relay.heard if isinstance(one, Read)]
    assert set(asked) == {RECORDS_PER_READ}
    assert len(asked) == 700 // 50 + 1


def test_a_crash_after_the_relay_kept_a_post_repeats_nothing_and_loses_nothing() -> None:
    relay = MemoryRelay()
    device = Device(relay).connect(b"1")
    before = device.mark
    device.post(b"2")
    device.mark = before  # the answer was not kept
    device.connect(b"2 again")
    assert list(device.of(Unposted)) == [Unposted(device.n, 0, None)]
    assert device.read == [b"2"]  # it learns what is there
    assert device.mark.local == 2
    device.post(b"3")
    assert [one.record.data for one in relay.logs[device.access.id]] == [b"1", b"2", b"3"]


def test_what_retention_removed_is_told_and_the_rest_is_read() -> None:
    relay = MemoryRelay()
    write(relay, *(b"%d" % n for n in range(10)))
    relay.pruned[access(relay).id] = 6
    device = Device(relay).connect()
    assert device.read == [b"6", b"7", b"8", b"9"]
    assert next(event.removed for event in device.events if isinstance(event, Came)) == 6
    write(relay, b"live")
    device.run()
    assert device.read[-1] == b"live"


@pytest.mark.parametrize("reason", ["full", "rate", "forbidden"])
def test_a_refused_post_is_told_with_its_reason(reason: relay_wire.Reason) -> None:
    relay = MemoryRelay()
    device = Device(relay).connect()
    refusal = Refusal(device.n, reason, 700, "no")
    device.client.post(device.n, [b"x"], 0)
    device.client.messages_to_send()
    device.client.receive(relay_wire.encode(refusal))
    assert device.client.next_event() == Unposted(device.n, 1, refusal)


def test_a_refused_mailbox_and_a_refused_connection_are_told() -> None:
    relay = MemoryRelay()
    line = relay.connect()
    client = RelayClient(relay.key.public)
    n = client.open(access(relay), Mark(), [b"x"], 0)
    client.receive(relay_wire.encode(line.challenge))
    refusal = Refusal(n, "mailboxes", 0, "too many")
    client.receive(relay_wire.encode(refusal))
    assert client.next_event() == Refused(n, refusal)
    going = Refusal(0, "going-away", 5_000, "stops")
    client.receive(relay_wire.encode(going))
    assert client.next_event() == Refused(0, going)
    assert client.over


def test_a_mailbox_found_damaged_is_closed_though_it_was_open() -> None:
    device = Device(MemoryRelay()).connect()
    device.client.post(device.n, [b"x"], 0)
    refusal = Refusal(device.n, "damaged", 60_000, "no")
    device.client.receive(relay_wire.encode(refusal))
    assert device.client.next_event() == Refused(device.n, refusal)
    device.client.receive(relay_wire.encode(refusal))
    assert device.client.next_event() is None


def _drop(log: list[Kept]) -> None:
    del log[2]


def _reorder(log: list[Kept]) -> None:
    log[1], log[2] = log[2], log[1]


def _roll_back(log: list[Kept]) -> None:
    del log[-2:]


def _duplicate(log: list[Kept]) -> None:
    log.insert(2, log[1])


def _invent(log: list[Kept]) -> None:
    log[3] = Kept(b"x" * 32, Record(1, 1, "space", b"invented"))


def _invent_in_front(log: list[Kept]) -> None:
    log.insert(0, Kept(b"x" * 32, Record(1, 1, "space", b"invented")))


@pytest.mark.parametrize("lie", [_drop, _reorder, _roll_back, _duplicate, _invent, _invent_in_front])
@pytest.mark.parametrize("more", [0, 4])
def test_a_relay_that_changes_what_it_kept_is_found_out(lie: Callable[[list[Kept]], None], more: int) -> None:
    """Whatever it did to what was read, also where it has new records to show that hide the shorter length."""
    relay = MemoryRelay()
    write(relay, *(b"%d" % n for n in range(6)))
    device = Device(relay).connect()
    assert len(device.read) == 6
    lie(relay.logs[device.access.id])
    for n in range(more):
        relay.logs[device.access.id].append(Kept(TWO, Record(100 + n, 1, "space", b"more")))
    device.connect()
    (fault,) = device.of(Fault)
    assert isinstance(fault, Fault)
    assert fault.misdeed in ("rolled-back", "rewritten")
    # Both statements are the relay's own: together they convict it.
    for head in (fault.before, fault.now):
        assert relay_wire.head_holds(relay.key.public, device.access.id, head)
    assert len(device.read) == 6


def test_a_relay_that_loses_a_device_s_own_records_is_found_out() -> None:
    relay = MemoryRelay()
    device = Device(relay).connect(b"1", b"2")
    relay.logs[device.access.id] = [Kept(TWO, Record(n, 1, "space", b"x")) for n in range(1, 9)]
    device.connect()
    assert [fault.misdeed for fault in device.events if isinstance(fault, Fault)] == ["rolled-back"]


def test_a_head_that_is_not_signed_by_the_relay_counts_for_nothing() -> None:
    relay = MemoryRelay()
    write(relay, b"a")
    real, relay.head = relay.head, lambda mailbox: real(mailbox)._replace(sig=bytes(64))  # type: ignore[method-assign]
    device = Device(relay).connect()
    assert [fault.misdeed for fault in device.events if isinstance(fault, Fault)] == ["unsigned"]
    assert device.read == []


def test_entries_that_do_not_come_to_the_chain_that_was_signed_are_not_taken() -> None:
    relay = MemoryRelay()
    write(relay, b"a", b"b")
    device = Device(relay)
    honest = relay.head(device.access.id)
    relay.head = lambda mailbox: honest  # type: ignore[method-assign]
    relay.logs[device.access.id][1] = Kept(TWO, Record(1, 1, "space", b"changed"))
    device.connect()
    assert [fault.misdeed for fault in device.events if isinstance(fault, Fault)] == ["rewritten"]
    assert device.read == []


def test_another_key_than_the_address_names_ends_the_connection() -> None:
    relay = MemoryRelay()
    line = relay.connect()
    client = RelayClient(b"k" * 32)
    client.open(access(relay), Mark(), [], 0)
    client.receive(relay_wire.encode(line.challenge))
    assert isinstance(fault := client.next_event(), Fault)
    assert fault.misdeed == "another-key"
    assert client.over
    assert client.messages_to_send() == []


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", relay_wire.encode(Hello.__struct_fields__)])
def test_nonsense_ends_the_connection_and_raises_nothing(data: bytes) -> None:
    relay = MemoryRelay()
    device = Device(relay).connect()
    device.client.receive(data)
    assert isinstance(fault := device.client.next_event(), Fault)
    assert (fault.n, fault.misdeed) == (0, "malformed")
    assert device.client.over


def test_what_comes_for_a_mailbox_that_was_left_is_passed_over() -> None:
    relay = MemoryRelay()
    device = Device(relay).connect()
    write(relay, b"late")
    device.client.leave(device.n)
    device.run()
    assert device.read == []
    assert not device.client.over


def test_no_more_mailboxes_are_open_than_a_connection_takes_and_idle_ones_can_be_left() -> None:
    relay = MemoryRelay(page=1)
    write(relay, b"first", b"second")
    device = Device(relay)
    device.relay.lines.clear()
    device.line = relay.connect()
    device.client = RelayClient(relay.key.public)
    boxes = [
        Access(bytes([n // 256, n % 256]) * 16, relay.key.public, ONE, "space") for n in range(MAX_MAILBOXES)
    ]
    numbers = [device.client.open(box, Mark(), [], 5_000) for box in boxes[1:]]
    assert device.client.free == 1
    n = device.client.open(device.access, Mark(), [], 5_000)
    assert device.client.free == 0
    assert not device.client.idle(n)
    device.run()
    assert device.client.idle(n)
    assert not device.of(Refused)
    device.client.post(n, [b"mine"], 6_000)
    assert not device.client.idle(n)
    device.run()
    assert device.client.idle(n)
    device.client.leave(numbers[0])
    assert device.client.free == 1
    assert not device.client.idle(numbers[0])
    device.client.open(boxes[0], Mark(), [], 7_000)
    device.run()
    assert not device.of(Refused)
    assert device.client.free == 0
