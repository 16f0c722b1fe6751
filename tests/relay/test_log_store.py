"""What retention removes; tests/relay/conformance.py holds every store to it."""

from quire.limits import RELAY_LASTING_BYTES
from quire.relay.log_store import Retention


def test_age_removes_content_and_of_the_rest_what_is_too_much() -> None:
    keep = Retention(age=10)
    assert keep.removes("space", 89, 0, 100)
    assert not keep.removes("space", 90, RELAY_LASTING_BYTES + 1, 100)
    for scope in ("friend", "private"):
        assert not keep.removes(scope, 0, RELAY_LASTING_BYTES, 100)
        assert keep.removes(scope, 99, RELAY_LASTING_BYTES + 1, 100)


def test_size_removes_whatever_is_oldest_and_nothing_is_removed_unless_it_is_wanted() -> None:
    for scope in ("space", "friend", "private"):
        assert Retention(size=5).removes(scope, 100, 6, 100)
        assert not Retention(size=5).removes(scope, 0, 5, 100)
        assert not Retention().removes(scope, 0, RELAY_LASTING_BYTES + 1, 100)
