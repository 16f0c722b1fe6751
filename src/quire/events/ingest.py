"""Ingest: the only door into the store and the views.

Owns: the order of steps: open → known? → verify → store → needs met? → project → unblock what waited.
Each batch is one transaction (of the caller's, when it has one open); nothing is sent or told before the
commit. Must not know: any event type, any transport.

An event is genuine when its author's signature holds, or when a genuine event of the same log cites it
as `prev`: a run of one log needs one signature check, at its head, and a hash walk for the rest.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from quire.core import event as core_event
from quire.core.encoding import is_key
from quire.core.event import Event
from quire.core.sealing import KEY_ID_BYTES, open_blobs
from quire.errors import BadEvent
from quire.events.audiences import provides
from quire.events.handler import Handler, Opened
from quire.events.home import Home
from quire.events.keyring import read_refused
from quire.events.opening import decode_all, open_stored
from quire.events.settle import (
    UNSIGNED,
    VOUCH,
    Report,
    clear_doubts,
    project,
    reconsider,
    reopen,
    unmet,
    write,
)
from quire.events.standing import graph_of
from quire.limits import BLOB_OVERHEAD, INGEST_BATCH, MAX_BLOB_BYTES, MAX_BLOCKED, MAX_CLOCK_AHEAD_MS
from quire.store.blobs import NewBlob
from quire.store.memberships import Membership


class Candidate(msgspec.Struct, gc=False, eq=False):
    """An opened event that is not yet known to be genuine."""

    event_id: str
    event: Event
    handler: Handler | None
    data: bytes
    epoch: int
    blob: bytes


#: An epoch, its key, and what is bound to its blobs.
_Under = tuple[int, bytes, bytes]

#: Unsigned events at the end of a batch, whose signed successor comes with the next one.
Tail = list[Candidate]


def ingest(
    home: Home,
    member: Membership,
    sealed: Sequence[bytes],
    source: str,
    now: int,
    tail: Tail | None = None,
    more: bool = False,
) -> Report:
    """Take in blobs (each `key_id ‖ blob`) that a peer or relay gave to one identity of one space.

    `source` names the giver in the counts of what was refused; `now` is the wall clock (ms). What is in the `tail`
    is taken in as well. Where `more` of the same logs is to come, what nobody has vouched for yet is left in it for
    one more batch: to store it as waiting and to take it out again would cost more than all else.
    Raises HomeError when the disk is full or the database unusable; then nothing of the batch is kept.
    """
    report = Report()
    carried = list(tail or ())
    later = Tail() if more else None
    with home.store.transaction():
        member = home.store.memberships.get(member.account, member.space)  # keys may have come since
        _ingest(home, member, sealed, source, now, report, carried, later)
        unlock(home, member, now, report)
    if tail is not None:
        tail[:] = later or ()
        report.carried = len(tail)
    return report


def unlock(home: Home, member: Membership, now: int, report: Report) -> None:
    """Take in the blobs whose key has come; what they bring may open more. Then show the bodies that open now."""
    key = (member.account, member.space)
    while fresh := home.fresh_keys.pop(key, None):
        member = home.store.memberships.get(*key)
        by_source: dict[str, list[bytes]] = {}
        for source, item in home.store.locked.take(*key, fresh):
            by_source.setdefault(source, []).append(item)
        for source, sealed in by_source.items():
            for start in range(0, len(sealed), INGEST_BATCH):
                _ingest(home, member, sealed[start : start + INGEST_BATCH], source, now, report)
    reopen(home, member)


def release_held(home: Home, member: Membership, now: int) -> Report:
    """Let in events that were held because their timestamp was too far ahead (ms), and what they open: a batch."""
    report = Report()
    with home.store.transaction():
        latest = now + MAX_CLOCK_AHEAD_MS
        numbers = home.store.waiting.release_until(member.account, member.space, latest, INGEST_BATCH)
        project(home, member, reconsider(home, member, numbers, now), now, report)
        unlock(home, member, now, report)
    return report


def _ingest(
    home: Home,
    member: Membership,
    sealed: Sequence[bytes],
    source: str,
    now: int,
    report: Report,
    carried: Sequence[Candidate] = (),
    later: Tail | None = None,
) -> None:
    before = dict(report.rejected)
    candidates, locked = _open(home, member, sealed, carried, report)
    if locked:
        new, full = home.store.locked.add(member.account, member.space, locked, source)
        report.locked += new
        report.known += len(set(locked)) - new - full
        if full:
            report.reject("waiting-list-full", full)
    if candidates:
        fresh, numbers = _unknown(home, member, candidates, report)
        passing = [c for c in fresh if c.handler is not None and not c.handler.lasting]
        lasting = [c for c in fresh if c.handler is None or c.handler.lasting] if passing else fresh
        genuine, unvouched = _genuine(home, member, lasting, report)
        if later is not None:
            waited = {candidate.event_id for candidate in carried}
            later += [c for c in unvouched if c.event_id not in waited][-INGEST_BATCH:]
            left = {candidate.event_id for candidate in later}
            unvouched = [c for c in unvouched if c.event_id not in left]
        _admit(home, member, genuine, unvouched, numbers, now, report)
        _project_passing(home, member, passing, now, report)
    for reason, number in report.rejected.items():
        if number > before.get(reason, 0):
            home.store.rejections.count(member.account, source, reason, now, number - before.get(reason, 0))


def _open(
    home: Home, member: Membership, sealed: Sequence[bytes], carried: Sequence[Candidate], report: Report
) -> tuple[list[Candidate], list[bytes]]:
    """Opened events, those that were opened before first, and the blobs whose key is not held."""
    known, locked = _by_key(home, member, sealed, report)
    opened = open_blobs([(key, blob, context) for (_, key, context), blob in known])
    data = [each for each in opened if each is not None]
    if len(data) < len(known):
        report.reject("cannot-open", len(known) - len(data))
        known = [found for found, each in zip(known, opened, strict=True) if each is not None]
    candidates = {candidate.event_id: candidate for candidate in carried}
    for ((epoch, _, _), blob), each, event_id, decoded in zip(
        known, data, core_event.event_ids(data), decode_all(home, data), strict=True
    ):
        if isinstance(decoded, BadEvent):
            report.reject(decoded.reason)
            continue
        event, handler = decoded
        if handler is not None and handler.change is not None and epoch in member.contents:
            # Not everybody can open it, nor anything that builds on it. In any space: this must not hang on
            # whether we have heard yet that newcomers do not get what was there before.
            report.reject("wrong-key")
            continue
        candidates[event_id] = Candidate(event_id, event, handler, each, epoch, blob)
    return list(candidates.values()), locked


def _by_key(
    home: Home, member: Membership, sealed: Sequence[bytes], report: Report
) -> tuple[list[tuple[_Under, bytes]], list[bytes]]:
    """Blobs with what they are sealed under; and those whose key is not held."""
    keys = {home.store.names.key_id(epoch): (epoch, *secret) for epoch, secret in member.epochs.items()}
    known: list[tuple[_Under, bytes]] = []
    locked: list[bytes] = []
    for item in sealed:
        found = keys.get(item[:KEY_ID_BYTES])
        if len(item) - KEY_ID_BYTES > MAX_BLOB_BYTES:
            report.reject("too-large")
        elif found is not None:
            known.append((found, item[KEY_ID_BYTES:]))
        elif len(item) - KEY_ID_BYTES < BLOB_OVERHEAD:
            report.reject("cannot-open")
        else:
            locked.append(item)
    return known, locked


def _unknown(
    home: Home, member: Membership, candidates: list[Candidate], report: Report
) -> tuple[list[Candidate], dict[str, int]]:
    """Those that this identity does not hold, and the numbers of the blobs that others here hold."""
    perhaps = _within_logs(home, member, candidates)
    known = home.store.blobs.known(member.account, member.space, perhaps) if perhaps else {}
    if not known:
        return candidates, {}
    fresh = [c for c in candidates if c.event_id not in known or known[c.event_id][1] is None]
    report.known += len(candidates) - len(fresh)
    return fresh, {event_id: number for event_id, (number, _) in known.items()}


def _within_logs(home: Home, member: Membership, candidates: list[Candidate]) -> list[str]:
    """The ids of those at places that the logs reach here: what lies beyond is not held, and not looked up."""
    tops: dict[str, int] = {}
    for author in {candidate.event.author: None for candidate in candidates}:
        device = home.store.names.known_device(member.space, author)
        tops[author] = 0 if device is None else home.store.blobs.top(device)
    return [c.event_id for c in candidates if c.event.seq <= tops[c.event.author]]


def _genuine(
    home: Home, member: Membership, candidates: list[Candidate], report: Report
) -> tuple[list[Candidate], list[Candidate]]:
    """The genuine ones in the order given, and the unsigned ones that nobody has vouched for yet.

    In a run each cites the one before, so that all before a genuine one are. Whatever cites an event of another run
    from outside begins a run of its own, at a later place than that one begins: so the later ones are looked at first.
    """
    cited: set[tuple[str, str, int]] = set()
    held = _Held(home, member, candidates)
    runs = _runs(candidates)
    sound = dict.fromkeys(range(len(runs)), 0)
    unvouched: list[Candidate] = []
    for place, run in sorted(enumerate(runs), key=lambda run: run[1][0].event.seq, reverse=True):
        by_a_key: bool | None = None
        for length in range(len(run), 0, -1):
            candidate = run[length - 1]
            event = candidate.event
            unsigned = event.sig is msgspec.UNSET
            if (
                (candidate.event_id, event.author, event.seq) in cited
                or (not unsigned and core_event.signature_holds(candidate.data, member.raw_space_id))
                or held.cite(candidate)
            ):
                sound[place] = length
                break
            if by_a_key is None:
                by_a_key = is_key(event.author)
            if unsigned and by_a_key:
                unvouched.append(candidate)
            else:
                report.reject("bad-fields" if unsigned else "bad-signature")
        first = run[0].event
        if sound[place] and first.prev is not None:
            cited.add((first.prev, first.author, first.seq - 1))
    unvouched.reverse()
    return [c for place, run in enumerate(runs) for c in run[: sound[place]]], unvouched


def _runs(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """The candidates, in order, in runs in which each cites the one before."""
    runs: list[list[Candidate]] = []
    author, last, seq = "", "", 0
    for candidate in candidates:
        event = candidate.event
        if event.prev != last or event.seq != seq + 1 or event.author != author:
            runs.append([])
            author = event.author
        runs[-1].append(candidate)
        last, seq = candidate.event_id, event.seq
    return runs


class _Held:
    """What genuine events that are held cite, looked up once for each place: many may claim one."""

    def __init__(self, home: Home, member: Membership, candidates: list[Candidate]) -> None:
        self._home, self._member, self._candidates = home, member, candidates
        self._followed: dict[str, set[int]] = {}
        self._cited: dict[tuple[str, int], set[str]] = {}

    def cite(self, candidate: Candidate) -> bool:
        """Whether one of them cites this candidate."""
        author, seq = at = candidate.event.author, candidate.event.seq
        if author not in self._followed:
            self._followed[author] = self._places_followed(author)
        if seq not in self._followed[author]:
            return False
        if at not in self._cited:
            self._cited[at] = self._cited_at(author, seq)
        return candidate.event_id in self._cited[at]

    def _places_followed(self, author: str) -> set[int]:
        """The places of an author's candidates after which this home holds a genuine event, looked up all at once."""
        blobs = self._home.store.blobs
        device = self._home.store.names.known_device(self._member.space, author)
        if device is None:
            return set()
        after = [c.event.seq + 1 for c in self._candidates if c.event.author == author]
        if min(after) > blobs.head(device)[0]:
            return set()
        return {seq - 1 for seq in blobs.genuine_at(device, after)}

    def _cited_at(self, author: str, seq: int) -> set[str]:
        """The ids that genuine events which this identity holds cite at one place of a log."""
        home, member = self._home, self._member
        device = home.store.names.known_device(member.space, author)
        if device is None:
            return set()
        found: set[str] = set()
        for row in home.store.blobs.at(member.account, device, seq + 1):
            # Genuine to this home, by what another identity holds, is not yet genuine to this identity.
            doubted = home.store.waiting.waits(member.account, member.space, VOUCH + row.event_id, row.n)
            opened = None if doubted else open_stored(home, member, row)
            if opened is not None and opened[0].prev is not None:
                found.add(opened[0].prev)
        return found


