import pytest

from quire.store.graph_rows import DeviceRow, GraphRow
from quire.store.store import Store
from tests.events.builders import VAULT

AT = (1, 1)


@pytest.fixture
def store() -> Store:
    return Store(":memory:", VAULT)


def row(number: int) -> GraphRow:
    return GraphRow(number, f"event {number}", "device", number, 1_000 + number, "[]", '["Void"]')


def test_events_come_back_in_their_order(store: Store) -> None:
    store.graph.add(*AT, 0, [row(9), row(3)])
    store.graph.add(*AT, 2, [row(5)])
    store.graph.add(2, 1, 0, [row(7)])
    assert store.graph.events(*AT) == [row(9), row(3), row(5)]
    assert store.graph.event_at(*AT, 1) == 3
    with pytest.raises(KeyError):
        store.graph.event_at(*AT, 3)


def test_which_count(store: Store) -> None:
    store.graph.add(*AT, 0, [row(1), row(2), row(3)])
    store.graph.set_counts(*AT, True, [0, 2])
    store.graph.set_counts(*AT, False, [0])
    assert store.db.all("SELECT event, counts FROM graph_events ORDER BY place") == [(1, 0), (2, 0), (3, 1)]


def test_a_member_is_as_last_set(store: Store) -> None:
    one, two = DeviceRow("one", "wrap", True, [(5, 9)]), DeviceRow("two", "wrap", True, [])
    store.graph.set_member(*AT, "ann", 3, 1_000, [one, two])
    store.graph.set_member(*AT, "ann", 4, 1_000, [one._replace(standing=False, hidden=[(2, 3), (7, 9)])])
    first, second = (store.names.device_number(1, name) for name in ("one", "two"))
    assert store.db.all("SELECT member, role, since FROM members") == [("ann", 4, 1_000)]
    assert store.db.all("SELECT device, standing FROM member_devices") == [(first, 0)]
    assert store.db.all("SELECT device, first, last FROM hidden") == [(first, 2, 3), (first, 7, 9)]
    assert store.graph.member_of(*AT, first) == "ann"
    assert store.graph.member_of(*AT, second) is None


def test_who_was_never_let_in_is_no_member_and_its_devices_are_hidden(store: Store) -> None:
    device = DeviceRow("one", "wrap", True, [])
    store.graph.set_member(*AT, "ann", 3, 1_000, [device])
    store.graph.set_member(*AT, "ann", None, 0, [device._replace(standing=False, hidden=[(1, 9)])])
    assert store.db.all("SELECT * FROM members") == []
    assert store.db.all("SELECT first, last FROM hidden") == [(1, 9)]
    store.graph.clear()
    for table in ("graph_events", "members", "member_devices", "hidden"):
        assert store.db.all(f"SELECT * FROM {table}") == []
