"""What each identity finds by searching: all that it is shown, and nothing else.

Owns: asking the product's search for everything, and comparing the index with what it is of. Must not know: what was
to happen, other devices.
"""

import re
from collections.abc import Iterator
from random import Random

from quire.events.context import Context
from quire.handlers import message
from quire.limits import MAX_PAGE
from quire.sim import evidence
from quire.sim.case import Case
from quire.sim.device import Device
from quire.store.memberships import Membership

#: Words that are searched for, at most, for each member: first words of messages, by lot.
_MOST_WORDS = 20
#: The first word of a text, where letters are such that everybody takes the same for words.
_FIRST_WORD = re.compile(r"[A-Za-z0-9]+(?![^\W_])")


def found_again(case: Case) -> Iterator[str]:
    """Devices whose index is another than their messages call for, and members who do not find what they are shown."""
    for device in case.devices:
        if backlog := device.home.search.backlog():
            yield f"{device.name} has not indexed the last {backlog} messages"
        elif not evidence.index_is_right(device.home):
            yield f"{device.name} has a search index of other messages than it holds"
        for member in device.home.store.memberships.all():
            for word, lacks, extra in _amiss(device, member):
                who = case.truth.names.get(member.account_id, "somebody")
                yield f"{who} on {device.name} searches {word!r} and finds {lacks} fewer and {extra} more than it sees"


def _amiss(device: Device, member: Membership) -> Iterator[tuple[str, int, int]]:
    """Words by which another number of messages is found than an identity is shown: how many fewer, and more."""
    shown = evidence.texts_shown(device.home, member.account_id, member.space_id)
    first = {event_id: found[0].lower() for event_id, text in shown if (found := _FIRST_WORD.match(text))}
    words = sorted(set(first.values()))
    ctx = Context(device.home, 0, member.account, member)
    for word in Random(member.account_id).sample(words, min(len(words), _MOST_WORDS)):
        hits = [one.event_id for one in message.search(ctx, word, MAX_PAGE)]
        wanted = {event_id for event_id, begins in first.items() if begins == word}
        extra = set(hits) - {event_id for event_id, text in shown if word in text.lower()}
        lacks = wanted.difference(hits) if len(hits) < MAX_PAGE else ()
        if lacks or extra:
            yield word, len(lacks), len(extra)
