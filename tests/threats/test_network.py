"""Whole nodes: what comes over the network to who must not have it, and from who must not say it."""

from quire.core.address import format_address
from quire.limits import MAX_LOCKED
from quire.store.memberships import INVITED
from tests.node.world import Station, World
from tests.threats.attacker import sealed_under
from tests.threats.community import Community


def impostor(world: World, name: str, robbed: Station, known: Station) -> Station:
    """A fresh device of nobody, with all keys and addresses that `robbed` has."""
    member = robbed.home.store.memberships.all()[0]
    station = world.station(name)
    station.ask("createIdentity", name=name)
    store = station.home.store
    with store.transaction():
        account = store.memberships.accounts()[0]
        made = store.memberships.add(account, member.space_id, member.link_key, "club", INVITED)
        for key, _ in member.epochs.values():
            store.memberships.add_key(made, key, "")
        device = known.home.store.memberships.all()[0].device
        store.memberships.remember_address(
            account, made.space, device, format_address(*known.address), world.now
        )
    station.up()
    return station


def held(station: Station) -> int:
    member = station.home.store.memberships.all()[0]
    return len(station.home.store.blobs.held_after(member.account, member.space, 0, 1_000))


def test_removed_member_with_a_fresh_unknown_device_gets_nothing(world: World) -> None:
    """It has the link's key and the old keys, and reaches a member: not one event is given to it."""
    alice = world.founder()
    bob, carol = (world.guest(name, alice) for name in ("bob", "carol"))
    world.until(lambda: carol.connected() == 2)
    alice.ask("removeMember", name="bob")
    world.run(5_000)
    bob.down()
    spy = impostor(world, "spy", bob, alice)
    world.until(lambda: spy.connected() > 0)
    alice.ask("sendMessage", target="general", text="among members")
    world.until(lambda: carol.texts() == ["among members"])
    world.run(60_000)
    assert held(spy) == 0
    assert {peer["name"] for peer in alice.ask("getPeers")} == {"alice", "carol"}


def test_stranger_with_the_link_gets_nothing_from_members_who_do_not_let_it_in(world: World) -> None:
    """Its link was for one, and that one is in."""
    alice = world.founder()
    link = alice.ask("createInvite")["link"]
    bob = world.station("bob")
    bob.ask("joinSpace", link=link, name="bob")
    bob.up()
    world.until(lambda: bob.connected() == 1)
    thief = world.station("thief")
    thief.ask("joinSpace", link=link, name="thief")
    thief.up()
    alice.ask("sendMessage", target="general", text="among members")
    world.until(lambda: bob.texts() == ["among members"])
    world.run(60_000)
    assert held(thief) == 0
    assert {peer["name"] for peer in alice.ask("getPeers")} == {"alice", "bob"}


def test_blob_flood_under_unknown_keys_is_bounded() -> None:
    """What cannot be opened is kept up to MAX_LOCKED, then refused; what can be opened still comes in."""
    c = Community("ann", "bob")
    space_id = c.ann.member.raw_space_id
    junk = [sealed_under(number.to_bytes(32), space_id, b"x") for number in range(MAX_LOCKED + 50)]
    report = c.ann.take(junk)
    member = c.ann.member
    assert c.ann.home.store.locked.count(member.account, member.space) == MAX_LOCKED
    assert report.rejected == {"waiting-list-full": 50}
    c.bob.say("goes on")
    c.ann.hear(c.bob)
    assert c.ann.texts() == ["goes on"]
    again = c.ann.take(junk[-10:])
    assert again.valid == 0
    assert c.ann.home.store.locked.count(member.account, member.space) == MAX_LOCKED


def test_noise_in_the_place_of_blobs_is_refused() -> None:
    c = Community("ann", "bob")
    known = c.ann.blobs()[-1]
    noise = [b"", b"x", known[:20], known[:-1], known[:8] + bytes(len(known) - 8), known + b"x"]
    for person in (c.ann, c.bob):
        report = person.take(noise)
        assert (report.valid, report.blocked) == (0, 0)
    c.bob.say("goes on")
    c.ann.hear(c.bob)
    assert c.ann.texts() == ["goes on"]
