"""Whatever bytes come, each has a clear outcome: dropped and counted, or held. None raises, none costs the others."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quire.core import canonical
from quire.core.encoding import to_text
from quire.core.event import Event
from quire.core.sealing import blob_context, key_id, seal
from quire.events.handler import Handler
from quire.events.home import Home
from quire.events.ingest import ingest
from quire.events.rebuild import rebuild
from quire.events.standing import device_need
from quire.limits import MAX_BLOB_BYTES, MAX_BODY_CHARS, MAX_EVENT_BYTES
from quire.store.memberships import Membership
from tests.events.builders import (
    NOW,
    Author,
    Made,
    Space,
    add_holder,
    bodies,
    digest,
    give,
    make_home,
    registry_with,
    rejected,
    state_of,
    states,
    views,
    waits,
)

SPACE = Space()


# --- Dropped and counted -----------------------------------------------------------------------------


def _message(writer: Author, **fields: Any) -> dict[str, Any]:
    return {**writer.draft("message", {"body": "bad", "channel": "general"}), **fields}


def _raw(template: bytes) -> Callable[[Author], bytes]:
    """Bytes with the header of the author's next event put in for `HEADER`."""

    def make(author: Author) -> bytes:
        header = canonical.encode(_message(author))[1:-1]
        return SPACE.seal(template.replace(b"HEADER", header))

    return make


def _signed(**fields: Any) -> Callable[[Author], bytes]:
    return lambda author: SPACE.seal(author.signed(_message(author, **fields)))


def _altered(author: Author) -> bytes:
    return SPACE.seal(author.signed(_message(author)).replace(b'"bad"', b'"mad"'))


def _flipped(author: Author) -> bytes:
    sealed = bytearray(SPACE.seal(author.signed(_message(author))))
    sealed[60] ^= 4
    return bytes(sealed)


def _by_another(author: Author) -> bytes:
    return SPACE.seal(Author(SPACE, "mallory").signed(_message(author)))


def _for_another_space(author: Author) -> bytes:
    return SPACE.seal(author.signed(_message(author), Space("elsewhere")))


def _sealed_for_another_space(author: Author) -> bytes:
    other, name = Space("elsewhere"), key_id(SPACE.key)
    data = author.signed(_message(author))
    return name + seal(SPACE.key, digest("n", 24), data, blob_context(other.raw_id, name))


def _with_another_key(author: Author) -> bytes:
    name = key_id(SPACE.key)
    return name + seal(
        digest("other key"), bytes(24), author.signed(_message(author)), blob_context(SPACE.raw_id, name)
    )


def _unsorted(author: Author) -> bytes:
    return SPACE.seal(msgspec.json.encode(dict(sorted(_message(author).items(), reverse=True))))


def _escaped(author: Author) -> bytes:
    return SPACE.seal(canonical.encode(_message(author)).replace(b"bad", b"b\\u0061d"))


def _with_signature(sig: str | None) -> Callable[[Author], bytes]:
    return lambda author: SPACE.seal(canonical.encode({**_message(author), "sig": sig}))


DEEP = b"[" * 20 + b"]" * 20

