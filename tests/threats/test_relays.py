"""Relays that want to know, and people who know their address: they learn sizes and times, and change no word."""

import pytest

from quire.core.certificate import invite_key
from quire.core.encoding import from_text, to_text
from quire.core.keys import DeviceKey, derive
from quire.core.ticket import decode_link
from quire.handlers import joining, own_link
from quire.limits import FORWARD_MS, MAX_WELCOMES
from quire.net import left
from quire.net.left import Ahead, Letter
from quire.net.mailbox import Access
from quire.net.relay_wire import Add, Hello, Record
from quire.store.memberships import JOINING
from tests.net.memory_relay import MemoryRelay
from tests.node.world import Station, World
from tests.threats.community import Community


def _relay(world: World) -> MemoryRelay:
    (relay,) = world.relays.values()
    return relay


def _founder(world: World) -> Station:
    alice = world.founder()
    alice.ask("addRelay", address=world.relay())
    alice.ask("sendMessage", target="general", text="a word among us")
    return alice


def _heard(relay: MemoryRelay) -> bytes:
    """All that a relay was told, as it came."""
    found = b""
    for said in relay.heard:
        if isinstance(said, Hello):
            found += b"".join(said.keys) + said.keys.id + said.device + said.proof + said.device_proof
        if isinstance(said, Hello | Add):
            found += b"".join(record.data for record in said.records)
    return found


def _door(world: World, link: str, seed: bytes) -> Access:
    """The door's mailbox, as whoever has the link can open it."""
    secret = derive(decode_link(link).link_key, "quire relay door")
    return Access(secret, _relay(world).key.public, seed, "friend")


def _lies_there(world: World, door: Access) -> list[left.Left]:
    log = _relay(world).logs.get(door.id, [])
    return [left.unpack(item) for one in log for item in door.open(one.record.data)]


def test_a_relay_learns_no_word_no_name_and_no_key(world: World) -> None:
    alice = _founder(world)
    link = alice.ask("createInvite")["link"]
    bob = world.guest("bob", alice)
    bob.ask("sendMessage", target="@alice", text="between the two of us")
    world.run(2 * FORWARD_MS)
    heard = _heard(_relay(world))
    assert len(heard) > 5_000
    ticket = decode_link(link)
    secrets = [b"a word among us", b"between the two", b"alice", b"bob", b"club", b"general"]
    for station in (alice, bob):
        member = station.home.store.memberships.all()[0]
        secrets += [
            from_text(member.account_id),
            member.device_key.public,
            member.raw_space_id,
            member.link_key,
        ]
        secrets += [key for key, _ in member.epochs.values()]
        secrets += [station.home.store.names.key_id(epoch) for epoch in member.epochs]
        secrets += [from_text(str(i)) for (i,) in station.home.store.db.all("SELECT event_id FROM blobs")]
    secrets += [ticket.secret, ticket.link_key]
    for secret in secrets:
        assert secret not in heard
        assert to_text(secret).encode() not in heard


def test_two_relays_and_two_epochs_of_one_space_have_no_mailbox_or_device_in_common(world: World) -> None:
    alice = _founder(world)
    first = _relay(world)
    world.run(5_000)
    before = {(one.keys.id, one.device) for one in first.heard if isinstance(one, Hello)}
    alice.ask("addRelay", address=world.relay("second.example"))
    alice.ask("rekeySpace")
    alice.ask("sendMessage", target="general", text="under a new key")
    world.run(5_000)
    second = world.relays["wss://second.example/"]
    later = [one for one in (*first.heard, *second.heard) if isinstance(one, Hello)]
    there = {(one.keys.id, one.device) for one in second.heard if isinstance(one, Hello)}
    since = {(one.keys.id, one.device) for one in later} - before
    assert len(since) == len(there) + 2  # at the first: content and graph under the new key
    for one, other in [(before, there), (before, since)]:
        assert not {mailbox for mailbox, _ in one} & {mailbox for mailbox, _ in other}
        assert not {device for _, device in one} & {device for _, device in other}


def test_whoever_knows_a_mailbox_but_not_its_secret_writes_nothing_that_counts(world: World) -> None:
    """The relay itself, say: what it makes up is counted and left out."""
    alice = _founder(world)
    bob = world.guest("bob", alice)
    world.run(5_000)
    relay, before = _relay(world), bob.texts()
    for mailbox in list(relay.logs):
        relay.add(mailbox, b"x" * 32, Record(1, 1, "space", b"nonsense" * 100))
    world.run(5_000)
    assert bob.texts() == before
    refused = bob.ask("getStatus")["identities"][0]["rejected"]
    assert {(one["source"], one["reason"]) for one in refused} == {("relay relay.example", "bad-bundle")}


def test_a_welcome_that_waits_opens_for_its_own_link_alone(world: World) -> None:
    alice = _founder(world)
    link, other = (alice.ask("createInvite")["link"] for _ in range(2))
    world.run(5_000)
    door = _door(world, other, b"m" * 32)
    found = [one for one in _lies_there(world, door) if isinstance(one, Ahead)]
    assert len(found) == 2  # whoever has a link sees that welcomes wait, for invites of these public keys
    alice.down()
    mallory = world.station("mallory")
    mallory.ask("joinSpace", link=other, name="mallory")
    # All welcomes but her own are gone: another's is of no use to her.
    mine = [one for one in found if to_text(one.invite) == _own_invite(mallory)]
    log = _relay(world).logs[door.id]
    log[:] = [one for one in log if left.pack(mine[0]) not in door.open(one.record.data)]
    mallory.up()
    world.run(10_000)
    assert mallory.home.store.memberships.all()[0].kind == JOINING
    assert decode_link(link).secret not in _heard(_relay(world))


