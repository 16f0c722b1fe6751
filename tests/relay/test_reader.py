from hypothesis import given
from hypothesis import strategies as st

from quire.limits import MAX_RELAY_RECORD, RELAY_WINDOW_BYTES
from quire.net.relay_wire import Hello, Record, digest
from quire.relay.log_store import Kept
from quire.relay.reader import LEAST_ROOM, Reader
from tests.relay.parties import Owner, key_of

ALICE, PHONE, LAPTOP = Owner(), key_of("phone"), key_of("laptop")
PROOF = bytes(64)


def reader(local: int = 0) -> Reader:
    return Reader(Hello(1, ALICE.keys, "private", PHONE.public, PROOF, PROOF, 0, local, False, []))


def kept(seq: int, device: bytes, local: int, size: int = 10) -> Kept:
    record = Record(local, 1, "private", bytes(size))
    return Kept(seq, device, record, digest(device, record))


def given_whole(one: Reader, records: list[Kept], own: bool = False) -> list[int]:
    page = one.page(records, RELAY_WINDOW_BYTES, own)
    return [entry.local for entry in page.entries if entry.data is not None]


def test_its_own_are_given_whole_only_where_it_may_not_have_them() -> None:
    one = reader(local=2)
    records = [kept(n, PHONE.public, n) for n in range(1, 9)]
    one.took(4, 6)
    one.took(6, 7)
    assert given_whole(one, records) == [3, 4, 8]
    assert given_whole(one, records, own=True) == [*range(1, 9)]
    one.took(8, 9)  # another connection added 8 in between
    assert given_whole(one, [*records, kept(9, PHONE.public, 9)]) == [3, 4, 5, 6, 7, 8]


@given(st.lists(st.integers(1, MAX_RELAY_RECORD), max_size=30), st.data())
def test_what_is_sent_and_not_acknowledged_never_exceeds_the_window(
    sizes: list[int], data: st.DataObject
) -> None:
    one = reader()
    log = [kept(n, (PHONE, LAPTOP)[n % 2].public, n, size) for n, size in enumerate(sizes, 1)]
    out: list[tuple[int, int]] = []
    for _ in range(60):
        if one.sent < len(log) and one.room >= LEAST_ROOM:
            page = one.page(log[one.sent :], one.room)
            one.was_sent(one.sent + len(page.entries), page.size)
            out.append((one.sent, page.size))
        elif out:
            place = out.pop(data.draw(st.integers(0, len(out) - 1)))[0]
            one.acknowledge(place)
            out = [(at, size) for at, size in out if at > place]
        assert sum(size for _, size in out) <= RELAY_WINDOW_BYTES
        assert one.room == RELAY_WINDOW_BYTES - sum(size for _, size in out)
    assert one.sent == len(log)
