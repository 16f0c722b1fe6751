"""What only `bloom` promises: bounded questions, and no harm from a peer that lies."""

from random import Random

import pytest

from quire.limits import (
    ASKS_PER_SECOND,
    ASKS_WHILE_PUSHING,
    BUCKETS_COMPARED,
    FILTER_IDS,
    MAX_ASKS,
    MAX_PUSH_JOBS,
    SYNC_RECEIVED_PER_SECOND,
)
from quire.sync import bloom
from quire.sync.bloom import BloomStrategy
from quire.sync.filter import Bloom, bits_of
from quire.sync.index import COARSE, END, FINE, START, Summary
from quire.sync.messages import (
    ENTRIES,
    Buckets,
    Filter,
    Root,
    decode,
    encode_buckets,
    encode_filter,
    encode_root,
)
from quire.sync.strategy import FREELY, Pace, fingerprint
from tests.sync.conformance import KEY, ids, index_of, pair
from tests.sync.memory import MemoryIndex


def strategy() -> BloomStrategy:
    return BloomStrategy(KEY, Random(1).randbytes)


def other(count: int, pushing: bool = False) -> bytes:
    return encode_root(Root(bytes(8), count, b"differs!", pushing))


def test_one_difference_among_many_costs_few_messages() -> None:
    same = ids(Random(2), 20_000, 10**10)
    run = pair("bloom", index_of(same, ids(Random(3), 1)), index_of(same))
    assert run.converge(2) == 1
    assert run.messages < 30
    assert run.pushed < 20


def test_differences_everywhere_in_one_millisecond() -> None:
    same = ids(Random(4), 6_000, 1)
    run = pair("bloom", index_of(same, ids(Random(5), 50, 1)), index_of(same, ids(Random(6), 50, 1)))
    assert run.converge(2) == 1
    assert run.pushed < 150


def test_small_store_asks_with_one_filter() -> None:
    index = index_of(ids(Random(7), FILTER_IDS))
    assert [type(decode(message)) for message in strategy().receive(other(1), index, 0)] == [Filter]


def test_larger_store_names_buckets_first() -> None:
    index = index_of(ids(Random(7), FILTER_IDS + 1))
    assert [type(decode(message)) for message in strategy().receive(other(1), index, 0)] == [Buckets]


def test_empty_peer_is_pushed_everything_and_asked_nothing() -> None:
    side, index = strategy(), index_of(ids(Random(7), 10))
    assert side.receive(other(0), index, 0) == []
    assert len(side.next_pushes(index, 64, 0)) == 10


def test_filters_that_contain_everything_hide_nothing_from_later_rounds() -> None:
    side, index = strategy(), index_of(ids(Random(8), 100))
    side.receive(encode_filter(Filter(bytes(8), START, END, 9, 8, b"\xff" * 20)), index, 0)
    assert side.next_pushes(index, 64, 0) == []
    assert not side.pushing
    side.receive(encode_filter(Filter(bytes(8), START, END, 0, 8, b"")), index, 0)
    assert len(side.next_pushes(index, 64, 0)) == 64


def test_ids_mined_against_one_salt_are_shown_by_the_next() -> None:
    random = Random(9)
    held = [random.randbytes(32) for _ in range(50)]
    bits = bits_of(KEY, b"old salt", held, 50)
    hidden: list[bytes] = []
    while len(hidden) < 3:
        tried = [(0, random.randbytes(32)) for _ in range(2_000)]
        lacked = Bloom(KEY, b"old salt", 8, bits).missing(tried)
        hidden += [event_id for _, event_id in tried if event_id not in lacked]
    fresh = Bloom(KEY, b"new salt", 8, bits_of(KEY, b"new salt", held, 50))
    assert fresh.missing([(0, event_id) for event_id in hidden]) == hidden


