"""Channels that are not there yet: nothing goes to everybody by a slip of the pen, and a reader is told.

Owns: what counts as a near name, and the words. Must not know: how channels come to be.
"""

import difflib
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from quire.cli.access import Ask, Way
from quire.cli.people import target
from quire.cli.text import clean
from quire.errors import UserError

#: Where every space begins: it is there before anybody has written to it.
_FIRST = "general"


class _Absent(NamedTuple):
    """A channel that nobody has written to or made, as far as this device knows, and those with names like its."""

    name: str
    private: list[str]
    public: list[str]

    @property
    def near(self) -> str:
        found = ", ".join(f"#{clean(name)}" for name in self.private + self.public)
        return f" Near in name: {found}." if found else ""


def send(ask: Ask, params: Mapping[str, Any]) -> tuple[Any, str]:
    """Write a message. Raises UserError where it would begin a public channel named almost like a private one."""
    params = _placed(ask, params)
    absent = _absent(ask, params["target"])
    if absent is not None and absent.private:
        private, name = shlex.quote(absent.private[0]), shlex.quote(absent.name)
        raise UserError(
            f"Nothing was sent: there is no channel #{absent.name}, but a private one called #{absent.private[0]}. "
            f"`quire send {private} TEXT` writes to that; to begin #{absent.name}, which every member of the space "
            f"can read, say `quire channel create {name}` first."
        )
    sent = ask("sendMessage", params)
    if absent is None:
        return sent, ""
    return sent, f"#{clean(absent.name)} is new, and open to every member of the space.{absent.near}"


def read(ask: Ask, params: Mapping[str, Any]) -> tuple[Any, str]:
    """The messages of a channel. One that is not there is no mistake: it may be on its way."""
    params = _placed(ask, params)
    found = ask("getMessages", params)
    absent = None if found else _absent(ask, params["target"])
    if absent is None:
        return found, ""
    return found, f"Nobody here has heard of a channel #{clean(absent.name)}.{absent.near}"


def mark_read(ask: Ask, params: Mapping[str, Any]) -> tuple[Any, str]:
    """Note that a channel has been read."""
    return ask("markRead", _placed(ask, params)), ""


def _placed(ask: Ask, params: Mapping[str, Any]) -> dict[str, Any]:
    return {**params, "target": target(ask, params["target"])}


def _absent(ask: Ask, place: str) -> _Absent | None:
    """None for people, and for channels that are there."""
    name = place.removeprefix("#")
    if place.startswith("@") or name == _FIRST or ask("getMessages", {"target": place, "limit": 1}):
        return None
    channels = [one for one in ask("listChannels", {}) if not one["direct"]]
    if any(name in (one["name"], one["channel_id"]) for one in channels):
        return None
    private, public = ([c["name"] for c in channels if c["private"] == kind] for kind in (True, False))
    return _Absent(name, _near(name, private), _near(name, public))


def _near(name: str, names: list[str]) -> list[str]:
    """Those that somebody may have meant who typed `name`, the nearest first."""
    by_form = {other.casefold(): other for other in names}
    form = name.casefold()
    alike = difflib.get_close_matches(form, by_form)
    begun = [one for one in by_form if one.startswith(form) or form.startswith(one)]
    return [by_form[one] for one in dict.fromkeys(alike + begun)]


#: Operation → how the command line does it.
WAYS: dict[str, Way] = {"sendMessage": send, "getMessages": read, "markRead": mark_read}
