import pytest

from quire.core.encoding import to_text
from quire.errors import UserError
from quire.events.rebuild import rebuild
from quire.handlers import space
from quire.limits import MAX_NAME_CHARS
from tests.events.builders import NOW, give, state_of
from tests.handlers.network import Network, author_in


def graph(net: Network, name: str) -> list[tuple[str, str, str]]:
    member = net.member(name)
    return net.rows(
        "SELECT action, subject, author_user FROM auth_graph WHERE account_id = ? AND space_id = ? ORDER BY ts, action",
        member.account_id,
        member.space_id,
    )


def test_create(net: Network) -> None:
    net.create("alice")
    made = space.create(net.ctx("alice"), "garden")
    assert space.list_(net.ctx("alice")) == [made]
    assert (made.name, made.identity, made.kind) == ("garden", "alice", "founder")
    alice = net.member("alice").account_id
    assert graph(net, "alice") == [("found", made.space_id, alice), ("newkey", "", alice)]
    rebuild(net.home, NOW)
    assert graph(net, "alice") == [("found", made.space_id, alice), ("newkey", "", alice)]


def test_the_id_follows_from_founder_salt_and_promise(net: Network) -> None:
    net.found("alice")
    founder, space_id, name = net.rows(
        "SELECT founder, space_id, name FROM space_rows JOIN spaces ON n = space"
    )[0]
    assert founder == net.member("alice").account_id
    assert name == "garden"
    salt = to_text(bytes(16))
    assert space.space_id_of(founder, salt, "all") != space_id == net.member("alice").space_id
    assert space.space_id_of(founder, salt, "all") != space.space_id_of(founder, salt, "from-join")
    for bad in (
        ("x", salt, "all"),
        (founder, "x", "all"),
        (founder, to_text(bytes(17)), "all"),
        (founder, salt, "never"),
    ):
        with pytest.raises(ValueError):
            space.space_id_of(*bad)


def test_nobody_else_can_claim_to_have_founded_it(net: Network) -> None:
    net.found("alice")
    mallory = author_in(net, "alice", "mallory")
    made = [mallory.introduce()]
    made += [
        mallory.act("space", {**who.introduction(), "name": "mine", "salt": salt, "history": history})
        for salt in (to_text(bytes(16)), "", "?", "A" * 50)
        for history in ("all", "never")
        for who in (mallory, mallory.space.founder)
    ]
    give(net.home, net.member("alice"), *made, now=net.now)
    assert {state_of(net.home, net.member("alice"), one) for one in made} == {"valid"}
    assert [row[2] for row in graph(net, "alice") if row[0] == "found"] == [net.member("alice").account_id]
    assert net.knows("alice") == ["alice", "mallory"]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * (MAX_NAME_CHARS + 1), "\u202e"])
def test_names_that_are_none(net: Network, name: str) -> None:
    net.create("alice")
    with pytest.raises(UserError, match="no control characters"):
        space.create(net.ctx("alice"), name)
    assert space.list_(net.ctx("alice")) == []


def test_a_name_is_taken_once_by_an_identity(net: Network) -> None:
    net.found("alice")
    with pytest.raises(UserError, match="already has a space"):
        space.create(net.ctx("alice"), "garden")
    net.found("bob")
    assert net.member("bob").space_id != net.member("alice").space_id


def test_spaces_are_each_identitys_own(pair: Network) -> None:
    space.create(pair.ctx("alice"), "yard")
    assert [(s.name, s.kind) for s in space.list_(pair.ctx("alice"))] == [
        ("garden", "founder"),
        ("yard", "founder"),
    ]
    assert [(s.name, s.kind) for s in space.list_(pair.ctx("bob"))] == [("garden", "invited")]


def test_the_founding_reaches_everyone(pair: Network) -> None:
    pair.settle()
    assert graph(pair, "bob") == graph(pair, "alice")
    assert [row[0] for row in graph(pair, "bob")] == ["found", "newkey", "invite", "admit", "sharekey"]
