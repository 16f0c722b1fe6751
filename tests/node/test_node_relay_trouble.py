"""Full disks under nodes that use a relay: what could not be kept comes again."""

from collections.abc import Sequence
from typing import Any, NoReturn

import apsw
import pytest

from quire.core import certificate
from quire.core.certificate import certify, invite_key, prove
from quire.core.encoding import to_text
from quire.core.keys import DeviceKey
from quire.core.ticket import Ticket, decode_link
from quire.core.wrapping import WrapKey
from quire.errors import HomeError, Refused
from quire.events import ingest as ingest_module
from quire.events import settle as settle_module
from quire.events.home import Home
from quire.events.settle import Report
from quire.handlers import admit_letter, incoming, joining
from quire.handlers.admit import Request
from quire.limits import MAX_CLOCK_SET_BACK_MS, MAX_RELAY_RETRY_MS, RELAY_REREAD_MS
from quire.net import relay_wire
from quire.net.left import Letter
from quire.net.relay_wire import Refusal
from quire.node.relay_door import RelayDoor
from quire.store.memberships import JOINING, Membership, Memberships
from quire.store.relays import Relays
from tests.core.mixed_order import MixedOrderKey
from tests.events.builders import full_disk
from tests.net.memory_relay import Line
from tests.node.relayed import Relayed, founder, pair, state, the_relay
from tests.node.world import Station

FULL = "The disk is full."


@pytest.fixture
def world(relayed: Relayed) -> Relayed:
    return relayed


def _fail(error: Exception) -> Any:
    def failing(*_: object, **__: object) -> NoReturn:
        raise error

    return failing


def _again(world: Relayed, station: Station) -> None:
    """Once there is room again, and somebody looks."""
    station.ask("getStatus")
    world.until(lambda: state(station) == "in-sync", most=2 * MAX_RELAY_RETRY_MS)
    assert station.running.trouble == ""


@pytest.mark.parametrize("error", [HomeError(FULL), apsw.FullError("full")])
@pytest.mark.parametrize("frugal", [False, True])
def test_what_a_relay_gave_while_the_disk_was_full_comes_again(
    world: Relayed, monkeypatch: pytest.MonkeyPatch, error: Exception, frugal: bool
) -> None:
    alice, bob = pair(world)
    bob.down()
    bob.up(frugal=frugal)
    world.run(1_000)
    with monkeypatch.context() as patch:
        patch.setattr(incoming, "receive", _fail(error))
        alice.ask("sendMessage", target="general", text="while it is full")
        world.until(bob.troubles)
        assert state(bob) == "unreachable"
        assert "disk is full" in bob.space()["relays"][0]["trouble"]
    alice.ask("sendMessage", target="general", text="after")
    _again(world, bob)
    world.until(lambda: bob.texts() == ["while it is full", "after"])


def test_a_real_full_disk_loses_nothing_of_what_a_relay_gives(world: Relayed) -> None:
    alice, bob = pair(world)
    db = bob.home.store.db
    with full_disk(db, 3):
        alice.ask("sendMessages", target="general", texts=["x" * 5_000 + str(n) for n in range(20)])
        world.run(10_000)
        assert bob.troubles()
        assert bob.texts() == []
    alice.ask("sendMessage", target="general", text="after")
    _again(world, bob)
    assert bob.texts() == alice.texts()
    assert bob.ask("verify")["damage"] == []


