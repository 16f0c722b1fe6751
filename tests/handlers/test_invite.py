from dataclasses import replace

import pytest

from quire.core.certificate import invite_key
from quire.core.encoding import to_text
from quire.core.ticket import decode_link, encode_link
from quire.errors import NotFound, Refused, UserError
from quire.handlers import invite, role
from quire.limits import MAX_INVITE_DAYS, MAX_INVITE_USES, MAX_TICKET_OTHERS
from tests.events.builders import Author, Made, digest, give, invite_keys
from tests.handlers.network import Network, author_in


def test_the_log_holds_the_public_key_alone(net: Network) -> None:
    net.found("alice")
    made = invite.create(net.ctx("alice"), uses=3, expires="12h", role="guest", approve=True)
    ticket = decode_link(made.link)
    assert decode_link(made.web) == ticket
    node = invite.find(net.ctx("alice"), invite_key(ticket.secret).text)
    assert node is not None
    (entry,) = invite.list_(net.ctx("alice"))
    assert (entry.by, entry.role, entry.uses, entry.used) == ("alice", "guest", 3, 0)
    assert (entry.approve, entry.state, entry.invite_id) == (True, "open", node.event_id)
    assert entry.expires == made.expires
    assert 0 < made.expires - net.now <= 12 * 3_600_000
    for table in ("blobs", "graph_events", "events"):
        for row in net.rows(f"SELECT * FROM {table}"):
            assert not any(isinstance(value, bytes) and ticket.secret in value for value in row)


@pytest.mark.parametrize("text", ["", "d", "7", "7x", "-7d", "1.5d", "0m", "7 d", "٣d", "9999999m"])
def test_lengths_of_time_that_are_none(text: str) -> None:
    with pytest.raises(UserError):
        invite.duration_ms(text)


def test_lengths_of_time_are_bounded() -> None:
    """MAX_INVITE_DAYS."""
    assert invite.duration_ms(f"{MAX_INVITE_DAYS}d") == MAX_INVITE_DAYS * 86_400_000
    for text in (f"{MAX_INVITE_DAYS + 1}d", "53w", "999999h"):
        with pytest.raises(UserError, match="366 days"):
            invite.duration_ms(text)
    assert [invite.duration_ms(text) for text in ("30m", "12h", "2w")] == [
        1_800_000,
        43_200_000,
        1_209_600_000,
    ]


@pytest.mark.parametrize("uses", [0, -1, MAX_INVITE_USES + 1])
def test_seats_are_bounded(net: Network, uses: int) -> None:
    net.found("alice")
    with pytest.raises(UserError, match="10,000 people"):
        invite.create(net.ctx("alice"), uses=uses)
    assert invite.list_(net.ctx("alice")) == []


def test_nobody_gives_more_than_they_have(pair: Network) -> None:
    pair.settle()
    with pytest.raises(UserError, match="not 'founder'"):
        pair.link("alice", role="founder")
    with pytest.raises(Refused, match="rule `admin`"):
        pair.link("bob", role="admin")
    role.grant(pair.ctx("alice"), "bob", "guest")
    pair.settle()
    with pytest.raises(Refused, match="rule `guest`"):
        pair.link("bob")


def test_an_invite_needs_a_space(net: Network) -> None:
    net.create("alice")
    with pytest.raises(UserError, match="in no space yet"):
        net.link("alice")


def test_states(net: Network) -> None:
    net.found("alice")
    net.join("alice", "bob")
    net.link("alice", expires="1m")
    net.now += 60_001
    assert [one.state for one in invite.list_(net.ctx("alice"))] == ["expired", "used"]
    with pytest.raises(NotFound, match="No invite begins"):
        invite.named(net.ctx("alice"), "?")
    one = invite.list_(net.ctx("alice"))[0]
    assert invite.named(net.ctx("alice"), one.invite_id[:20]) == one
    made = invite.create(net.ctx("alice"))
    for link in (made.link, made.web):
        assert invite.named(net.ctx("alice"), link).invite_id == made.invite_id != one.invite_id
    elsewhere = encode_link(replace(decode_link(made.link), secret=bytes(32)))
    with pytest.raises(NotFound, match="has that link") as told:
        invite.named(net.ctx("alice"), elsewhere)
    assert "#" not in str(told.value), "the secret is not shown again"
    with pytest.raises(UserError):
        invite.named(net.ctx("alice"), made.link[:-5])


def test_limits_that_are_none_are_of_no_effect(net: Network) -> None:
    net.found("alice")
    carol = author_in(net, "alice", "carol")
    odd: list[dict[str, object]] = [
        {"public": "no key"},
        {"public": to_text(b"\2".ljust(32, b"\0"))},  # no point of the curve
        {"public": to_text(bytes(32))},  # one of small order
        {"uses": 0},
        {"uses": MAX_INVITE_USES + 1},
        {"expires": -1},
        {"role": "founder"},
        {"role": "admin"},
        {"role": "none"},
        {"role": "king"},
    ]
    before = len(invite.list_(net.ctx("alice")))
    made = [_invite(carol, fields) for fields in odd]
    give(net.home, net.member("alice"), carol.introduce(), *made, now=net.now + 100)
    assert len(invite.list_(net.ctx("alice"))) == before


def _invite(author: Author, fields: dict[str, object]) -> Made:
    keys = invite_keys(digest("a secret"), author.space.id, author.id)
    sound = {**keys, "role": "member", "uses": 1, "expires": 2**53 - 1, "approve": False}
    return author.act("invite", {**sound, **fields}, author.introduce())


def test_a_link_names_others_who_were_reached(pair: Network) -> None:
    pair.settle()
    alice, bob = pair.member("alice"), pair.member("bob")
    remember = pair.home.store.memberships.remember_address
    remember(alice.account, alice.space, bob.device, "192.0.2.7:7700", 5)
    remember(alice.account, alice.space, "a stranger's", "192.0.2.8:7700", 6)
    ticket = decode_link(pair.link("alice"))
    assert [address for _, address in ticket.others] == ["192.0.2.7:7700"]
    assert len(ticket.others) <= MAX_TICKET_OTHERS


def test_a_qr_code(net: Network) -> None:
    net.found("alice")
    link = net.link("alice")
    assert "svg" in invite.draw(net.ctx(), link, svg=True).qr
    assert len(invite.draw(net.ctx(), link).qr.splitlines()) > 20
    with pytest.raises(UserError):
        invite.draw(net.ctx(), "nothing")
