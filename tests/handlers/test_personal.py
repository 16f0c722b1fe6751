import pytest

from quire.errors import NotFound, Refused, UserError
from quire.events.rebuild import rebuild
from quire.handlers import audience, channel, message, personal, role
from quire.limits import MAX_UNREAD
from tests.handlers.homes import Homes
from tests.handlers.test_channel import forge_sealed


def unread(homes: Homes, name: str) -> dict[str, int]:
    return {target: found.unread for target, found in homes[name].channels().items()}


def test_read_marks_are_the_same_on_all_devices() -> None:
    homes = Homes("ann", "bob")
    homes.link("ann", "ann2")
    for text in ("one", "two", "three"):
        homes["bob"].send("general", text)
    homes["bob"].send("@ann", "psst")
    homes["ann"].send("general", "my own")
    homes.settle()
    assert unread(homes, "ann") == unread(homes, "ann2") == {"#general": 3, "@bob": 1}
    second = message.list_(homes["ann"].ctx, "general")[1]
    marked = personal.mark_read(homes["ann"].ctx, "general", second.position)
    assert (marked.channel_id, marked.position) == ("general", second.position)
    homes.settle()
    assert unread(homes, "ann2") == {"#general": 1, "@bob": 1}
    personal.mark_read(homes["ann2"].ctx, "general")
    personal.mark_read(homes["ann2"].ctx, "@bob")
    homes.settle()
    assert unread(homes, "ann") == unread(homes, "ann2") == {"#general": 0, "@bob": 0}
    assert unread(homes, "bob") == {"#general": 1, "@ann": 0}
    personal.mark_read(homes["ann"].ctx, "general", second.position)
    homes.settle()
    assert unread(homes, "ann2")["#general"] == 1, "the latest word counts, also where it goes back"
    rebuild(homes["ann2"].home, homes.now)
    assert unread(homes, "ann2") == {"#general": 1, "@bob": 0}


def test_guests_mark_what_they_read_and_block_whom_they_like() -> None:
    """On all their devices; it is all that they may write."""
    homes = Homes("ann", "bob", "gus")
    homes.link("gus", "gus2")
    homes.settle()
    role.grant(homes["ann"].ctx, homes["gus"].key, "guest")
    homes["ann"].send("general", "hello")
    homes["bob"].send("general", "noise")
    homes.settle()
    assert unread(homes, "gus") == {"#general": 2}
    personal.mark_read(homes["gus"].ctx, "general")
    personal.block(homes["gus"].ctx, "bob")
    homes.settle()
    for name in ("gus", "gus2"):
        assert unread(homes, name) == {"#general": 0}
        assert homes[name].texts("general") == ["hello"]
    assert homes["ann"].texts("general") == ["hello", "noise"]
    for target in ("general", "@ann", "@gus"):
        with pytest.raises(Refused):
            homes["gus"].send(target, "not that")


def test_the_same_mark_is_not_written_twice() -> None:
    homes = Homes("ann", "bob")
    homes["ann"].send("general", "hello")
    personal.mark_read(homes["ann"].ctx, "general")
    before = len(homes["ann"].records())
    personal.mark_read(homes["ann"].ctx, "general")
    assert len(homes["ann"].records()) == before


@pytest.mark.parametrize("position", ["x", "1:2", "1:2:3", "-1:1:" + "A" * 43, f"{2**60}:1:" + "A" * 43])
def test_positions_that_are_none(position: str) -> None:
    ann = Homes("ann")["ann"]
    with pytest.raises(UserError, match="position"):
        personal.mark_read(ann.ctx, "general", position)
    with pytest.raises(NotFound, match="nothing to read"):
        personal.mark_read(ann.ctx, "general")


def test_unread_messages_are_counted_up_to_a_bound() -> None:
    homes = Homes("ann", "bob")
    message.create_many(homes["bob"].ctx, "general", [str(n) for n in range(MAX_UNREAD + 50)])
    homes.settle()
    assert unread(homes, "ann") == {"#general": MAX_UNREAD}


