"""The checker of logs finds each thing that can be wrong, and nothing where all is well."""

from collections.abc import Callable

import pytest

from tests.maelstrom.log_checker import Marks, Poll, Sent, judge_logs

History = tuple[list[Sent], list[Poll], list[Marks]]


def _good() -> History:
    """Two messages that are acknowledged, a third that was not and took place; a commit, and a look at it."""
    sent = [Sent("a", 10, 1, 1.1, 1), Sent("a", 11, 2, 2.1, 2), Sent("a", 12, 2)]
    polls = [Poll({"a": 1}, {"a": [(1, 10)]}), Poll({"a": 1}, {"a": [(1, 10), (2, 11), (3, 12)]}, final=True)]
    return sent, polls, [Marks({"a": 1}, 3, 3.1, listed=False), Marks({"a": 1}, 4, 4.1, listed=True)]


def _sent(*more: Sent) -> Callable[[History], History]:
    return lambda history: ([*history[0], *more], *history[1:])


def _polled(*messages: tuple[int, int]) -> Callable[[History], History]:
    return lambda history: (history[0], [*history[1], Poll({"a": 1}, {"a": list(messages)})], history[2])


def _listed(offsets: dict[str, int]) -> Callable[[History], History]:
    return lambda history: (*history[:2], [*history[2], Marks(offsets, 5, 5.1, listed=True)])


def test_a_good_history_is_valid() -> None:
    verdict = judge_logs(*_good())
    assert verdict.valid
    assert (verdict.acknowledged, verdict.committed) == (2, 1)


BAD: list[tuple[str, Callable[[History], History]]] = [
    ("lost", _sent(Sent("a", 13, 3, 3.1, 4))),
    ("lost", lambda history: ([*history[0], Sent("b", 14, 3, 3.1, 1)], *history[1:])),
    ("invented", _polled((1, 10), (2, 11), (3, 12), (4, 77))),
    ("changed", _polled((1, 11))),
    ("repeated", _polled((1, 10), (2, 11), (3, 12), (4, 10))),
    ("reordered", _sent(Sent("a", 9, 0, 0.1, 5))),
    ("reordered", _polled((2, 11), (1, 10))),
    ("skipped", _polled((1, 10), (3, 12))),
    ("receded", _listed({})),
]


@pytest.mark.parametrize(("wrong", "change"), BAD)
def test_what_is_wrong_is_found(wrong: str, change: Callable[[History], History]) -> None:
    verdict = judge_logs(*change(_good()))
    assert getattr(verdict, wrong)
    assert not verdict.valid


def test_a_history_without_a_message_shows_nothing() -> None:
    assert not judge_logs([], [], []).valid
