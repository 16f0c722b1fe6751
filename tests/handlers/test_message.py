from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import NotFound, UserError
from quire.events.append import append
from quire.events.context import Context
from quire.events.rebuild import rebuild
from quire.handlers import message, space
from quire.limits import DEFAULT_PAGE, INDEX_STEP, MAX_BATCH, MAX_BODY_CHARS, MAX_NAME_CHARS, MAX_PAGE
from tests.events.builders import (
    NOW,
    Author,
    Made,
    Space,
    add_holder,
    bodies,
    give,
    make_home,
    state_of,
    waits,
)
from tests.handlers.network import Network, author_in


def receive(net: Network, holder: str, *made: Made) -> None:
    give(net.home, net.member(holder), *made, now=net.now)


# --- Writing and reading -----------------------------------------------------------------------------


def test_what_is_sent_is_listed_at_once(pair: Network) -> None:
    sent = pair.send("alice", "general", "hello")
    assert message.list_(pair.ctx("alice"), "#general") == [sent]
    assert (sent.channel_id, sent.sender_name, sent.body_text) == ("general", "alice", "hello")
    assert sent.sender == pair.member("alice").account_id
    ts, seq, device = sent.position.split(":")
    assert (int(ts), device) == (sent.ts, pair.member("alice").device)
    assert (len(ts), len(seq)) == (16, 16), "zero-padded: text order is time order"


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_BODY_CHARS + 1), "\x01" * MAX_BODY_CHARS, "a\udcff"])
def test_texts_that_cannot_be_sent(pair: Network, text: str) -> None:
    before = pair.sizes()
    with pytest.raises(UserError):
        pair.send("alice", "general", text)
    assert pair.sizes() == before
    pair.send("alice", "general", "the log is whole")
    assert pair.texts("alice") == ["the log is whole"]


@pytest.mark.parametrize(
    "text", ["x" * MAX_BODY_CHARS, "🦆" * MAX_BODY_CHARS, "\x00", "\x1b[2J", '"\\\u2028']
)
def test_texts_that_can(pair: Network, text: str) -> None:
    pair.send("alice", "general", text)
    assert pair.texts("alice") == [text]
    rebuild(pair.home, NOW)
    assert pair.texts("alice") == [text]


@pytest.mark.parametrize(
    "target",
    [
        "",
        "#",
        "##a",
        "a\nb",
        " a",
        "a ",
        "x" * (MAX_NAME_CHARS + 1),
        "\x1b[31m",
        "\u202eevil",
        "#@a",
        "a\udcff",
    ],
)
def test_targets_that_are_none(pair: Network, target: str) -> None:
    for act in (lambda: pair.send("alice", target, "x"), lambda: pair.texts("alice", target)):
        with pytest.raises(UserError, match="channel name"):
            act()


@pytest.mark.parametrize("target", ["a", "böse", "🦆", "a b", "x" * MAX_NAME_CHARS, "a#b", "a@b", "0"])
def test_targets(pair: Network, target: str) -> None:
    pair.send("alice", target, "x")
    assert pair.texts("alice", "#" + target) == ["x"]


def test_a_key_is_no_channel_name(pair: Network) -> None:
    """Conversations go by keys: nobody can put words for all into one, nor publish by a slip."""
    pair.settle()
    key = pair.member("bob").account_id
    with pytest.raises(UserError, match="channel name"):
        pair.send("alice", key, "meant for bob alone")
    mallory = author_in(pair, "alice", "mallory")
    posing = mallory.write("message", {"body": "posing", "channel": key})
    direct = author_in(pair, "alice", "friend")
    made = [
        mallory.introduce(),
        posing,
        direct.introduce(),
        direct.write("message", {"body": "posing as well", "channel": direct.identity}),
        direct.say("for all"),
    ]
    receive(pair, "alice", *made)
    assert pair.texts("alice", "@bob") == []
    assert pair.texts("alice") == ["for all"], "whatever else came in the same batch"
    assert pair.shown("alice") == ["for all"]


def test_many_at_once_carry_one_signature(pair: Network) -> None:
    ids = message.create_many(pair.ctx("alice"), "general", ["a", "b", "c"])
    assert pair.texts("alice") == ["a", "b", "c"]
    assert [m.event_id for m in message.list_(pair.ctx("alice"), "general")] == ids
    assert message.create_many(pair.ctx("alice"), "general", []) == []
    before = pair.sizes()
    for texts in (["fine", ""], ["x"] * (MAX_BATCH + 1)):
        with pytest.raises(UserError):
            message.create_many(pair.ctx("alice"), "general", texts)
    assert pair.sizes() == before


