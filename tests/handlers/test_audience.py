from itertools import product

import pytest
from nacl.exceptions import CryptoError

from quire.core.encoding import from_text, to_text
from quire.core.event import SealedEvent
from quire.core.sealed_body import AudienceKey, open_body
from quire.core.sealing import key_id, open_sealed, seal
from quire.core.wrapping import WrapKey, wrap
from quire.errors import BadEvent, NoKeyYet, NotFound, UserError
from quire.events import keyring
from quire.events.opening import decode
from quire.graph import changes
from quire.graph.state import current_key, holders
from quire.handlers import audience, channel, message, role
from tests.events.builders import digest
from tests.handlers.homes import Homes, Person, keys_held
from tests.handlers.test_channel import forge_sealed


def audiences(person: Person) -> list[str]:
    """Every audience that somebody made, whether or not it counts."""
    nodes = person.ctx.graph.ledger.dag.nodes
    return [node.event_id for node in nodes if isinstance(node.change, changes.OpenAudience)]


def sealed_messages(person: Person) -> list[SealedEvent]:
    found = []
    for record in person.records():
        for key, context in person.member.epochs.values():
            try:
                event = decode(person.home, open_sealed(key, record[8:], context))[0]
            except CryptoError:
                continue
            if isinstance(event, SealedEvent):
                found.append(event)
    return found


# --- Direct messages.


def test_a_direct_message_is_for_its_two_ends() -> None:
    homes = Homes("ann", "bob", "carl")
    sent = homes["ann"].send("@bob", "between us")
    assert (sent.channel_id, sent.kind, sent.channel_name) == (homes["bob"].key, "direct", "bob")
    homes.settle()
    homes["bob"].send("@ann", "indeed")
    homes.settle()
    assert homes["ann"].texts("@bob") == homes["bob"].texts("@ann") == ["between us", "indeed"]
    assert message.list_(homes["ann"].ctx, "@bob")[0] == sent
    assert len(audiences(homes["carl"])) == 1, "made once, for both directions"
    carl = homes["carl"]
    assert carl.shown() == []
    assert message.search(carl.ctx, "between") == []
    assert set(carl.channels()) == set()
    assert [m.body_text for m in message.search(homes["bob"].ctx, "between")] == ["between us"]


def test_who_is_not_meant_holds_the_bytes_and_no_key_that_opens_them() -> None:
    homes = Homes("ann", "bob", "carl")
    homes["ann"].send("@bob", "between us")
    homes["ann"].send("@me", "a note")
    homes["carl"].send("@ann", "from carl")
    homes.settle()
    carl, own = homes["carl"], 0
    assert sorted(homes["ann"].records()) == sorted(carl.records())
    assert len(sealed_messages(carl)) == 3
    for event, key, made in product(sealed_messages(carl), keys_held(carl), audiences(carl)):
        for name in (*event.keys, to_text(key_id(key))):
            try:
                data = open_body(event, carl.member.raw_space_id, AudienceKey(from_text(made, 32), name, key))
            except BadEvent:
                continue
            assert data == b'{"body":"from carl"}'
            own += 1
    assert own == 2, "by the name as it is, and as it is derived from the key: its own message alone"
    assert carl.shown() == ["from carl"]


def test_two_who_write_first_at_the_same_time() -> None:
    homes = Homes("ann", "bob")
    homes["ann"].send("@bob", "one")
    homes["bob"].send("@ann", "two")
    homes.settle()
    assert len(audiences(homes["ann"])) == 2
    for name, other in (("ann", "@bob"), ("bob", "@ann")):
        assert homes[name].texts(other) == ["one", "two"]
        assert len(homes[name].channels()) == 1
    homes["ann"].send("@bob", "three")
    homes["bob"].send("@ann", "four")
    homes.settle()
    under = [tuple(event.keys) for event in sealed_messages(homes["ann"])]
    assert len(set(under[:2])) == 2
    assert len(set(under[2:])) == 1, "both chose the same one"
    assert homes["ann"].texts("@bob") == homes["bob"].texts("@ann") == ["one", "two", "three", "four"]


def test_all_devices_of_both_read_and_write() -> None:
    homes = Homes("ann", "bob")
    homes["ann"].send("@bob", "before the second device")
    homes["ann"].send("@me", "note")
    homes.link("ann", "ann2")
    second = homes["ann2"]
    assert second.texts("@bob") == ["before the second device"]
    assert second.texts("@me") == ["note"]
    second.send("@bob", "from the second")
    homes["bob"].send("@ann", "to both")
    homes.settle()
    for name in ("ann", "ann2"):
        assert homes[name].texts("@bob") == ["before the second device", "from the second", "to both"]
    assert homes["bob"].texts("@ann") == homes["ann"].texts("@bob")
    assert len(audiences(homes["bob"])) == 2, "that of the two people, and of the one who takes notes"


def test_notes_to_oneself() -> None:
    homes = Homes("ann", "bob")
    ann = homes["ann"]
    ann.send("@me", "milk")
    ann.send("@ann", "bread")
    homes.settle()
    assert ann.texts("@me") == ann.texts("@ann") == ["milk", "bread"]
    assert [c.channel_id for c in message.list_channels(ann.ctx)] == [ann.key]
    assert homes["bob"].shown() == []


