from functools import partial
from typing import Any

import pytest

from quire.store import locked as locked_module
from quire.store.store import Store
from tests.events.builders import VAULT, digest, undone

KEY, OTHER = digest("key", 8), digest("other", 8)


@pytest.fixture
def store() -> Store:
    return Store(":memory:", VAULT)


def blobs(key: bytes, count: int) -> list[bytes]:
    return [key + digest(f"blob {number}", 60) for number in range(count)]


def test_what_waits_for_a_key_is_taken_out_once_with_who_gave_it(store: Store) -> None:
    locked = store.locked
    mine, theirs = blobs(KEY, 3), blobs(OTHER, 2)
    assert locked.add(1, 1, mine[:2] + theirs, "ann") == (4, 0)
    assert locked.add(1, 1, mine[1:], "bob") == (1, 0)
    assert locked.add(1, 1, mine, "bob") == (0, 0)
    assert locked.count(1, 1) == 5, "each once, whoever gives it again"
    assert sorted(locked.take(1, 1, [KEY])) == sorted([("ann", mine[0]), ("ann", mine[1]), ("bob", mine[2])])
    assert locked.take(1, 1, [KEY, digest("unknown", 8)]) == []
    assert locked.count(1, 1) == 2


def test_each_identity_and_space_waits_for_itself(store: Store) -> None:
    for account, space in ((1, 1), (1, 2), (2, 1)):
        store.locked.add(account, space, blobs(KEY, 1), "ann")
    assert len(store.locked.take(1, 2, [KEY])) == 1
    assert [store.locked.count(*place) for place in ((1, 1), (1, 2), (2, 1))] == [1, 0, 1]


def test_no_more_than_its_bound_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """MAX_LOCKED, for each identity in each space."""
    monkeypatch.setattr(locked_module, "MAX_LOCKED", 3)
    assert store.locked.add(1, 1, blobs(KEY, 5), "ann") == (3, 2)
    assert store.locked.add(1, 1, blobs(OTHER, 1), "ann") == (0, 1)
    assert store.locked.add(1, 1, blobs(KEY, 3), "bob") == (0, 0), "what is kept needs no room"
    assert store.locked.add(1, 2, blobs(KEY, 1), "ann") == (1, 0)
    assert store.locked.count(1, 1) == 3
    store.locked.take(1, 1, [KEY])
    assert store.locked.add(1, 1, blobs(OTHER, 1) * 2, "ann") == (1, 0)


def test_many_are_looked_for_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Any]] = []
    for name in ("one", "all"):
        real = getattr(store.db, name)
        noting = partial(_noting, asked, real)
        monkeypatch.setattr(store.db, name, noting)
    for count, known in ((1, 0), (500, 1), (600, 500)):
        asked.clear()
        assert store.locked.add(1, 1, blobs(KEY, count), "ann") == (count - known, 0)
        assert len(asked) <= 2
    ((sql, values),) = asked
    plan = [row[3] for row in store.db.all("EXPLAIN QUERY PLAN " + sql, values)]
    assert "(account=? AND space=? AND key_id=? AND digest=?)" in plan[-1]


def _noting(asked: list[tuple[str, Any]], real: Any, sql: str, values: Any = ()) -> Any:
    asked.append((sql, values))
    return real(sql, values)


def test_a_rollback_forgets_how_many_there_are(store: Store) -> None:
    store.locked.add(1, 1, blobs(KEY, 2), "ann")
    with undone(store.db):
        store.locked.add(1, 1, blobs(OTHER, 3), "ann")
        assert store.locked.count(1, 1) == 5
    assert store.locked.count(1, 1) == 2
