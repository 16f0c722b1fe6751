from quire.limits import MAX_REJECTIONS_KEPT
from quire.store.store import Store
from tests.events.builders import VAULT


def test_counts_by_source_and_reason() -> None:
    rejections = Store(":memory:", VAULT).rejections
    rejections.count(1, "bob", "float", 10)
    rejections.count(1, "bob", "float", 12, 5)
    rejections.count(1, "bob", "too-large", 11)
    rejections.count(2, "bob", "float", 9)
    assert rejections.of(1) == [("bob", "float", 6, 12), ("bob", "too-large", 1, 11)]
    assert rejections.of(2) == [("bob", "float", 1, 9)]
    assert rejections.of(3) == []


def test_the_newest_are_kept() -> None:
    """MAX_REJECTIONS_KEPT rows, whoever sends from however many names."""
    rejections = Store(":memory:", VAULT).rejections
    for number in range(MAX_REJECTIONS_KEPT + 30):
        rejections.count(1, f"source {number}", "float", number)
    kept = rejections.of(1)
    assert len(kept) == MAX_REJECTIONS_KEPT
    assert (kept[0][0], kept[-1][0]) == (f"source {MAX_REJECTIONS_KEPT + 29}", "source 30")
