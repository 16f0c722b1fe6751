"""Who comes by keys, and who makes others use theirs."""

from typing import Any

import msgspec
import pytest

from quire.core.encoding import to_text
from quire.core.sealing import key_id
from quire.core.wrapping import WrapKey, wrap
from quire.errors import UserError
from quire.events import keyring
from quire.events.context import Context
from quire.events.keyring import (
    CONTENT,
    CONTROL,
    HeldKey,
    control_key,
    control_of,
    name_of,
    seal_older,
    wrap_context,
)
from quire.graph import state
from quire.handlers import invite, joining, key, message, role
from quire.handlers.admit_letter import Welcome
from quire.limits import KEY_WAIT_MS, MAX_VOID_KEYS
from tests.events.builders import MINUTE, Made, digest, invite_keys
from tests.threats.attacker import Attacker, opened, reads
from tests.threats.community import DAY, Community, Person, agreed


def control(person: Person) -> bytes:
    """The key that the graph is sealed under."""
    return person.member.epochs[person.member.control][0]


def boxes(person: Person, content: bytes, *others: Person) -> dict[str, object]:
    """A key wrapped to the devices of others."""
    public = [WrapKey(other.member.device_key.seed).public for other in others]
    name = to_text(key_id(content))
    context = wrap_context(person.member.raw_space_id, name)
    ephemeral, made = wrap(content, public, digest(f"seed {name}"), context)
    return {
        "name": name,
        "ephemeral": to_text(ephemeral),
        "boxes": {other.device: to_text(box) for other, box in zip(others, made, strict=True)},
    }


def new_key(attacker: Attacker, content: bytes, *others: Person, **body: object) -> Made:
    """A key event for these, that follows the present key."""
    graph = attacker.person.ctx.graph
    current = state.current_key(graph, "")
    assert current is not None
    fields = {
        "scope": "",
        "generation": current.change.generation + 1,  # type: ignore[union-attr]
        "before": [node.event_id for node in state.last_keys(graph, "")],
        "older": [],
        **boxes(attacker.person, content, *others),
        **body,
    }
    return attacker.change("key", fields, under=control(attacker.person))


def test_key_event_by_a_stranger_is_not_used() -> None:
    """By a device that nobody let in, which has come by a key of the graph; and by a guest."""
    c = Community("ann", "bob", "carl")
    c.admit("gus", c.ann, role="guest")
    c.meet()
    stranger = Attacker(c.bob, c.person("eve").home.store.memberships.device_key(1))
    theirs = digest("their key")
    made = [new_key(liar, theirs, c.ann, c.bob, c.carl, c.gus) for liar in (stranger, Attacker(c.gus))]
    view = agreed(c, c.ann, c.carl, sealed=[one.sealed for one in made])
    assert {one.event_id for one in made}.isdisjoint(view["valid"])
    c.carl.say("under our own key")
    c.ann.hear(c.carl)
    assert c.ann.texts() == ["under our own key"]
    assert theirs not in (c.ann.content(), c.carl.content())
    assert opened([theirs, control_key(theirs)], c.ann.member.raw_space_id, c.carl.blobs()[-1]) is None
    assert key.rekey(c.carl.ctx).generation == 2


def test_key_event_with_an_inflated_generation_is_not_used() -> None:
    """The highest number does not win: a key has to follow from the keys that it names."""
    c = Community("ann", "bob", "carl", "dora")
    before = c.ann.key()
    lies: list[dict[str, Any]] = [
        {"generation": 2**53 - 1},
        {"generation": 7},
        {"generation": 1},
        {"before": []},
        {"generation": 1, "before": []},
    ]
    for place, lie in enumerate(lies):
        made = new_key(Attacker(c.bob), digest(f"inflated {place}"), c.ann, c.bob, c.carl, c.dora, **lie)
        view = agreed(c, c.ann, c.carl, sealed=[made.sealed])
        assert made.event_id not in view["valid"]
        assert c.ann.key() == c.carl.key() == view["key"] == before
    key.rekey(c.ann.ctx)
    c.meet(c.ann, c.carl, c.dora)
    assert c.dora.key() == c.ann.key() != before