def test_a_long_run_reaches_another_identity(pair: Network) -> None:
    """One run over several batches: its first part comes without the signature that vouches for it."""
    texts = [str(number) for number in range(4_100)]
    message.create_many(pair.ctx("alice"), "general", texts)
    pair.settle()
    assert pair.shown("bob") == sorted(texts)
    assert waits(pair.home, pair.member("bob")) == []


# --- Who sees what ------------------------------------------------------------------------------------


def test_direct_messages_are_shown_to_their_two_ends_alone(pair: Network) -> None:
    pair.join("alice", "carol")
    pair.settle()
    pair.send("alice", "@bob", "between us")
    pair.send("bob", "@alice", "indeed")
    pair.settle()
    for name, other in (("alice", "@bob"), ("bob", "@alice")):
        assert pair.texts(name, other) == ["between us", "indeed"]
    assert pair.shown("carol") == []
    assert message.list_channels(pair.ctx("carol")) == []
    assert message.search(pair.ctx("carol"), "between") == []
    assert pair.holdings("carol") == pair.holdings("alice"), "though Carol's device carries them"
    with pytest.raises(NotFound, match="dora"):
        pair.send("alice", "@dora", "x")


def test_a_note_to_oneself(pair: Network) -> None:
    pair.settle()
    pair.send("alice", "@alice", "milk")
    pair.settle()
    assert pair.texts("alice", "@alice") == ["milk"]
    assert pair.shown("bob") == []


def test_messages_without_a_place_are_not_shown(pair: Network) -> None:
    carol = author_in(pair, "alice", "carol")
    made = [
        carol.introduce(),
        carol.write("message", {"body": "none"}),
        carol.write("message", {"body": "", "channel": "empty"}),
        carol.write("message", {"body": "bad name", "channel": "#x"}),
    ]
    receive(pair, "alice", *made)
    assert pair.shown("alice") == []
    assert message.list_channels(pair.ctx("alice")) == []
    assert {state_of(pair.home, pair.member("alice"), one) for one in made} == {"valid"}


def test_a_message_of_an_unknown_peer_waits_for_the_introduction(pair: Network) -> None:
    carol = author_in(pair, "alice", "carol")
    introduction = carol.introduce()
    texts = [carol.say("one"), carol.say("two")]
    receive(pair, "alice", *texts)
    alice = pair.member("alice")
    assert waits(pair.home, alice) == sorted((f"device {carol.id}", made.event_id) for made in texts)
    assert pair.home.store.waiting.reasons(alice.account) == [(alice.space, "device", 2)]
    assert pair.shown("alice") == []
    assert message.search(pair.ctx("alice"), "one") == []
    receive(pair, "bob", introduction)
    assert pair.shown("alice") == [], "what Bob knows is no knowledge of Alice's"
    receive(pair, "alice", introduction)
    assert pair.shown("alice") == ["one", "two"]
    assert waits(pair.home, alice) == []
    assert pair.shown("bob") == []


def test_spaces_of_one_identity_are_apart(net: Network) -> None:
    net.found("alice", "garden")
    net.send("alice", "general", "in the garden")
    space.create(net.ctx("alice"), "yard")
    net.send("alice", "general", "in the yard")
    assert net.texts("alice") == ["in the yard"]
    found = message.search(net.ctx("alice"), "in")
    assert [m.body_text for m in found] == ["in the yard"]
    assert [channel.name for channel in message.list_channels(net.ctx("alice"))] == ["general"]


# --- Order, pages -------------------------------------------------------------------------------------


def test_listing_goes_by_time_then_place_then_device(pair: Network) -> None:
    authors = sorted((author_in(pair, "alice", name) for name in ("x", "y", "z")), key=lambda a: a.id)
    base = pair.now
    plan = [(2, 1, "c"), (0, 0, "a"), (1, 1, "b2"), (0, 1, "b1"), (1, 3, "d")]
    for author in authors:
        receive(pair, "alice", author.introduce())
    made = []
    for who, later, text in plan:
        authors[who].ts = base + later
        made.append(authors[who].say(text))
    receive(pair, "alice", *made[::-1])
    listed = message.list_(pair.ctx("alice"), "general")
    assert [m.position for m in listed] == sorted(m.position for m in listed)
    keys = [(m.ts, int(seq), device) for m in listed for _, seq, device in (m.position.split(":"),)]
    assert keys == sorted(keys)
    assert len(listed) == len(plan)


