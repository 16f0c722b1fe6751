from typing import Any

import msgspec
import pytest

from quire.core.certificate import prove, words
from quire.core.encoding import from_text, to_text
from quire.core.ticket import decode_link, encode_link
from quire.core.wrapping import seal_to
from quire.errors import BadEvent, UserError
from quire.handlers import admit, admit_letter, identity, invite_revoke, joining, key, own_link, role, space
from quire.handlers.admit_letter import REFUSAL, REQUEST, WAIT, WELCOME, WHY
from quire.limits import MAX_ADDRESSES, MAX_INTEGER, MAX_LETTER_BYTES
from quire.store.memberships import INVITED, JOINING
from tests.events.builders import digest
from tests.handlers.letters import Apart, apart, refused
from tests.handlers.network import Network


def state(there: Apart, name: str) -> str:
    return own_link.state(there[name].ctx(name))


# --- Between identities of one home --------------------------------------------------------------------


def test_at_home_it_is_settled_at_once(net: Network) -> None:
    net.found("alice")
    joined = net.join("alice", "bob")
    assert (joined.name, joined.identity, joined.waiting, joined.reason) == ("garden", "bob", False, "")
    assert joined.inviter == net.member("alice").device
    assert joined.space_id == net.member("alice").space_id == net.member("bob").space_id
    assert net.member("bob").epochs == net.member("alice").epochs
    assert net.member("bob").kind == INVITED
    assert net.knows("alice") == ["alice", "bob"]
    net.settle()
    assert net.knows("bob") == ["alice", "bob"]
    assert net.holdings("alice") == net.holdings("bob")


def test_more_members_at_home_do_not_confuse_it(net: Network) -> None:
    net.found("alice")
    for name in ("bob", "carol", "dora"):
        assert not net.join("alice", name).waiting
    net.settle()
    assert net.knows("dora") == ["alice", "bob", "carol", "dora"]


def test_with_an_identity_that_exists(net: Network) -> None:
    net.found("alice")
    net.found("bob", "yard")
    net.join("alice", "bob")
    assert [known.name for known in identity.list_(net.ctx())] == ["alice", "bob"]
    assert {s.name for s in space.list_(net.ctx("bob"))} == {"yard", "garden"}


def test_ones_own_link_is_for_others(net: Network) -> None:
    net.found("alice")
    with pytest.raises(UserError, match="your own invite link"):
        joining.join(net.ctx(), net.link("alice"), "alice")


def test_a_newer_link_tells_where_the_inviter_is_now(pair: Network) -> None:
    pair.settle()
    pair.addresses = ("192.0.2.9:99",)
    joining.join(pair.ctx(), pair.link("alice"), "bob")
    bob, alice = pair.member("bob"), pair.member("alice")
    assert pair.home.store.memberships.addresses_of(bob.account, alice.device) == ["192.0.2.9:99"]
    assert bob.kind == INVITED, "who is in stays in"
    assert [s.name for s in space.list_(pair.ctx("bob"))] == ["garden"]


def test_a_failed_join_leaves_nothing(net: Network) -> None:
    net.found("alice")
    link, before = net.link("alice"), net.sizes()
    with pytest.raises(UserError, match="no control characters"):
        joining.join(net.ctx(), link, "a\nb")
    for wrong in ("", "quire://join#abc", link[:-3], link.replace("join", "link")):
        with pytest.raises(UserError):
            joining.join(net.ctx(), wrong, "bob")
    assert net.sizes() == before
    assert not joining.join(net.ctx(), link, "bob").waiting, "and nothing stands in the way"


def test_a_link_says_where_the_inviter_can_be_found(net: Network) -> None:
    net.found("alice")
    member = net.member("alice")
    for number in range(20):
        for device, host in (("somebody else", "192.0.2.3"), (member.device, "192.0.2.2")):
            address = f"{host}:{number + 1}"
            net.home.store.memberships.remember_address(member.account, member.space, device, address, number)
    ticket = decode_link(net.link("alice"))
    assert ticket.addresses == [f"192.0.2.2:{number}" for number in range(20, 20 - MAX_ADDRESSES, -1)]
    joining.join(net.ctx(), encode_link(ticket), "bob")
    bob = net.member("bob")
    known = net.home.store.memberships.addresses(bob.account, bob.space, 100)
    assert sorted(address for _, address, _ in known) == sorted(ticket.addresses)
    assert {(device, reached) for device, _, reached in known} == {(member.device, 0)}
    net.addresses = ("192.0.2.1:7700",)
    assert decode_link(net.link("alice")).addresses == ["192.0.2.1:7700"], (
        "of a running node: where it listens"
    )