def _admit(
    home: Home,
    member: Membership,
    genuine: list[Candidate],
    unvouched: list[Candidate],
    numbers: dict[str, int],
    now: int,
    report: Report,
) -> None:
    """Keep what is ready, and of what would wait as much as there is room for: the rest comes again by sync.

    There is a room for what nobody vouched for, and another for what is genuine: whoever fills that one with events of
    devices that nobody knows takes no room from honest runs that come in parts.
    """
    waiting, at = home.store.waiting, (member.account, member.space)
    room = max(0, MAX_BLOCKED - waiting.count(*at, UNSIGNED))
    if len(unvouched) > room:
        report.reject("waiting-list-full", len(unvouched) - room)
        unvouched = unvouched[:room]
    if len(genuine) > _room(home, member):
        # What is of the graph first: it may bring in the devices of the others.
        of_graph = [c for c in genuine if c.handler is not None and c.handler.change is not None]
        others = [c for c in genuine if c.handler is None or c.handler.change is None]
        lost = _refused(home, member, of_graph, genuine, set(), now)
        kept = [c for c in of_graph if c.event_id not in lost]
        _keep(home, member, kept, unvouched, numbers, now, report)
        lost = _refused(home, member, others, genuine, lost, now)
        genuine, unvouched = [c for c in others if c.event_id not in lost], []
        if lost:
            report.reject("waiting-list-full", len(lost))
    _keep(home, member, genuine, unvouched, numbers, now, report)


