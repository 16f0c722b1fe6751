"""Who has a place among the sessions, and who makes room for whom.

Owns: how many there may be, and the order in which they give way. Must not know: datagrams, the graph.

Unknown devices have at most MAX_UNKNOWN_SESSIONS of the MAX_SESSIONS, and never take a member's place; a
member takes an unknown one's place before another member's.
"""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from quire.limits import DIALLED_TERM_MS, MAX_SESSIONS, MAX_UNKNOWN_SESSIONS, UNKNOWN_TERM_MS

Holder = TypeVar("Holder")


class Place(NamedTuple, Generic[Holder]):
    """One session's claim; times in ms, `heard` is when it was made for one that was never heard."""

    holder: Holder
    unknown: bool
    connected: bool
    dialled: bool
    made: int
    heard: int


class Full(Exception):
    """Nobody gives way."""


def giving_way(places: Sequence[Place[Holder]], unknown: bool, present: bool, now: int) -> Holder | None:
    """Whose place goes to one more session, None while there is room. Raises Full.

    `unknown` tells of the newcomer's standing, `present` that it has spoken (we do not merely dial it).
    """
    strangers = [place for place in places if place.unknown]
    if unknown:
        if len(places) < MAX_SESSIONS and len(strangers) < MAX_UNKNOWN_SESSIONS:
            return None
        # A stranger that stays connected for ever must not keep out the next one.
        patient = [place for place in strangers if not place.connected or now - place.made >= UNKNOWN_TERM_MS]
        return _first(patient, present, now)
    if len(places) < MAX_SESSIONS:
        return None
    if strangers:
        return min(strangers, key=_claim).holder
    return _first([place for place in places if not place.connected], present, now)


def beyond_share(places: Sequence[Place[Holder]]) -> list[Holder]:
    """Unknown devices that have to go because members became unknown."""
    strangers = sorted((place for place in places if place.unknown), key=_claim)
    return [place.holder for place in strangers[: max(0, len(strangers) - MAX_UNKNOWN_SESSIONS)]]


def _first(places: Sequence[Place[Holder]], present: bool, now: int) -> Holder:
    """The one with the weakest claim; one that we dial gives way to a peer that is there, or after its term.

    So all that are dialled have their turns: those that are switched off keep nobody from being reached.
    """
    found = [
        place for place in places if present or not place.dialled or now - place.heard >= DIALLED_TERM_MS
    ]
    if not found:
        raise Full
    return min(found, key=_claim).holder


def _claim(place: Place[Holder]) -> tuple[bool, bool, int]:
    return place.connected, place.dialled, place.heard