def test_every_page_size_reads_the_same(pair: Network) -> None:
    carol = author_in(pair, "alice", "carol")
    receive(pair, "alice", carol.introduce())
    message.create_many(pair.ctx("alice"), "general", [f"a{number}" for number in range(13)])
    ts = pair.now
    made = []
    for number in range(13):
        carol.ts = ts
        made.append(carol.say(f"c{number}"))
    receive(pair, "alice", *made)
    whole = message.list_(pair.ctx("alice"), "general", limit=MAX_PAGE)
    assert len(whole) == 26
    for size in (1, 2, 5, 25, 26, 27):
        found: list[message.Message] = []
        before = ""
        while page := message.list_(pair.ctx("alice"), "general", size, before):
            assert len(page) <= size
            found = page + found
            before = page[0].position
        assert found == whole


@settings(deadline=None, max_examples=25)
@given(
    plan=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=12),
    order=st.randoms(use_true_random=False),
    size=st.integers(1, 13),
)
def test_pages_against_a_sorted_list(plan: list[tuple[int, int]], order: Random, size: int) -> None:
    home, there = make_home(), Space()
    alice = add_holder(home, there, "alice")
    authors = [Author(there, name) for name in ("x", "y", "z")]
    made = [author.introduce() for author in authors]
    expected = []
    for place, (who, step) in enumerate(plan):
        authors[who].ts += step
        event = authors[who].say(str(place))
        expected.append((authors[who].ts - 1, authors[who].seq, authors[who].id, str(place)))
        made.append(event)
    order.shuffle(made)
    give(home, alice, *made)
    ctx = Context(home, NOW, alice.account, alice)
    found: list[str] = []
    before = ""
    while page := message.list_(ctx, "general", size, before):
        found = [m.body_text for m in page] + found
        before = page[0].position
    assert found == [text for *_, text in sorted(expected)]
    home.close()


def test_twins_of_a_fork_are_listed_in_one_order_everywhere() -> None:
    there = Space()
    carol = Author(there, "carol")
    intro = carol.introduce()
    seq, prev, ts = carol.seq, carol.prev, carol.ts
    twins = []
    for text in ("left", "right", "middle"):
        carol.seq, carol.prev, carol.ts = seq, prev, ts
        twins.append(carol.say(text))
    orders = []
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        home = make_home()
        alice = add_holder(home, there, "alice")
        give(home, alice, intro)
        for place in order:
            give(home, alice, twins[place])
        listed = message.list_(Context(home, NOW, alice.account, alice), "general")
        orders.append([m.body_text for m in listed])
        home.close()
    assert orders[0] == orders[1] == orders[2]


def test_the_default_page(pair: Network) -> None:
    message.create_many(pair.ctx("alice"), "general", [str(number) for number in range(DEFAULT_PAGE + 3)])
    assert pair.texts("alice") == [str(number) for number in range(3, DEFAULT_PAGE + 3)]


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
def test_limits(pair: Network, limit: int) -> None:
    for act in (message.list_, message.search):
        with pytest.raises(UserError, match="1 to 1,000"):
            act(pair.ctx("alice"), "general", limit)


@pytest.mark.parametrize(
    "before",
    [
        "x",
        "1",
        "1:2",
        "1:2:3:4",
        "a:b:c",
        "1:2:nobody",
        "-1:0:x",
        "9" * 30 + ":1:x",
        "9" * 5_000,
        "1:1:\udcff",
    ],
)
def test_positions_that_are_none(pair: Network, before: str) -> None:
    with pytest.raises(UserError, match="position"):
        message.list_(pair.ctx("alice"), "general", before=before)


def test_channels(pair: Network) -> None:
    pair.settle()
    for target in ("zebra", "Apple", "@bob", "general"):
        pair.send("alice", target, "x")
    sent = pair.send("alice", "general", "last")
    found = message.list_channels(pair.ctx("alice"))
    assert [(channel.name, channel.direct) for channel in found] == [
        ("Apple", False), ("general", False), ("zebra", False), ("bob", True),
    ]  # fmt: skip
    assert found[1].last_ts == sent.ts
    assert found[3].channel_id == pair.member("bob").account_id


# --- Search -------------------------------------------------------------------------------------------

LIBRARY = [
    "The quick brown fox", "quick thinking", "Über den Wolken", "naïve café", "e-mail to a@b.example",
    "NEAR the end AND beyond OR not", "body_text: secret", "日本語 テスト", "party 🎉 time", 'she said "stop" twice',
    "x" * 500, "100% ^caret {brace} col:umn -minus +plus *star", "null\x00byte",
]  # fmt: skip


def library(net: Network) -> None:
    message.create_many(net.ctx("alice"), "general", LIBRARY)


def found_by(net: Network, words: str, name: str = "alice") -> list[str]:
    return [m.body_text for m in message.search(net.ctx(name), words)]


