from collections.abc import Callable
from typing import Any

import pytest

from quire.api import sql
from quire.errors import Refused, UserError
from quire.limits import MAX_SQL_ROWS, MAX_SQL_VALUE_BYTES
from tests.api.hosts import FakeHost

Ask = Callable[[str], Any]
NUMBERS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT {}) SELECT {} FROM n"


@pytest.fixture
def ask(host: FakeHost) -> Ask:
    host.ask("sendMessage", target="general", text="hello")
    return lambda statement: host.ask("query", statement=statement)


def test_the_documented_relations(ask: Ask) -> None:
    answer = ask("SELECT channel_id, body_text FROM message_index")
    assert answer == {
        "columns": ["channel_id", "body_text"],
        "rows": [{"channel_id": "general", "body_text": "hello"}],
        "more": False,
        "note": "",
    }
    assert (
        ask("SELECT event_id, account_id, received_ts, encrypted FROM events")["rows"][0]["encrypted"][:2]
        == "x'"
    )
    assert ask("SELECT event_id, subject, action, author_user, ts FROM auth_graph")["rows"]
    assert ask("PRAGMA table_info(blobs)")["rows"]


def test_columns_of_one_name_are_told_apart(ask: Ask) -> None:
    assert ask("SELECT 1 AS a, 2 AS a, x'00ff' AS b")["rows"] == [{"a": 1, "a:1": 2, "b": "x'00ff'"}]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT seed FROM device_keys",
        "PRAGMA key = 'x'",
        "PRAGMA rekey = 'x'",
        "SELECT * FROM space_keys",
        "SELECT count(*) FROM DEVICE_KEYS",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM device_keys WHERE seed > x'80')",
        "SELECT (SELECT key FROM space_keys)",
        "ATTACH '/tmp/other.db' AS other",
        "DELETE FROM blobs",
        "DELETE FROM events",
        "DELETE FROM events RETURNING *",
        "UPDATE message_index SET ts = 1",
        "DELETE FROM sqlite_master",
        "UPDATE memberships SET name = 'x'",
        "CREATE TEMP TABLE x (a)",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA query_only = 0",
        "PRAGMA writable_schema = 1",
        "BEGIN",
        "EXPLAIN SELECT seed FROM device_keys",
        "INSERT INTO search (search) VALUES ('rebuild')",
    ],
)
def test_it_reads_and_shows_no_keys(ask: Ask, statement: str) -> None:
    with pytest.raises(Refused):
        ask(statement)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("SELEC 1", 'near "SELEC": syntax error'),
        ("SELECT nope FROM events", "no such column: nope"),
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("", "no question in that"),
        ("-- nothing", "no question in that"),
        ("VACUUM INTO '/tmp/copy.db'", "no question in that"),
        ("SELECT load_extension('x')", "not authorized to use function"),
        ("SELECT sqlite3mc_codec_data('cipher_salt')", "not authorized to use function"),
        ("SELECT sqlite3mc_config('cipher', 'rc4')", "not authorized to use function"),
        ("SELECT 'a\0'", "unrecognized token"),
        ("SELECT ?", "SQLite does not understand that"),
    ],
)
def test_mistakes_come_with_sqlites_words(ask: Ask, statement: str, text: str) -> None:
    with pytest.raises(UserError) as told:
        ask(statement)
    assert text in str(told.value)


def test_an_answer_says_when_there_is_more(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ask(NUMBERS.format(MAX_SQL_ROWS, "x"))
    assert len(whole["rows"]) == MAX_SQL_ROWS
    assert not whole["more"]
    cut = ask(NUMBERS.format(MAX_SQL_ROWS + 1, "x"))
    assert len(cut["rows"]) == MAX_SQL_ROWS
    assert cut["more"]
    assert cut["note"].startswith("Only the first 10,000 rows")
    monkeypatch.setattr(sql, "MAX_SQL_BYTES", 100)
    assert len(ask(NUMBERS.format(50, "'0123456789'"))["rows"]) == 10


def test_large_values_and_long_questions_are_stopped(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="too large"):
        ask(f"SELECT zeroblob({MAX_SQL_VALUE_BYTES + 1})")
    monkeypatch.setattr(sql, "MAX_SQL_S", 0.05)
    with pytest.raises(UserError, match="was stopped"):
        ask(NUMBERS.format(10**12, "count(*)"))
