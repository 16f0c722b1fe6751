"""Devices of one identity, and events about them that nobody should write."""

from pathlib import Path
from typing import Any

from quire.core.certificate import consent
from quire.core.keys import DeviceKey
from quire.handlers import identity, incoming
from tests.handlers.devices import LONG, Town, ask, counts, force, graph, heads, key, knows, member, texts
from tests.node.world import Station


def linking(
    station: Station, device: DeviceKey, of: str = "", agreed: str = "", **fields: Any
) -> dict[str, Any]:
    """A `device` event's fields, for a device that agrees to be the identity's, unless said otherwise."""
    whose = of or member(station).account_id
    wrap = identity.wrap_text(device)
    body = {"identity": whose, "device": device.text, "wrap": wrap, "name": "forged"}
    return {**body, "consent": agreed or consent(device, whose, wrap), "after": heads(station), **fields}


def why(station: Station, event_id: str) -> bool:
    """Whether an event is in a station's graph and does not count."""
    return knows(station, event_id)() and not counts(station, event_id)


def test_a_device_has_to_agree(town: Town) -> None:
    """Nobody claims a device of somebody else's, not even by a consent that it gave to another identity."""
    bob = town.friend("bob")
    victim = key("victim")
    wrap = identity.wrap_text(victim)
    to_bob = consent(victim, member(bob).account_id, wrap)
    unsigned = force(town.ann, "device", linking(town.ann, victim, agreed=consent(key("x"), "A" * 43, wrap)))
    moved = force(town.ann, "device", linking(town.ann, victim, agreed=to_bob))
    named = force(town.ann, "device", linking(town.ann, victim, of=member(bob).account_id))
    town.until(lambda: all(knows(bob, one)() for one in (unsigned, moved, named)))
    for station in (town.ann, bob):
        assert [counts(station, one) for one in (unsigned, moved, named)] == [False, False, False]
    honest = force(town.ann, "device", linking(town.ann, victim))
    town.until(knows(bob, honest))
    assert counts(bob, honest)


def test_an_unusable_wrap_key_and_a_name_that_cannot_be_shown_are_refused(town: Town) -> None:
    device, mine = key("device"), member(town.ann).account_id
    none = "A" * 43
    bad_wrap = linking(town.ann, device, wrap=none, consent=consent(device, mine, none))
    assert not counts(town.ann, force(town.ann, "device", bad_wrap))
    assert not counts(town.ann, force(town.ann, "device", linking(town.ann, device, name="a\nb")))


def test_a_device_linked_in_a_space_that_the_graph_does_not_believe_is_brought_nowhere(town: Town) -> None:
    """A member writes that a device of its own is ann's: no device of ann's takes that for true elsewhere."""
    bob = town.friend("bob")
    ask(town.ann, "createSpace", name="private")
    forged = force(bob, "device", linking(bob, key("spy"), of=member(town.ann).account_id))
    town.until(knows(town.ann, forged))
    town.run(LONG)
    assert why(town.ann, forged)
    assert graph(town.ann, "private").ledger.claims(key("spy").text, graph(town.ann, "private").valid) == []
    assert len(ask(town.ann, "listDevices")) == 1


def test_a_revoked_device_links_no_other_by_citing_the_past(town: Town) -> None:
    bob, phone = town.friend("bob"), town.linked()
    before = heads(phone)
    ask(town.ann, "revokeDevice", name="phone")
    forged = force(phone, "device", linking(phone, key("successor"), after=before), back=30_000)
    # The phone is cut off: somebody who is not carries what it wrote.
    carry(phone, bob, town)
    town.until(lambda: knows(bob, forged)() and knows(town.ann, forged)())
    for station in (bob, town.ann):
        assert not counts(station, forged)
        assert graph(station).ledger.standing(key("successor").text, graph(station).valid) is None


def test_a_revoked_device_shows_nothing_more_however_it_dates_it(town: Town) -> None:
    bob, phone = town.friend("bob"), town.linked()
    town.says(phone, "while it counted")
    town.seen("while it counted", bob, town.ann)
    ask(town.ann, "revokeDevice", name="phone")
    force(phone, "message", {"body": "dated back", "channel": "general"}, back=45_000)
    force(phone, "message", {"body": "dated now", "channel": "general"})
    carry(phone, bob, town)
    town.run(LONG)
    for station in (bob, town.ann):
        assert texts(station) == ["while it counted"]
    kept = bob.home.store.db.one(
        "SELECT count(*) FROM blobs AS b JOIN devices AS d ON d.n = b.device WHERE d.device = ? AND b.space = ?",
        (member(phone).device, member(bob).space),
    )
    assert kept is not None
    assert kept[0] >= 2


def test_a_copied_home_is_a_fork_that_everyone_sees(tmp_path: Path) -> None:
    """Two homes with one device key write: the device has two histories, and all honest nodes say so."""
    town = Town(tmp_path)
    bob, carol = town.friend("bob"), town.friend("carol")
    town.run(LONG)
    town.ann.down()
    town.ann.home.store.db.execute("VACUUM INTO ?", (str(tmp_path / "twin.db"),))
    twin = town.station("twin")
    twin.up()
    town.says(twin, "the twin's")
    town.until(lambda: "the twin's" in texts(bob))
    twin.down()
    town.ann.up()
    town.says(town.ann, "the first one's")
    device = member(town.ann).device

    def told(station: Station) -> list[tuple[str, int]]:
        (whole,) = ask(station, "getStatus")["identities"]
        return [(one["device"], one["seq"]) for one in whole["spaces"][0]["forks"]]

    town.until(lambda: all(told(one) for one in (bob, carol, town.ann)))
    assert told(bob) == told(carol) == told(town.ann)
    assert {one for one, _ in told(bob)} == {device}
    town.close()


def carry(source: Station, target: Station, town: Town) -> None:
    """Hand everything that one station holds in the club to another, as a friend of the revoked could."""
    store, mine = source.home.store, member(source)
    rows = [row for row, _ in store.blobs.held_after(mine.account, mine.space, 0, 10_000)]
    sealed = [store.names.key_id(row.epoch) + row.sealed for row in rows]
    incoming.receive(target.home, member(target), sealed, "a friend", target.now())
    target.committed()
