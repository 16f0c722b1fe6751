"""Sample events of every type, for the suite that every handler must pass. A new type needs an entry here."""

from typing import Any

from hypothesis import strategies as st

from quire.core.certificate import transition
from quire.core.encoding import to_text
from quire.core.keys import DeviceKey
from tests.events.builders import FOUNDED, SECOND, Author, Space, digest, invite_keys

SPACE = Space()
#: Everyone who writes, beside the founder; the first two are also the identities that receive.
WRITERS = ("alice", "bob", "carol", "stranger")
PEOPLE = [Author(SPACE, name) for name in (*WRITERS, "newcomer")]
KEYS = [writer.identity for writer in PEOPLE[:-1]]
DEVICES = [writer.id for writer in PEOPLE]
NOBODY = to_text(digest("nobody"))

_key = st.sampled_from([*KEYS, NOBODY, "no key"])
_name = st.sampled_from(["Ann", "Zoë", "", " ", "x" * 80, "x" * 81, "line\nbreak", "\x1b[31m", "🦆"])
_body = st.sampled_from(
    ["hello", "", " ", "zwölf Boxkämpfer", "🦆🦆", "\x00\x1b[2J", "x" * 16_000, "x" * 16_001]
)
_channel = st.sampled_from(["general", "böse", "#x", "@x", "", " a", "a\nb", "x" * 80, "x" * 81, *KEYS])
_role = st.sampled_from(["none", "banned", "guest", "member", "admin", "founder", "king"])

# --- the membership graph: `after` may name what is there, what comes later, and what never comes

_introductions = [Author(SPACE, name).introduce() for name in WRITERS]
_events = [made.event_id for made in (*SPACE.founding, *_introductions)]
_after = st.lists(st.sampled_from([*_events, *_events, *_events, NOBODY, "no id"]), max_size=3)
_time = st.sampled_from([0, FOUNDED, FOUNDED + 2 * SECOND, 2**53 - 1])
_introduction = st.sampled_from([*PEOPLE, SPACE.founder]).map(Author.introduction)
_odd = st.sampled_from(["", "A" * 86, "!", to_text(bytes(64))])
_requests = st.sampled_from(PEOPLE).flatmap(
    lambda writer: st.fixed_dictionaries(
        {}, optional={"proof": _odd, "consent": _odd, "name": _name, "seq": st.integers(-1, 3)}
    ).map(lambda odd: writer.request(None, **odd))
)
_mark = st.tuples(st.integers(-1, 4), st.sampled_from([NOBODY, "no id"])).map(list)
_invited = st.sampled_from([None, *DEVICES]).map(
    lambda device: (
        {"public": NOBODY, "proof": "no proof"}
        if device is None
        else invite_keys(SPACE.invite.secret, SPACE.id, device)
    )
)
_marks = st.dictionaries(st.sampled_from([*DEVICES, "no key"]), _mark, max_size=2)
_content = st.sampled_from([SPACE.key, digest("second key"), digest("third key")])
_holders = st.lists(st.sampled_from(PEOPLE), unique_by=lambda one: one.id, max_size=4)
_wrapped = st.builds(SPACE.wrapped, _content, _holders) | st.fixed_dictionaries(
    {
        "name": st.sampled_from(["", "x", to_text(bytes(8)), to_text(bytes(9))]),
        "ephemeral": st.sampled_from(["", "!", to_text(bytes(32)), to_text(digest("ephemeral"))]),
        "boxes": st.dictionaries(
            st.sampled_from([*DEVICES, "no key"]), st.sampled_from(["", "!", to_text(bytes(48))]), max_size=2
        ),
    }
)
_older = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["content", "control", "other"]),
        "name": st.sampled_from(["", "!", to_text(bytes(8))]),
        "sealed": st.sampled_from(["", "!", to_text(bytes(72))]),
    }
)


def _second(writer: Author) -> Author:
    """A further device of a writer."""
    second = Author(SPACE, writer.name)
    second.key = DeviceKey(digest(f"second device of {writer.name}"))
    second.id = second.key.text
    return second


FURTHER = [_second(writer).id for writer in PEOPLE]


def _linked(writer: Author) -> dict[str, Any]:
    shown = _second(writer).introduction()
    return {
        **{name: shown[name] for name in ("identity", "wrap", "consent")},
        "device": _second(writer).id,
        "name": "phone",
    }


def _certificate(identity: str) -> dict[str, Any]:
    (writer,) = (writer for writer in PEOPLE if writer.identity == identity)
    chain: list[dict[str, Any]] = _second(writer).introduction()["chain"]
    return chain[0]


def _rotated(writer: Author) -> dict[str, Any]:
    new = DeviceKey(digest(f"new root of {writer.name}"))
    sig_old, sig_new = transition(writer.root, new)
    return {
        "old": writer.identity,
        "root": new.text,
        "sig_old": sig_old,
        "sig_new": sig_new,
        "certificate": _certificate(writer.identity),
    }


_further = st.sampled_from(PEOPLE).flatmap(
    lambda writer: st.fixed_dictionaries(
        {}, optional={"consent": _odd, "device": st.sampled_from(DEVICES)}
    ).map(lambda odd: {**_linked(writer), **odd})
)


