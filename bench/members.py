"""A large community: ingest beside a long membership history, and a new key for a thousand devices.

The rate of ingest is compared with that of a space of two in the same run, since machines are noisy.
"""

import os
import time
from pathlib import Path

from bench import payload
from bench.figures import Figure
from bench.homes import BATCH, fill, founder, guest, now, sealed_batches
from quire.core.certificate import certify, invite_key
from quire.core.encoding import to_text
from quire.core.keys import DeviceKey
from quire.core.phrase import root_key
from quire.core.ticket import decode_link
from quire.events.context import Context
from quire.events.ingest import ingest
from quire.graph.roles import Role
from quire.handlers import admit, graph_events, identity, invite, key

MEMBERS = 1_000
MEMBERSHIP_EVENTS = 10_000
MESSAGES = 100_000


def community(folder: Path) -> list[Figure]:
    """1,000 members and 10,000 membership events, against a space of two people."""
    small = founder(folder / "small")
    large = founder(folder / "large")
    people = _admit_many(large, MEMBERS)
    began = time.perf_counter()
    rekeyed = key.rekey(_later(large))
    rekey_s = time.perf_counter() - began
    assert rekeyed.devices == MEMBERS + 1, rekeyed
    _change_roles(large, people, MEMBERSHIP_EVENTS)
    crowd, crowd_messages, history = _reader(large, folder / "reader-large")
    pair, pair_messages, _ = _reader(small, folder / "reader-small")
    took = [0.0, 0.0]
    for one, other in zip(crowd_messages, pair_messages, strict=True):  # in turns: a busy machine slows both
        took[0] += _take_in(crowd, [one])
        took[1] += _take_in(pair, [other])
    beside_many, beside_two = (sum(map(len, crowd_messages)) / seconds for seconds in took)
    return [
        Figure("new key wrapped to 1,001 devices", rekey_s, "s", "<= 1"),
        Figure("ingest of 10,000 membership events", history, "events/s"),
        Figure("ingest of messages in a space of two", beside_two, "events/s"),
        Figure("ingest of messages beside 1,000 members", beside_many, "events/s"),
        Figure("the latter as a share of the former", beside_many / beside_two, "", ">= 0.8"),
    ]


def _later(ctx: Context) -> Context:
    return Context(ctx.home, now(), ctx.account, ctx.chosen)


def _admit_many(ctx: Context, count: int) -> list[str]:
    """Let people in by one invite, as if each had knocked."""
    ticket = decode_link(invite.create(_later(ctx), uses=count).link)
    public = invite_key(ticket.secret).text
    made = invite.find(ctx, public)
    assert made is not None
    people = []
    with ctx.home.store.transaction():
        for number in range(count):
            root, device = root_key(os.urandom(32)), DeviceKey(os.urandom(32))
            request = admit.signed(
                device,
                [certify(root, root.text, device.text, identity.wrap_text(device))],
                root.text,
                to_text(ticket.space_id),
                ticket.secret,
                f"person {number}",
                0,
            )
            admit.create(_later(ctx), made.event_id, request)
            people.append(root.text)
    return people


def _change_roles(ctx: Context, people: list[str], until: int) -> None:
    """Demote and grant, over and over, until the graph has so many events."""
    with ctx.home.store.transaction():
        for number in range(until - len(ctx.graph.ledger.dag.nodes)):
            here = _later(ctx)
            member = people[number % len(people)]
            is_guest = here.graph.ledger.role(member, here.graph.valid) == Role.GUEST
            role = "member" if is_guest else "guest"
            here.change("role", {"member": member, "role": role, "marks": graph_events.marks(here, member)})


def _reader(author: Context, folder: Path) -> tuple[Context, list[list[bytes]], float]:
    """A newcomer who has taken in the membership, batches of messages for it, and the rate it took (events/s)."""
    reader = guest(folder, author)
    history = list(sealed_batches(author, BATCH))
    held = sum(map(len, history))
    rate = held / _take_in(reader, history)
    fill(author, MESSAGES, payload.texts(5_000))
    messages = [record for batch in sealed_batches(author, BATCH) for record in batch][held:]
    return reader, [messages[at : at + BATCH] for at in range(0, len(messages), BATCH)], rate


def _take_in(reader: Context, batches: list[list[bytes]]) -> float:
    """The seconds that it takes."""
    began = time.perf_counter()
    for batch in batches:
        report = ingest(reader.home, reader.member, batch, "bench", now())
        assert not report.rejected, report.rejected
    return time.perf_counter() - began
