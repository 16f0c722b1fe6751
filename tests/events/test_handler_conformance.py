"""The contract that every handler of the registry keeps, whatever its type. Samples: tests/handlers/samples.py."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quire.core import event as core_event
from quire.events.handler import Handler
from quire.events.home import Home
from quire.events.ingest import ingest
from quire.events.keyring import control_key
from quire.events.opening import decode
from quire.events.rebuild import rebuild
from quire.handlers import REGISTRY
from quire.store.memberships import Membership
from tests.events.builders import (
    GRAPH_TYPES,
    NOW,
    Author,
    Made,
    Space,
    add_holder,
    give,
    give_one_by_one,
    make_home,
    states,
    table_rows,
    views,
)
from tests.handlers.samples import BODIES, SPACE, WRITERS

EVENT_HANDLERS = [handler for handler in REGISTRY.handlers if handler.event is not None]
LASTING = [handler for handler in EVENT_HANDLERS if handler.lasting]
PASSING = [handler for handler in EVENT_HANDLERS if not handler.lasting]
by_type = pytest.mark.parametrize("handler", EVENT_HANDLERS, ids=lambda handler: handler.type)
few = settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))


@st.composite
def histories(draw: st.DrawFn, types: Sequence[str]) -> list[Made]:
    """What the writers wrote: introductions (but the stranger's), then events of these types in each one's log.

    Those of the membership graph may build on each other.
    """
    writers = [Author(SPACE, name) for name in WRITERS]
    made = [writer.introduce() for writer in writers[:-1]]
    writers.append(Space().founder)
    writers[-1].ts = NOW
    of_graph: list[str] = []
    plan = draw(
        st.lists(
            st.tuples(
                st.integers(0, len(writers) - 1), st.sampled_from(types), st.integers(0, 2), st.booleans()
            ),
            min_size=1,
            max_size=8,
        )
    )
    last = {who: place for place, (who, *_) in enumerate(plan)}
    for place, (who, type_, later, sign) in enumerate(plan):
        writers[who].ts += later - 1  # clocks may stand still, and even go back
        signed = sign or last[who] == place or not REGISTRY.get(type_).lasting
        body = draw(BODIES[type_])
        if type_ in GRAPH_TYPES and of_graph:
            body = {**body, "after": [*body["after"], *draw(st.lists(st.sampled_from(of_graph), max_size=2))]}
        made.append(writers[who].write(type_, body, sign=signed))
        of_graph += [made[-1].event_id] if type_ in GRAPH_TYPES else []
    return made


def cut(draw: Callable[[st.SearchStrategy[set[int]]], set[int]], events: Sequence[Made]) -> list[list[Made]]:
    """The same, in batches."""
    ends = sorted(draw(st.sets(st.integers(1, len(events)), max_size=3)) | {len(events)})
    return [list(events[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def fresh(*names: str) -> tuple[Home, list[Membership]]:
    home = make_home()
    return home, [add_holder(home, SPACE, name) for name in names]


def seen_after(batches: Sequence[Sequence[Made]]) -> dict[str, Any]:
    home, (alice,) = fresh("alice")
    for batch in batches:
        give(home, alice, *batch)
    found = views(home, alice)
    home.close()
    return found


def test_every_event_type_has_samples() -> None:
    """A new handler joins this suite by an entry in samples.BODIES."""
    assert {handler.type for handler in EVENT_HANDLERS} == set(BODIES)


@pytest.mark.parametrize("handler", REGISTRY.handlers, ids=lambda handler: handler.type)
def test_tables_tell_whose_they_are(handler: Handler) -> None:
    home, _ = fresh()
    for table in handler.tables:
        columns = [row[0] for row in home.store.db.all("SELECT name FROM pragma_table_info(?)", (table,))]
        assert "account" in columns[:2], f"{table} does not begin with whose rows it has"
    if handler.event is None:
        assert handler.project is None
        assert handler.lasting
    assert len({h.type for h in REGISTRY.handlers}) == len(REGISTRY.handlers)


@by_type
@few
@given(data=st.data())
def test_round_trip(handler: Handler, data: st.DataObject) -> None:
    home, _ = fresh()
    for made in data.draw(histories([handler.type])):
        event, found = decode(home, made.data)
        assert found is not None
        assert core_event.encode(event) == made.data
    assert REGISTRY.decoder(handler.type, handler.version + 1) is None
    home.close()


@pytest.mark.slow
@pytest.mark.parametrize("handler", LASTING, ids=lambda handler: handler.type)
@few
@given(data=st.data())
def test_views_do_not_depend_on_order_repetition_or_batches(handler: Handler, data: st.DataObject) -> None:
    events = data.draw(histories([handler.type]))
    in_order = seen_after([events])
    assert seen_after([events, events]) == in_order
    assert seen_after([[*events, *events]]) == in_order
    assert seen_after([events[::-1]]) == in_order
    assert seen_after([[one] for one in events]) == in_order
    assert seen_after([[one] for one in events[::-1]]) == in_order
    for _ in range(3):
        shuffled = data.draw(st.permutations(events))
        assert seen_after(cut(data.draw, shuffled)) == in_order


@pytest.mark.parametrize("handler", PASSING, ids=lambda handler: handler.type)
@few
@given(data=st.data())
def test_views_of_requests_do_not_depend_on_their_order(handler: Handler, data: st.DataObject) -> None:
    events = data.draw(histories([handler.type]))
    known, requests = events[: len(WRITERS) - 1], events[len(WRITERS) - 1 :]
    in_order = seen_after([known, requests])
    assert seen_after([known, requests, requests]) == in_order
    assert seen_after([known, requests[::-1]]) == in_order
    assert seen_after([known, *cut(data.draw, data.draw(st.permutations(requests)))]) == in_order


@pytest.mark.parametrize("handler", PASSING, ids=lambda handler: handler.type)
@few
@given(data=st.data())
def test_requests_leave_no_event(handler: Handler, data: st.DataObject) -> None:
    home, (alice,) = fresh("alice")
    writer = Author(SPACE, "bob")
    give(home, alice, writer.introduce())
    before = home.store.db.all("SELECT * FROM blobs"), home.store.index(alice.account, alice.space).whole()
    report = give(
        home, alice, writer.write(handler.type, {**data.draw(BODIES[handler.type]), "to": alice.account_id})
    )
    assert (report.valid, report.blocked, report.rejected, report.arrived) == (1, 0, {}, [])
    assert any(table_rows(home, alice, table) for table in handler.tables)
    after = home.store.db.all("SELECT * FROM blobs"), home.store.index(alice.account, alice.space).whole()
    assert after == before
    assert home.store.names.known_device(alice.space, writer.id) is not None
    assert home.store.blobs.head(home.store.names.device_number(alice.space, writer.id)) == (0, None)


@by_type
@few
@given(data=st.data())
def test_a_rebuild_makes_the_same_views(handler: Handler, data: st.DataObject) -> None:
    home, (alice, bob) = fresh("alice", "bob")
    events = data.draw(histories([handler.type]))
    shuffled = data.draw(st.permutations(events))
    give_one_by_one(home, alice, *shuffled)
    give(home, bob, *events[::2])
    before = views(home, alice), views(home, bob)
    rebuild(home, NOW)
    rebuilt = views(home, alice), views(home, bob)
    if not handler.lasting:  # nothing of them was kept: their next request fills the view again
        for old, new in zip(before, rebuilt, strict=True):
            for table in handler.tables:
                assert new.pop(table) == []
                old.pop(table)
    assert rebuilt == before
    home.close()


@by_type
@few
@given(data=st.data())
def test_identities_of_one_home_see_only_their_own(handler: Handler, data: st.DataObject) -> None:
    """What one identity sees is what it would see alone, whatever another of the same home receives."""
    together, (alice, bob) = fresh("alice", "bob")
    apart, (lone_alice,) = fresh("alice")
    elsewhere, (lone_bob,) = fresh("bob")
    events = data.draw(histories([handler.type]))
    for one in data.draw(st.permutations(events)):
        for name, member, home, lone in (
            ("alice", alice, apart, lone_alice),
            ("bob", bob, elsewhere, lone_bob),
        ):
            if data.draw(st.booleans(), label=f"{name} gets it"):
                give(together, member, one)
                give(home, lone, one)
    assert views(together, alice) == views(apart, lone_alice)
    assert views(together, bob) == views(elsewhere, lone_bob)
    for home in (together, apart, elsewhere):
        home.close()


@few
@given(data=st.data())
def test_types_together_keep_the_contract_too(data: st.DataObject) -> None:
    events = data.draw(histories([handler.type for handler in LASTING]))
    in_order = seen_after([events])
    for _ in range(3):
        assert seen_after(cut(data.draw, data.draw(st.permutations(events)))) == in_order


def test_one_blob_for_two_holders() -> None:
    home, (alice, bob) = fresh("alice", "bob")
    before = home.store.db.one("SELECT count(*) FROM blobs")
    assert before == (len(SPACE.founding) + 2,)
    made = Author(SPACE, "carol").introduce()
    give(home, alice, made)
    assert made.event_id not in states(home, bob)
    again = SPACE.seal(made.data, control_key(SPACE.key))  # even sealed again by someone
    ingest(home, bob, [again], "another peer", NOW)
    rows = home.store.db.all("SELECT account_id, encrypted FROM events WHERE event_id = ?", (made.event_id,))
    assert sorted(account for account, _ in rows) == sorted([alice.account_id, bob.account_id])
    assert {bytes(sealed) for _, sealed in rows} == {made.sealed[8:]}
    assert home.store.db.one("SELECT count(*) FROM blobs") == (before[0] + 1,)