# --- Between homes -------------------------------------------------------------------------------------


def test_a_newcomer_waits_until_a_member_lets_it_in() -> None:
    with apart() as there:
        there.say("ann", "before")
        joined = there.knock("bob", there["ann"].link("ann"))
        assert (joined.waiting, joined.inviter) == (True, there["ann"].member("ann").device)
        assert there["bob"].member("bob").kind == JOINING
        assert state(there, "bob") == "waiting for a member to let you in"
        with pytest.raises(UserError, match="has no key"):
            there.say("bob", "too early")
        (answer,) = there.ask("bob", "ann")
        assert (answer[:1], len(answer) <= MAX_LETTER_BYTES) == (WELCOME, True)
        assert (there["bob"].member("bob").kind, state(there, "bob")) == (INVITED, "")
        assert joining.greet(there["bob"].ctx("bob"), "x"), (
            "a welcome may be anybody's: the graph has to say so"
        )
        there.give("ann", "bob")
        assert joining.greet(there["bob"].ctx("bob"), "x") == [], "who is in asks no more"
        there.say("bob", "hello")
        there.settle()
        assert there.texts("ann") == there.texts("bob") == ["before", "hello"]
        assert there["bob"].knows("bob") == ["ann", "bob"]


def test_any_member_lets_in_who_knows_the_invite() -> None:
    with apart() as there:
        there.join("bob")
        link = there["ann"].link("ann")
        there.knock("carol", link)
        assert there.ask("carol", "bob") == [WAIT], "Bob has not heard of this invite yet"
        assert state(there, "carol") == "waiting for a member to let you in: a member has been asked"
        there.give("ann", "bob")
        assert there.ask("carol", "bob")[0][:1] == WELCOME
        there.settle()
        assert there["ann"].knows("ann") == ["ann", "bob", "carol"]


def test_the_last_answer_may_be_lost() -> None:
    with apart() as there:
        there.knock("bob", there["ann"].link("ann"))
        (request,) = joining.greet(there["bob"].ctx("bob"), "x")
        device = there["bob"].member("bob").device
        welcomes: list[bytes] = []
        for _ in range(3):
            (welcome,) = joining.answer(there["ann"].ctx("ann"), device, request)
            assert welcome[:1] == WELCOME
            welcomes.append(welcome)
        assert there["ann"].rows("SELECT count(*) FROM auth_graph WHERE action = 'admit'") == [(1,)]
        joining.answer(there["bob"].ctx("bob"), "x", welcomes[-1])
        assert there["bob"].member("bob").kind == INVITED


def test_an_invite_is_used_up() -> None:
    with apart() as there:
        link = there["ann"].link("ann")
        there.join("bob", link=link)
        there.knock("carol", link)
        assert refused(there.ask("carol", "ann")) == ["invite-used"]
        assert state(there, "carol") == "not let in: every seat of the invite is taken"
        assert joining.join(there["carol"].ctx(), link, "carol").reason == ""


def test_an_invite_expires() -> None:
    with apart() as there:
        there.knock("bob", there["ann"].link("ann", expires="1m"))
        there.pass_time(60_001)
        assert refused(there.ask("bob", "ann")) == ["invite-expired"]
        assert "expired" in state(there, "bob")


def test_an_invite_is_revoked() -> None:
    with apart() as there:
        there.knock("bob", there["ann"].link("ann"))
        (public,) = there["ann"].rows("SELECT event_id FROM auth_graph WHERE action = 'invite'")[0]
        invite_revoke.create(there["ann"].ctx("ann"), str(public))
        assert refused(there.ask("bob", "ann")) == ["invite-revoked"]
        assert "revoked" in state(there, "bob")


