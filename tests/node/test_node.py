from pathlib import Path
from random import Random

import pytest

from quire.core import canonical
from quire.core.certificate import certify, invite_key
from quire.core.encoding import from_text, to_text
from quire.core.keys import DeviceKey
from quire.core.sealing import key_id, seal
from quire.core.ticket import decode_link
from quire.events import ingest as ingest_module
from quire.events.context import Context
from quire.handlers import admit, identity, invite
from quire.limits import (
    ARRIVALS_PAGE,
    BEGIN_MS,
    HAILS_PER_HOST,
    HAILS_PERIOD_MS,
    HEARSAY_PER_MINUTE,
    INTRODUCE_MS,
    MALFORMED_PER_MINUTE,
    MAX_ADDRESSES_KEPT,
    MAX_CLOCK_AHEAD_MS,
    MAX_SESSIONS,
    REDIAL_MS,
    SILENCE_MS,
    TICK_MS,
)
from quire.net import wire
from quire.net.endpoint import SessionId
from quire.node import Arrived
from quire.node.jobs import Jobs
from tests.node.world import MORNING, Station, World

DAY = 86_400_000


def _same(*stations: Station) -> bool:
    return len({tuple(sorted(station.texts())) for station in stations}) == 1


def test_what_is_written_here_is_pushed_at_once(world: World, pair: tuple[Station, Station]) -> None:
    alice, bob = pair
    alice.ask("sendMessage", target="general", text="hello")
    assert world.until(lambda: bob.texts() == ["hello"]) <= 100
    cursors = [event.cursor for event in bob.told if isinstance(event, Arrived)]
    assert cursors == sorted(set(cursors))
    assert cursors[-1] == bob.home.store.blobs.last_cursor()


def test_more_than_a_page_of_arrivals_is_pushed(world: World, pair: tuple[Station, Station]) -> None:
    alice, bob = pair
    count = 2 * ARRIVALS_PAGE + 5
    for start in range(0, count, 1_000):
        texts = [str(n) for n in range(start, min(start + 1_000, count))]
        alice.ask("sendMessages", target="general", texts=texts)
    before = bob.home.store.blobs.last_cursor()
    world.until(lambda: bob.home.store.blobs.last_cursor() - before >= count)


def test_a_peer_that_restarts_is_met_again(world: World, pair: tuple[Station, Station]) -> None:
    alice, bob = pair
    for turn in range(3):
        bob.down()
        alice.ask("sendMessage", target="general", text=f"away {turn}")
        bob.ask("sendMessage", target="general", text=f"offline {turn}")
        world.run(500)  # alice still takes bob for connected
        bob.up()
        world.until(lambda: _same(alice, bob), most=5_000)
    assert len(alice.texts()) == 6


