"""Thieves of a device, and devices claimed by who does not have them."""

from quire.core.certificate import consent
from quire.core.encoding import to_text
from quire.core.keys import DeviceKey
from quire.core.wrapping import WrapKey
from quire.handlers import device_revoke, key
from tests.events.builders import Made, digest, invite_keys
from tests.threats.attacker import Attacker, opened, reach
from tests.threats.community import DAY, Community, Person, agreed


def control(person: Person) -> bytes:
    """The key that the graph is sealed under."""
    return person.member.epochs[person.member.control][0]


def linking(identity: str, new: DeviceKey, by: Attacker, agreed_by: DeviceKey | None = None) -> Made:
    """An event that links a device to an identity, with the consent of `agreed_by`'s key."""
    wrap = to_text(WrapKey(new.seed).public)
    body = {
        "identity": identity,
        "device": new.text,
        "wrap": wrap,
        "consent": consent(agreed_by or new, identity, wrap),
        "name": "laptop",
    }
    return by.change("device", body, under=control(by.person))


def with_laptop() -> tuple[Community, Attacker, DeviceKey]:
    """bob has a second device, which wrote something; a thief has its key."""
    c = Community("ann", "bob", "carl")
    laptop = DeviceKey(digest("laptop"))
    c.bob.take([linking(c.bob.id, laptop, Attacker(c.bob)).sealed])
    c.bob.run_jobs()
    thief = Attacker(c.bob, laptop)
    c.bob.take([thief.say("bob, on the laptop").sealed])
    c.meet()
    assert c.ann.senders() == {"bob, on the laptop": "bob"}
    return c, thief, laptop


def test_revoked_device_writes_nothing_that_is_shown() -> None:
    """Neither after its last place, whatever the date, nor another history in the places before."""
    c, thief, laptop = with_laptop()
    assert device_revoke.create(c.bob.ctx, laptop.text)
    c.meet()
    made = [
        thief.say("by the thief"),
        thief.say("by the thief, backdated", ts=c.now - DAY),
        thief.say("in the place of the first", seq=1, prev=None, ts=c.now - DAY),
    ]
    for one in made:
        c.carl.take([one.sealed])
        assert c.carl.texts() == ["bob, on the laptop"]
    c.bob.say("bob, on what he has left")
    view = agreed(c, c.ann, c.bob, c.carl, sealed=[one.sealed for one in made])
    assert sorted(row[4] for row in view["shown"]) == ["bob, on the laptop", "bob, on what he has left"]


def test_revoked_device_opens_nothing_written_afterwards() -> None:
    c, _, laptop = with_laptop()
    held = set(c.bob.keys().values())
    assert device_revoke.create(c.bob.ctx, laptop.text)
    c.meet()
    c.ann.say("not for the thief")
    c.meet()
    assert opened(held, c.ann.member.raw_space_id, c.ann.blobs()[-1]) is None
    for data in c.ann.opened():
        if b'"type":"key' in data:
            assert c.ann.key().encode() not in data or laptop.text.encode() not in data
    assert "not for the thief" in c.carl.texts()


def test_revoked_device_links_and_lets_in_nobody() -> None:
    """By building on the past, when it was a device."""
    c, thief, laptop = with_laptop()
    past = thief.heads()
    assert device_revoke.create(c.bob.ctx, laptop.text)
    c.meet()
    other = DeviceKey(digest("the thief's own"))
    wrap = to_text(WrapKey(other.seed).public)
    body = {
        "identity": c.bob.id,
        "device": other.text,
        "wrap": wrap,
        "consent": consent(other, c.bob.id, wrap),
        "name": "x",
    }
    keys = invite_keys(other.seed, c.bob.member.space_id, laptop.text)
    limits = {**keys, "role": "member", "uses": 9, "expires": c.now + DAY, "approve": False}
    made = [
        thief.change("device", body, past, under=control(c.bob)),
        thief.change("invite", limits, past, under=control(c.bob)),
    ]
    view = agreed(c, c.ann, c.carl, sealed=[one.sealed for one in made])
    assert {one.event_id for one in made}.isdisjoint(view["valid"])
    assert [len(one.devices) for one in view["members"]] == [1, 1, 1]