def _own_invite(station: Station) -> str:
    from quire.events.context import Context

    member = station.home.store.memberships.all()[0]
    return own_link.own_invite(Context(station.home, 0, member.account, member))


def test_a_letter_between_two_devices_is_neither_read_nor_forged_by_others_at_the_door(world: World) -> None:
    alice = _founder(world)
    link = alice.ask("createInvite", uses=2)["link"]
    bob = world.station("bob")
    bob.ask("joinSpace", link=link, name="bob")
    world.walls.add(frozenset((alice.address, bob.address)))
    bob.up()
    world.until(bob.is_in)
    door = _door(world, link, b"m" * 32)
    letters = [one for one in _lies_there(world, door) if isinstance(one, Letter) and one.to]
    assert letters
    eve = DeviceKey(b"e" * 32)
    space = decode_link(link).space_id
    for letter in letters:
        with pytest.raises(Exception, match="bad-letter"):
            left.open_letter(letter, eve, space)
    # Forged in alice's name: bob is told that he was refused.
    member = alice.home.store.memberships.all()[0]
    forged = Letter(
        member.device_key.public, bob.home.store.memberships.all()[0].device_key.public, b"Nbanned"
    )
    _relay(world).add(door.id, b"x" * 32, Record(1, 1, "friend", door.seal([left.pack(forged)], bytes(24))))
    world.run(5_000)
    assert bob.joining() == ""
    rejected = bob.ask("getStatus")["identities"][0]["rejected"]
    assert [(one["source"], one["reason"]) for one in rejected] == [(member.device, "bad-letter")]


def test_who_was_removed_cannot_name_the_mailboxes_of_what_comes_after(world: World) -> None:
    alice = _founder(world)
    bob = world.guest("bob", alice)
    world.run(5_000)
    known = set(_relay(world).logs)
    held = bob.home.store.memberships.all()[0]
    bob.down()
    alice.ask("removeMember", name="bob")
    alice.ask("sendMessage", target="general", text="among us again")
    world.run(FORWARD_MS)
    fresh = set(_relay(world).logs) - known
    seed = held.device_key.seed
    mine = {Access(key, _relay(world).key.public, seed, "space").id for key, _ in held.epochs.values()}
    assert fresh
    assert not mine & fresh


def test_a_revoked_link_reads_nothing_that_is_written_since(world: World) -> None:
    """Its welcome may have been taken before; the key in it opens nothing of the time after."""
    alice = _founder(world)
    made = alice.ask("createInvite")
    world.run(5_000)
    alice.ask("revokeInvite", invite_id=made["invite_id"])
    alice.ask("sendMessage", target="general", text="not for everybody")
    world.run(5_000)
    alice.down()
    mallory = world.station("mallory")
    mallory.ask("joinSpace", link=made["link"], name="mallory")
    mallory.up()
    world.run(10_000)
    assert "not for everybody" not in mallory.texts()


@pytest.mark.parametrize("link", ["made", "came-by"])
def test_who_was_removed_reads_nothing_by_links_that_are_open_still(world: World, link: str) -> None:
    """By one that bob made, and by one for many that he came by: no welcome waits for it with a key made since."""
    alice = _founder(world)
    came_by = alice.ask("createInvite", uses=9)["link"]
    bob = world.station("bob")
    bob.ask("joinSpace", link=came_by, name="bob")
    bob.up()
    world.until(bob.is_in)
    made = bob.ask("createInvite", uses=9)["link"]
    world.run(2 * FORWARD_MS)
    door = _door(world, came_by, bytes(32))
    assert len({one.invite for one in _lies_there(world, door) if isinstance(one, Ahead)}) == 2
    bob.down()
    alice.ask("removeMember", name="bob")
    alice.ask("sendMessage", target="general", text="not for bob")
    other = alice.ask("createInvite")["link"]
    world.run(2 * FORWARD_MS)
    alice.down()
    mallory, carol = world.station("mallory"), world.station("carol")
    mallory.ask("joinSpace", link=made if link == "made" else came_by, name="mallory")
    mallory.up()
    world.run(10_000)
    assert "not for bob" not in mallory.texts()
    carol.ask("joinSpace", link=other, name="carol")
    carol.up()
    world.until(lambda: "not for bob" in carol.texts())


def test_so_many_welcomes_wait_at_a_relay_and_of_each_inviter_as_many() -> None:
    c = Community("ann", "bob")
    mine = c.ann.invite()
    c.meet()
    for _ in range(MAX_WELCOMES + 5):
        c.bob.invite()
    c.ann.hear(c.bob)
    found = [made.public for made in joining.welcomes_ahead(c.ann.ctx)]
    assert len(found) == MAX_WELCOMES
    assert invite_key(decode_link(mine).secret).text in found[:2]