DROPPED: list[tuple[str, str, Callable[[Author], bytes]]] = [
    ("nothing", "cannot-open", lambda _: b""),
    ("a few bytes", "cannot-open", lambda _: b"abc"),
    ("an unknown key id, and no room for a blob", "cannot-open", lambda _: b"whatever" + bytes(39)),
    ("an enormous blob under an unknown key", "too-large", lambda _: b"whatever" + bytes(MAX_BLOB_BYTES + 1)),
    ("a key id alone", "cannot-open", lambda _: key_id(SPACE.key)),
    ("a truncated blob", "cannot-open", lambda a: SPACE.seal(a.signed(_message(a)))[:-1]),
    ("a flipped bit", "cannot-open", _flipped),
    ("the wrong key", "cannot-open", _with_another_key),
    ("sealed for another space", "cannot-open", _sealed_for_another_space),
    ("an enormous blob", "too-large", lambda _: key_id(SPACE.key) + bytes(MAX_BLOB_BYTES + 1)),
    ("an event too large", "too-large", lambda _: SPACE.seal(b'"' + b"x" * MAX_EVENT_BYTES + b'"')),
    ("no JSON", "not-json", lambda _: SPACE.seal(b"hello")),
    ("an empty event", "not-json", lambda _: SPACE.seal(b"")),
    ("invalid UTF-8", "not-json", lambda _: SPACE.seal(b"\xff\xfe")),
    ("invalid UTF-8 in the type", "not-json", lambda _: SPACE.seal(b'{"type":"\xff","v":1}')),
    ("invalid UTF-8 in the body", "not-json", _raw(b'{"body":"\xff",HEADER}')),
    ("half a surrogate", "not-json", lambda _: SPACE.seal(b'{"type":"\\ud800","v":1}')),
    ("a number", "bad-fields", lambda _: SPACE.seal(b"1")),
    ("a list", "bad-fields", lambda _: SPACE.seal(b"[]")),
    ("an empty object", "bad-fields", lambda _: SPACE.seal(b"{}")),
    ("a missing field", "bad-fields", lambda a: SPACE.seal(canonical.encode({**_message(a), "x": 1}))),
    ("an extra field", "bad-fields", _signed(extra="x")),
    ("a body that is no text", "bad-fields", _signed(body=7)),
    ("a type that is no text", "bad-fields", _signed(type=7)),
    ("a version that is no number", "bad-fields", _signed(v="1")),
    ("a negative version", "bad-fields", _signed(type="poll", v=-1)),
    ("a negative time", "bad-fields", _signed(ts=-1)),
    ("a time that is text", "bad-fields", _signed(ts="now")),
    ("seq 0", "bad-fields", _signed(seq=0, prev=None)),
    ("a negative seq", "bad-fields", _signed(seq=-3)),
    ("first in its log, but linked", "bad-fields", _signed(seq=1)),
    ("later in its log, but not linked", "bad-fields", _signed(seq=5, prev=None)),
    ("linked to no id", "bad-fields", _signed(seq=5, prev="x")),
    ("an author of another length", "bad-fields", _signed(author="carol")),
    ("unsigned, by no key", "bad-fields", lambda a: SPACE.seal(canonical.encode(_message(a, author="!" * 43)))),
    ("signed, by no key", "bad-signature", _signed(author="!" * 43)),
    ("a float", "float", _raw(b'{"a":1.5,HEADER}')),
    ("a whole float", "float", _raw(b'{"a":1.0,HEADER}')),
    ("a number too large", "integer-range", _raw(b'{"a":9007199254740992,HEADER}')),
    ("a number far too large", "float", _raw(b'{"a":99999999999999999999,HEADER}')),
    ("a time too large", "integer-range", _raw(b'{"type":"poll","v":1,"ts":9007199254740993}')),
    ("too deep", "too-deep", _raw(b'{"a":' + DEEP + b",HEADER}")),
    ("far too deep", "too-deep", lambda _: SPACE.seal(b"[" * 30_000 + b"]" * 30_000)),
    ("far too deep, and open", "too-deep", lambda _: SPACE.seal(b'{"a":' * 10_000)),
    ("a key twice", "not-canonical", _raw(b'{HEADER,"body":"other"}')),
    ("keys out of order", "not-canonical", _unsorted),
    ("white space", "not-canonical", _raw(b'{ HEADER}')),
    ("a needless escape", "not-canonical", _escaped),
    ("altered after signing", "bad-signature", _altered),
    ("signed by another", "bad-signature", _by_another),
    ("signed for another space", "bad-signature", _for_another_space),
    ("a signature that is none", "bad-signature", _with_signature("x")),
    ("a signature of zeros", "bad-signature", _with_signature(to_text(bytes(64)))),
    ("a signature that is null", "bad-fields", _with_signature(None)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "make"), [case[1:] for case in DROPPED], ids=[case[0] for case in DROPPED]
)
def test_dropped_and_counted(
    home: Home, alice: Membership, carol: Author, reason: str, make: Callable[[Author], bytes]
) -> None:
    before = views(home, alice)
    bad = make(carol)
    good = [carol.say("before").sealed, carol.say("after").sealed]
    report = ingest(home, alice, [good[0], bad, good[1]], "mallory", NOW)
    assert report.rejected == {reason: 1}
    assert home.store.rejections.of(alice.account) == [("mallory", reason, 1, NOW)]
    assert bodies(home, alice) == ["after", "before"]
    assert len(states(home, alice)) == len(before["states"]) + 2
    ingest(home, alice, [bad], "mallory", NOW + 5)
    assert home.store.rejections.of(alice.account) == [("mallory", reason, 2, NOW + 5)]


