"""What becomes of a link that somebody follows who was in already, or had been put out."""

import pytest

from quire.core.certificate import invite_key, prove_inviter
from quire.core.ticket import decode_link
from quire.handlers import joining, own_link, role, space
from quire.handlers.admit_letter import WELCOME
from tests.handlers.letters import Apart, apart, refused

HISTORIES = [space.HISTORY_ALL, space.HISTORY_FROM_JOIN]


def asks(there: Apart, name: str) -> bool:
    return bool(joining.greet(there[name].ctx(name), "x"))


def role_of(there: Apart, name: str, at: str) -> str:
    members = role.list_(there[at].ctx(at), everyone=True)
    return next(member.role for member in members if member.pubkey == there.person(name))


@pytest.mark.parametrize("history", HISTORIES)
def test_a_member_that_follows_a_newer_link_has_nothing_to_confirm(history: str) -> None:
    with apart(history=history) as there:
        there.join("bob")
        joined = there.knock("bob", there["ann"].link("ann"))
        assert (joined.already, joined.waiting) == (True, True), (
            "it may have been put out, and not have heard of it"
        )
        assert own_link.state(there["bob"].ctx("bob")).startswith("you are in, as far as this device knows")
        assert there.ask("bob", "ann")[0][:1] == WELCOME
        assert not own_link.is_unconfirmed(there["bob"].ctx("bob"))
        there.give("ann", "bob")
        assert not asks(there, "bob"), "by the invite it knows that its maker knew it as a member"
        assert own_link.state(there["bob"].ctx("bob")) == ""
        there.say("bob", "hello")
        there.settle()
        assert there.texts("ann") == ["hello"]


def test_a_link_that_is_known_already_is_shown_to_nobody() -> None:
    with apart() as there:
        there.join("bob")
        link = there["ann"].link("ann")
        there.settle()
        joined = there.knock("bob", link)
        assert (joined.already, joined.waiting) == (True, False)
        assert not asks(there, "bob")
        there.join("carol", link=link)
        assert there["ann"].knows("ann") == ["ann", "bob", "carol"], "its seat is not taken"


@pytest.mark.parametrize("history", HISTORIES)
def test_who_was_put_out_unknowingly_asks_until_it_is_let_in_anew(history: str) -> None:
    with apart(history=history) as there:
        there.join("bob")
        role.remove(there["ann"].ctx("ann"), "bob")
        assert there.knock("bob", there["ann"].link("ann")).already, "as far as it knows"
        assert there.ask("bob", "ann")[0][:1] == WELCOME
        assert asks(there, "bob"), "a welcome may be anybody's: the graph has to say so"
        there.give("ann", "bob")
        assert not asks(there, "bob")
        there.say("bob", "again")
        there.settle()
        assert there.texts("ann")[-1] == "again"


def test_a_guest_stays_one_by_a_link_that_gives_more() -> None:
    with apart() as there:
        there.join("bob", role="guest")
        assert there.knock("bob", there["ann"].link("ann", role="admin")).already
        there.ask("bob", "ann")
        there.settle()
        assert not asks(there, "bob")
        assert role_of(there, "bob", "ann") == role_of(there, "bob", "bob") == "guest"


def test_who_followed_a_link_as_a_member_shows_it_to_nobody_after_it_was_removed_or_left() -> None:
    with apart() as there:
        for name in ("bob", "carol"):
            there.join(name)
            there.knock(name, there["ann"].link("ann"))
            there.ask(name, "ann")
        there.settle()
        role.leave(there["carol"].ctx("carol"))
        role.remove(there["ann"].ctx("ann"), "bob")
        there.settle()
        assert not own_link.is_in(there["bob"].ctx("bob"))
        assert (asks(there, "bob"), asks(there, "carol")) == (False, False)


def test_who_left_comes_back_by_a_link_made_while_it_was_in() -> None:
    with apart() as there:
        there.join("bob")
        link = there["ann"].link("ann")
        there.settle()
        role.leave(there["bob"].ctx("bob"))
        there.settle()
        assert not there.knock("bob", link).already
        assert there.ask("bob", "ann")[0][:1] == WELCOME
        there.settle()
        assert there["ann"].knows("ann") == ["ann", "bob"]
        assert not asks(there, "bob")


def test_who_is_told_that_it_is_out_asks_by_a_link_that_it_knows() -> None:
    with apart() as there:
        there.join("bob")
        link = there["ann"].link("ann", approve=True)
        there.settle()
        role.remove(there["ann"].ctx("ann"), "bob")
        own_link.hear_removed(there["bob"].ctx("bob"))
        assert not there.knock("bob", link).already
        assert asks(there, "bob")


def test_anothers_invite_of_the_same_key_keeps_nobody_from_asking() -> None:
    """Carol has the link, and makes an invite of its key that does not know of Bob's removal."""
    with apart() as there:
        there.join("bob")
        there.join("carol")
        there.settle()
        role.remove(there["ann"].ctx("ann"), "bob")
        link = there["ann"].link("ann")
        secret, carol = decode_link(link).secret, there["carol"].ctx("carol")
        proof = prove_inviter(secret, carol.member.space_id, carol.member.device)
        fields = {"role": "member", "uses": 1, "expires": carol.now + 1_000_000, "approve": False}
        carol.change("invite", {"public": invite_key(secret).text, "proof": proof, **fields})
        there.give("carol", "bob")
        assert there.knock("bob", link).waiting
        assert asks(there, "bob")
        answers = there.ask("bob", "ann")
        assert (refused(answers), answers[0][:1]) == ([], WELCOME)