@pytest.mark.parametrize("restarted", [False, True])
def test_what_found_no_room_to_wait_is_read_again(
    world: Relayed, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    alice, bob = pair(world)
    alice.ask("sendMessage", target="general", text="before")
    world.until(lambda: bob.texts() == ["before"])
    with monkeypatch.context() as patch:
        patch.setattr(ingest_module, "MAX_BLOCKED", 0)
        patch.setattr(settle_module, "MAX_CLOCK_AHEAD_MS", -MAX_CLOCK_SET_BACK_MS)
        alice.ask("sendMessage", target="general", text="too early")
        world.run(30_000)
        assert state(bob) == "in-sync"
    alice.ask("sendMessage", target="general", text="after")
    world.until(lambda: "after" in bob.texts())
    alice.down()
    assert bob.texts() == ["before", "after"]
    if restarted:
        bob.down()
        bob.up()
        world.run(5_000)
    else:
        world.run(RELAY_REREAD_MS)
    assert bob.texts() == ["before", "too early", "after"]
    calls = bob.running.relaying._last_number
    world.run(2 * RELAY_REREAD_MS)
    assert bob.running.relaying._last_number == calls, "once all has found room, no more is read again"


def test_a_full_disk_does_not_make_a_node_call_a_relay_all_the_time(
    world: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair(world)
    with monkeypatch.context() as patch:
        patch.setattr(bob.home.store.relays, "keep_mailbox", _fail(HomeError(FULL)))
        alice.ask("sendMessage", target="general", text="while it is full")
        before = bob.running.relaying._last_number
        world.run(60_000)
        assert 1 <= bob.running.relaying._last_number - before <= 10
    _again(world, bob)
    assert bob.texts() == ["while it is full"]


def test_mailboxes_that_could_not_all_be_opened_are_read_all_the_same(
    world: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair(world)
    bob.down()
    alice.ask("sendMessage", target="general", text="hello")
    world.run(1_000)
    looked = Relays.mailbox
    asked: list[int] = []

    def failing(self: Relays, *at: Any) -> Any:
        asked.append(1)
        if len(asked) == 2:
            raise apsw.IOError("no disk")
        return looked(self, *at)

    monkeypatch.setattr(Relays, "mailbox", failing)
    alice.down()
    bob.up()
    world.until(bob.troubles)
    _again(world, bob)
    assert bob.texts() == ["hello"]


def _with_what_waits(station: Station) -> bool:
    """Whether something read from a relay waits in memory for what vouches for it."""
    lines = station.running.relaying._lines.values()
    return any(getattr(use, "_tail", ()) for line in lines for use in line.uses.values())


def _away(world: Relayed) -> tuple[Station, list[str]]:
    """Somebody who is away, and what another wrote meanwhile; the relay gives one record at a time."""
    alice, bob = pair(world)
    bob.down()
    texts = ["y" * 3_000 + str(n) for n in range(400)]
    alice.ask("sendMessages", target="general", texts=texts)
    world.run(20_000)
    the_relay(world).page = 1
    return bob, texts


@pytest.mark.parametrize("once", [False, True])
def test_a_connection_that_breaks_while_the_disk_is_full_is_made_again(
    world: Relayed, monkeypatch: pytest.MonkeyPatch, once: bool
) -> None:
    """One signature stands for all events of a batch: those before it wait in memory for it. `once`: there is room
    again for those, and was none for what came after.
    """
    bob, texts = _away(world)
    receive = incoming.receive
    full: list[int] = []

    def failing(home: Home, member: Membership, records: Sequence[bytes], *rest: Any) -> Report:
        if home is bob.home and (full or _with_what_waits(bob)) and not (once and full):
            full.append(world.now)
            raise HomeError(FULL)
        return receive(home, member, records, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(incoming, "receive", failing)
        bob.up()
        world.until(lambda: full)
        world.hang_up_relays()
        world.run(2_000)
        assert bob.troubles()
    _again(world, bob)
    assert bob.texts() == texts


def test_a_mailbox_that_is_shut_while_something_of_it_waits_stops_nobody(
    world: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, texts = _away(world)
    push = Line._push
    with monkeypatch.context() as patch:
        patch.setattr(Line, "_push", lambda line, n: push(line, n, 1))
        bob.up()
        world.until(lambda: _with_what_waits(bob))
        (line,) = bob.running.relaying._lines.values()
        for n in list(line.boxes):
            refusal = Refusal(n, "damaged", 60_000, "The relay's store is damaged.")
            bob.running.receive_relay(line.number, relay_wire.encode(refusal), world.now)
        assert state(bob) == "refused"
        assert _with_what_waits(bob)
        world.hang_up_relays()
    _again(world, bob)
    assert bob.texts() == texts


def test_a_welcome_that_could_not_be_taken_at_once_is_taken_later(
    world: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = founder(world)
    alice.ask("sendMessage", target="general", text="hello")
    link = alice.ask("createInvite")["link"]
    world.run(20_000)
    alice.down()
    carol = world.station("carol")
    carol.ask("joinSpace", link=link, name="carol")
    with monkeypatch.context() as patch:
        patch.setattr(Memberships, "set_kind", _fail(apsw.FullError("full")))
        carol.up()
        world.run(3_000)
        assert carol.home.store.memberships.all()[0].kind == JOINING
    connection = carol.running.relaying._last_number
    world.until(lambda: carol.texts() == ["hello"], most=10_000)
    assert carol.running.relaying._last_number == connection


def test_a_letter_that_nobody_can_take_is_looked_at_once(
    world: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with it, if it is not the disk: else no other would ever be looked at."""
    alice = founder(world)
    link = alice.ask("createInvite")["link"]
    world.run(20_000)
    alice.down()
    carol = world.station("carol")
    carol.ask("joinSpace", link=link, name="carol")
    enter, taken = joining.enter_ahead, []

    def odd(*given: Any) -> None:
        taken.append(1)
        if len(taken) == 1:
            raise Refused("Nobody can take this.")
        enter(*given)

    monkeypatch.setattr(joining, "enter_ahead", odd)
    carol.up()
    world.run(5_000)
    assert len(taken) == 1
    (door,) = _doors(carol)
    assert door._seen == len(door._left)


def _doors(station: Station) -> list[RelayDoor]:
    lines = station.running.relaying._lines.values()
    return [use for line in lines for use in line.uses.values() if isinstance(use, RelayDoor)]


def test_a_newcomer_to_whom_no_letter_can_be_sealed_keeps_nobody_from_the_relay(
    world: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its device key is no point of the prime-order group, and what it signs holds all the same."""
    alice = founder(world)
    link = alice.ask("createInvite", uses=9)["link"]
    world.run(5_000)
    alice.down()
    mal = world.station("mal")
    mal.ask("joinSpace", link=link, name="mal")
    mal.up()
    world.until(lambda: bool(_doors(mal)))
    letter = _request_by(MixedOrderKey(b"m" * 32), decode_link(link))
    monkeypatch.setattr(_doors(mal)[0], "_request", lambda ctx: iter([letter]))
    world.run(5_000)
    mal.down()
    alice.up()
    world.until(lambda: any(letter in door._left for door in _doors(alice)))
    world.run(30_000)
    assert alice.running.trouble == ""
    world.until(world.newcomer("carol", alice).is_in)


def _request_by(odd: MixedOrderKey, ticket: Ticket) -> Letter:
    root, wrap, space_id = DeviceKey(b"r" * 32), to_text(WrapKey(b"w" * 32).public), to_text(ticket.space_id)
    invite, said = invite_key(ticket.secret), certificate.words("odd", 0)
    statement = certificate._statement(certificate._REQUEST, space_id, root.text, wrap, invite.text, said)
    asked = Request(
        identity=root.text,
        device=odd.text,
        wrap=wrap,
        chain=[certify(root, root.text, odd.text, wrap)],
        consent=to_text(odd.sign(statement)),
        invite=invite.text,
        proof=prove(ticket.secret, space_id, odd.text, said),
        name="odd",
        seq=0,
    )
    return Letter(odd.public, b"", admit_letter.REQUEST + admit_letter.pack_request(asked))
