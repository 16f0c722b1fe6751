from quire.limits import IGNORE_MS, MALFORMED_PER_MINUTE
from quire.net.conduct import Conduct


def test_ignored_after_too_many_in_a_minute_and_forgiven_later() -> None:
    conduct = Conduct()
    assert [conduct.blame("kind", now) for now in range(MALFORMED_PER_MINUTE)] == [
        False
    ] * MALFORMED_PER_MINUTE
    assert not conduct.ignored(50)
    assert conduct.blame("kind", 50)
    assert conduct.ignored(50)
    assert not conduct.blame("kind", 51)
    assert conduct.ignored(50 + IGNORE_MS - 1)
    assert not conduct.ignored(50 + IGNORE_MS)
    assert not conduct.blame("kind", 50 + IGNORE_MS)
    assert conduct.rejected == {"kind": MALFORMED_PER_MINUTE + 3}


def test_slowly_malformed_is_only_counted() -> None:
    conduct = Conduct()
    assert not any(conduct.blame("kind", minute * 60_000) for minute in range(5 * MALFORMED_PER_MINUTE))
