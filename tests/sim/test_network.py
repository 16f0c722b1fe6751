from random import Random

import msgspec
import pytest

from quire.sim.network import NAT_MS, QUEUE_MS, Arrival, Network
from quire.sim.scenario import Conditions

ONE, TWO = ("10.0.0.1", 7700), ("10.0.0.2", 7700)
STEADY = Conditions(delay_ms=10, jitter_ms=0)


def network(seed: int = 1, **changes: float) -> Network:
    made = Network(seed)
    made.conditions = msgspec.structs.replace(STEADY, **changes)
    made.place("one", ONE)
    made.place("two", TWO)
    return made


def send(on: Network, count: int, now: int = 0) -> list[Arrival]:
    """Send that many different datagrams in one millisecond, and wait for all."""
    for number in range(count):
        on.send(number.to_bytes(100, "big"), "one", ONE, TWO, now)
    return on.arrivals(now + 1_000_000)


def numbers(arrivals: list[Arrival]) -> list[int]:
    return [int.from_bytes(arrival.data, "big") for arrival in arrivals]


def test_a_good_network_delivers_everything_once_in_order() -> None:
    on = network()
    arrivals = send(on, 500)
    assert numbers(arrivals) == list(range(500))
    assert {(a.target, a.source) for a in arrivals} == {("two", ONE)}
    tally = on.tally("one")
    assert (tally.sent, tally.bytes_sent, tally.lost) == (500, 50_000, 0)


def test_nothing_arrives_before_its_time() -> None:
    on = network()
    on.send(b"x", "one", ONE, TWO, 5)
    assert (on.next_arrival(), on.arrivals(14), len(on.arrivals(15)), on.next_arrival()) == (15, [], 1, None)


def test_jitter_stays_within_its_bound() -> None:
    on = network(jitter_ms=7)
    for _ in range(200):
        on.send(b"x", "one", ONE, TWO, 0)
    came = {at: len(on.arrivals(at)) for at in range(30)}
    assert [at for at, count in came.items() if count] == list(range(10, 18))


def test_datagrams_can_come_together() -> None:
    on = network(jitter_ms=7, together_ms=10)
    for at in range(20):
        on.send(b"x", "one", ONE, TWO, at)
    came = {at: len(on.arrivals(at)) for at in range(60)}
    assert {at for at, count in came.items() if count} <= {10, 20, 30, 40}
    assert sum(came.values()) == 20


def test_losses_and_doubles_come_in_their_share() -> None:
    on = network(loss=0.3)
    assert 600 < len(send(on, 1_000)) < 800
    assert on.tally("one").lost == 1_000 - len(numbers(send(network(loss=0.3), 1_000)))
    on = network(duplicate=0.2)
    assert len(send(on, 1_000)) == 1_000 + on.tally("one").duplicated
    assert 120 < on.tally("one").duplicated < 280
    assert send(network(loss=1.0), 50) == []


def test_held_back_datagrams_come_behind_later_ones() -> None:
    arrived = numbers(send(network(reorder=0.2), 300))
    assert sorted(arrived) == list(range(300))
    assert arrived != sorted(arrived)


def test_corruption_flips_bits_and_keeps_the_size() -> None:
    on = network(corrupt=0.5)
    arrivals = send(on, 200)
    assert all(len(a.data) == 100 for a in arrivals)
    changed = sum(number != place for place, number in enumerate(numbers(arrivals)))
    assert 60 < changed <= on.tally("one").corrupted < 140


