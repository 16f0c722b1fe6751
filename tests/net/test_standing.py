import pytest

from quire.limits import MAX_UNKNOWN_BYTES, MIND_CHANGES_PER_MINUTE, UNKNOWN_SYNC_PER_SECOND
from quire.net.standing import Refusal, Standing, Terms


@pytest.fixture
def unknown() -> Terms:
    return Terms(Standing.UNKNOWN)


def test_an_unknown_device_brings_so_much_and_no_more(unknown: Terms) -> None:
    taken = 0
    while unknown.takes(1_000):
        taken += 1_000
    assert MAX_UNKNOWN_BYTES <= taken < MAX_UNKNOWN_BYTES + 1_000
    assert unknown.full
    assert not unknown.hears_sync(0)
    assert unknown.change(Standing.MEMBER)
    assert unknown.takes(10 * MAX_UNKNOWN_BYTES)
    assert not unknown.full
    unknown.change(Standing.UNKNOWN)
    assert unknown.takes(1)


def test_an_unknown_device_is_listened_to_so_often(unknown: Terms) -> None:
    assert sum(unknown.hears_sync(7) for _ in range(1_000)) == UNKNOWN_SYNC_PER_SECOND
    assert unknown.hears_sync(1_007)
    member = Terms(Standing.MEMBER)
    assert all(member.hears_sync(7) for _ in range(1_000))


def test_what_does_not_change_is_no_change(unknown: Terms) -> None:
    unknown.takes(MAX_UNKNOWN_BYTES)
    assert not unknown.change(Standing.UNKNOWN)
    assert unknown.full


def test_a_run_of_the_peer_is_told_what_it_does_not_know(unknown: Terms) -> None:
    assert unknown.tell()
    assert unknown.told is Refusal.NOT_ADMITTED
    assert not unknown.tell()
    unknown.change(Standing.MEMBER)
    assert unknown.tell()
    assert unknown.told is None
    unknown.begin()
    assert not unknown.tell(), "a member needs no telling"
    unknown.change(Standing.UNKNOWN)
    assert unknown.tell()
    unknown.begin()
    assert unknown.tell()


def test_what_the_peer_said_last_counts_however_it_arrives(unknown: Terms) -> None:
    assert unknown.hear(Refusal.NOT_ADMITTED, 4, 0)
    assert not unknown.hear(Refusal.NOT_ADMITTED, 5, 0)
    assert unknown.hear(None, 9, 0)
    assert not unknown.hear(Refusal.NOT_ADMITTED, 8, 0)
    assert unknown.refused is None
    assert unknown.hear(Refusal.NOT_ADMITTED, 9, 0), "two in one packet come in order"
    assert unknown.hear_cut_off()
    assert unknown.cut_off
    assert not unknown.hear_cut_off()
    unknown.begin()
    assert unknown.refused is None
    assert unknown.hear(Refusal.NOT_ADMITTED, 0, 0)


def test_a_peer_that_keeps_changing_its_mind_is_not_listened_to(unknown: Terms) -> None:
    said = [Refusal.NOT_ADMITTED, None] * 50
    heard = [unknown.hear(reason, counter, 5) for counter, reason in enumerate(said)]
    assert sum(heard) == MIND_CHANGES_PER_MINUTE
    assert unknown.refused is None
    assert unknown.hear(Refusal.NOT_ADMITTED, 100, 60_005)
