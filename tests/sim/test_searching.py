from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.events.context import Context
from quire.handlers import identity, message, space
from quire.sim.case import Case
from quire.sim.device import Device
from quire.sim.entitled import Truth
from quire.sim.notes import Notes
from quire.sim.searching import found_again
from quire.store.search import SearchIndex


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Device]:
    made = Device("d", tmp_path / "d", "10.0.0.1", 1, "sketch")
    made.start(0)
    identity.create(Context(made.home, made.wall(0)), "ada")
    space.create(Context(made.home, made.wall(0), 1), "commons")
    yield made
    made.stop()


def write(on: Device) -> None:
    member = on.home.store.memberships.of_account(1)[0]
    message.create_many(
        Context(on.home, on.wall(5), 1, member),
        "general",
        ["no. 1: naïve", "no. 2: 🙂", "Goodbye", "🙂", "東京"],
    )
    on.committed(5)
    on.pump(5)


def faults(on: Device) -> str:
    member = on.home.store.memberships.of_account(1)[0]
    truth = Truth(names={member.account_id: "ada"})
    return "\n".join(found_again(Case(truth, {}, [on], [on], Notes())))


def test_what_is_indexed_is_found(on: Device) -> None:
    write(on)
    assert faults(on) == ""


def test_an_index_that_lags_behind_is_a_fault(on: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SearchIndex, "catch_up", lambda _: None)
        write(on)
    assert faults(on) == "d has not indexed the last 5 messages"


def test_messages_that_are_left_out_of_the_index_are_a_fault(on: Device) -> None:
    write(on)
    on.home.store.db.execute(
        "INSERT INTO search (search, rowid, body_text) SELECT 'delete', n, body_text FROM message_rows WHERE n < 3"
    ).fetchall()
    said = faults(on)
    assert "d has a search index of other messages than it holds" in said
    assert "ada on d searches 'no' and finds 2 fewer and 0 more" in said


def test_words_that_a_message_does_not_have_are_a_fault(on: Device) -> None:
    write(on)
    on.home.store.db.execute("INSERT INTO search (rowid, body_text) VALUES (3, 'no more')").fetchall()
    said = faults(on)
    assert "d has a search index of other messages than it holds" in said
    assert "ada on d searches 'no' and finds 0 fewer and 1 more" in said


def test_a_search_that_leaves_out_what_is_shown_is_a_fault(
    on: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(on)
    monkeypatch.setattr(message, "search", lambda *_: [])
    assert "searches 'goodbye' and finds 1 fewer" in faults(on)