def test_who_is_banned_stays_out_until_unbanned() -> None:
    with apart() as there:
        there.join("bob")
        role.ban(there["ann"].ctx("ann"), "bob")
        there.settle()
        there.knock("bob", there["ann"].link("ann"))
        assert refused(there.ask("bob", "ann")) == ["banned"]
        assert "banned" in state(there, "bob")
        role.unban(there["ann"].ctx("ann"), "bob")
        assert there.ask("bob", "ann")[0][:1] == WELCOME


def test_the_inviter_has_left() -> None:
    with apart() as there:
        there.join("bob")
        link = there["bob"].link("bob")
        there.settle()
        role.remove(there["ann"].ctx("ann"), "bob")
        there.knock("carol", link)
        assert refused(there.ask("carol", "ann")) == ["invite-inviter"]


def test_members_who_disagree_about_a_newer_link_make_nobody_introduce_itself_again() -> None:
    """Members who have heard different things may answer a request differently, for as long as they do not meet."""
    with apart() as there:
        there.join("bob", role="admin")
        there.join("carol", "bob")
        there.join("dan")
        there.settle()
        link = there["ann"].link("ann")
        there.settle("ann", "bob", "dan")
        role.leave(there["ann"].ctx("ann"))
        there.give("ann", "bob")
        role.remove(there["bob"].ctx("bob"), "carol")
        there.knock("carol", link)
        before = len(there.blobs("carol"))
        for _ in range(3):
            assert refused(there.ask("carol", "bob")) == ["invite-inviter"]
            assert there.ask("carol", "dan")[0][:1] == WELCOME
        assert len(there.blobs("carol")) == before


@pytest.mark.parametrize("removed", [False, True])
def test_who_is_out_welcomes_nobody_and_tells_nobody_why(removed: bool) -> None:
    """It hears of nothing any more, as that a member was banned: its word would hide the ban from who was."""
    with apart() as there:
        there.join("bob", role="admin")
        there.join("carol")
        there.join("gus")
        link = there["bob"].link("bob", uses=5)
        there.settle()
        out = "carol" if removed else "ann"
        if removed:
            role.remove(there["ann"].ctx("ann"), out)
        else:
            role.leave(there[out].ctx(out))
        there.settle("ann", "bob", "carol")
        assert joining.welcomes_ahead(there["bob"].ctx("bob"))
        assert joining.welcomes_ahead(there[out].ctx(out)) == []
        role.ban(there["bob"].ctx("bob"), "gus")
        there.knock("gus", link)
        assert there.ask("gus", out) == []
        device = there["gus"].member("gus").device
        assert joining.answer(there[out].ctx(out), device, WHY) == []
        assert refused(there.ask("gus", "bob")) == ["banned"]
        assert there.ask("gus", out) == []
        assert "banned" in state(there, "gus")
        there.knock("dora", link)
        assert there.ask("dora", out) == []


def test_a_letter_from_before_somebody_left_lets_it_in_no_more() -> None:
    with apart() as there:
        link = there["ann"].link("ann", uses=5)
        there.knock("bob", link)
        [late] = joining.greet(there["bob"].ctx("bob"), there["ann"].member("ann").device)
        there.ask("bob", "ann")
        there.settle()
        role.leave(there["bob"].ctx("bob"))
        there.give("bob", "ann")
        device = there["bob"].member("bob").device
        assert refused(list(joining.answer(there["ann"].ctx("ann"), device, late))) == ["removed"]
        assert there["ann"].knows("ann") == ["ann"]
        assert there.knock("bob", link).waiting, "by taking the link anew it comes back"
        assert there.ask("bob", "ann")[0][:1] == WELCOME
        assert there["ann"].knows("ann") == ["ann", "bob"]


def test_a_key_that_somebody_without_a_seat_was_given_is_not_written_under_once_that_is_known() -> None:
    with apart() as there:
        there.join("bob")
        link = there["ann"].link("ann", uses=1)
        there.settle()
        there.join("carol", "bob", link)
        there.say("bob", "carol is here")
        there.join("dan", "ann", link)
        there.give("ann", "bob")
        there.say("bob", "dan has no seat")
        there.give("bob", "dan")
        assert "carol is here" in there.texts("dan")
        assert "dan has no seat" not in there.texts("dan")


