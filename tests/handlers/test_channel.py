import pytest

from quire.core.encoding import from_text, to_text
from quire.core.event import Event
from quire.core.sealed_body import AudienceKey, randomness_size, seal_body
from quire.errors import NotFound, Refused, UserError
from quire.events.rebuild import rebuild
from quire.handlers import channel, message, role
from quire.limits import MAX_NAME_CHARS
from tests.events.builders import digest
from tests.handlers.homes import Homes, Person


def board(homes: Homes, *names: str) -> str:
    """A private channel of ann's with others in it."""
    made = channel.create(homes["ann"].ctx, "board", private=True)
    for name in names:
        channel.add(homes["ann"].ctx, "board", name)
    homes.settle()
    return made.channel_id


def forge_sealed(author: Person, type_: str, data: bytes, audience: str, key: bytes, name: str) -> None:
    """A body sealed by somebody past every check of its own program."""
    member = author.member
    header = Event(type=type_, v=1, ts=0, author=member.device, seq=1, prev=None)
    under = [AudienceKey(from_text(audience, 32), name, key)]
    randomness = digest(f"{author.homes.now} randomness", randomness_size(1))
    event = seal_body(data, member.raw_space_id, header, under, randomness)
    author.forge(type_, {"sealed": event.sealed, "keys": event.keys})


def key_of(person: Person, audience: str, place: int = -1) -> tuple[str, bytes]:
    """Name and bytes of a key of an audience that somebody holds."""
    rows = [row for row in person.home.store.audiences.keys(1, person.member.space) if row[0] == audience]
    made = [
        node.change.name  # type: ignore[union-attr]
        for node in person.ctx.graph.ledger.keys(audience, person.ctx.graph.valid)
    ]
    return sorted(((name, key) for _, name, key in rows), key=lambda row: made.index(row[0]))[place]


# --- Public ones.


def test_a_guest_makes_no_channel() -> None:
    homes = Homes("ann", "bob")
    role.grant(homes["ann"].ctx, "bob", "guest")
    homes.settle()
    for private in (False, True):
        with pytest.raises(Refused, match="rule `guest`"):
            channel.create(homes["bob"].ctx, "tools", private=private)
    assert channel.public(homes["bob"].ctx) == []


def test_a_public_channel_is_there_before_anybody_writes() -> None:
    homes = Homes("ann", "bob")
    made = channel.create(homes["ann"].ctx, "#tools")
    assert (made.channel_id, made.name, made.private) == ("tools", "tools", False)
    homes.settle()
    listed = homes["bob"].channels()["#tools"]
    assert (listed.channel_id, listed.private, listed.direct, listed.last_ts, listed.unread) == (
        "tools",
        False,
        False,
        0,
        0,
    )
    homes["bob"].send("tools", "a spade")
    assert len(message.list_channels(homes["bob"].ctx)) == 1
    with pytest.raises(UserError, match="already"):
        channel.create(homes["bob"].ctx, "tools")


@pytest.mark.parametrize("name", ["", "#", "@bob", "a\nb", "x" * (MAX_NAME_CHARS + 1), to_text(bytes(32))])
def test_names_that_are_none(name: str) -> None:
    ann = Homes("ann")["ann"]
    for private in (False, True):
        with pytest.raises(UserError, match="channel name"):
            channel.create(ann.ctx, name, private)
    assert message.list_channels(ann.ctx) == []


def test_what_a_removed_member_announces_is_not_listed() -> None:
    homes = Homes("ann", "bob")
    role.remove(homes["ann"].ctx, "bob")
    channel.create(homes["bob"].ctx, "spam")
    homes.pass_on("bob", "ann")
    assert homes["ann"].channels() == {}


# --- Private ones.


def test_only_members_of_a_private_channel_see_it_and_its_name() -> None:
    homes = Homes("ann", "bob", "carl")
    made = board(homes, "bob")
    sent = homes["ann"].send("board", "confidential")
    assert (sent.channel_id, sent.kind, sent.channel_name) == (made, "private", "board")
    homes.settle()
    assert homes["bob"].texts("board") == homes["bob"].texts("#" + made) == ["confidential"]
    assert homes["bob"].channels()["#board"].private
    carl = homes["carl"]
    assert carl.channels() == {}
    assert carl.home.store.db.one("SELECT count(*) FROM channel_names") == (0,)
    assert b"board" not in b"".join(homes["carl"].records())
    assert [p.name for p in channel.list_members(homes["bob"].ctx, "board")] == ["ann", "bob"]
    for act in (channel.list_members, channel.leave):
        with pytest.raises(NotFound, match="no private channel"):
            act(carl.ctx, "board")


def test_who_is_added_later_reads_what_was_written_before() -> None:
    homes = Homes("ann", "bob", "carl")
    board(homes, "bob")
    homes["ann"].send("board", "first")
    homes["bob"].send("board", "second")
    homes.settle()
    assert homes["carl"].shown() == []
    people = channel.add(homes["bob"].ctx, "board", "carl")
    assert [p.name for p in people] == ["ann", "bob", "carl"]
    homes.settle()
    assert homes["carl"].texts("board") == ["first", "second"]
    homes["carl"].send("board", "third")
    homes.settle()
    assert homes["ann"].texts("board") == ["first", "second", "third"]