def test_who_is_near_has_what_is_new_before_a_start_s_jobs_begin(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    bob.down()
    alice.ask("sendMessage", target="general", text="while bob was away")
    world.run(500)
    begun: list[Jobs] = []
    monkeypatch.setattr(Jobs, "run", lambda jobs, *_: begun.append(jobs))
    bob.up()
    world.until(lambda: bob.texts() == ["while bob was away"], most=BEGIN_MS - 1)
    assert bob.running._jobs not in begun
    world.run(BEGIN_MS)
    assert bob.running._jobs in begun


def test_a_peer_that_restarts_elsewhere_is_met_again(world: World, pair: tuple[Station, Station]) -> None:
    alice, bob = pair
    bob.down()
    alice.down()
    bob.address = ("10.0.1.1", 9_000)
    bob.ask("sendMessage", target="general", text="from elsewhere")
    alice.up()
    bob.up()  # alice knows only the old address; bob knows hers
    world.until(lambda: alice.texts() == ["from elsewhere"], most=2 * REDIAL_MS)
    bob.down()
    alice.down()
    alice.ask("sendMessage", target="general", text="to elsewhere")
    bob.up()
    alice.up()  # now alice knows the new one
    world.until(lambda: _same(alice, bob), most=2 * REDIAL_MS)


def test_a_peer_whose_address_changes_is_followed(world: World, pair: tuple[Station, Station]) -> None:
    alice, bob = pair
    bob.move(("10.0.2.2", 4_000))
    bob.ask("sendMessage", target="general", text="on the road")
    world.until(lambda: alice.texts() == ["on the road"], most=5_000)
    alice.ask("sendMessage", target="general", text="safe travels")
    world.until(lambda: _same(alice, bob), most=5_000)


def test_two_that_move_at_once_find_each_other_through_a_third(
    world: World, pair: tuple[Station, Station]
) -> None:
    alice, bob = pair
    carol = world.guest("carol", alice)
    world.until(lambda: carol.connected() == bob.connected() == 2)
    alice.move(("10.0.2.1", 4_000))
    bob.move(("10.0.2.2", 4_000))
    world.run(SILENCE_MS + 2 * REDIAL_MS)
    assert alice.connected() == bob.connected() == 2
    carol.down()
    bob.ask("sendMessage", target="general", text="without carol")
    world.until(lambda: alice.texts() == ["without carol"], most=5_000)


def test_a_silent_peer_is_dialled_until_it_comes_back(world: World, pair: tuple[Station, Station]) -> None:
    alice, bob = pair
    bob.down()
    world.run(SILENCE_MS + 3 * REDIAL_MS)
    assert alice.connected() == 0
    sent = len(world.log)
    world.run(60_000)
    assert 6 <= len(world.log) - sent <= 40  # neither given up nor stormed
    bob.up()
    world.until(lambda: alice.connected() == 1)


def test_newcomers_learn_where_the_others_are(world: World, pair: tuple[Station, Station]) -> None:
    alice, bob = pair
    carol = world.guest("carol", alice)
    world.until(lambda: carol.connected() == 2)
    alice.down()
    carol.ask("sendMessage", target="general", text="without alice")
    world.until(lambda: bob.texts() == ["without alice"])
    bob.down()
    carol.down()
    bob.up()
    carol.up()
    world.until(lambda: carol.connected() == 1)


def test_nobody_is_told_twice_where_the_others_are(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = pair
    for name in ("carol", "dave", "erin", "frank"):
        world.guest(name, alice)
    everyone = list(world.stations.values())
    world.until(lambda: all(station.connected() == 5 for station in everyone))
    alice.down()
    told: list[int] = []
    addresses = wire.addresses
    monkeypatch.setattr(wire, "addresses", lambda known: told.append(len(known)) or addresses(known))
    alice.up()
    world.until(lambda: alice.connected() == 5)
    world.run(2 * INTRODUCE_MS)
    assert told.count(6) == 5, "alice names to each whom she knows, and herself"
    assert sum(told) <= 5 * 6 + 5 * 5, "nobody names again what was named there, either way"


@pytest.mark.slow
def test_many_peers_on_a_bad_network_converge(tmp_path: Path) -> None:
    world = World(tmp_path, loss=0.2)
    alice = world.founder()
    guests = [world.guest(f"guest {number}", alice) for number in range(7)]
    for number, guest in enumerate(guests):
        guest.ask("sendMessages", target="general", texts=[f"{number} {n}" for n in range(30)])
    world.until(lambda: _same(alice, *guests) and len(alice.texts()) == 210, most=120_000)
    world.until(lambda: alice.connected() == 7)
    world.close()


def test_the_same_names_give_the_same_run(tmp_path: Path) -> None:
    logs = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        world = World(tmp_path / run, loss=0.3)
        alice = world.founder()
        bob = world.guest("bob", alice)
        bob.ask("sendMessages", target="general", texts=[f"text {n}" for n in range(50)])
        world.run(10_000)
        assert _same(alice, bob)
        logs.append(world.log)
        world.close()
    assert logs[0] == logs[1]


# --- Clocks.


@pytest.mark.parametrize("jump", [-MAX_CLOCK_AHEAD_MS // 2, -1_000, 1_000, MAX_CLOCK_AHEAD_MS])
def test_a_clock_that_jumps_changes_no_order(world: World, pair: tuple[Station, Station], jump: int) -> None:
    alice, bob = pair
    alice.ask("sendMessage", target="general", text="1")
    world.run(1_000)
    for number, station in enumerate((bob, alice, bob), 2):
        station.clock_off = jump if station is bob else 0
        station.ask("sendMessage", target="general", text=str(number))
        world.until(lambda: _same(alice, bob))
    bob.clock_off = 0
    bob.ask("sendMessage", target="general", text="5")
    world.until(lambda: _same(alice, bob))
    assert alice.texts() == bob.texts() == list("12345")


@pytest.mark.parametrize("days", [1, 400])
def test_a_clock_that_was_set_back_shows_what_it_held_once_it_is_right(
    world: World, pair: tuple[Station, Station], days: int
) -> None:
    alice, bob = pair
    bob.clock_off = -days * DAY
    alice.ask("sendMessage", target="general", text="from tomorrow, says bob's clock")
    bob.ask("sendMessage", target="general", text="from yesterday")
    world.until(lambda: len(alice.texts()) == 2)
    assert bob.texts() == ["from yesterday"]
    bob.clock_off = 0
    world.until(lambda: _same(alice, bob), most=2 * TICK_MS)
    bob.ask("sendMessage", target="general", text="at last")
    world.until(lambda: _same(alice, bob))
    assert bob.texts()[-1] == "at last"


def test_what_is_dated_too_far_ahead_is_held_until_its_time(
    world: World, pair: tuple[Station, Station]
) -> None:
    alice, bob = pair
    bob.clock_off = MAX_CLOCK_AHEAD_MS + 60_000
    bob.ask("sendMessage", target="general", text="from the future")
    bob.clock_off = 0
    world.run(30_000)
    assert alice.texts() == []
    waiting = alice.ask("getStatus")["identities"][0]["spaces"][0]["blocked"]
    assert [entry["count"] for entry in waiting] == [1]
    alice.ask("sendMessage", target="general", text="meanwhile")
    world.run(30_000 + 2 * TICK_MS)
    world.until(lambda: _same(alice, bob))
    assert alice.texts() == ["meanwhile", "from the future"]


def test_a_machine_that_slept_goes_on(world: World, pair: tuple[Station, Station]) -> None:
    alice, bob = pair
    world.now += DAY  # nothing ran meanwhile
    alice.ask("sendMessage", target="general", text="good morning")
    world.until(lambda: _same(alice, bob))
    assert bob.texts() == ["good morning"]
    assert alice.running.wall(world.now) == MORNING + world.now


# --- What others say.


def test_a_full_waiting_list_is_not_the_fault_of_who_gives(
    world: World, pair: tuple[Station, Station], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Honest peers send runs in parts: they are not ignored because others have filled the list."""
    alice, bob = pair
    monkeypatch.setattr(ingest_module, "MAX_BLOCKED", 0)
    bob.down()
    bob.ask("sendMessages", target="general", texts=["unsigned", "signed for both"])
    last = bob.home.store.blobs.last_cursor()
    (_, row), _ = bob.home.store.blobs.arrived_after(1, last - 2, 2)
    record = bob.home.store.names.key_id(row.epoch) + row.sealed
    member = alice.home.store.memberships.all()[0]
    ((session_id, session),) = alice.running._endpoint.sessions()
    for _ in range(MALFORMED_PER_MINUTE + 1):
        alice.running._ingest(member, session_id, session, [record], world.now)
    assert session.status().rejected == {}
    (told,) = alice.home.store.rejections.of(member.account)
    assert told[1:3] == ("waiting-list-full", MALFORMED_PER_MINUTE + 1)


def test_a_signature_that_does_not_hold_is_not_the_fault_of_who_gives(
    world: World, pair: tuple[Station, Station]
) -> None:
    """Who held the genuine successor first has taken the event for it, and passes both on in good faith."""
    alice, _ = pair
    member = alice.home.store.memberships.all()[0]
    key, context = member.epochs[member.content]
    mallory = DeviceKey(b"mallory".ljust(32, b"\0")).text
    draft = {"type": "x", "v": 1, "ts": 1, "author": mallory, "seq": 1, "prev": None, "sig": "A" * 86}
    record = key_id(key) + seal(key, bytes(24), canonical.encode(draft), context)
    ((session_id, session),) = alice.running._endpoint.sessions()
    for _ in range(MALFORMED_PER_MINUTE + 1):
        alice.running._ingest(member, session_id, session, [record], world.now)
    assert session.status().rejected == {}
    (told,) = alice.home.store.rejections.of(member.account)
    assert told[1:3] == ("bad-signature", MALFORMED_PER_MINUTE + 1)


def test_hearsay_that_is_no_address_is_left_out(world: World, pair: tuple[Station, Station]) -> None:
    alice, bob = pair
    member = bob.home.store.memberships.all()[0]
    peer = alice.home.store.memberships.all()[0].device_key.public
    session = bob.running._endpoint.session(SessionId(member.raw_space_id, member.device_key.public, peer))
    assert session is not None
    stranger = DeviceKey(b"stranger".ljust(32, b"\0")).public
    session.share(
        [(stranger, text) for text in ("", "nowhere", "example.com:1", "1.2.3.4:70000", "ø:1", ":")]
    )
    session.share([(stranger, "10.9.9.9:99"), (peer, "10.8.8.8:88")])
    world.run(2 * REDIAL_MS)
    member = alice.home.store.memberships.all()[0]
    known = alice.home.store.memberships.addresses(member.account, member.space, 100)
    assert [(address, reached) for device, address, reached in known if device == to_text(stranger)] == [
        ("10.9.9.9:99", 0)
    ]
    assert "10.8.8.8:88" not in [address for _, address, _ in known], "hearsay about oneself"
    assert alice.troubles() == []


def test_an_address_that_is_none_stops_nobody(world: World) -> None:
    """As an invite link or an older version may have left it."""
    alice = world.founder()
    bob = world.station("bob")
    bob.ask("joinSpace", link=alice.ask("createInvite")["link"], name="bob")
    member = bob.home.store.memberships.all()[0]
    inviter = alice.home.store.memberships.all()[0].account_id
    for text in ("nonsense", "host.example:77", "", "[::1"):
        bob.home.store.memberships.remember_address(member.account, member.space, inviter, text, 9)
    bob.up()
    world.until(lambda: alice.connected() == 1)
    assert bob.troubles() == []


def _teller(station: Station) -> SessionId:
    return station.running._endpoint.sessions()[0][0]


def test_hearsay_about_made_up_devices_pushes_out_none_about_members(
    world: World, pair: tuple[Station, Station]
) -> None:
    alice, _ = pair
    member = alice.home.store.memberships.all()[0]
    (away,) = _let_in(alice, 1)
    true = (from_text(away), "10.9.9.9:9")
    made_up = [(bytes([0, n // 256, n % 256]).ljust(32, b"h"), "10.6.6.6:6") for n in range(400)]
    alice.running._whereabouts.learn(member, _teller(alice), [true, *made_up], set(), world.now)
    known = alice.home.store.memberships.addresses(member.account, member.space, 10_000)
    assert len(known) == MAX_ADDRESSES_KEPT
    assert (away, "10.9.9.9:9", 0) in known


def test_a_peer_that_names_addresses_without_end_has_few_datagrams_sent_to_them(
    world: World, pair: tuple[Station, Station]
) -> None:
    alice, bob = pair
    victim = "10.6.6.6"
    away = [from_text(device) for device in _let_in(alice, 100)]
    session = bob.running._endpoint.sessions()[0][1]
    before = len(world.log)
    for second in range(60):
        session.share([(device, f"{victim}:{1 + (second + n) % 9}") for n, device in enumerate(away)])
        world.run(1_000)
    sent = [target for _, source, target, _ in world.log[before:] if target[0] == victim]
    assert 0 < len(sent) <= HAILS_PER_HOST * (60_000 // HAILS_PERIOD_MS + 1)
    assert MAX_ADDRESSES_KEPT <= HEARSAY_PER_MINUTE


def test_addresses_kept_are_bounded(world: World, pair: tuple[Station, Station]) -> None:
    alice, _ = pair
    member = alice.home.store.memberships.all()[0]
    hearsay = [
        (bytes([n % 256, n // 256]).ljust(32, b"h"), f"10.7.{n // 256}.{n % 256}:1") for n in range(600)
    ]
    alice.running._whereabouts.learn(member, _teller(alice), hearsay, set(), world.now)
    known = alice.home.store.memberships.addresses(member.account, member.space, 10_000)
    assert len(known) == MAX_ADDRESSES_KEPT
    assert known[0][2] > 0  # where bob was reached is not pushed out by what others say


@pytest.mark.slow
def test_no_more_peers_are_dialled_than_there_may_be_sessions(
    world: World, pair: tuple[Station, Station]
) -> None:
    alice, bob = pair
    member = alice.home.store.memberships.all()[0]
    for number, device in enumerate(_let_in(alice, MAX_SESSIONS + 10)):
        alice.home.store.memberships.remember_address(
            member.account, member.space, device, "10.6.6.6:6", number
        )
    world.run(2 * REDIAL_MS)
    assert len(alice.running.sessions(member)) == min(MAX_SESSIONS, MAX_ADDRESSES_KEPT - 1), (
        "one address is our own"
    )
    assert alice.connected() == 1
    bob.ask("sendMessage", target="general", text="still here")
    world.until(lambda: alice.texts() == ["still here"])


def _let_in(station: Station, count: int) -> list[str]:
    """Devices of so many people whom a station lets in, without any node of theirs."""
    secret = decode_link(station.ask("createInvite", uses=count)["link"]).secret
    member = station.home.store.memberships.all()[0]
    ctx = Context(station.home, station.now(), member.account, member)
    made = invite.find(ctx, invite_key(secret).text)
    assert made is not None
    devices = []
    for number in range(count):
        root, device = (DeviceKey((2 * number + one).to_bytes(32, "big")) for one in range(2))
        chain = [certify(root, root.text, device.text, identity.wrap_text(device))]
        asked = admit.signed(device, chain, root.text, member.space_id, secret, f"peer {number}", 0)
        admit.create(ctx, made.event_id, asked)
        devices.append(device.text)
    return devices


def test_noise_is_counted(world: World, pair: tuple[Station, Station]) -> None:
    alice, bob = pair
    random = Random(2)
    real = [data for _, source, _, data in world.log if source == bob.address]
    for size in (0, 1, 79, 80, 500, 1_200, 1_201, 65_507):
        alice.running.receive_datagram(random.randbytes(size), ("10.5.5.5", 5), world.now)
    for data in real:
        alice.running.receive_datagram(data[:-1], bob.address, world.now)
        alice.running.receive_datagram(data, bob.address, world.now)
    dropped = alice.running.dropped()
    assert dropped["unknown"] == 8
    assert dropped["unopened"] >= len(real) - 1
    world.run(1_000)
    assert alice.connected() == 1
    assert alice.troubles() == []