def _room(home: Home, member: Membership) -> int:
    """How many genuine events more may wait."""
    waiting, at = home.store.waiting, (member.account, member.space)
    return max(0, MAX_BLOCKED - waiting.count(*at) + waiting.count(*at, UNSIGNED))


def _refused(
    home: Home,
    member: Membership,
    candidates: Sequence[Candidate],
    genuine: Sequence[Candidate],
    lost: set[str],
    now: int,
) -> set[str]:
    """Those of the candidates that would wait and find no room, and whom they alone vouch for, beside what is `lost`.

    Keys are taken out of them all the same: what they wait for may be sealed under just those.
    """
    met: set[str] = set()
    waits: list[str] = []
    at = member.account, member.space, member.space_id, member.account_id
    opened = {c.event_id: Opened(*at, 0, 0, c.event_id, c.event) for c in candidates}
    for one in candidates:
        if unmet(home, member, opened[one.event_id], one.handler, now, met) is not None:
            waits.append(one.event_id)
        elif one.handler is not None:
            met.update(provides(one.handler, opened[one.event_id]))
    lost = lost.union(
        waits[: max(0, len(waits) - _room(home, member))]
    )  # the last of a run vouches for the others
    vouching: dict[tuple[str | None, str, int], list[str]] = {}
    for one in genuine:
        vouching.setdefault((one.event.prev, one.event.author, one.event.seq - 1), []).append(one.event_id)
    for one in sorted(candidates, key=lambda one: one.event.seq, reverse=True):
        by = vouching.get((one.event_id, one.event.author, one.event.seq), ())
        if one.event.sig is msgspec.UNSET and by and lost.issuperset(by):
            lost.add(one.event_id)
    boxes = [
        one.handler.box(opened[one.event_id])
        for one in candidates
        if one.event_id in lost and one.handler is not None and one.handler.box is not None
    ]
    read_refused(home, member, graph_of(home, member), boxes)
    return lost