@pytest.mark.slow
@pytest.mark.parametrize(("pushing", "bound"), [(False, ASKS_PER_SECOND), (True, ASKS_WHILE_PUSHING)])
def test_questions_per_second_are_bounded(pushing: bool, bound: int) -> None:
    index = index_of(ids(Random(10), FILTER_IDS * (ASKS_PER_SECOND + 10), 2**COARSE))
    side = strategy()
    side.receive(other(9, pushing), index, 0)
    first = index.positions()[0][0] >> FINE
    last = min(index.positions()[-1][0] >> FINE, first | 255) + 1
    entries = [(at, 9, bytes(8)) for at in range(first, last)][:90]
    claim = encode_buckets(Buckets(bytes(8), FINE, first, last, entries))
    for _ in range(5):
        side.receive(claim[0], index, 0)
    asked = sum(len(side.receive(other(9, pushing), index, 500)) for _ in range(3 * ASKS_PER_SECOND))
    assert asked <= bound
    assert side.heartbeat(index, 1_500)[1:]


def test_no_round_begins_while_another_is_on_its_way() -> None:
    side, index, pace = strategy(), index_of(ids(Random(7), 10)), Pace(9, 300)
    asked = [len(side.receive(other(9), index, now, pace)) for now in (0, 200, 299, 300, 301)]
    assert asked == [1, 0, 0, 1, 0]


def test_no_round_begins_while_questions_wait() -> None:
    """They are not asked twice, and what waits goes first."""
    side, index = strategy(), index_of(ids(Random(7), FILTER_IDS))
    for now in range(5):
        assert side.receive(other(FILTER_IDS + 1), index, now, Pace(0, 0)) == []
    kinds = [type(decode(message)) for message in side.questions(index, 5, 1)]
    assert side.receive(other(FILTER_IDS + 1), index, 6, Pace(0, 0)) == []
    kinds += [type(decode(message)) for message in side.questions(index, 6, 9)]
    assert kinds == [Filter, Buckets]
    assert side.questions(index, 7, 9) == []
    assert side.receive(other(FILTER_IDS + 1), index, 8, FREELY)


def test_a_peer_that_holds_nothing_is_pushed_everything_at_any_time() -> None:
    side, index = strategy(), index_of(ids(Random(7), 10))
    side.receive(other(9), index, 0, Pace(0, 300))
    side.receive(other(0), index, 1, Pace(0, 300))
    assert len(side.next_pushes(index, 64, 1)) == 10


class Counted(MemoryIndex):
    """Counts the buckets that were read."""

    read = 0

    def buckets(self, level: int, first: int, last: int, limit: int) -> list[tuple[int, Summary]]:
        found = super().buckets(level, first, last, limit)
        self.read += len(found)
        return found


def far_apart(count: int, step: int = 1, salt: int = 0) -> Counted:
    """As a member can make it: each event in another coarse bucket."""
    index = Counted()
    for at in range(0, count * step, step):
        event_id = (at << 8 | salt).to_bytes(32, "big")
        index.add(at << COARSE, event_id, event_id)
    return index