def test_where_newcomers_do_not_read_the_past_those_of_a_channel_do_not_either() -> None:
    homes = Homes("ann", "bob", "carl", history="from-join")
    board(homes, "bob")
    homes["ann"].send("board", "first")
    homes.settle()
    channel.add(homes["ann"].ctx, "board", "carl")
    homes["ann"].send("board", "second")
    homes.settle()
    assert homes["carl"].texts("board") == ["second"]
    assert homes["carl"].channels()["#board"].name == "board", "said again, or it would not know"
    assert homes["bob"].texts("board") == ["first", "second"]


def test_who_is_removed_keeps_what_it_read_and_opens_nothing_later() -> None:
    homes = Homes("ann", "bob", "carl")
    board(homes, "bob", "carl")
    homes["ann"].send("board", "with bob")
    homes.settle()
    assert [p.name for p in channel.remove(homes["ann"].ctx, "board", "bob")] == ["ann", "carl"]
    homes["ann"].send("board", "without bob")
    homes.settle()
    assert homes["bob"].texts("board") == ["with bob"]
    assert homes["carl"].texts("board") == ["with bob", "without bob"]
    with pytest.raises(Refused, match="not in the channel"):
        homes["bob"].send("board", "me again")
    rebuild(homes["bob"].home, homes.now)
    assert homes["bob"].texts("board") == ["with bob"]
    channel.add(homes["carl"].ctx, "board", "bob")
    homes.settle()
    homes["bob"].send("board", "back")
    homes.settle()
    assert homes["carl"].texts("board") == homes["bob"].texts("board") == ["with bob", "without bob", "back"]


def test_what_a_removed_member_goes_on_to_write_with_an_old_key_is_not_shown() -> None:
    homes = Homes("ann", "bob", "carl")
    made = board(homes, "bob", "carl")
    homes["bob"].send("board", "as a member")
    homes.settle()
    channel.remove(homes["ann"].ctx, "board", "bob")
    homes.settle()
    name, key = key_of(homes["bob"], made)
    forge_sealed(homes["bob"], "message", b'{"body":"from outside"}', made, key, name)
    homes.settle()
    for person in ("ann", "bob", "carl"):
        assert homes[person].texts("board") == ["as a member"], person
        assert homes[person].shown() == ["as a member"]
        assert message.search(homes[person].ctx, "outside") == []
    assert homes["ann"].channels()["#board"].unread == 1
    twin = homes.twin("carl")
    twin.give(homes["carl"].records()[::-1])
    assert twin.texts("board") == ["as a member"], "in any order"


def test_everybody_may_leave_and_the_next_who_writes_renews_the_key() -> None:
    homes = Homes("ann", "bob", "carl")
    made = board(homes, "bob", "carl")
    assert [p.name for p in channel.leave(homes["bob"].ctx, "board")] == ["ann", "carl"]
    homes.settle()
    before = key_of(homes["carl"], made)
    homes["carl"].send("board", "after")
    homes.settle()
    assert key_of(homes["ann"], made) != before
    assert homes["bob"].texts("board") == []
    with pytest.raises(Refused, match="audience"):
        channel.remove(homes["carl"].ctx, "board", "ann")
    with pytest.raises(Refused, match="already"):
        channel.add(homes["carl"].ctx, "board", "ann")


def test_names_of_private_channels() -> None:
    homes = Homes("ann", "bob")
    made = board(homes, "bob")
    with pytest.raises(UserError, match="already"):
        channel.create(homes["bob"].ctx, "board")
    name, key = key_of(homes["bob"], made)
    forge_sealed(homes["bob"], "channel", b'{"name":"general"}', made, key, name)
    homes.settle()
    assert homes["ann"].channels().keys() == {"#board"}, "its maker names it"
    twice = channel.create(homes["bob"].ctx, "plans", private=True).channel_id
    channel.add(homes["bob"].ctx, "plans", "ann")
    other = channel.create(homes["ann"].ctx, "plans", private=True).channel_id
    homes.settle()
    with pytest.raises(NotFound, match="Several") as error:
        homes["ann"].send("plans", "which?")
    assert twice in str(error.value)
    assert other in str(error.value)
    homes["ann"].send("#" + twice, "that one")
    homes.settle()
    assert homes["bob"].texts("plans") == ["that one"]


def test_a_private_channel_comes_before_a_public_one_of_its_name() -> None:
    homes = Homes("ann", "bob", "carl")
    board(homes, "bob")
    homes["carl"].send("board", "carl knows of none")
    homes.settle()
    homes["bob"].send("board", "for few")
    homes.settle()
    assert homes["carl"].shown() == ["carl knows of none"]
    assert homes["ann"].texts("board") == ["for few"]


def test_a_sealed_announcement_makes_no_public_channel_and_names_no_conversation() -> None:
    homes = Homes("ann", "bob")
    homes["ann"].send("@bob", "hello")
    homes.settle()
    ((audience, name, key),) = homes["bob"].home.store.audiences.keys(1, homes["bob"].member.space)
    forge_sealed(homes["bob"], "channel", b'{"name":"posing"}', audience, key, name)
    homes.settle()
    assert homes["ann"].channels().keys() == {"@bob"}
    assert homes["bob"].channels().keys() == {"@ann"}
