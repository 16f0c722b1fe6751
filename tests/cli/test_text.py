import json

import pytest

from quire.cli.text import clean, clean_lines, digits, json_text, local_time, near_time, plural

EVIL = "a\x1b[31mred\x1b]0;title\x07\x9b2J\r\nb\tc\u202egnp\u2066x\x00"


def test_nothing_can_steer_the_terminal() -> None:
    assert clean(EVIL) == "a\\x1b[31mred\\x1b]0;title\\x07\\x9b2J\\x0d\\nb\\tc\\u202egnp\\u2066x\\x00"
    assert clean_lines(EVIL) == "a\\x1b[31mred\\x1b]0;title\\x07\\x9b2J\nb\tc\\u202egnp\\u2066x\\x00"
    assert clean("Grüße, 世界 👋🏽") == "Grüße, 世界 👋🏽"


def test_json_is_safe_to_print_and_says_the_same() -> None:
    text = json_text({"body_text": EVIL + "é"})
    assert json.loads(text) == {"body_text": EVIL + "é"}
    assert not {ord(c) for c in text} & {*range(10), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x2066}
    assert "é" in text


@pytest.mark.parametrize(("ts", "text"), [(0, "never"), (10**18, str(10**18)), (-(10**18), str(-(10**18)))])
def test_times_that_no_calendar_has(ts: int, text: str) -> None:
    assert local_time(ts) == text


def test_times_are_local() -> None:
    assert local_time(1_790_000_000_000).startswith("2026-09-2")


@pytest.mark.parametrize(
    ("ms", "seconds"), [(0, ":20"), (599_000, ":19"), (-599_000, ":21"), (600_000, ""), (-600_000, "")]
)
def test_a_time_that_is_near_has_seconds(ms: int, seconds: str) -> None:
    now = 1_790_000_000_000
    assert near_time(now + ms, now) == local_time(now + ms) + seconds


def test_plurals() -> None:
    assert plural(1, "event") == "1 event"
    assert plural(2_000, "event") == "2,000 events"
    assert plural(2, "entry", "entries") == "2 entries"


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, "0.0"), (0.0123, "0.012"), (0.96, "0.96"), (1, "1.0"), (12.34, "12.3"), (4_567.8, "4,567.8")],
)
def test_small_numbers_have_digits_too(number: float, told: str) -> None:
    assert digits(number) == told