def _graph(fields: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(fields, _after).map(lambda both: {**both[0], "after": both[1]})


#: Sealed to audiences that nobody here is in: tests/events/test_audiences.py has those that open.
_sealed = st.fixed_dictionaries(
    {
        "sealed": st.sampled_from(["", "!", to_text(bytes(296))]),
        "keys": st.dictionaries(
            st.sampled_from([to_text(bytes(8)), "no name", ""]),
            st.sampled_from(["", "!", to_text(bytes(72))]),
        ),
    }
)

#: Event type → strategy of the type's own fields, the sound and the odd ones.
BODIES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "identity": st.fixed_dictionaries({"pubkey": _key, "name": _name}),
    "relay": st.fixed_dictionaries(
        {
            "url": st.sampled_from(
                ["wss://relay.example/", "ws://127.0.0.1:1/", "no url", "wss://relay.example"]
            ),
            "key": _key,
            "used": st.booleans(),
        }
    ),
    "peer": st.fixed_dictionaries({"pubkey": _key, "name": _name}),
    "space": _graph(
        st.tuples(
            _introduction,
            st.fixed_dictionaries(
                {
                    "name": _name,
                    "salt": st.sampled_from([SPACE.salt, SPACE.salt, to_text(bytes(16)), "!", ""]),
                    "history": st.sampled_from(["all", "from-join", "none"]),
                }
            ),
        ).map(lambda both: {**both[0], **both[1]})
    ),
    "invite": _graph(
        st.fixed_dictionaries(
            {
                "role": _role,
                "uses": st.sampled_from([-1, 0, 1, 2, 10_000, 10_001]),
                "expires": _time | st.just(-1),
                "approve": st.booleans(),
            }
        ).flatmap(lambda limits: _invited.map(lambda keys: {**limits, **keys}))
    ),
    "invite-revoke": _graph(
        st.fixed_dictionaries({"invite": st.sampled_from([SPACE.invite.event.event_id] * 3 + [NOBODY, "x"])})
    ),
    "merge": _graph(st.just({})),
    "space-name": _graph(st.fixed_dictionaries({"name": _name})),
    "admit": _graph(
        st.fixed_dictionaries(
            {
                "invite": st.sampled_from([SPACE.invite.event.event_id] * 3 + [NOBODY]),
                "request": _requests,
            }
        )
    ),
    "request": st.fixed_dictionaries({"request": _requests}),
    "role": _graph(
        st.fixed_dictionaries(
            {
                "member": st.sampled_from([*KEYS, *KEYS, SPACE.founder.identity, NOBODY, "no key"]),
                "role": _role,
                "marks": _marks,
            }
        )
    ),
    "key": _graph(
        st.tuples(
            _wrapped,
            st.fixed_dictionaries(
                {
                    "scope": st.sampled_from(["", "", "", NOBODY]),
                    "generation": st.sampled_from([2, 2, 2, 0, 3, 2**53 - 1]),
                    "before": st.sampled_from([[SPACE.first_key.event_id]] * 3 + [[], [NOBODY]]),
                    "older": st.lists(_older, max_size=2),
                }
            ),
        ).map(lambda both: {**both[0], **both[1]})
    ),
    "key-share": _graph(
        st.tuples(
            _wrapped,
            st.fixed_dictionaries({"key": st.sampled_from([SPACE.first_key.event_id] * 3 + [NOBODY, ""])}),
        ).map(lambda both: {**both[0], **both[1]})
    ),
    "audience": _graph(
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["self", "direct", "channel", "other"]),
                "members": st.lists(_key, max_size=3),
            }
        )
    ),
    "audience-member": _graph(
        st.fixed_dictionaries(
            {
                "audience": st.sampled_from([*_events, NOBODY, "no id"]),
                "member": _key,
                "inside": st.booleans(),
                "marks": _marks,
            }
        )
    ),
    "device": _graph(_further),
    "device-revoke": _graph(
        st.fixed_dictionaries(
            {
                "device": st.sampled_from([*DEVICES, *FURTHER, NOBODY]),
                "last_seq": st.integers(-1, 3),
                "last": st.sampled_from(["", NOBODY]),
            }
        )
    ),
    "recovery": _graph(
        _further.map(
            lambda one: {
                **{name: one[name] for name in ("identity", "wrap", "consent", "name")},
                "root": one["identity"],
                "certificate": _certificate(one["identity"]),
            }
        )
    ),
    "rotation": _graph(
        st.sampled_from(PEOPLE).flatmap(
            lambda writer: st.sampled_from(
                [_rotated(writer), {**_rotated(writer), "sig_new": ""}, {**_rotated(writer), "root": NOBODY}]
            )
        )
    ),
    "readmission": _graph(st.fixed_dictionaries({"old": _key, "new": _key, "marks": _marks})),
    "channel": st.fixed_dictionaries({"name": _name}) | _sealed,
    "personal": _sealed,
    "message": st.fixed_dictionaries({"body": _body}, optional={"channel": _channel}) | _sealed,
    "sync-peers": st.fixed_dictionaries(
        {
            "to": _key,
            "count": st.integers(-1, 3) | st.just(2**53 - 1),
            "fingerprint": st.sampled_from(["", "a", "b"]),
        }
    ),
}