@pytest.fixture
def prints(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each fingerprint that is worked out."""
    made: list[int] = []
    monkeypatch.setattr(bloom, "fingerprint", lambda *of: made.append(1) or fingerprint(*of))
    return made


@pytest.mark.parametrize("count", [500, 4_000])
def test_naming_buckets_costs_what_the_messages_hold(count: int, prints: list[int]) -> None:
    """However many there are: a member makes as many as it likes, and each message used to read them all."""
    index = far_apart(count)
    messages = strategy().receive(other(1), index, 0)
    named = [entry for message in messages[1:] for entry in decode(message).entries]  # type: ignore[union-attr]
    named += decode(messages[0]).entries  # type: ignore[union-attr]
    assert len(named) == count
    assert len(messages) > 4
    assert index.read <= len(messages) * ENTRIES
    assert len(prints) <= 1 + len(messages) * ENTRIES


def test_no_message_holds_as_many_entries_as_are_read_for_it() -> None:
    entries = [(at, 1, bytes(8)) for at in range(ENTRIES)]
    message, end = encode_buckets(Buckets(bytes(8), COARSE, 0, ENTRIES, entries))
    assert len(decode(message).entries) == end < ENTRIES  # type: ignore[union-attr]


def test_a_message_is_compared_with_so_many_buckets(prints: list[int]) -> None:
    """One that names nothing spans all of them in thirty bytes. The rest of its span is named to the peer."""
    side, index = strategy(), far_apart(4_000)
    claim = encode_buckets(Buckets(bytes(8), COARSE, 0, END[0] >> COARSE, []))[0]
    for _ in range(3):
        index.read = 0
        side._compare_buckets(decode(claim), index, 0)  # type: ignore[arg-type]
        assert index.read == BUCKETS_COMPARED
    assert not prints
    assert len(side._asks) == 1
    (rest,) = side._asks
    assert rest == ((BUCKETS_COMPARED << COARSE, b""), END, COARSE)
    assert len(side.next_pushes(index, 1_000, 0)) == BUCKETS_COMPARED


def test_buckets_beside_each_other_that_a_peer_lacks_are_one_range_to_push() -> None:
    side, index = strategy(), far_apart(MAX_PUSH_JOBS + 50)
    for first in range(0, MAX_PUSH_JOBS, 64):
        side.receive(encode_buckets(Buckets(bytes(8), COARSE, first, first + 64, []))[0], index, 0)
    assert len(side._pushes._jobs) == MAX_PUSH_JOBS // 64
    assert len(side.next_pushes(index, 1_000, 0)) == MAX_PUSH_JOBS


@pytest.mark.parametrize("steps", [(1, 1), (1, 10), (1, 700)])
def test_events_far_apart_come_together(steps: tuple[int, int]) -> None:
    """More coarse buckets on one side, or on both, than one message is compared with."""
    run = pair("bloom", far_apart(1_500, steps[0]), far_apart(max(2, 1_500 // steps[1]), steps[1], salt=1))
    assert run.converge(20) < 20


def test_waiting_questions_are_bounded() -> None:
    index = MemoryIndex()
    for bucket in range(MAX_ASKS + 600):
        index.add(bucket << COARSE, bucket.to_bytes(32, "big"))
    side = strategy()
    for first in range(0, MAX_ASKS + 600, 80):
        entries = [(at, FILTER_IDS + 1, bytes(8)) for at in range(first, first + 80)]
        side.receive(encode_buckets(Buckets(bytes(8), COARSE, first, first + 80, entries))[0], index, 0)
    assert len(side._asks) == MAX_ASKS


def test_messages_beyond_the_allowance_are_not_looked_at() -> None:
    side, index = strategy(), index_of(ids(Random(11), 3))
    for number in range(SYNC_RECEIVED_PER_SECOND + 5):
        side.receive(other(number + 1), index, 0)
    assert side.peer_count == SYNC_RECEIVED_PER_SECOND
    side.receive(other(7), index, 1_000)
    assert side.peer_count == 7


def test_equal_heartbeat_ends_what_was_under_way() -> None:
    side, index = strategy(), index_of(ids(Random(12), 2_000))
    side.receive(other(0), index, 0)
    assert side.pushing
    salt = b"saltsalt"
    side.receive(encode_root(Root(salt, 2_000, fingerprint(KEY, salt, index.whole()), False)), index, 0)
    assert not side.pushing
    assert side.in_sync is True


def test_a_peer_that_lies_about_counts_does_not_keep_honest_data_back() -> None:
    same = ids(Random(13), 1_000)
    run = pair("bloom", index_of(same, ids(Random(14), 40)), index_of(same))
    liar = run.sides[1].strategy
    for count in (2**50, 1, 0):
        liar.receive(other(count), run.sides[1].index, 0)
    run.sides[0].strategy.receive(other(2**50), run.sides[0].index, 0)
    assert run.converge(3) <= 2


def test_fingerprints_agree_only_for_equal_sets_under_one_key_and_salt() -> None:
    one = fingerprint(KEY, b"saltsalt", Summary(2, 5))
    assert one == fingerprint(KEY, b"saltsalt", Summary(2, 5))
    others = [
        fingerprint(b"x" * 32, b"saltsalt", Summary(2, 5)),
        fingerprint(KEY, b"pepper!!", Summary(2, 5)),
        fingerprint(KEY, b"saltsalt", Summary(3, 5)),
        fingerprint(KEY, b"saltsalt", Summary(2, 6)),
    ]
    assert one not in others
