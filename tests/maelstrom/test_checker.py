"""The checker finds each thing that can be wrong, and nothing where all is well."""

from collections.abc import Callable

import pytest

from tests.maelstrom.checker import Op, Verdict, judge

NODES = ["n0", "n1"]


def _write(value: int, at: float, outcome: str = "ok") -> Op:
    return Op("write", "n0", at, [value], at + 0.1, outcome)  # type: ignore[arg-type]


def _read(node: str, at: float, *values: int, final: bool = False) -> Op:
    return Op("read", node, at, list(values), at + 0.1, "ok", final)


def _good() -> list[Op]:
    """Two values, of which n1 hears the second late; a third write was never answered and never took place."""
    return [
        _write(1, 1),
        _write(2, 2),
        _write(3, 3, "info"),
        _read("n1", 4, 1),
        _read("n0", 9, 1, 2, final=True),
        _read("n1", 9, 2, 1, final=True),
    ]


def test_a_good_history_is_valid() -> None:
    verdict = judge(_good(), NODES)
    assert verdict.valid
    assert (verdict.acknowledged, verdict.stable, verdict.never_read) == (2, 2, [3])
    assert verdict.latencies == pytest.approx([0.0, 4 - 2.1])


def test_a_write_that_was_not_answered_may_have_taken_place() -> None:
    ops = [op for op in _good() if not op.final]
    ops += [_read(node, 9, 1, 2, 3, final=True) for node in NODES]
    verdict = judge(ops, NODES)
    assert verdict.valid
    assert (verdict.stable, verdict.never_read) == (3, [])


BAD: list[tuple[str, Callable[[list[Op]], list[Op]]]] = [
    ("lost", lambda ops: [*ops, _write(4, 5)]),
    ("lost", lambda ops: [*ops, _read("n0", 5, 1, 2, 3)]),  # never answered, yet seen once, and then gone
    ("invented", lambda ops: [*ops, _read("n0", 5, 1, 2, 77)]),
    ("vanished", lambda ops: [*ops, _read("n1", 5, 2)]),
    ("repeated", lambda ops: [*ops, _read("n1", 5, 1, 1)]),
    ("silent", lambda ops: ops[:-1]),
]


@pytest.mark.parametrize(("wrong", "change"), BAD)
def test_what_is_wrong_is_found(wrong: str, change: Callable[[list[Op]], list[Op]]) -> None:
    verdict = judge(change(_good()), NODES)
    assert getattr(verdict, wrong)
    assert not verdict.valid


def test_a_history_without_a_write_shows_nothing() -> None:
    assert not judge([_read(node, 1, final=True) for node in NODES], NODES).valid
    assert not Verdict().valid