def test_a_broken_signature_in_the_log_itself(home: Home, alice: Membership, carol: Author) -> None:
    """Refused alone; once the chain vouches for it, accepted, when it is delivered again: order matters not."""
    draft = carol.draft("message", {"body": "mine all the same", "channel": "general"})
    broken = SPACE.made(canonical.encode({**draft, "sig": to_text(bytes(64))}))
    carol.seq, carol.prev = draft["seq"], broken.event_id
    after = carol.say("after")
    assert give(home, alice, broken).rejected == {"bad-signature": 1}
    assert give(home, alice, after).valid == 1
    assert give(home, alice, broken).valid == 1

    other = make_home()
    dora = add_holder(other, SPACE, "dora")
    intro = Author(SPACE, "carol").introduce()
    assert give(other, dora, intro, broken, after).rejected == {}
    assert bodies(other, dora) == bodies(home, alice) == ["after", "mine all the same"]
    other.close()


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_bytes_raise(data: st.DataObject) -> None:
    """Random bytes, random JSON, and valid events with something cut, doubled or replaced."""
    home = make_home()
    member = add_holder(home, SPACE, "alice")
    carol = Author(SPACE, "carol")
    sound = carol.introduce()
    json = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
    fields = st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["message", "peer", "poll"]) | json,
            "v": st.sampled_from([1, 2]) | json,
            "author": st.just(carol.id) | json,
            "prev": st.none() | json,
            "body": json,
            "name": json,
        },
    )
    header = carol.draft("message", {"body": "x"})
    cut = st.integers(0, len(sound.data))
    data_of = st.one_of(
        st.binary(max_size=40),
        json.map(msgspec.json.encode),
        fields.map(lambda odd: msgspec.json.encode({**header, **odd}, order="sorted")),
        st.tuples(cut, cut, st.binary(max_size=2)).map(
            lambda t: sound.data[: t[0]] + t[2] + sound.data[t[1] :]
        ),
    )
    batch = [SPACE.seal(one) for one in data.draw(st.lists(data_of, max_size=4))]
    report = ingest(
        home, member, [*batch, sound.sealed, *data.draw(st.lists(st.binary(max_size=60)))], "x", NOW
    )
    assert report.valid >= 1
    assert home.store.waiting.is_met(member.account, member.space, device_need(carol.id))
    home.close()


# --- Known, unknown and newer ------------------------------------------------------------------------


def test_replayed(home: Home, alice: Membership, carol: Author) -> None:
    made = carol.say("once")
    give(home, alice, made)
    before = views(home, alice), home.store.index(alice.account, alice.space).whole()
    for batch in ([made], [made, made], [Made(made.event_id, b"", SPACE.seal(made.data))]):
        report = give(home, alice, *batch)
        assert (report.valid, report.blocked, report.known, report.rejected) == (0, 0, 1, {})
    assert (views(home, alice), home.store.index(alice.account, alice.space).whole()) == before


class PollEvent(Event):
    question: str


def _project_poll(view: Any, batch: Any) -> None:
    view.write(
        "INSERT OR IGNORE INTO poll_rows VALUES (?, ?, ?, ?)",
        [(o.account, o.space, o.number, o.event.question) for o in batch],
    )


POLL = Handler(
    type="poll",
    event=PollEvent,
    tables=("poll_rows",),
    schema="CREATE TABLE poll_rows (account INTEGER, space INTEGER, event INTEGER, question TEXT,"
    " PRIMARY KEY (account, space, event)) STRICT;\n",
    project=_project_poll,
    needs=lambda o: (device_need(o.event.author),),
    provides=lambda o: ("a poll",),
)