def test_a_device_waits_for_the_key_and_then_shows_what_came_before_it() -> None:
    homes = Homes("ann", "bob")
    homes["ann"].send("@bob", "hello")
    homes.link("ann", "ann2", settle=False)
    homes.pass_on("ann", "ann2")
    second = homes["ann2"]
    assert second.texts("@bob") == []
    with pytest.raises(NoKeyYet, match="no key of that conversation yet"):
        second.send("@bob", "too early")
    cursor = second.home.store.blobs.last_cursor()
    homes.settle()
    assert second.texts("@bob") == ["hello"]
    arrived = second.home.store.blobs.arrived_after(1, cursor, 1_000)
    assert any(message.of_event(second.ctx, row) for _, row in arrived), "subscribers are told"
    second.send("@bob", "in time")


def test_nobody_writes_to_who_has_gone() -> None:
    homes = Homes("ann", "bob", "carl")
    homes["ann"].send("@bob", "hello")
    homes.settle()
    role.remove(homes["ann"].ctx, "bob")
    with pytest.raises(UserError, match="not in this space any more"):
        homes["ann"].send("@bob", "are you there")
    with pytest.raises(NotFound):
        homes["ann"].send("@dora", "x")
    assert homes["ann"].texts("@bob") == ["hello"]


# --- Keys.


def generation(person: Person, audience_id: str) -> int:
    node = current_key(person.ctx.graph, audience_id)
    assert node is not None
    assert isinstance(node.change, changes.NewKey)
    return node.change.generation


def test_who_is_removed_from_the_space_gets_no_later_key_of_its_channels() -> None:
    homes = Homes("ann", "bob", "carl")
    ann = homes["ann"]
    board = channel.create(ann.ctx, "board", private=True).channel_id
    channel.add(ann.ctx, "board", "bob")
    channel.add(ann.ctx, "board", "carl")
    homes.settle()
    before = generation(ann, board)
    role.remove(ann.ctx, "bob")
    assert generation(ann, board) == before, "renewed when it is next needed"
    homes.settle("ann", "carl")
    homes["carl"].send("board", "without bob")
    assert generation(homes["carl"], board) == before + 1
    homes["carl"].send("board", "again")
    assert generation(homes["carl"], board) == before + 1, "once"
    homes.settle()
    node = current_key(ann.ctx.graph, board)
    assert node is not None
    assert homes["bob"].member.device not in holders(ann.ctx.graph, node)
    assert ann.texts("board") == ["without bob", "again"]
    assert homes["bob"].texts("board") == []


def test_keys_made_at_the_same_time_are_merged_by_the_next_writer() -> None:
    homes = Homes("ann", "bob", "carl", "dora")
    board = channel.create(homes["ann"].ctx, "board", private=True).channel_id
    channel.add(homes["ann"].ctx, "board", "bob")
    homes.settle()
    channel.add(homes["ann"].ctx, "board", "carl")
    channel.add(homes["bob"].ctx, "board", "dora")
    homes["ann"].send("board", "to carl")
    homes["bob"].send("board", "to dora")
    homes.settle()
    homes["ann"].send("board", "to all")
    homes.settle()
    for name in homes.people:
        assert homes[name].texts("board") == ["to carl", "to dora", "to all"], name
        assert generation(homes[name], board) == 4


# --- What is no audience.


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("direct", ["ann"]),
        ("direct", ["ann", "bob", "carl"]),
        ("direct", ["ann", "ann"]),
        ("direct", ["bob", "carl"]),
        ("self", ["ann", "bob"]),
        ("self", ["bob"]),
        ("self", []),
        ("channel", ["bob"]),
        ("channel", ["ann", "nobody"]),
        ("club", ["ann"]),
    ],
)
def test_what_makes_no_audience(kind: str, members: list[str]) -> None:
    homes = Homes("ann", "bob", "carl")
    keys = [homes[name].key if name in homes.people else "no key" for name in members]
    ann = homes["ann"]
    after = ann.heads
    ann.forge("audience", {"after": after, "kind": kind, "members": keys}, of_graph=True)
    made = ann.ctx.graph.ledger.dag.nodes[-1]
    assert not ann.ctx.graph.counts(made.event_id)


# --- Somebody who is not in it.


def forged_key(mallory: Person, scope: str, victims: list[Person]) -> dict[str, object]:
    """A key event of an audience, right in every respect but its author."""
    content = digest("mallory's key")
    graph = mallory.ctx.graph
    context = keyring.wrap_context(mallory.member.raw_space_id, keyring.name_of(content))
    public, boxes = wrap(
        content, [WrapKey(v.member.device_key.seed).public for v in victims], digest("seed"), context
    )
    latest = current_key(graph, scope)
    assert latest is not None
    assert isinstance(latest.change, changes.NewKey)
    return {
        "after": mallory.heads,
        "scope": scope,
        "generation": latest.change.generation + 1,
        "before": [latest.event_id],
        "name": keyring.name_of(content),
        "ephemeral": to_text(public),
        "boxes": {v.member.device: to_text(box) for v, box in zip(victims, boxes, strict=True)},
        "older": [],
    }