def test_a_narrow_uplink_sends_one_after_the_other_and_drops_what_waits_too_long() -> None:
    on = network(uplink_kb=10)  # 100 bytes take 10 ms
    arrivals = []
    for number in range(100):
        on.send(number.to_bytes(100, "big"), "one", ONE, TWO, 0)
    for at in range(2_000):
        arrivals += [(at, int.from_bytes(one.data, "big")) for one in on.arrivals(at)]
    assert arrivals == [(10 * (number + 1) + 10, number) for number in range(QUEUE_MS // 10 + 1)]
    assert on.tally("one").lost == 100 - len(arrivals)
    on.send(b"x", "two", TWO, ONE, 0)
    assert len(on.arrivals(11)) == 1, "each has an uplink of its own"


def test_who_is_silenced_hears_and_is_not_heard() -> None:
    on = network()
    on.silence(["one"], ["two"])
    on.send(b"x", "two", TWO, ONE, 0)
    assert [arrival.target for arrival in on.arrivals(100)] == ["one"]
    assert send(on, 5) == []
    on.heal()
    assert len(send(on, 5)) == 5


def test_what_goes_to_a_clogged_device_comes_at_once_afterwards() -> None:
    on = network()
    on.clog("two", 500)
    for at in (0, 200, 400, 600):
        on.send(b"x", "one", ONE, TWO, at)
    assert on.arrivals(509) == []
    assert len(on.arrivals(510)) == 3
    assert on.next_arrival() == 610


def test_a_nat_lets_in_only_what_was_asked_for_lately() -> None:
    on = network()
    on.shield("two")
    assert send(on, 3) == []
    on.send(b"x", "two", TWO, ONE, 0)
    on.send(b"y", "one", ONE, TWO, 10)
    on.send(b"y", "one", ONE, TWO, NAT_MS + 10)
    assert [arrival.target for arrival in on.arrivals(100)] == ["one", "two"]
    assert on.arrivals(NAT_MS * 2) == []


def test_partition_and_heal() -> None:
    on = network()
    on.partition([["one"], ["two"]])
    assert send(on, 5) == []
    on.partition([["one", "two"], []])
    assert len(send(on, 5)) == 5
    on.partition([["one"], ["two"]])
    on.heal()
    assert len(send(on, 5)) == 5


def test_what_is_under_way_when_the_path_breaks_is_lost() -> None:
    on = network()
    on.send(b"x", "one", ONE, TWO, 0)
    on.partition([["one"]])
    assert on.arrivals(100) == []
    assert on.tally("one").lost == 1


@pytest.mark.parametrize("unplugged", ["one", "two"])
def test_unplugged_devices_neither_send_nor_receive(unplugged: str) -> None:
    on = network()
    on.unplug(unplugged)
    assert send(on, 3) == []
    on.plug(unplugged)
    assert len(send(on, 3)) == 3


def test_a_device_that_moved_is_found_at_its_new_address_alone() -> None:
    on = network()
    moved = ("10.0.9.2", 7700)
    on.place("two", moved)
    assert send(on, 3) == []
    on.send(b"x", "one", ONE, moved, 0)
    assert on.arrivals(100) == [Arrival("two", ONE, b"x")]


def test_the_seed_decides_and_links_have_luck_of_their_own() -> None:
    bad = {"loss": 0.3, "duplicate": 0.1, "reorder": 0.3, "corrupt": 0.1}
    assert send(network(1, **bad), 100) == send(network(1, **bad), 100)
    assert send(network(1, **bad), 100) != send(network(2, **bad), 100)
    busy = network(1, **bad)
    for _ in range(50):
        busy.send(b"other link", "two", TWO, ONE, 0)
    mine = [a for a in send(busy, 100) if a.target == "two"]
    assert mine == send(network(1, **bad), 100)


def test_the_fingerprint_is_of_every_byte_and_its_time() -> None:
    prints = []
    for data, now in ((b"x", 0), (b"y", 0), (b"x", 1), (b"x", 0)):
        on = network()
        on.send(data, "one", ONE, TWO, now)
        prints.append(on.fingerprint())
    assert len(set(prints)) == 3
    assert prints[0] == prints[3]


def stream(on: Network, size: int, now: int = 0) -> int:
    return on.stream_leaves("one", "two", size, now)


def test_streams_and_datagrams_share_an_uplink() -> None:
    on = network(uplink_kb=10)
    assert stream(on, 2_000) == 200
    on.send(bytes(1_000), "one", ONE, TWO, 0)
    assert on.next_arrival() == 310
    assert stream(on, 1_000) == 400


def test_streams_leave_half_of_the_queue_to_datagrams() -> None:
    on = network(uplink_kb=10)
    at = 0
    for _ in range(20):
        at = on.uplink_takes("one", at)
        stream(on, 1_000, at)
    assert at == 2_000 - 100 - QUEUE_MS // 2
    on.send(bytes(1_000), "one", ONE, TWO, at)
    assert on.tally("one").lost == 0


def test_a_stream_waits_where_either_side_is_clogged() -> None:
    for clogged in ("one", "two"):
        on = network()
        on.clog(clogged, 900)
        assert stream(on, 1) == 900
        assert stream(on, 1, 901) == 901


def test_bits_of_streams_are_flipped() -> None:
    on = network(corrupt=1.0)
    assert on.written("one", "a stream", bytes(50), Random(1), 0) != bytes(50)
    assert on.tally("one").corrupted == 1
    assert network().written("one", "a stream", bytes(50), Random(1), 0) == bytes(50)


def test_the_fingerprint_tells_of_streams() -> None:
    def told(on: str, data: bytes, now: int) -> str:
        at = network()
        at.written("one", on, data, Random(1), now)
        return at.fingerprint()

    told_of = [told("1", b"x", 1), told("1", b"y", 1), told("2", b"x", 1), told("1", b"x", 2)]
    assert len({*told_of, network().fingerprint()}) == 5