def test_an_unknown_type_is_kept_and_understood_later(tmp_path: Any) -> None:
    path = tmp_path / "quire.db"
    home = make_home(path)
    alice = add_holder(home, SPACE, "alice")
    before = home.store.index(alice.account, alice.space).whole().count
    carol, erin = Author(SPACE, "carol"), Author(SPACE, "erin")
    made = [
        carol.introduce(),
        carol.write("poll", {"question": "when?"}),
        erin.write("poll", {"question": "who?"}),
    ]
    odd = carol.write("poll", {"question": ["not", "text"]})
    report = give(home, alice, *made, odd)
    assert (report.valid, report.blocked, len(report.arrived)) == (3, 1, 1)
    found = [states(home, alice)[one.event_id] for one in (*made[1:], odd)]
    assert found == ["unsupported", "blocked", "unsupported"], (
        "whoever writes it is to be known, as for others"
    )
    index = home.store.index(alice.account, alice.space)
    assert index.whole().count == before + 4, "what is not understood is synced on all the same"
    home.close()

    richer = make_home(path, registry_with(POLL))
    assert richer.stale_views
    alice = richer.store.memberships.get(alice.account, alice.space)
    rebuild(richer, NOW)
    rows = richer.store.db.all("SELECT question FROM poll_rows")
    assert rows == [("when?",)]
    assert state_of(richer, alice, made[1]) == "valid"
    assert state_of(richer, alice, made[2]) == "blocked", "its author is not known, and it says so"
    assert state_of(richer, alice, odd) == "unsupported", "malformed, as is known now: kept, and no obstacle"
    give(richer, alice, Author(SPACE, "erin").introduce())
    assert state_of(richer, alice, made[2]) == "valid"
    arrived = richer.store.blobs.arrived_after(alice.account, 0, 100)
    assert sorted(row.event_id for _, row in arrived) == sorted(
        event for event, state in states(richer, alice).items() if state == "valid"
    )
    richer.close()
    again = make_home(path, registry_with(POLL))
    assert not again.stale_views
    again.close()


def test_a_newer_version_is_kept(home: Home, alice: Membership, carol: Author) -> None:
    newer = carol.write("message", {"body": {"rich": "text"}}, v=2)
    after = carol.say("after")
    report = give(home, alice, newer, after)
    assert (report.valid, [o.event_id for o in report.arrived]) == (2, [after.event_id])
    assert state_of(home, alice, newer) == "unsupported"
    assert bodies(home, alice) == ["after"]


# --- Odd but sound -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "shown"),
    [("", 0), ("x" * MAX_BODY_CHARS, 1), ("x" * (MAX_BODY_CHARS + 1), 0), ("\x00\x1b[2J\u202e", 1), (" ", 1)],
)
def test_odd_bodies_are_kept_and_shown_or_not(
    home: Home, alice: Membership, carol: Author, body: str, shown: int
) -> None:
    made = carol.say(body)
    assert give(home, alice, made).valid == 1
    assert bodies(home, alice) == [body] * shown
    assert state_of(home, alice, made) == "valid"


def test_a_damaged_blob_does_not_stop_the_others(home: Home, alice: Membership) -> None:
    """Bytes that rot while they wait: what waited beside them comes in, and they are named as damaged."""
    carol = Author(SPACE, "carol")
    intro = carol.introduce()
    made = [carol.say("rots", sign=False), carol.say("waits too"), carol.say("and this")]
    give(home, alice, *made)
    home.store.db.execute(
        "UPDATE blobs SET sealed = zeroblob(length(sealed)) WHERE event_id = ?", (made[0].event_id,)
    )
    assert give(home, alice, intro).valid == 3
    assert bodies(home, alice) == ["and this", "waits too"]
    assert waits(home, alice) == [("damaged", made[0].event_id)]
    assert rebuild(home, NOW).set_aside == 1
    assert bodies(home, alice) == ["and this", "waits too"]
    assert waits(home, alice) == []
    assert give(home, alice, made[0]).valid == 1, "not held, so it comes again"
    assert bodies(home, alice) == ["and this", "rots", "waits too"]


def test_a_damaged_blob_that_was_shown(home: Home, alice: Membership, carol: Author) -> None:
    made = [carol.say("rots"), carol.say("stays")]
    give(home, alice, *made)
    home.store.db.execute("UPDATE blobs SET sealed = x'00' WHERE event_id = ?", (made[0].event_id,))
    rebuild(home, NOW)
    assert bodies(home, alice) == ["stays"]
    assert made[0].event_id not in states(home, alice), "not held: peers see that we lack it"
    give(home, alice, made[0])
    assert bodies(home, alice) == ["rots", "stays"]


def test_rejections_are_counted_by_reason(home: Home, alice: Membership) -> None:
    ingest(home, alice, [b"", b"x", SPACE.seal(b"["), SPACE.seal(b"{}")], "mallory", NOW)
    assert rejected(home, alice) == {"cannot-open": 2, "not-json": 1, "bad-fields": 1}