def test_key_event_with_a_lower_generation_does_not_bring_back_the_key_before() -> None:
    """A void key may have a low number and know of later ones: what follows it could be behind those."""
    c = Community("ann", "bob", "carl")
    key.rekey(c.ann.ctx)
    key.rekey(c.ann.ctx)
    c.meet()
    liar = Attacker(c.bob)
    void = new_key(liar, digest("void"), c.bob, generation=1, before=[])
    c.bob.take([void.sealed])
    lower = new_key(liar, digest("lower"), c.ann, c.bob, c.carl, generation=2, before=[void.event_id])
    view = agreed(c, c.ann, c.carl, sealed=[void.sealed, lower.sealed])
    assert not {void.event_id, lower.event_id} & set(view["valid"])
    assert c.ann.key() == c.carl.key() == view["key"]


@pytest.mark.parametrize("who", ["a member", "who was banned"])
def test_key_event_for_what_is_no_audience_stops_nobody(who: str) -> None:
    """Its key is kept nowhere: what is sealed to audiences is taken in, shown and written as before."""
    c = Community("ann", "bob", "carl", "dora")
    first = control(c.bob)
    if who == "who was banned":
        role.ban(c.ann.ctx, "bob")
        c.meet(c.ann, c.carl, c.dora)
    body = {"scope": "no id", "generation": 1, "before": [], "older": []}
    made = Attacker(c.bob).change("key", {**body, **boxes(c.bob, digest("k"), c.ann)}, under=first)
    c.ann.take([made.sealed])
    message.create(c.carl.ctx, "@dora", "not for ann")
    message.create(c.carl.ctx, "@ann", "for ann alone")
    c.carl.say("for all")
    c.ann.hear(c.carl)
    message.create(c.ann.ctx, "@carl", "for carl alone")
    assert c.ann.texts() == ["for all"]
    assert [one.body_text for one in message.list_(c.ann.ctx, "@carl")] == ["for ann alone", "for carl alone"]
    assert c.ann.home.store.audiences.keys(c.ann.member.account, c.ann.member.space) != []
    view = agreed(c, c.ann, c.carl, c.dora, sealed=[made.sealed])
    assert made.event_id in set(view["graph"]) - set(view["valid"])


def test_key_event_that_omits_members_silences_nobody() -> None:
    """Who is left out makes a key of its own before it writes on, and newcomers can still be let in."""
    c = Community("ann", "bob", "carl", "dora")
    theirs = digest("for few")
    made = new_key(Attacker(c.bob), theirs, c.bob)
    for person in (c.carl, c.ann):
        person.take([made.sealed])
        assert person.counts(made.event_id)
    old = c.carl.content()
    c.carl.say("at once")
    assert c.carl.content() not in (old, theirs)
    c.heal(c.ann, c.carl, c.dora)
    assert c.person("eve").join(c.carl.invite(), c.carl) == ""
    c.carl.say("after")
    c.meet(c.ann, c.carl, c.dora, c.eve)
    for person in (c.ann, c.dora, c.eve):
        assert person.texts() == ["at once", "after"]
        person.say(f"{person.name} too")
    c.meet(c.ann, c.carl, c.dora, c.eve)
    assert sorted(c.carl.texts()) == ["after", "ann too", "at once", "dora too", "eve too"]
    agreed(c, c.ann, c.carl, c.dora)


@pytest.mark.parametrize("history", ["all", "from-join"])
def test_what_was_written_under_a_key_for_few_is_shown_to_all_who_were_in(history: str) -> None:
    """Not to who came later, where the space promises that."""
    c = Community("ann", "bob", "carl", history=history)
    theirs = digest("for few")
    liar = Attacker(c.bob)
    sent = [new_key(liar, theirs, c.ann, c.bob), liar.say("for few", under=theirs)]
    c.ann.take([one.sealed for one in sent])
    c.admit("dora", c.ann)
    c.meet(c.ann, c.carl, c.dora)
    c.heal(c.ann, c.carl, c.dora)
    assert c.carl.texts() == ["for few"]
    assert c.dora.texts() == (["for few"] if history == "all" else [])


