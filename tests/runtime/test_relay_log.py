import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from quire.runtime import relay_log


@contextmanager
def lines() -> Iterator[None]:
    """In the test itself: in a fixture pytest would leave handlers of its own behind, on streams that it closes."""
    logger = logging.getLogger(relay_log.LOGGER)
    before = (logger.handlers, logger.level, logger.propagate)
    relay_log.to_standard_error()
    yield
    logger.handlers, level, logger.propagate = before
    logger.setLevel(level)


def test_each_line_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    with lines():
        relay_log.log("dropped", connection=3, why="stalled\nand more")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["connection"], line["level"]) == ("dropped", 3, "info")
    assert line["ts"] > 0


@pytest.mark.parametrize(
    "event", ["store-unavailable", "prune-failed", "store-left", "certificate-unreadable"]
)
def test_what_somebody_has_to_look_after_is_an_error(capsys: pytest.CaptureFixture[str], event: str) -> None:
    with lines():
        relay_log.log(event, text="why")
    assert json.loads(capsys.readouterr().err)["level"] == "error"


def test_a_mistake_is_told_by_kind_and_place_and_never_by_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        raise ValueError("a secret")
    except ValueError as error:
        with lines():
            relay_log.mistake("mistake", error, connection=1)
    said = capsys.readouterr().err
    line = json.loads(said)
    assert (line["error"], line["level"]) == ("ValueError", "error")
    assert line["at"].startswith(f"{__name__}:")
    assert "secret" not in said


def test_what_libraries_say_is_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    with lines():
        logging.getLogger(f"{relay_log.LOGGER}.library").warning("watch %s", "out")
    assert json.loads(capsys.readouterr().err)["text"] == "watch out"
