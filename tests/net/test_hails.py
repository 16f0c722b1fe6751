from quire.limits import HAILS_PER_HOST, HAILS_PERIOD_MS, MAX_HOSTS
from quire.net.hails import Hails


def sent(hails: Hails, host: str, now: int) -> int:
    return sum(hails.may_go(host, now) for _ in range(1_000))


def test_so_many_go_to_a_host_in_a_while() -> None:
    hails = Hails()
    assert sent(hails, "a", 0) == sent(hails, "b", 0) == HAILS_PER_HOST
    assert sent(hails, "a", HAILS_PERIOD_MS - 1) == 0
    assert sent(hails, "a", HAILS_PERIOD_MS) == HAILS_PER_HOST


def test_what_came_from_there_is_answered_and_once_it_was_answered_all_goes() -> None:
    hails = Hails()
    assert sent(hails, "a", 0) == HAILS_PER_HOST
    hails.heard("a")
    assert sent(hails, "a", 0) == 1
    hails.proven("a")
    hails.heard("a")
    assert sent(hails, "a", 0) == 1_000


def test_so_many_hosts_are_remembered() -> None:
    hails = Hails()
    for number in range(3 * MAX_HOSTS):
        hails.may_go(number, 0)
        hails.heard(-number)
        hails.proven(str(number))
    assert all(len(memory) <= MAX_HOSTS for memory in (hails._allowed, hails._owed, hails._proven))