@pytest.mark.parametrize("history", ["all", "from-join"])
def test_a_change_under_a_key_for_few_keeps_nobody_from_what_follows(history: str) -> None:
    """A key that breaks a rule is handed on by nobody: what was sealed under it is sealed anew by who could open it."""
    c = Community("ann", "bob", "carl", history=history)
    liar, odd = Attacker(c.bob), digest("for few")
    few = new_key(liar, odd, c.ann, c.bob, generation=9)
    limits = {"uses": 1, "expires": c.now + DAY, "approve": False, "role": "member"}
    made = liar.change(
        "invite", {**invite_keys(odd, c.bob.member.space_id, c.bob.device), **limits}, under=control_key(odd)
    )
    c.ann.take([few.sealed, made.sealed])
    assert c.ann.counts(made.event_id)
    link = c.ann.invite()
    c.meet(c.ann, c.carl)
    assert len(invite.list_(c.carl.ctx)) == len(invite.list_(c.ann.ctx)) - 2
    c.heal(c.ann, c.carl)
    c.carl.hear_again(c.ann)
    assert len(invite.list_(c.carl.ctx)) == len(invite.list_(c.ann.ctx))
    assert c.person("dora").join(link, c.carl) == ""
    c.meet(c.ann, c.carl, c.dora)
    c.heal(c.ann, c.carl, c.dora)
    assert c.ann.view() == c.carl.view()
    assert c.ann.view()["graph"] == c.dora.view()["graph"]


def test_who_holds_a_key_for_few_leaves_before_all_eyes() -> None:
    """An event of the graph is never sealed under a key that some of the members were left out of."""
    c = Community("ann", "bob", "carl", "dora")
    c.dora.take([new_key(Attacker(c.bob), digest("for few"), c.bob, c.dora).sealed])
    role.leave(c.dora.ctx)
    c.ann.hear(c.dora)
    assert "dora" not in c.ann.roles()
    agreed(c, c.ann, c.carl)


def test_key_share_to_a_removed_device_counts_for_nothing() -> None:
    """And has the key replaced before anything is written, since the removed one has it now."""
    c = Community("ann", "bob", "carl", "eve")
    role.remove(c.ann.ctx, "eve")
    c.meet(c.ann, c.bob, c.carl)
    shared = c.bob.content()
    current = state.current_key(c.bob.ctx.graph, "")
    assert current is not None
    made = Attacker(c.bob).change(
        "key-share", {"key": current.event_id, **boxes(c.bob, shared, c.eve)}, under=control(c.bob)
    )
    view = agreed(c, c.ann, c.carl, sealed=[made.sealed])
    assert made.event_id not in view["valid"]
    c.carl.say("not for eve")
    c.meet(c.ann, c.carl)
    assert c.ann.texts() == ["not for eve"]
    c.eve.take([made.sealed])
    assert reads(c.eve, c.ann, c.carl) == []


def test_key_of_the_past_is_not_brought_back() -> None:
    """A key event that names a key which a removed member holds: nothing is written under it."""
    c = Community("ann", "bob", "carl", "eve")
    c.ann.say("with eve")
    c.meet()
    old = c.bob.content()
    role.remove(c.ann.ctx, "eve")
    c.meet(c.ann, c.bob, c.carl)
    made = new_key(Attacker(c.bob), old, c.ann, c.bob, c.carl)
    for person in (c.ann, c.carl):
        person.take([made.sealed])
        person.say(f"{person.name} without eve")
    c.meet(c.ann, c.carl)
    assert set(c.carl.texts()) == {"with eve", "ann without eve", "carl without eve"}
    assert reads(c.eve, c.ann, c.carl) == ["with eve"]
    agreed(c, c.ann, c.carl)


def test_who_was_left_out_of_a_new_key_writes_nothing_under_the_old_one() -> None:
    """dora came in on the other side of a partition from eve's removal; she has heard of it, without a key yet."""
    c = Community("ann", "bob", "eve")
    role.remove(c.ann.ctx, "eve")
    c.admit("dora", c.bob)
    c.ann.say("the first without eve")
    c.dora.hear(c.ann)
    assert "eve" not in c.dora.roles()
    with pytest.raises(UserError, match="new key"):
        c.dora.say("under the old key")
    c.meet(c.ann, c.bob, c.dora)
    c.heal(c.ann, c.bob, c.dora)
    c.dora.say("nor is this for eve")
    c.meet(c.ann, c.bob, c.dora)
    assert reads(c.eve, c.ann, c.bob, c.dora) == []
    for person in (c.ann, c.bob, c.dora):
        assert set(person.texts()) == {"the first without eve", "nor is this for eve"}
    agreed(c, c.ann, c.bob, c.dora)


