"""Which relays a space uses: everybody's latest word on each."""

from itertools import permutations

import pytest

from quire.core.encoding import to_text
from quire.core.relay_address import RelayAddress
from quire.core.ticket import decode_link
from quire.errors import NotFound, UserError
from quire.events.rebuild import rebuild
from quire.handlers import invite, relay, relay_places
from quire.limits import MAX_RELAY_URL_CHARS, MAX_RELAYS, MAX_TICKET_RELAYS
from tests.events.builders import NOW, Author, Made, give
from tests.handlers.network import Network, author_in

KEYS = [bytes([number]) * 32 for number in range(1, MAX_RELAYS + 3)]


def address(number: int, host: str = "relay") -> RelayAddress:
    return RelayAddress(f"wss://{host}{number}.example/", KEYS[number])


def says(author: Author, one: RelayAddress, used: bool) -> Made:
    return author.write("relay", {"url": one.url, "key": to_text(one.key), "used": used})


def receive(net: Network, *made: Made) -> None:
    give(net.home, net.member("alice"), *made, now=net.now)


def test_what_is_added_is_used_until_it_is_taken_away(net: Network) -> None:
    net.found("alice")
    ctx = net.ctx("alice")
    added = relay.add(ctx, address(0).text)
    assert (added.host, added.address) == ("relay0.example", address(0).text)
    assert relay.list_(ctx) == [added]
    relay.add(ctx, address(0).text)  # once more: nothing new
    assert len(relay.list_(ctx)) == 1
    assert relay.remove(ctx, "relay0.example") == added
    assert relay.list_(ctx) == []
    assert relay.is_told_of(ctx)


@pytest.mark.parametrize(
    "name", ["relay0.example", "wss://relay0.example/", address(0).text, to_text(KEYS[0])]
)
def test_a_relay_goes_by_several_names(net: Network, name: str) -> None:
    net.found("alice")
    relay.add(net.ctx("alice"), address(0).text)
    relay.add(net.ctx("alice"), address(1).text)
    relay.remove(net.ctx("alice"), name)
    assert [one.host for one in relay.list_(net.ctx("alice"))] == ["relay1.example"]


def test_who_it_is_must_be_clear(net: Network) -> None:
    net.found("alice")
    ctx = net.ctx("alice")
    with pytest.raises(NotFound, match="No relay of this space"):
        relay.remove(ctx, "relay0.example")
    relay.add(ctx, address(0).text)
    relay.add(ctx, f"wss://relay0.example/other#{to_text(KEYS[1])}")
    with pytest.raises(NotFound, match="Several relays"):
        relay.remove(ctx, "relay0.example")


def test_so_many_and_no_more_and_another_place_for_one_that_is_there(net: Network) -> None:
    net.found("alice")
    ctx = net.ctx("alice")
    for number in range(MAX_RELAYS):
        relay.add(ctx, address(number).text)
    with pytest.raises(UserError, match="at most"):
        relay.add(ctx, address(MAX_RELAYS).text)
    relay.add(ctx, RelayAddress("wss://moved.example/", KEYS[0]).text)
    assert sorted(one.host for one in relay.list_(ctx))[0] == "moved.example"
    assert len(relay.list_(ctx)) == MAX_RELAYS


def test_the_latest_word_on_each_counts_in_every_order(net: Network) -> None:
    net.found("alice")
    carol, dora = author_in(net, "alice", "carol"), author_in(net, "alice", "dora")
    receive(net, carol.introduce(), dora.introduce())
    said = [
        says(carol, address(0), True),
        says(dora, address(0), False),
        says(carol, address(1), True),
        says(dora, RelayAddress("wss://moved.example/", KEYS[1]), True),
    ]
    found = set()
    for order in list(permutations(said))[::5]:
        for made in order:
            receive(net, made)
        found.add(tuple(one.url for one in relay.used(net.ctx("alice"))))
    rebuild(net.home, NOW)
    found.add(tuple(one.url for one in relay.used(net.ctx("alice"))))
    assert len(found) == 1


@pytest.mark.parametrize(
    "url", ["", "no url", "wss://relay.example", "ftp://x/", "wss://" + "x" * MAX_RELAY_URL_CHARS]
)
def test_what_is_no_address_is_kept_and_of_no_effect(net: Network, url: str) -> None:
    net.found("alice")
    carol = author_in(net, "alice", "carol")
    receive(net, carol.introduce(), says(carol, RelayAddress(url, KEYS[0]), True), carol.say("hello"))
    assert relay.used(net.ctx("alice")) == []
    assert net.shown("alice") == ["hello"]


def test_a_link_names_the_first_relays(net: Network) -> None:
    net.found("alice")
    for number in range(MAX_TICKET_RELAYS + 1):
        relay.add(net.ctx("alice"), address(number).text)
    link = invite.create(net.ctx("alice")).link
    assert decode_link(link).relays == [address(number) for number in range(MAX_TICKET_RELAYS)]
    assert relay_places.used(net.ctx("alice")) == [address(number) for number in range(MAX_TICKET_RELAYS + 1)]
