"""A run as one HTML page: who had what when. It stands alone: no network, no other file.

Owns: putting history, style and script into the page, so that no text of a history is ever taken for either.
Must not know: how a history came to be, how its script draws it.
"""

from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files

import msgspec

from quire.sim.history import History

#: Characters of JSON that could end a script element, begin a comment or break a line, as JSON's own escapes.
_ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def timeline(history: History) -> str:
    """The page. A browser runs the page's own script only, told by its hash, and loads nothing."""
    style, script = _part("timeline.css"), _part("timeline.js")
    values = {
        "TITLE": escape(f"{history.scenario}, seed {history.seed}"),
        "STYLE_HASH": _hash(style),
        "SCRIPT_HASH": _hash(script),
        "STYLE": style,
        "SCRIPT": script,
        "HISTORY": msgspec.json.encode(history).decode().translate(_ESCAPES),
    }
    # One pass from left to right: what was put in is never looked at again.
    first, *others = _part("timeline.html").split("@")
    names = iter(others)
    page = [first]
    for name in names:
        page += [values[name], next(names)]
    return "".join(page)


def _part(name: str) -> str:
    return files("quire.sim").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
