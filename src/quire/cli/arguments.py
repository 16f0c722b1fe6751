"""What arguments and options mean, in words for `--help`, and a text that is read from standard input.

Owns: those words. Must not know: what any operation does with them.
"""

import sys

from quire.cli.people import NAMES
from quire.errors import UserError
from quire.limits import MAX_BODY_CHARS

#: Bytes of UTF-8 that the longest text may take, and one more, which is too many.
_MOST_BYTES = 4 * MAX_BODY_CHARS + 1

_PERSON = "A person: NAME, @NAME, or a public key."

#: Parameter → its words, in every operation that has no others for it.
_WORDS = {
    "target": "A channel (general, #general), a person (@bob, a public key), or oneself (@me).",
    "text": "What to say, as one word or several; - reads it from standard input. Before a text that begins with "
    "a dash write --, as in: quire send general -- --odd",
    "limit": "How many at most, up to 1,000.",
    "before": "Only those before this place: the `position` of a message, as --json tells it.",
    "position": "Up to this message: its `position`, as `messages --json` tells it; else all.",
    "code": "The six digits that both devices show, with or without spaces.",
    "words": 'What to look for: word, pre* or "a phrase"; a message has to have all.',
    "statement": "One SELECT, in quotes.",
    "link": "A link that `quire invite` made.",
    "invite_id": "The invite's link, or its id from `quire invite list`.",
    "uses": "For how many people.",
    "expires": "How long it holds: 30m, 12h, 7d, 2w.",
    "role": "A role: guest, member or admin.",
    "approve": "Each is let in when a member confirms.",
    "svg": "As a picture (SVG), not for a terminal.",
    "everyone": "Also who was removed or banned, or left.",
    "old": f"Whose place it is. {_PERSON}",
    "new": f"Who gets it. {_PERSON}",
    "history": "What newcomers read: all, or from-join for what is written after they came.",
    "private": "For those alone whom its members add.",
    "channel": "A private channel: its name or its id.",
    "address": "The relay's address, as `quire relay serve` prints it.",
    "relay": "The relay's host or address, as `quire relay list` shows it.",
}

#: What a parameter called `name` names.
_NAMED = {
    "createIdentity": "What the identity is called.",
    "renameIdentity": "What it is called from now on.",
    "createSpace": "What the space is called.",
    "renameSpace": "What it is called from now on.",
    "createChannel": "What the channel is called.",
    "joinSpace": "The identity that joins; it is made if there is none of this name.",
    "revokeDevice": "A device of this identity: its name or its key.",
}


def words(operation: str, parameter: str) -> str:
    """What a parameter of an operation means."""
    if parameter in NAMES.get(operation, ()) and parameter not in _WORDS:
        return _PERSON
    return _NAMED[operation] if parameter == "name" else _WORDS[parameter]


def text(given: list[str]) -> str:
    """What is to be said: the words, or for `-` what standard input holds. Raises UserError for what is no text."""
    if given != ["-"]:
        return " ".join(given)
    read = sys.stdin.buffer.read(_MOST_BYTES)
    try:
        return read.decode().removesuffix("\n")
    except UnicodeDecodeError:
        if len(read) < _MOST_BYTES:
            raise UserError("Standard input holds bytes that are no characters. Send it as UTF-8.") from None
        raise UserError(
            f"Standard input holds too much: a message has 1 to {MAX_BODY_CHARS:,} characters."
        ) from None
