import pytest

from quire.cli import show
from quire.cli.access import Options, Outcome

MESSAGE = {
    "event_id": "e", "channel_id": "general", "sender": "K", "sender_name": "[bold]\x1bEve", "ts": 1_790_000_000_000,
    "body_text": "one\x1b[2J\n[red]two[/red] \\", "position": "p",
}  # fmt: skip


def text(capsys: pytest.CaptureFixture[str], name: str, result: object, **params: object) -> str:
    show.outcome(name, Outcome(result, True), Options(), params)
    return capsys.readouterr().out


def test_a_message_cannot_pass_for_more_than_text(capsys: pytest.CaptureFixture[str]) -> None:
    shown = text(capsys, "getMessages", [MESSAGE], target="general")
    assert "[bold]\\x1bEve: one\\x1b[2J\n    [red]two[/red] \\\n" in shown
    assert "\x1b" not in shown


def test_long_lines_are_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    long = {**MESSAGE, "body_text": "word " * 500}
    assert "word " * 499 in text(capsys, "getMessages", [long], target="general")
    rows = {"columns": ["a"], "rows": [{"a": "x" * 500}], "more": False, "note": ""}
    assert "x" * 500 in text(capsys, "query", rows)


def test_long_blobs_are_cut_short_in_tables(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"columns": ["a"], "rows": [{"a": "x'" + "00" * 100 + "'"}], "more": False, "note": ""}
    assert "…" in text(capsys, "query", rows)


def test_whatever_has_no_presentation_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert text(capsys, "later", [{"a": 1, "b": None}]).split() == ["A", "B", "1"]
    assert text(capsys, "later", "said") == "said\n"


def test_damage_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    damage = [{"what": "hash", "event_id": "e1", "detail": "flipped"}]
    assert "1 fault in 7 events" in text(capsys, "verify", {"events": 7, "damaged": 1, "damage": damage})


@pytest.mark.parametrize(("theirs", "pending", "shown"), [(None, 6_329, "?"), (None, 0, "0"), (7, 12, "12")])
def test_of_whom_nobody_heard_it_is_not_said_how_much_there_is_to_send(
    capsys: pytest.CaptureFixture[str], theirs: int | None, pending: int, shown: str
) -> None:
    peer = {
        "name": "bob", "role": "member", "state": "unreachable", "address": "", "last_heard_ts": 0,
        "theirs": theirs, "pending": pending, "pubkey": "B",
    }  # fmt: skip
    assert text(capsys, "getPeers", [peer]).split()[-3:] == ["never", shown, "B"]
