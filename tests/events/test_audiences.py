"""Sealed bodies as they arrive: whatever is in them, in whatever order, with or without the key."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core import canonical
from quire.core.encoding import from_text, to_text
from quire.core.event import Event, SealedEvent
from quire.core.sealed_body import AudienceKey, randomness_size, seal_body
from quire.core.sealing import open_sealed, seal
from quire.errors import UserError
from quire.events.audiences import sealing_keys
from quire.events.opening import open_stored
from quire.events.rebuild import rebuild
from quire.events.verify import verify
from quire.handlers import audience, channel, message, personal, role
from quire.limits import MAX_BODY_CHARS, MAX_BODY_KEYS
from quire.store.blobs import VALID
from tests.events.builders import digest
from tests.handlers.homes import Homes, Person, Unfit


def pair() -> tuple[Homes, AudienceKey]:
    """Ann and Bob have written to each other, Mallory to both; the key of Ann and Bob's audience."""
    homes = Homes("ann", "bob", "mallory")
    homes["ann"].send("@bob", "hello")
    homes.settle()
    return homes, held(homes["ann"], audience.between(homes["ann"].ctx, homes["bob"].key))


def held(person: Person, made: str | None) -> AudienceKey:
    assert made is not None
    return sealing_keys(person.home, person.member, [made])[0]


def sealed(
    author: Person, data: bytes, *keys: AudienceKey, space: bytes = b"", **fields: Any
) -> dict[str, Any]:
    """The fields of an event of the author with a sealed body."""
    header = {"type": "message", "v": 1, "ts": 0, "author": author.member.device, "seq": 1, "prev": None}
    randomness = digest(f"{author.homes.now} {data!r}", randomness_size(len(keys)))
    event = seal_body(
        data, space or author.member.raw_space_id, Event(**{**header, **fields}), keys, randomness
    )
    return {"sealed": event.sealed, "keys": event.keys}


def seen(person: Person) -> dict[str, Any]:
    """All that somebody is shown, and what waits."""
    home, member = person.home, person.member
    targets = sorted(person.channels())
    return {
        "messages": {target: message.list_(person.ctx, target, limit=1_000) for target in targets},
        "channels": message.list_channels(person.ctx),
        "blocked": [p.pubkey for p in personal.list_blocked(person.ctx)],
        "index": sorted(home.store.db.all("SELECT * FROM message_index")),
        "states": sorted(
            home.store.db.all("SELECT event_id, state FROM events WHERE space_id = ?", (member.space_id,))
        ),
        "unopened": sorted(
            home.store.db.all(
                "SELECT u.key_name, b.event_id FROM unopened AS u JOIN blobs AS b ON b.n = u.event"
            )
        ),
        "keys": sorted(home.store.audiences.keys(member.account, member.space)),
    }


# --- Any order.


@pytest.fixture(scope="module")
def story() -> Homes:
    """Conversations, channels and changes of who is in them."""
    homes = Homes("ann", "bob", "carl", "dora")
    ann, bob, carl = homes["ann"], homes["bob"], homes["carl"]
    ann.send("@bob", "from ann")
    bob.send("@ann", "from bob at the same time")
    board = channel.create(ann.ctx, "board", private=True).channel_id
    ann.send("board", "first")
    homes.settle()
    channel.add(ann.ctx, "board", "bob")
    ann.send("board", "with bob")
    homes.settle()
    channel.add(bob.ctx, "board", "carl")
    bob.send("board", "with carl")
    ann.send("board", "not knowing of carl")
    homes.settle()
    carl.send("board", "from carl")
    ann.send("general", "for all")
    personal.block(ann.ctx, "dora")
    homes["dora"].send("general", "blocked by ann")
    homes.settle()
    channel.remove(ann.ctx, "board", "bob")
    bob.send("board", "before knowing of it")
    ann.send("board", "without bob")
    bob.forge("message", sealed(bob, b'{"body":7}', held(bob, board)))
    personal.mark_read(ann.ctx, "board")
    role.remove(ann.ctx, "dora")
    homes.settle("ann", "bob", "carl")
    ann.send("board", "without dora")
    homes.settle("ann", "bob", "carl")
    return homes


