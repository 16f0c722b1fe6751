from random import Random

from quire.core.keys import DeviceKey
from quire.limits import LEAP_BYTES, LEAPS_UNTIL, MAX_DATAGRAM, UNKNOWN_BYTES_PER_SECOND
from quire.net import wire
from quire.net.dispatch import Dispatch
from quire.net.link import Door, Link
from tests.net.driver import SPACE, SPACE_KEY

ONE, TWO = DeviceKey(b"1" * 32), DeviceKey(b"2" * 32)
DOOR = Door(SPACE, SPACE_KEY)


def dispatch(rate: int = 10**9) -> Dispatch:
    return Dispatch(Link(DOOR, ONE, TWO.public), Random(1).randbytes, rate, 0)


def test_packets_leave_sealed_and_counted() -> None:
    out = dispatch()
    sizes = [out.emit(b"cid cid ", b"echoecho", [wire.letter(b"x")], ("there",)) for _ in range(3)]
    assert (out.counter, out.count, out.bytes) == (3, 3, sum(sizes))
    payloads = [Link(DOOR, TWO, ONE.public).open(datagram) for datagram, _ in out.take()]
    assert [wire.read_packet(payload or b"").counter for payload in payloads] == [0, 1, 2]
    assert out.take() == []


def test_counters_leap_where_nobody_is_to_guess_them_and_never_out_of_their_eight_bytes() -> None:
    out = dispatch()
    counters = []
    for proven in (False, True, False, False):
        out.leap_unless(proven)
        counters.append(out.counter)
        out.emit(b"cid cid ", b"echoecho", [wire.letter(b"x")], ("there",))
    leaps = [after - before for before, after in zip([0, *counters], counters, strict=False)]
    assert leaps[1] == 1
    assert all(2**20 < leaps[at] <= 2 ** (8 * LEAP_BYTES) for at in (0, 2, 3))
    assert out.count == len(counters)
    out.counter = LEAPS_UNTIL
    out.leap_unless(False)
    assert out.counter == LEAPS_UNTIL


def sent_in_ten_seconds(out: Dispatch) -> int:
    for now in range(10_000):
        while out.budget.allows(now):
            out.emit(b"cid cid ", b"echoecho", [wire.letter(bytes(1_000))], ("there",))
    return out.bytes


def test_to_an_unknown_peer_it_goes_slowly() -> None:
    slow = dispatch()
    slow.slow(True, 0)
    most = 10 * UNKNOWN_BYTES_PER_SECOND
    assert 0.9 * most <= sent_in_ten_seconds(slow) <= most + 4 * MAX_DATAGRAM
    slow.slow(False, 10_000)
    assert slow.budget.allows(10_000)


def test_slow_is_never_faster() -> None:
    slow = dispatch(rate=10_000)
    slow.slow(True, 0)
    assert sent_in_ten_seconds(slow) <= 100_000 + 4 * MAX_DATAGRAM
