from random import Random

from quire.limits import FILTER_BITS_PER_ID, FILTER_IDS, FILTER_PROBES, MAX_SYNC_BYTES
from quire.sync.filter import Bloom, bits_of
from quire.sync.index import END
from quire.sync.messages import Filter, encode_filter

KEY = b"k" * 32
RANDOM = Random(1)
HELD = [RANDOM.randbytes(32) for _ in range(FILTER_IDS)]
OTHERS = [(0, RANDOM.randbytes(32)) for _ in range(20_000)]


def bloom(salt: bytes, key: bytes = KEY) -> Bloom:
    return Bloom(key, salt, FILTER_PROBES, bits_of(KEY, salt, HELD, len(HELD)))


def test_contains_all_that_is_held() -> None:
    assert bloom(b"salt" * 2).missing([(0, event_id) for event_id in HELD]) == []


def test_few_others_seem_held() -> None:
    hidden = len(OTHERS) - len(bloom(b"salt" * 2).missing(OTHERS))
    assert 0 < hidden < 0.001 * len(OTHERS) + 10


def test_what_one_salt_hides_another_shows() -> None:
    one, other = (bloom(salt).missing(OTHERS) for salt in (b"salt" * 2, b"pepper!!"))
    assert set(one) | set(other) == {event_id for _, event_id in OTHERS}
    assert one != other


def test_means_nothing_under_another_key() -> None:
    assert len(bloom(b"salt" * 2, b"x" * 32).missing([(0, event_id) for event_id in HELD])) > FILTER_IDS * 0.9


def test_empty_filter_contains_nothing() -> None:
    assert Bloom(KEY, bytes(8), 1, b"").missing(OTHERS[:3]) == [event_id for _, event_id in OTHERS[:3]]


def test_a_full_filter_with_the_longest_bounds_fits_a_message() -> None:
    bits = bits_of(KEY, bytes(8), HELD, len(HELD))
    assert len(bits) * 8 == FILTER_IDS * FILTER_BITS_PER_ID
    low, high = (END[0] - 2, bytes(33)), (END[0] - 1, bytes(33))
    assert len(encode_filter(Filter(bytes(8), low, high, FILTER_IDS, FILTER_PROBES, bits))) <= MAX_SYNC_BYTES