def _keep(
    home: Home,
    member: Membership,
    genuine: list[Candidate],
    unvouched: list[Candidate],
    numbers: dict[str, int],
    now: int,
    report: Report,
) -> None:
    opened = _number(home, member, genuine, unvouched, numbers)
    trusted, waiting = opened[: len(genuine)], opened[len(genuine) :]
    for item, candidate in zip(waiting, unvouched, strict=True):
        home.remember_doubtful(item.number, (candidate.event, candidate.handler))
    write(home, member, trusted, [c.handler for c in genuine], now, report, waiting)


def _number(
    home: Home,
    member: Membership,
    genuine: list[Candidate],
    unvouched: list[Candidate],
    numbers: dict[str, int],
) -> list[Opened[Any]]:
    """Store the blobs that are new to this home; every candidate with its number."""
    names = home.store.names
    candidates = genuine + unvouched
    new_numbers = iter(home.store.blobs.take_numbers(sum(c.event_id not in numbers for c in candidates)))
    rows: list[NewBlob] = []
    proven: set[int] = set()
    devices: dict[str, int] = {}
    opened: list[Opened[Any]] = []
    space, account, account_id = member.space, member.account, member.account_id
    space_id = member.space_id
    for place, candidate in enumerate(candidates):
        event, event_id = candidate.event, candidate.event_id
        is_genuine = place < len(genuine)
        device = devices.get(event.author)
        if device is None:
            device = devices[event.author] = names.device_number(space, event.author)
        number = numbers.get(event_id)
        if number is None:
            number = next(new_numbers)
            place_of = (number, event_id, space, candidate.epoch, device, event.seq, event.ts)
            rows.append((*place_of, is_genuine, candidate.blob))
        elif is_genuine:
            proven.add(number)
        opened.append(Opened(account, space, space_id, account_id, number, device, event_id, event))
    home.store.blobs.insert(rows)
    if numbers:
        again = {numbers[c.event_id]: c for c in candidates if c.event_id in numbers}
        _meet_again(home, member, again, proven)
    return opened


