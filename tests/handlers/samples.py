"""Sample events of every type, for the suite that every handler must pass. A new type needs an entry here."""

from typing import Any

from hypothesis import strategies as st

from quire.core.encoding import to_text
from tests.events.builders import Author, Space, digest

SPACE = Space()
#: Everyone who writes; the first two are also the identities that receive.
WRITERS = ("alice", "bob", "carol", "stranger")
KEYS = [Author(SPACE, name).id for name in WRITERS]

_key = st.sampled_from([*KEYS, to_text(digest("nobody")), "no key"])
_name = st.sampled_from(["Ann", "Zoë", "", " ", "x" * 80, "x" * 81, "line\nbreak", "\x1b[31m", "🦆"])
_body = st.sampled_from(
    ["hello", "", " ", "zwölf Boxkämpfer", "🦆🦆", "\x00\x1b[2J", "x" * 16_000, "x" * 16_001]
)
_channel = st.sampled_from(["general", "böse", "#x", "@x", "", " a", "a\nb", "x" * 80, "x" * 81, *KEYS])

#: Event type → strategy of the type's own fields, the sound and the odd ones.
BODIES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "identity": st.fixed_dictionaries({"pubkey": _key, "name": _name}),
    "peer": st.fixed_dictionaries({"pubkey": _key, "name": _name}),
    "space": st.fixed_dictionaries(
        {"name": _name, "salt": st.sampled_from([to_text(bytes(16)), to_text(bytes(15)), "!", ""])}
    ),
    "message": st.fixed_dictionaries({"body": _body}, optional={"channel": _channel, "to": _key}),
    "sync-peers": st.fixed_dictionaries(
        {
            "to": _key,
            "count": st.integers(-1, 3) | st.just(2**53 - 1),
            "fingerprint": st.sampled_from(["", "a", "b"]),
        }
    ),
}