@pytest.mark.parametrize(
    ("words", "hits"),
    [
        ("quick", [1, 0]), ("QUICK fox", [0]), ("qui*", [1, 0]), ("qui", []), ('"quick brown"', [0]),
        ('"brown quick"', []), ("uber", [2]), ("ÜBER wolken", [2]), ("cafe", [3]), ("naive CAFÉ", [3]),
        ("cafe\u0301", [3]), ("e-mail", [4]), ("a@b.example", [4]), ("NEAR", [5]), ("AND", [5]), ("OR NOT", [5]),
        ("NEAR(the end)", [5]), ("body_text:secret", [6]), ("body_text", [6]), ("日本語", [7]), ("日*", [7]),
        ("party 🎉", [8]), ('stop" twice', [9]), ('"stop', [9]), ("'; DROP TABLE blobs; --", []),
        ("col:umn", [11]), ("-minus", [11]), ("^caret", [11]), ("{brace}", [11]), ("**star**", [11]), ("*star", [11]),
        ("100%", [11]), ("nothing of that", []), ("null\x00byte", [12]), ("quick\udcff", [1, 0]), ("fox " * 400, [0]),
        ('fox "!!!"', [0]), ("x" * 100_000, []),
    ],
)  # fmt: skip
def test_search(pair: Network, words: str, hits: list[int]) -> None:
    library(pair)
    assert found_by(pair, words) == [LIBRARY[place] for place in hits]


@pytest.mark.parametrize(
    "words", ["", " ", '""', '" "', "*", "***", '"', "!?", "🎉", "-", "\x00", "\udcff", "( )"]
)
def test_a_search_for_nothing(pair: Network, words: str) -> None:
    library(pair)
    with pytest.raises(UserError, match="nothing to search for"):
        found_by(pair, words)


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=12) | st.text(alphabet='"*()^:-+ aNEARORD{}\x00', max_size=20))
def test_no_words_break_the_search(words: str) -> None:
    try:
        message.search(_LIBRARY.ctx("alice"), words)
    except UserError:
        pass


_LIBRARY = Network()
_LIBRARY.found("alice")
library(_LIBRARY)


def test_search_keeps_identities_apart(pair: Network) -> None:
    pair.settle()
    pair.send("alice", "@alice", "my secret word")
    pair.settle()
    assert found_by(pair, "secret", "bob") == []
    assert found_by(pair, "secret") == ["my secret word"]
    pair.send("alice", "general", "a public word")
    assert found_by(pair, "word", "bob") == []
    pair.settle()
    assert found_by(pair, "word", "bob") == ["a public word"]


def test_search_is_limited_and_gives_the_newest(pair: Network) -> None:
    message.create_many(pair.ctx("alice"), "general", [f"word {number}" for number in range(60)])
    assert len(found_by(pair, "word")) == DEFAULT_PAGE
    found = message.search(pair.ctx("alice"), "word", limit=2)
    assert [m.body_text for m in found] == ["word 59", "word 58"]


def test_search_does_not_index_a_long_backlog_while_someone_waits(pair: Network) -> None:
    """Beyond 4 × INDEX_STEP the backlog is left to spare time; what is indexed is found meanwhile."""
    message.create_many(pair.ctx("alice"), "general", ["early"])
    assert found_by(pair, "early") == ["early"]
    message.create_many(pair.ctx("alice"), "general", ["late"] * (4 * INDEX_STEP + 1))
    assert found_by(pair, "late") == []
    assert pair.home.search.step() == INDEX_STEP
    assert len(found_by(pair, "late")) == DEFAULT_PAGE


def test_search_after_a_rebuild(pair: Network) -> None:
    library(pair)
    pair.settle()
    before = {
        name: {words: sorted(found_by(pair, words, name)) for words in ("quick", "uber", "AND")}
        for name in ("alice", "bob")
    }
    assert all(hits for found in before.values() for hits in found.values())
    rebuild(pair.home, NOW)
    after = {
        name: {words: sorted(found_by(pair, words, name)) for words in ("quick", "uber", "AND")}
        for name in ("alice", "bob")
    }
    assert after == before
    pair.home.store.db.execute("INSERT INTO search (search, rank) VALUES ('integrity-check', 1)")


def test_own_events_are_written_through_the_same_door(pair: Network) -> None:
    alice = pair.member("alice")
    append(pair.home, alice, "message", [{"body": "raw", "channel": "general"}], pair.now)
    assert bodies(pair.home, alice) == ["raw"]


def test_every_message_of_a_sealed_batch_is_shown(pair: Network) -> None:
    """Only the last of a run is signed: the others open all the same, here and at the other end."""
    texts = [f"number {place}" for place in range(5)]
    message.create_many(pair.ctx("alice"), "@me", texts)
    message.create_many(pair.ctx("alice"), "@bob", texts)
    assert pair.texts("alice", "@me") == pair.texts("alice", "@bob") == texts
    pair.settle()
    assert pair.texts("bob", "@alice") == texts
