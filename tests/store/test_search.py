from pathlib import Path

import pytest

from quire.errors import UserError
from quire.events.home import Home
from quire.events.rebuild import rebuild
from quire.limits import INDEX_STEP
from quire.store.search import match_expression
from tests.events.builders import NOW, Author, Space, add_holder, give, make_home, undone

SPACE = Space()


def hits(home: Home, words: str) -> int:
    row = home.store.db.one("SELECT count(*) FROM search WHERE body_text MATCH ?", (match_expression(words),))
    assert row is not None
    return int(row[0])


def test_steps_survive_being_killed_in_between(tmp_path: Path) -> None:
    path = tmp_path / "quire.db"
    home = make_home(path)
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    total = 2 * INDEX_STEP + 7
    give(home, alice, carol.introduce(), *carol.says(f"word {number}" for number in range(total)))
    expected = [INDEX_STEP, INDEX_STEP, 7, 0]
    for place, size in enumerate(expected):
        assert home.search.backlog() == max(0, total - place * INDEX_STEP)
        assert home.search.step() == size, f"INDEX_STEP at once, in step {place}"
        home.close()
        home = make_home(path)
    assert hits(home, "word") == total
    assert home.search.backlog() == 0
    home.close()


def test_an_interrupted_step_is_done_again() -> None:
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, carol.introduce(), *carol.says(["one word", "another word"]))
    with undone(home.store.db):
        assert home.search.step() == 2
    assert (home.search.indexed(), hits(home, "word")) == (0, 0)
    home.search.catch_up()
    assert hits(home, "word") == 2
    home.close()


def test_the_index_follows_a_rebuild() -> None:
    home = make_home()
    alice, carol = add_holder(home, SPACE, "alice"), Author(SPACE, "carol")
    give(home, alice, *carol.says(["waits one", "waits two"]))
    give(home, alice, Author(SPACE, "carol").introduce())
    home.search.catch_up()
    rebuild(home, NOW)
    assert home.search.indexed() == 0
    home.search.catch_up()
    home.store.db.execute("INSERT INTO search (search, rank) VALUES ('integrity-check', 1)")
    assert hits(home, "waits") == hits(home, '"waits two"') + hits(home, "one")
    home.close()


@pytest.mark.parametrize(
    ("words", "expression"),
    [
        ("a b", '"a" "b"'), ('"a b" c', '"a b" "c"'), ("pre*", '"pre"*'), ("a** b*", '"a"* "b"*'), ('a"b', '"a" "b"'),
        ("AND OR", '"AND" "OR"'), ("! x ?", '"x"'), ("x\x00y", '"x" "y"'), ("x\udcff", '"x?"'),
    ],
)  # fmt: skip
def test_expressions(words: str, expression: str) -> None:
    assert match_expression(words) == expression


def test_nothing_to_search_for() -> None:
    with pytest.raises(UserError, match="nothing to search for"):
        match_expression(' "" * !')