def test_who_may_not_let_in_leaves_it_to_others() -> None:
    with apart() as there:
        there.join("bob", role="guest")
        there.knock("carol", there["ann"].link("ann"))
        there.settle("ann", "bob")
        assert there.ask("carol", "bob") == [WAIT]
        assert there.ask("carol", "ann")[0][:1] == WELCOME


def test_who_was_let_in_by_somebody_removed_just_then_is_let_in_by_others() -> None:
    with apart() as there:
        there.join("bob")
        there.join("carol")
        there.settle()
        link = there["carol"].link("carol")
        there.settle()
        role.remove(there["ann"].ctx("ann"), "bob")
        there.join("dora", "bob", link)
        there.say("dora", "hello")
        there.settle("ann", "bob")
        dora, ann = there["dora"], there["ann"]
        device = dora.member("dora").device
        (why,) = joining.answer(ann.ctx("ann"), device, WHY)
        joining.answer(dora.ctx("dora"), ann.member("ann").device, why)
        assert there.ask("dora", "ann")[0][:1] == WELCOME
        there.settle("ann", "carol", "dora")
        assert joining.greet(dora.ctx("dora"), "x") == [], "who is in asks no more"
        assert own_link.told(dora.ctx("dora")) == ""
        assert there["carol"].knows("carol") == ["ann", "carol", "dora"]
        assert there.texts("carol") == there.texts("dora") == ["hello"]


def test_who_was_removed_may_be_invited_again() -> None:
    with apart() as there:
        there.join("bob")
        there.say("bob", "first")
        there.settle()
        role.remove(there["ann"].ctx("ann"), "bob")
        there.say("bob", "without the right to")
        there.settle()
        assert there.texts("ann") == ["first"]
        there.knock("bob", there["ann"].link("ann"))
        assert there.ask("bob", "ann")[0][:1] == WELCOME
        there.settle()
        there.say("bob", "again")
        there.settle()
        assert there.texts("ann") == there.texts("bob")
        assert there.texts("ann")[-1] == "again"


# --- Letters that are replayed, or are somebody else's -------------------------------------------------


def test_a_replayed_request_lets_nobody_in() -> None:
    """Whoever saw it lacks the device's key: letters come over a session of that device."""
    with apart() as there:
        there.knock("bob", there["ann"].link("ann", uses=5))
        (request,) = joining.greet(there["bob"].ctx("bob"), "x")
        with pytest.raises(BadEvent, match="bad-request"):
            joining.answer(there["ann"].ctx("ann"), digest_key("mallory"), request)
        assert there["ann"].knows("ann") == ["ann"]
        there.ask("bob", "ann")
        role.remove(there["ann"].ctx("ann"), "bob")
        link_used_again = joining.answer(there["ann"].ctx("ann"), there["bob"].member("bob").device, request)
        assert link_used_again[0][:1] in (WELCOME, REFUSAL)


def digest_key(name: str) -> str:
    return to_text(digest(name))


def test_a_welcome_opens_for_its_newcomer_alone_and_once() -> None:
    with apart() as there:
        link = there["ann"].link("ann", uses=2)
        for name in ("bob", "carol"):
            there.knock(name, link)
        (request,) = joining.greet(there["bob"].ctx("bob"), "x")
        (welcome,) = joining.answer(there["ann"].ctx("ann"), there["bob"].member("bob").device, request)
        with pytest.raises(BadEvent, match="cannot-unwrap"):
            joining.answer(there["carol"].ctx("carol"), "x", welcome)
        assert there["carol"].member("carol").kind == JOINING
        joining.answer(there["bob"].ctx("bob"), "x", welcome)
        key.rekey(there["ann"].ctx("ann"))
        there.give("ann", "bob")
        sealing = there["bob"].member("bob").content
        assert joining.answer(there["bob"].ctx("bob"), "x", welcome) == []
        assert there["bob"].member("bob").content == sealing, "an old welcome brings no old key back"


@pytest.mark.parametrize("body", [b"", b"x", b"\x90", b"\xc1", b"\x94\xa1x\x00\x90\x90", b"\xff" * 900])
def test_letters_that_are_none(body: bytes) -> None:
    with apart() as there:
        there.knock("bob", there["ann"].link("ann"))
        with pytest.raises(BadEvent, match=r"bad-letter|bad-request"):
            joining.answer(there["ann"].ctx("ann"), "x", REQUEST + body)
        with pytest.raises(BadEvent):
            joining.answer(there["bob"].ctx("bob"), "x", WELCOME + body)
        assert joining.answer(there["bob"].ctx("bob"), "x", body[:1] + b"?") == []
        assert there["bob"].member("bob").kind == JOINING