def test_nobody_seals_under_a_strangers_key_for_an_audience_nor_is_shown_what_the_stranger_does() -> None:
    homes = Homes("ann", "bob", "mallory")
    board = channel.create(homes["ann"].ctx, "board", private=True).channel_id
    channel.add(homes["ann"].ctx, "board", "bob")
    homes.settle()
    before = generation(homes["ann"], board)
    body = forged_key(homes["mallory"], board, [homes["ann"], homes["bob"]])
    homes["mallory"].forge("key", body, of_graph=True)
    forge_sealed(
        homes["mallory"], "message", b'{"body":"posing"}', board, digest("mallory's key"), str(body["name"])
    )
    forge_sealed(
        homes["mallory"], "channel", b'{"name":"posing"}', board, digest("mallory's key"), str(body["name"])
    )
    homes.settle()
    homes["bob"].send("board", "as ever")
    homes.settle()
    assert str(body["name"]) not in sealed_messages(homes["ann"])[-1].keys
    for name in ("ann", "bob"):
        assert generation(homes[name], board) == before
        assert homes[name].shown() == homes[name].texts("board") == ["as ever"]
        assert homes[name].channels().keys() == {"#board"}
    assert homes["mallory"].shown() == []


def test_nobody_adds_themselves() -> None:
    homes = Homes("ann", "bob", "mallory")
    board = channel.create(homes["ann"].ctx, "board", private=True).channel_id
    homes["ann"].send("board", "secret")
    homes.settle()
    mallory = homes["mallory"]
    after = mallory.heads
    body = {"after": after, "audience": board, "member": mallory.key, "inside": True, "marks": {}}
    mallory.forge("audience-member", body, of_graph=True)
    homes.settle()
    homes["ann"].send("board", "still secret")
    homes.settle()
    assert audience.members(homes["ann"].ctx, board) == [homes["ann"].key]
    assert mallory.shown() == []
    with pytest.raises(NotFound, match="no private channel"):
        channel.add(mallory.ctx, board, "mallory")


def test_a_conversation_of_two_stays_so() -> None:
    homes = Homes("ann", "bob", "carl")
    homes["ann"].send("@bob", "hello")
    homes.settle()
    (pair,) = audiences(homes["bob"])
    bob = homes["bob"]
    after = bob.heads
    body = {"after": after, "audience": pair, "member": homes["carl"].key, "inside": True, "marks": {}}
    bob.forge("audience-member", body, of_graph=True)
    homes.settle()
    homes["ann"].send("@bob", "and on")
    homes.settle()
    assert homes["carl"].shown() == []
    assert audience.members(homes["carl"].ctx, pair) == sorted([homes["ann"].key, bob.key])


def test_a_key_under_anothers_name_moves_nothing_to_another_audience() -> None:
    """A key event may name any key: whoever holds the real one still opens each body in its own audience alone."""
    homes = Homes("ann", "bob", "mallory")
    homes["ann"].send("@bob", "between us")
    trap = channel.create(homes["mallory"].ctx, "trap", private=True).channel_id
    channel.add(homes["mallory"].ctx, "trap", "ann")
    homes.settle()
    (pair,) = [made for made in audiences(homes["ann"]) if made != trap]
    real = current_key(homes["ann"].ctx.graph, pair)
    assert real is not None
    assert isinstance(real.change, changes.NewKey)
    body = {**forged_key(homes["mallory"], trap, [homes["ann"]]), "name": real.change.name}
    homes["mallory"].forge("key", body, of_graph=True)
    homes.settle()
    assert homes["ann"].texts("trap") == []
    assert homes["ann"].texts("@bob") == homes["bob"].texts("@ann") == ["between us"]
    assert homes["mallory"].shown() == []


def test_older_keys_of_an_audience_open_nothing_else() -> None:
    """What a key event of one audience seals as an older key is kept for that audience alone."""
    homes = Homes("ann", "mallory")
    homes["ann"].send("@me", "mine")
    trap = channel.create(homes["mallory"].ctx, "trap", private=True).channel_id
    channel.add(homes["mallory"].ctx, "trap", "ann")
    homes.settle()
    body = forged_key(homes["mallory"], trap, [homes["ann"], homes["mallory"]])
    other = digest("another key")
    name = keyring.name_of(other)
    context = keyring.wrap_context(homes["ann"].member.raw_space_id, name)
    sealed = to_text(seal(digest("mallory's key"), digest("nonce", 24), other, context))
    older = [{"kind": kind, "name": name, "sealed": sealed} for kind in ("content", "control")]
    homes["mallory"].forge("key", {**body, "older": older}, of_graph=True)
    homes.settle()
    rows = homes["ann"].home.store.db.all("SELECT audience FROM audience_keys WHERE key = ?", (other,))
    assert rows == [(trap,)]
    assert homes["ann"].texts("@me") == ["mine"]