def _meet_again(home: Home, member: Membership, again: dict[int, Candidate], genuine: set[int]) -> None:
    """Blobs that were here before: those proven by now lose their doubt, and damaged ones are made whole."""
    rows = home.store.blobs.read(list(again))
    clear_doubts(home, [row for row in rows if row.n in genuine])
    for row in rows:
        sound = again[row.n]
        if row.sealed != sound.blob and open_stored(home, member, row) is None:
            home.store.blobs.restore(row.n, sound.epoch, sound.blob)


def _project_passing(
    home: Home, member: Membership, candidates: Sequence[Candidate], now: int, report: Report
) -> None:
    """Project events that are requests, not facts: checked like others, never stored."""
    for candidate in candidates:
        event, handler = candidate.event, candidate.handler
        if handler is None or handler.project is None:
            continue
        if not core_event.signature_holds(candidate.data, member.raw_space_id):
            report.reject("bad-signature")
        elif event.ts > now + MAX_CLOCK_AHEAD_MS:
            report.reject("clock-ahead")
        else:
            # Strangers have no log here yet, and get none for asking: 0 is nobody's number.
            device = home.store.names.known_device(member.space, event.author) or 0
            at = member.account, member.space, member.space_id, member.account_id
            opened = Opened(*at, 0, device, candidate.event_id, event)
            if all(home.store.waiting.is_met(member.account, member.space, n) for n in handler.needs(opened)):
                handler.project(home.views[handler.type], [opened])
                report.valid += 1
            # Else it comes from someone who is still to be introduced, and will ask again.
