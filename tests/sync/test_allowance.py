from quire.sync.allowance import Allowance


def test_gives_so_many_per_period() -> None:
    allowance = Allowance(100)
    assert [allowance.take(3, now) for now in (0, 1, 50, 60, 99)] == [True, True, True, False, False]
    assert [allowance.take(3, now) for now in (100, 101, 102, 103)] == [True, True, True, False]


def test_bound_may_change_within_a_period() -> None:
    allowance = Allowance()
    assert allowance.take(1, 0)
    assert not allowance.take(1, 0)
    assert allowance.take(2, 0)