def test_who_is_blocked_is_shown_on_none_of_ones_devices_and_learns_nothing() -> None:
    homes = Homes("ann", "bob", "carl")
    homes.link("ann", "ann2")
    homes["bob"].send("general", "noise")
    homes["bob"].send("@ann", "more noise")
    homes["carl"].send("general", "sense")
    homes.settle()
    assert personal.block(homes["ann"].ctx, "bob").name == "bob"
    homes["bob"].send("general", "still there")
    homes.settle()
    for name in ("ann", "ann2"):
        person = homes[name]
        assert person.texts("general") == ["sense"]
        assert person.texts("@bob") == []
        assert person.shown() == ["sense"]
        assert message.search(person.ctx, "noise") == []
        assert unread(homes, name) == {"#general": 1, "@bob": 0}
        assert [p.name for p in personal.list_blocked(person.ctx)] == ["bob"]
    for name in ("bob", "carl"):
        assert homes[name].texts("general") == ["noise", "sense", "still there"]
        assert personal.list_blocked(homes[name].ctx) == []
        assert homes[name].home.store.db.one("SELECT count(*) FROM blocked_members") == (0,)
    personal.unblock(homes["ann2"].ctx, "bob")
    homes.settle()
    assert homes["ann"].texts("general") == ["noise", "sense", "still there"]
    with pytest.raises(UserError, match="yourself"):
        personal.block(homes["ann"].ctx, "ann")


def test_a_block_looks_like_a_read_mark_to_others() -> None:
    homes = Homes("ann", "bob")
    homes["bob"].send("general", "hello")
    homes.settle()
    personal.mark_read(homes["ann"].ctx, "general")
    read = homes["ann"].records()[-1]
    personal.block(homes["ann"].ctx, "bob")
    blocked = homes["ann"].records()[-1]
    assert read != blocked
    assert abs(len(read) - len(blocked)) <= 2, "but for how long its place in the log is written"


def test_nobody_else_marks_or_blocks_for_one() -> None:
    homes = Homes("ann", "bob", "mallory")
    homes["bob"].send("general", "hello")
    homes["ann"].send("@mallory", "hi")
    homes.settle()
    mallory, ann = homes["mallory"], homes["ann"]
    channel.create(mallory.ctx, "trap", private=True)
    channel.add(mallory.ctx, "trap", "ann")
    audience.own(mallory.ctx)
    homes.settle()
    bodies = (
        f'{{"position":"","subject":"{homes["bob"].key}","what":"block"}}'.encode(),
        f'{{"position":"{2**52}:1:{"A" * 43}","subject":"general","what":"read"}}'.encode(),
    )
    for made, name, key in mallory.home.store.audiences.keys(1, mallory.member.space):
        for body in bodies:
            forge_sealed(mallory, "personal", body, made, key, name)
    homes.settle()
    own = audience.own(ann.ctx)
    stolen = [
        (name, key) for made, name, key in ann.home.store.audiences.keys(1, ann.member.space) if made == own
    ]
    for name, key in stolen:
        forge_sealed(mallory, "personal", bodies[0], own, key, name)
    homes.settle()
    assert len(stolen) == 1
    assert personal.list_blocked(ann.ctx) == []
    assert "hello" in ann.texts("general")
    assert unread(homes, "ann")["#general"] == 1


def test_words_that_say_nothing() -> None:
    homes = Homes("ann", "bob")
    ann = homes["ann"]
    own = audience.own(ann.ctx)
    ((_, name, key),) = ann.home.store.audiences.keys(1, ann.member.space)
    for what, subject, position in (
        ("read", "", "1:1:" + "A" * 43),
        ("read", "x" * 81, "1:1:" + "A" * 43),
        ("read", "general", "nonsense"),
        ("block", "bob", ""),
        ("praise", homes["bob"].key, ""),
    ):
        body = f'{{"position":"{position}","subject":"{subject}","what":"{what}"}}'
        forge_sealed(ann, "personal", body.encode(), own, key, name)
    ann.send("@bob", "hello")
    pair = audience.between(ann.ctx, homes["bob"].key)
    for made, name, key in ann.home.store.audiences.keys(1, ann.member.space):
        if made == pair:
            body = f'{{"position":"","subject":"{homes["bob"].key}","what":"block"}}'
            forge_sealed(ann, "personal", body.encode(), made, key, name)
    for table in ("read_marks", "blocked_members"):
        assert ann.home.store.db.one(f"SELECT count(*) FROM {table}") == (0,)