def test_thief_who_revokes_the_owners_device_at_the_same_time_loses() -> None:
    """The older device stays: it gave the other one its rights."""
    c, thief, laptop = with_laptop()
    attack = thief.change(
        "device-revoke", {"device": c.bob.device, "last_seq": 0, "last": ""}, under=control(c.bob)
    )
    assert device_revoke.create(c.bob.ctx, laptop.text)
    c.carl.take([attack.sealed])
    c.bob.say("I am still here")
    view = agreed(c, c.ann, c.bob, c.carl, sealed=[attack.sealed])
    assert attack.event_id not in view["valid"]
    assert "I am still here" in c.carl.texts()


def test_what_others_sealed_under_the_losers_key_reaches_the_winner() -> None:
    """Two devices revoke each other; ann hears of the one that loses first, and writes under its new key."""
    c = Community("ann", "bob", "carl")
    laptop = c.link(c.bob, "laptop")
    assert laptop is not None
    c.meet()
    assert device_revoke.revoke(laptop.ctx, c.bob.device).spaces == 1
    assert device_revoke.revoke(c.bob.ctx, laptop.device).spaces == 1
    c.ann.hear(laptop)
    c.ann.say("under the new key")
    c.ann.invite()
    thief = Attacker(laptop).set_role(c.carl.id, "admin", under=control(laptop))
    c.ann.take([thief.sealed])
    c.meet()
    c.heal(c.ann, c.bob, c.carl)
    assert c.bob.texts() == ["under the new key"]
    assert thief.event_id not in agreed(c, c.ann, c.bob, c.carl)["valid"]


def test_keys_made_after_the_losers_key_reach_the_winner() -> None:
    """Two devices revoke each other; ann hears of the one that loses, and makes a key that follows its key."""
    c = Community("ann", "bob", "carl")
    laptop = c.link(c.bob, "laptop")
    assert laptop is not None
    c.meet()
    assert device_revoke.revoke(laptop.ctx, c.bob.device).spaces == 1
    assert device_revoke.revoke(c.bob.ctx, laptop.device).spaces == 1
    c.ann.hear(laptop)
    key.rekey(c.ann.ctx)
    c.ann.invite()
    c.ann.say("under a key that bob's own do not lead to")
    c.meet()
    c.heal(c.ann, c.bob, c.carl)
    assert c.bob.texts() == ["under a key that bob's own do not lead to"]
    agreed(c, c.ann, c.bob, c.carl)


def test_device_that_did_not_agree_is_nobodys() -> None:
    """A member claims the device of somebody else, to take over what it writes."""
    c = Community("ann", "bob", "carl")
    victim = c.carl.member.device_key
    for agreed_by in (c.bob.member.device_key, victim):
        # The second consent is what carl once gave, for carl's own identity.
        forged = linking(c.bob.id, victim, Attacker(c.bob), agreed_by)
        if agreed_by is victim:
            own = Attacker(c.carl).introduction()
            body = {
                "identity": c.bob.id,
                "device": victim.text,
                "wrap": own["wrap"],
                "consent": own["consent"],
                "name": "mine",
            }
            forged = Attacker(c.bob).change("device", body, under=control(c.bob))
        c.ann.take([forged.sealed])
        assert not c.ann.counts(forged.event_id)
    c.carl.say("I am carl")
    agreed(c, c.ann, c.carl)
    assert c.ann.senders() == {"I am carl": "carl"}


def test_thief_without_the_home_key_reads_no_private_key() -> None:
    """What lies in the database is sealed by the vault: seeds and roots are not in it."""
    c = Community("ann", "bob")
    member = c.bob.member
    rows = c.bob.home.store.db.all("SELECT seed, root FROM device_keys")
    seed = member.device_key.seed
    root = c.bob.home.store.memberships.root(member.account)
    assert root is not None
    assert all(seed not in bytes(row[0]) and root not in bytes(row[1]) for row in rows)
    assert reach(c.bob, c.bob.blobs())[1]  # with the home's key everything opens
    assert key.rekey(c.bob.ctx).devices == 2