def test_who_waits_for_a_key_in_vain_makes_one_and_no_key_is_lost() -> None:
    """Nobody with the new key is met for longer than KEY_WAIT_MS; later all read all, newcomers too."""
    c = Community("ann", "bob", "eve")
    role.remove(c.ann.ctx, "eve")
    c.admit("dora", c.bob)
    c.ann.say("the first without eve")
    c.dora.hear(c.ann)
    c.later(KEY_WAIT_MS)
    c.dora.say("alone")
    c.meet(c.ann, c.bob, c.dora)
    c.heal(c.ann, c.bob, c.dora)
    c.admit("fay", c.bob)
    for person in (c.ann, c.bob, c.dora, c.fay):
        person.hear(c.bob)
        assert set(person.texts()) == {"the first without eve", "alone"}
    assert reads(c.eve, c.ann, c.bob, c.dora) == []
    agreed(c, c.ann, c.bob, c.dora, c.fay)


def test_false_keys_of_the_past_keep_no_newcomer_from_the_true_ones() -> None:
    """A key event whose older keys are made up, under the names of the true ones."""
    c = Community("ann", "bob", "carl")
    c.ann.say("long ago")
    c.meet()
    liar = Attacker(c.bob)
    theirs, space_id = digest("liar's key"), c.ann.member.raw_space_id
    false = HeldKey(CONTROL, c.ann.key(), control_key(digest("no key at all")))
    older = seal_older(control_of(HeldKey(CONTENT, "", theirs)), false, digest("n", 24), space_id)
    entry = {"kind": "control", "name": older.name, "sealed": to_text(older.sealed)}
    made = new_key(liar, theirs, c.ann, c.bob, c.carl, older=[entry])
    for person in (c.ann, c.carl):
        person.take([made.sealed])
    c.admit("dora", c.ann)
    c.heal(c.ann, c.carl, c.dora)
    for person in (c.admit("eve", c.carl), c.dora):
        person.hear(c.carl)
        assert person.texts() == ["long ago"]
    agreed(c, c.ann, c.carl, c.dora, c.eve)


def test_a_key_of_somebody_removed_meanwhile_locks_no_newcomer_out() -> None:
    """It does not count; but what was sealed under it is handed on, so that newcomers hold what the others hold.

    No more than MAX_VOID_KEYS, or the removed could make the present key's event grow as they like.
    """
    c = Community("ann", "bob", "eve")
    role.remove(c.ann.ctx, "eve")
    for _ in range(MAX_VOID_KEYS + 2):
        key.rekey(c.eve.ctx)
        c.eve.say("under a key that does not count")
    c.bob.hear(c.eve)
    c.meet(c.ann, c.bob)
    c.later(KEY_WAIT_MS)
    c.heal(c.ann, c.bob)
    c.admit("dora", c.bob)
    c.dora.hear(c.bob)
    member = c.dora.member
    locked = c.dora.home.store.locked.count(member.account, member.space)
    assert locked <= 2 * (2 + 1)  # what was under the keys beyond the bound, and the events that made those
    c.dora.say("hello")
    c.bob.hear(c.dora)
    assert c.bob.texts() == c.dora.texts() == ["hello"]


def misnamed(liar: Attacker, false: bytes, how: str, victim: Person) -> Made:
    """A key of the graph, handed to one person so that it seems to be for content. It breaks a rule besides."""
    under = keyring.first_control(liar.person.home, liar.person.member, liar.person.ctx.graph)
    assert under is not None
    body = {"scope": "", "generation": 9, "before": [], "older": []}
    if how == "as a new key":
        return liar.change("key", {**body, **boxes(liar.person, false, victim)}, under=under.key)
    theirs, space_id = digest("liar's key"), victim.member.raw_space_id
    above = HeldKey(CONTENT, "", theirs)
    found = []
    for kind, over in (("control", control_of(above)), ("content", above)):
        own = HeldKey(CONTENT if kind == "content" else CONTROL, name_of(false), false)
        sealed = seal_older(over, own, digest(f"nonce {kind}", 24), space_id)
        found.append({"kind": kind, "name": sealed.name, "sealed": to_text(sealed.sealed)})
    return liar.change("key", {**body, "older": found, **boxes(liar.person, theirs, victim)}, under=under.key)