def batches(records: Sequence[bytes], random: Random) -> list[list[bytes]]:
    shuffled = [*records, *random.sample(records, len(records) // 4)]
    random.shuffle(shuffled)
    ends = sorted({*(random.randrange(1, len(shuffled)) for _ in range(random.randrange(6))), len(shuffled)})
    return [shuffled[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("name", ["ann", "bob", "carl", "dora"])
def test_views_do_not_depend_on_what_comes_first(story: Homes, name: str) -> None:
    @settings(max_examples=8, deadline=None)
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        twin = story.twin(name)
        for batch in batches(story[name].records(), Random(seed)):
            assert twin.give(batch).rejected == {}
        assert seen(twin) == expected
        twin.home.close()

    expected = seen(story[name])
    one_by_one = story.twin(name)
    for record in story[name].records()[::-1]:
        one_by_one.give([record])
    assert seen(one_by_one) == expected
    check()


@pytest.mark.parametrize("name", ["ann", "bob", "carl", "dora"])
def test_a_rebuild_shows_the_same(story: Homes, name: str) -> None:
    twin = story.twin(name)
    twin.give(story[name].records())
    before = seen(twin)
    rebuild(twin.home, story.now)
    assert seen(twin) == before
    assert verify(twin.home).damage == []


def test_what_each_is_shown_of_the_story(story: Homes) -> None:
    board = {
        "ann": [
            "first",
            "with bob",
            "with carl",
            "not knowing of carl",
            "from carl",
            "without bob",
            "without dora",
        ],
        "bob": ["first", "with bob", "with carl", "not knowing of carl", "from carl"],
    }
    board["carl"] = board["ann"]
    for name, texts in board.items():
        assert [text for text in story[name].texts("board") if text != "before knowing of it"] == texts, name
    assert story["dora"].channels().keys() == {"#general"}
    assert story["ann"].texts("general") == ["for all"]
    assert story["carl"].texts("general") == ["for all", "blocked by ann"]


# --- Whatever is in a body.

MALFORMED = [
    b"",
    b"null",
    b"[]",
    b'"body"',
    b"{}",
    b'{"body":7}',
    b'{"body":""}',
    b'{"body":"x"',
    b'{"body":"x","body":"y"}',
    b'{ "body":"x"}',
    b'{"body":"x","extra":1}',
    b'{"body":"x","channel":"general"}',
    b'{"author":"somebody","body":"x"}',
    b'{"body":"x","seq":9}',
    b'{"body":"x","sig":"x"}',
    b'{"body":"x","sealed":"x"}',
    b'{"body":"x","ts":1.5}',
    b'{"body":"\xff"}',
    b'{"body":"\\ud800"}',
    b"[" * 4_000,
    canonical.encode({"body": "x" * (MAX_BODY_CHARS + 1)}),
]


@pytest.mark.parametrize("data", MALFORMED)
def test_a_malformed_body_is_kept_and_not_shown(data: bytes) -> None:
    homes, key = pair()
    bob = homes["bob"]
    bob.forge("message", sealed(bob, data, key))
    homes.settle()
    for name in homes.people:
        assert homes[name].shown() == (["hello"] if name != "mallory" else [])
        assert sorted(homes[name].records()) == sorted(bob.records())
    rebuild(homes["ann"].home, homes.now)
    assert homes["ann"].texts("@bob") == ["hello"]


@pytest.mark.parametrize(
    "fields",
    [
        {"sealed": "", "keys": {}},
        {"sealed": "!", "keys": {"!": "!", "": "", "é": "é"}},
        {"sealed": "AA", "keys": {"AAAAAAAAAAA": "AA"}},
        {"sealed": "A" * 400, "keys": {"KEY": "A" * 96}},
        {"sealed": "A" * 400, "keys": {"KEY": ""}},
    ],
)
def test_junk_for_ciphertext(fields: dict[str, Any]) -> None:
    homes, key = pair()
    named = {name.replace("KEY", key.name): text for name, text in fields["keys"].items()}
    homes["mallory"].forge("message", {**fields, "keys": named})
    homes.settle()
    assert homes["ann"].texts("@bob") == ["hello"]
    rebuild(homes["ann"].home, homes.now)
    assert homes["ann"].shown() == ["hello"]


@pytest.mark.parametrize(
    "body",
    [
        {"sealed": 7, "keys": {}},
        {"sealed": "x"},
        {"sealed": None, "keys": {}},
        {"sealed": "x", "keys": {"a": 1}},
        {"sealed": "x", "keys": {}, "body": "x"},
    ],
)
def test_what_is_no_sealed_event_is_refused(body: dict[str, Any]) -> None:
    homes, _ = pair()
    with pytest.raises(Unfit, match="bad-fields"):
        homes["mallory"].forge("message", body)


def test_a_type_that_is_always_sealed_is_refused_in_the_open() -> None:
    homes, _ = pair()
    with pytest.raises(Unfit, match="bad-fields"):
        homes["mallory"].forge("personal", {"what": "block", "subject": homes["bob"].key, "position": ""})


def test_a_type_that_is_never_sealed_is_refused_sealed() -> None:
    homes, key = pair()
    bob = homes["bob"]
    with pytest.raises(Unfit, match="bad-fields"):
        bob.forge("peer", sealed(bob, b'{"name":"x","pubkey":"y"}', key, type="peer"))


# --- Several audiences.


def test_a_body_for_several_audiences_is_shown_in_each() -> None:
    homes = Homes("ann", "bob", "carl", "dora")
    ann = homes["ann"]
    ids = [channel.create(ann.ctx, name, private=True).channel_id for name in ("one", "two")]
    channel.add(ann.ctx, "one", "bob")
    channel.add(ann.ctx, "two", "carl")
    ann.ctx.append("message", {"body": "to both"}, audiences=ids)
    homes.settle()
    assert ann.texts("one") == ann.texts("two") == ["to both"]
    assert homes["bob"].channels().keys() == {"#one"}
    assert homes["bob"].shown() == homes["carl"].shown() == ["to both"]
    assert homes["dora"].shown() == []


def test_a_body_is_sealed_to_so_many_audiences_and_no_more() -> None:
    homes, key = pair()
    bob, others = (
        homes["bob"],
        [
            AudienceKey(bytes([n]) * 32, to_text(bytes([n]) * 8), bytes([n]) * 32)
            for n in range(1, MAX_BODY_KEYS + 1)
        ],
    )
    bob.forge("message", sealed(bob, b'{"body":"few enough"}', key, *others[1:]))
    bob.forge("message", sealed(bob, b'{"body":"too many"}', key, *others))
    homes.settle()
    assert homes["ann"].texts("@bob") == ["hello", "few enough"]
    waiting = homes["mallory"].home.store.db.one(
        "SELECT count(*) FROM unopened WHERE event = (SELECT max(event) FROM unopened)"
    )
    assert waiting == (MAX_BODY_KEYS,), "of the one with too many nothing is even noted"
    ids = [channel.create(bob.ctx, f"c{n}", private=True).channel_id for n in range(MAX_BODY_KEYS + 1)]
    with pytest.raises(UserError, match="at most"):
        bob.ctx.append("message", {"body": "x"}, audiences=ids)


# --- Others' bodies.


def events_of(person: Person) -> list[SealedEvent]:
    member = person.member
    found = []
    for row, _ in person.home.store.blobs.held_after(member.account, member.space, 0, 10_000):
        opened = open_stored(person.home, member, row)
        if opened is not None and isinstance(opened[0], SealedEvent):
            found.append(opened[0])
    return found


def test_nobody_passes_a_body_off_as_their_own() -> None:
    homes, _ = pair()
    (event,) = events_of(homes["mallory"])
    for author in ("mallory", "bob"):
        homes[author].forge("message", {"sealed": event.sealed, "keys": event.keys})
    homes.settle()
    assert homes["ann"].texts("@bob") == homes["bob"].texts("@ann") == ["hello"]


def test_a_body_key_is_not_passed_on_to_say_other_things() -> None:
    """Bob reads a body of Ann's for him and for Carl's channel: he cannot say anything in that channel with its key."""
    homes = Homes("ann", "bob", "carl")
    ann = homes["ann"]
    ids = [channel.create(ann.ctx, name, private=True).channel_id for name in ("bobs", "carls")]
    channel.add(ann.ctx, "bobs", "bob")
    channel.add(ann.ctx, "carls", "carl")
    ann.ctx.append("message", {"body": "to both"}, audiences=ids)
    homes.settle()
    event = next(one for one in events_of(homes["bob"]) if len(one.keys) == 2)
    bobs, carls = (held(ann, made) for made in ids)
    bob = homes["bob"].member
    context = b"quire body key 1" + bob.raw_space_id + from_text(event.author) + bobs.audience
    body_key = open_sealed(bobs.key, from_text(event.keys[bobs.name]), context)
    bound = b"quire body 1" + bob.raw_space_id + from_text(bob.device) + b"message 1"
    posing = to_text(seal(body_key, bytes(24), b'{"body":"bob says"}'.ljust(256), bound))
    homes["bob"].forge("message", {"sealed": posing, "keys": {carls.name: event.keys[carls.name]}})
    homes.settle()
    assert homes["carl"].texts("carls") == ["to both"]


def test_bodies_of_another_space_or_audience_do_not_open() -> None:
    homes, key = pair()
    bob = homes["bob"]
    trap = held(homes["mallory"], channel.create(homes["mallory"].ctx, "trap", private=True).channel_id)
    for fields in (
        sealed(bob, b'{"body":"elsewhere"}', key, space=digest("another space")),
        sealed(bob, b'{"body":"elsewhere"}', key._replace(audience=trap.audience)),
        sealed(bob, b'{"body":"elsewhere"}', key._replace(key=trap.key)),
        sealed(bob, b'{"name":"elsewhere"}', key, type="channel"),
        sealed(bob, b'{"body":"elsewhere"}', key, v=2),
    ):
        bob.forge("message", fields)
    homes.settle()
    assert homes["ann"].shown() == ["hello"]
    assert homes["mallory"].shown() == []


def test_who_never_was_in_an_audience_is_not_shown_in_it_even_with_its_key() -> None:
    """A member gives the key away: what a stranger seals with it is shown to nobody else."""
    homes, key = pair()
    homes["mallory"].forge("message", sealed(homes["mallory"], b'{"body":"with a stolen key"}', key))
    made = channel.create(homes["ann"].ctx, "board", private=True).channel_id
    channel.add(homes["ann"].ctx, "board", "bob")
    stolen = held(homes["ann"], made)
    homes["mallory"].forge("message", sealed(homes["mallory"], b'{"body":"so too"}', stolen))
    homes.settle()
    assert homes["ann"].shown() == homes["bob"].shown() == ["hello"]


def test_events_that_wait_for_a_key_are_valid_and_passed_on() -> None:
    homes, _ = pair()
    mallory = homes["mallory"]
    assert mallory.home.store.db.all("SELECT DISTINCT state FROM received") == [(VALID,)]
    assert mallory.home.store.db.one("SELECT count(*) FROM unopened") == (1,)
    assert len(events_of(mallory)) == 1
    assert not homes["bob"].home.store.db.all("SELECT * FROM unopened")
