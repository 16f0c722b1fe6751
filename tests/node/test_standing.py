"""Whether a device that is out is heard."""

import pytest

from quire.handlers import incoming
from quire.net.standing import Standing
from quire.node.standing import standing
from quire.store.logs import StoreLogs
from tests.node.world import World


def test_who_left_is_heard_until_all_is_here_and_is_looked_up_once_for_each_change(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every datagram of its device asks: whoever sends many costs no look at the store for each."""
    alice = world.founder()
    bob = world.guest("bob", alice)
    world.run(3_000)
    for station in (alice, bob):
        station.down()
    me, his = (station.home.store.memberships.all()[0] for station in (alice, bob))
    held = len(bob.home.store.blobs.held_after(his.account, his.space, 0, 1_000))
    for number in range(3):
        bob.ask("sendMessage", target="general", text=f"{number}")
    bob.ask("leaveSpace")
    rows = [row for row, _ in bob.home.store.blobs.held_after(his.account, his.space, 0, 1_000)][held:]
    *words, left = [bob.home.store.names.key_id(row.epoch) + row.sealed for row in rows]
    looked: list[int] = []
    reaches = StoreLogs.reaches

    def watched(logs: StoreLogs, device: str, seq: int) -> bool:
        looked.append(seq)
        return reaches(logs, device, seq)

    monkeypatch.setattr(StoreLogs, "reaches", watched)
    found = []
    for sealed in (left, words[2], words[0], words[1]):
        incoming.receive(alice.home, me, [sealed], me.device, alice.now())
        found.append({standing(alice.home, me, his.device, False) for _ in range(20)})
    assert found == [{Standing.UNKNOWN}] * 3 + [{Standing.REMOVED}]
    assert len(looked) == 4