@pytest.mark.parametrize("history", ["all", "from-join"])
@pytest.mark.parametrize("how", ["as a new key", "as a key of the past"])
def test_a_key_of_the_graph_handed_on_as_one_of_content_keeps_nobody_from_the_graph(
    how: str, history: str
) -> None:
    """What honest members seal under it is taken in by who heard the lie first, and whoever lacks the key behind it."""
    c = Community("ann", "bob", "carl", "eve", history=history)
    key.rekey(c.ann.ctx)
    c.meet(c.ann, c.bob)
    made = misnamed(Attacker(c.bob), control(c.bob), how, c.carl)
    c.carl.take([made.sealed])
    role.ban(c.ann.ctx, "eve")
    role.ban(c.ann.ctx, "bob")
    c.admit("dora", c.ann)
    assert c.carl.take(c.ann.blobs()).rejected == {}
    assert c.carl.roles() == c.ann.roles()
    c.heal(c.ann, c.carl, c.dora)
    c.carl.say("hello")
    c.meet(c.ann, c.carl, c.dora)
    assert c.dora.texts() == c.ann.texts() == ["hello"]
    agreed(c, c.ann, c.carl, sealed=[made.sealed])


def test_keys_made_in_both_halves_of_a_partition_are_merged() -> None:
    """Both stay readable, and the next writer makes one that follows both."""
    c = Community("ann", "bob", "carl", "dora", "eve", "fay")
    role.grant(c.ann.ctx, "bob", "admin")
    c.meet()
    role.remove(c.ann.ctx, "eve")
    role.remove(c.bob.ctx, "fay")
    c.ann.say("on ann's side")
    c.bob.say("on bob's side")
    c.meet(c.ann, c.bob, c.carl, c.dora)
    c.carl.say("together")
    c.meet(c.ann, c.bob, c.carl, c.dora)
    for person in (c.ann, c.bob, c.dora):
        assert set(person.texts()) == {"on ann's side", "on bob's side", "together"}
    for removed, side in ((c.eve, "on bob's side"), (c.fay, "on ann's side")):
        assert reads(removed, c.ann, c.bob, c.carl, c.dora) in ([], [side])
        assert "together" not in reads(removed, c.ann, c.bob, c.carl, c.dora)
    agreed(c, c.ann, c.bob, c.carl, c.dora)


@pytest.mark.parametrize("history", ["all", "from-join"])
def test_a_false_name_of_the_first_key_keeps_nobody_from_later_ones(
    monkeypatch: pytest.MonkeyPatch, history: str
) -> None:
    """bob lets dora in, and calls the key that hands out keys something else; carl hears of the next by dora alone."""
    c = Community("ann", "bob", "carl", history=history)
    link = c.ann.invite()
    c.meet()
    true = joining._present

    def lying(ctx: Context) -> Welcome | None:
        welcome = true(ctx)
        assert welcome is not None
        return msgspec.structs.replace(welcome, first_name=to_text(digest("odd", 8)))

    with monkeypatch.context() as patch:
        patch.setattr(joining, "_present", lying)
        assert c.person("dora").join(link, c.bob) == ""
    c.meet(c.ann, c.bob, c.dora)
    c.later(MINUTE)
    c.dora.run_jobs()
    key.rekey(c.ann.ctx)
    c.ann.say("under the new key")
    c.dora.hear(c.ann)
    c.later(MINUTE)
    c.dora.run_jobs()
    c.carl.hear(c.dora)
    assert c.carl.texts() == c.dora.texts() == ["under the new key"]
    firsts = [keyring.first_control(one.home, one.member, one.ctx.graph) for one in (c.ann, c.dora)]
    assert firsts[0] == firsts[1]