def test_a_welcome_with_keys_of_another_size() -> None:
    with apart() as there:
        there.knock("bob", there["ann"].link("ann"))
        bob = there["bob"].member("bob")
        wrap = from_text(identity.wrap_text(bob.device_key))
        for packed in (b"\x94\xa1g\xc4\x01k\xc4\x01s\xa0", b"\x91\xa1g", b"x"):
            context = b"quire welcome 1" + bob.raw_space_id + from_text(bob.device)
            with pytest.raises(BadEvent, match="bad-letter"):
                joining.answer(
                    there["bob"].ctx("bob"), "x", WELCOME + seal_to(wrap, packed, digest("e"), context)
                )


def test_requests_that_prove_nothing() -> None:
    """Proof, chain, consent, device or space are another's."""
    with apart() as there, apart("zoe") as elsewhere:
        link = there["ann"].link("ann", uses=9)
        there.knock("bob", link)
        there.knock("carol", link)
        (letter,) = joining.greet(there["bob"].ctx("bob"), "x")
        (other,) = joining.greet(there["carol"].ctx("carol"), "x")
        asked, hers = (admit_letter.unpack_request(one[1:]) for one in (letter, other))
        elsewhere.knock("bob", elsewhere["zoe"].link("zoe"))
        (foreign,) = joining.greet(elsewhere["bob"].ctx("bob"), "x")
        secret, space_id = decode_link(link).secret, there["ann"].member("ann").space_id
        said = words(asked.name, asked.seq)
        changed: list[dict[str, Any]] = [
            {"proof": hers.proof},
            {"proof": admit_letter.unpack_request(foreign[1:]).proof},
            {"proof": prove(secret, digest_key("elsewhere"), asked.device, said)},
            {"proof": prove(digest("guess"), space_id, asked.device, said)},
            {"name": "carol"},
            {"seq": asked.seq + 1},
            {"chain": hers.chain},
            {"chain": []},
            {"consent": hers.consent},
            {"wrap": hers.wrap},
            {"identity": hers.identity},
            {"device": hers.device},
            {"name": "a\nb"},
            {"seq": -1},
            {"seq": MAX_INTEGER + 1},
        ]
        for fields in changed:
            bad = msgspec.structs.replace(asked, **fields)
            for device in {asked.device, bad.device}:
                with pytest.raises(BadEvent, match="bad-request"):
                    joining.answer(there["ann"].ctx("ann"), device, REQUEST + admit_letter.pack_request(bad))
        unknown = admit.request(there["bob"].ctx("bob"), digest("guess"), "bob", 0)
        packed = REQUEST + admit_letter.pack_request(unknown)
        assert joining.answer(there["ann"].ctx("ann"), asked.device, packed) == [WAIT]
        assert there["ann"].knows("ann") == ["ann"]


# --- After key changes ---------------------------------------------------------------------------------


ROLES = (("ann", "founder"), ("dora", "none"), ("bob", "member"))


@pytest.mark.parametrize("history", [space.HISTORY_ALL, space.HISTORY_FROM_JOIN])
def test_a_newcomer_after_key_changes_learns_what_was_promised(history: str) -> None:
    """The whole membership graph; the content of before only where the space promises it."""
    with apart(history=history) as there:
        there.join("dora")
        there.say("ann", "one")
        key.rekey(there["ann"].ctx("ann"))
        there.say("ann", "two")
        role.remove(there["ann"].ctx("ann"), "dora")
        there.say("ann", "three")
        there.join("bob")
        there.say("ann", "four")
        there.settle("ann", "bob")
        seen = there.texts("bob")
        if history == space.HISTORY_ALL:
            assert seen == ["one", "two", "three", "four"]
        else:
            assert seen == ["four"], "sealed under a key that was made when he came"
        people = [(m.pubkey, m.role) for m in role.list_(there["bob"].ctx("bob"), everyone=True)]
        named = [(there.person(name), role) for name, role in ROLES]
        assert people == named
