"""The checker: an oracle that knows `sim_events` and the devices' stores, and judges the outcome.

Owns: what must be true of every run, whatever went wrong in it. Must not know: the plan's reasons, the
network, how devices came to hold what they hold.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from quire.errors import HomeError, NoKeyYet, NotFound, NotIn, Refused
from quire.events.home import Home
from quire.sim import evidence, laws, standings
from quire.sim.anew import made_anew
from quire.sim.bounds import too_much_memory, too_much_traffic
from quire.sim.case import MOST_AT_ONCE, Case, Check, found, identities, same, staying
from quire.sim.device import Device
from quire.sim.entitled import Shown, Truth, Write, work_out
from quire.sim.ground import DOWN, GroundTruth
from quire.sim.notes import Notes
from quire.sim.searching import found_again

#: Faults of one kind that are told; more say nothing new.
MAX_TOLD = 5
#: Of so many planned writes one has to be done.
_LEAST_WRITTEN = 10
#: Reasons for which the honest may refuse each other's passing requests, which come again: one was dated by
#: a clock that was set back, or came before its asker's introduction.
_HONEST_REASONS = ("clock-ahead", "unknown-peer")


class Checker:
    """Judges `devices` by what `ground` says at the time of asking."""

    def __init__(self, ground: GroundTruth, devices: dict[str, Device]) -> None:
        self._ground = ground
        self._devices = devices
        self._truth = Truth()
        self._expected: dict[str, Counter[Shown]] = {}
        #: Who of several who came for one seat has it.
        self._seated: frozenset[str] = frozenset()
        #: Ids of messages that may be lost, or not count; those of them that somebody sees.
        self._open: list[str] = []
        self._seen: frozenset[str] = frozenset()
        #: What was found missing in the course of the run.
        self.lost: list[str] = []
        #: By device: the most that was said of its memory.
        self._swollen: dict[str, str] = {}
        self._watched = 0
        self._notes = Notes()

    def check_restart(self, device: Device) -> None:
        """A device came back from a crash: whatever it had acknowledged must be there."""
        self.lost += [
            f"after a restart, {text}"
            for text in _acknowledged_lost(work_out(self._ground), [device], Notes())
        ]

    def watch(self, sending: bool = True) -> None:
        """Look at what nodes keep in memory; to be called now and then while the run goes on.

        When it has ended nothing should be on its way any more: they are not `sending`.
        """
        truth = work_out(self._ground)
        devices = list(self._devices.values())
        self._watched += 1
        for device in _in_turn(devices, self._watched) if sending else devices:
            if device.running and device.name not in truth.lying:
                with device.sound():
                    said = too_much_memory(truth, device, sending)
                if said:
                    self._swollen[device.name] = said

    def expect(self) -> None:
        """Work out what everyone should end with: nothing more will be written."""
        self._truth = work_out(self._ground)
        self._seated = standings.seated(self._truth, self._devices)
        standings.turn_away_others(self._truth, self._seated)
        # What liars write is judged by whether all others agree on it.
        planned = [write for write in self._truth.writes if write.writer not in self._truth.liars]
        sure = [write for one in planned if (write := self._happened(one)) is not None]
        self._expected = {
            identity: Counter(shown for write in sure for shown in write.shown_to(identity))
            for identity in self._truth.names
        }
        gone = [write for write in planned if self._truth.may_be_gone(write)]
        self._open = [event_id for write in gone for event_id in write.event_ids]
        self._seen = self._seen_now()

    def settled(self, device: Device) -> bool:
        """Whether everyone on a device sees and holds what they should, and is in sync with all others.

        Of liars nothing is asked.
        """
        self._follow()
        everyone = self._honest()
        if device not in everyone:
            return True
        # It is asked again and again: what costs least, and says no most often, first.
        for check in (
            _out_of_sync,
            _differs,
            _holds_other_events,
            _liars_disagreed_on,
            standings.not_turned_away,
        ):
            for _fault in check(Case(self._truth, self._expected, [device], everyone, self._notes)):
                return False
        return True

    def judge(self) -> list[str]:
        """Everything that is wrong, in words; nothing when all is well."""
        self._follow()
        devices = self._honest()
        case = Case(self._truth, self._expected, devices, devices, Notes())
        # A rebuild last: it could mend what others look at.
        checks = (_lost, self._grown, *_CHECKS, made_anew)
        kinds = [self._truth.shut_out, self.lost, *(found(check, case) for check in checks)]
        return [fault for faults in kinds for fault in _bounded(faults)]

    def _grown(self, _: "Case") -> Iterator[str]:
        """What was said of nodes' memory, now as well."""
        self.watch(sending=False)
        yield from self._swollen.values()

    def _follow(self) -> None:
        """Who has the seat that several came for may turn out late, or otherwise than it seemed; and so may what is
        somewhere after all, where it could not be opened yet, and what does not count.
        """
        truth = self._truth
        moved = bool(truth.rivals) and standings.seated(truth, self._devices) != self._seated
        if moved or self._seen != self._seen_now():
            self.expect()

    def _seen_now(self) -> frozenset[str]:
        if not self._open:
            return frozenset()
        members = staying(self._truth, self._honest())
        return frozenset().union(
            *(evidence.shown_of(device.home, who, self._open) for device, who, _ in members)
        )

    def _honest(self) -> list[Device]:
        return [device for name, device in self._devices.items() if name not in self._truth.lying]

    def _happened(self, write: Write) -> Write | None:
        """What took place of a write; one that a crash interrupted did when its writer's store has any of it.

        What a device may have lost with its power did as far as it is somewhere: it may have sent a part.
        """
        gone = self._truth.may_be_gone(write)
        if write.happened is not None and not gone:
            return write if write.happened else None
        if write.event_ids:
            return write.left_of(self._held(write))
        homes = {who: self._devices[self._truth.devices[who]].home for who in write.seen_by}
        is_there = any(
            shown in evidence.messages(home, who)
            for who, home in homes.items()
            if (gone or who == write.writer) and not (write.doubtful and who in self._truth.removed)
            for shown in write.shown_to(who)
        )
        return write if is_there else None

    def _held(self, write: Write) -> set[str]:
        """The ids of what is somewhere; of somebody removed, of what those who stay are shown."""
        devices = self._honest()
        if not write.doubtful:
            return set().union(*(evidence.ids_held(device.home) for device in devices))
        members = staying(self._truth, devices)
        return set().union(*(evidence.shown_ids(device.home, who) for device, who, _ in members))


def _in_turn(devices: list[Device], number: int) -> list[Device]:
    """Those of many that it is the turn of."""
    shares = -(-len(devices) // MOST_AT_ONCE)
    return devices[number % shares :: shares] if devices else []


def _lost(case: Case) -> Iterator[str]:
    yield from _acknowledged_lost(case.truth, case.devices, case.notes)


def _bounded(faults: list[str]) -> list[str]:
    more = len(faults) - MAX_TOLD
    return [*faults[:MAX_TOLD], f"(and {more} more of this kind)"] if more > 0 else faults


def _acknowledged_lost(truth: Truth, devices: Sequence[Device], notes: Notes) -> list[str]:
    faults = []
    for device, identity, who in identities(truth, devices):
        held = notes.of(device, evidence.held, identity)
        ids = {event_id for events in held.values() for event_id, _ in events}
        for write in truth.writes:
            if truth.may_be_gone(write):
                continue  # where it is held, all hold the same
            if write.writer == identity and not ids.issuperset(write.event_ids):
                faults.append(
                    f"{who} lost what was acknowledged at {write.at_ms / 1000:.1f} s: {write.texts[0][:40]!r}"
                )
    return faults


def _differs(case: Case) -> Iterator[str]:
    """Messages that someone should see and does not, should not and does, or sees twice."""
    for device, identity, who in staying(case.truth, case.devices):
        every = case.notes.of(device, evidence.messages, identity)
        if not (case.truth.liars or case.truth.forged) and same(every, case.expected[identity]):
            continue
        seen = Counter({shown: n for shown, n in every.items() if shown.sender not in case.truth.liars})
        for shown in sorted((case.expected[identity] - seen).elements()):
            yield f"{who} lacks {shown.body_text[:40]!r} by {case.truth.names[shown.sender]}"
        for shown in sorted((seen - case.expected[identity]).elements()):
            again = "twice" if shown in case.expected[identity] else "without right or reason"
            yield f"{who} sees {shown.body_text[:40]!r} {again}"
        for forged in sorted({shown.body_text for shown in every} & case.truth.forged):
            yield f"{who} sees {forged!r}, which is forged"


def _liars_disagreed_on(case: Case) -> Iterator[str]:
    """Members who are shown something else than the founder of what liars wrote for everyone, or know other forks."""
    if not case.truth.liars:
        return
    homes = {identity: device.home for device, identity, _ in identities(case.truth, case.everyone)}
    for _device, identity, who in staying(case.truth, case.devices):
        for space in case.truth.spaces_of(identity):
            founder = case.truth.members[space][0]
            if _by_liars(case.truth, homes[identity], identity, space) != _by_liars(
                case.truth, homes[founder], founder, space
            ):
                yield f"{who} sees other messages by liars than the founder"
            mine = evidence.forks(homes[identity], identity, space)
            if mine != evidence.forks(homes[founder], founder, space):
                yield f"{who} knows of other forks than the founder"


def _by_liars(truth: Truth, home: Home, identity: str, space: str) -> Counter[Shown]:
    """What everybody should see of it: messages to one person alone are left out."""
    return Counter(
        {
            shown: times
            for shown, times in evidence.messages(home, identity).items()
            if shown.sender in truth.liars and shown.space_id == space and shown.channel_id not in truth.names
        }
    )


def _holds_other_events(case: Case) -> Iterator[str]:
    """Members of a space that hold another set of events than its founder, or events not yet valid.

    What somebody wrote when the others ceased to listen, or before losing power, may wait for what reached nobody, such
    as the end of its run.
    """
    held = {
        who: case.notes.of(device, evidence.held, who)
        for device, who, _name in identities(case.truth, case.everyone)
    }
    for device, identity, who in staying(case.truth, case.devices):
        if foreign := held[identity].keys() - set(case.truth.spaces_of(identity)):
            yield f"{who} holds events of {len(foreign)} spaces that it is not in"
        for space in case.truth.spaces_of(identity):
            founder = case.truth.members[space][0]
            own, founders = held[identity].get(space, Counter()), held[founder].get(space, Counter())
            if not same(own, founders):
                lacks, extra = len(list((founders - own).elements())), len(list((own - founders).elements()))
                yield f"{who} holds other events than the founder: {lacks} fewer, {extra} more"
            held_back = case.notes.of(device, evidence.held_back, identity, space)
            cut_off = {
                event_id
                for event_id, author in (evidence.waiting(device.home) if held_back else {}).items()
                if (owner := case.truth.owners.get(author)) in case.truth.removed
                or case.truth.devices.get(owner or "") in case.truth.cuts
            }
            if waiting := [one for one in held_back if one not in case.truth.lies and one not in cut_off]:
                yield f"{who} holds {len(waiting)} events that are not valid"


def _forked(case: Case) -> Iterator[str]:
    """Identities that know of two histories of the log of somebody honest."""
    for device, identity, who in identities(case.truth, case.devices):
        for space in case.truth.spaces_of(identity):
            for author, place in evidence.forks(device.home, identity, space):
                if case.truth.owners.get(author) not in case.truth.liars:
                    yield f"{who} knows of two events at place {place} of one log, of {case.truth.owners.get(author)}"


def _out_of_sync(case: Case) -> Iterator[str]:
    """Devices of one space without a session between them, and sessions that do not know they are in sync.

    Of two people on one device, one may be met by others through the other.
    """
    for device in case.devices:
        met: dict[tuple[str, str], None] = {}
        for member in device.home.store.memberships.all():
            for device_key, status in device.node.sessions(member).items():
                peer = case.truth.owners.get(device_key, "")
                if status.connected and peer and peer not in case.truth.liars:
                    met[member.space_id, case.truth.devices[peer]] = None
                    if not status.in_sync and not {peer, member.account_id} & case.truth.removed.keys():
                        who = f"{case.truth.names[member.account_id]} on {device.name}"
                        yield f"{who} does not know itself to be in sync with {case.truth.names[peer]}"
        for space, members in case.truth.members.items():
            staying = [m for m in members if m not in case.truth.removed and m not in case.truth.liars]
            lives_on = dict.fromkeys(case.truth.devices[member] for member in staying)
            if device.name in lives_on:
                for other in lives_on:
                    if other != device.name and (space, other) not in met:
                        yield f"{device.name} is not connected to {other}"


def _writes_torn(case: Case) -> Iterator[str]:
    """Writes of many messages at once, of which a crash left a part; a power cut may, of what was under way."""
    for device, identity, who in identities(case.truth, case.devices):
        seen = case.notes.of(device, evidence.messages, identity)
        for write in case.truth.writes:
            shown = write.shown_to(identity)
            torn = write.writer == identity and 0 < sum(one in seen for one in shown) < len(shown)
            if torn and not case.truth.may_be_gone(write):
                yield f"{who} holds a part of what was written at once at {write.at_ms / 1000:.1f} s"


def _wrongly_refused(case: Case) -> Iterator[str]:
    """Writes refused for any reason but a device that is down, a writer who is not let in yet, an addressee who is
    not known there yet, a key that is still on its way, or a disk that is known to go bad."""
    bad_disks = {device.name for device in case.everyone if device.bad_disk}
    # Who wrote in a space, and where.
    done: set[tuple[str, str, str]] = set()
    for write in case.truth.writes:
        if write.writer in case.truth.liars:
            continue
        removal = case.truth.removed.get(write.writer)
        if removal is not None and removal.at_ms <= write.at_ms and write.why == Refused.code:
            continue
        if write.why == HomeError.code and write.device in bad_disks:
            continue
        to = write.seen_by.get(write.writer, "")
        here = write.writer, write.space_id, to
        if write.happened:
            done.add(here)
        gone = case.truth.removed.keys() & {write.writer, to}
        again = write.why == NotFound.code and here in done and not gone
        if again or (write.why and write.why not in (DOWN, NotIn.code, NotFound.code, NoKeyYet.code)):
            yield f"what {case.truth.names[write.writer]} wrote at {write.at_ms / 1000:.1f} s was refused: {write.why}"


def _hardly_written(case: Case) -> Iterator[str]:
    """A run in which next to nothing that was planned was written says nothing."""
    planned = [write for write in case.truth.writes if write.writer not in case.truth.liars]
    done = sum(write.happened is True for write in planned)
    if done * _LEAST_WRITTEN < len(planned):
        yield f"only {done} of {len(planned)} messages were written"


def _out_of_order(case: Case) -> Iterator[str]:
    """Writers whose messages are shown in another order than they were written in."""
    for device, identity, who in identities(case.truth, case.devices):
        for writer, name in case.truth.names.items():
            if writer in case.truth.liars:
                continue
            written = [s[3] for w in case.truth.writes if w.writer == writer for s in w.shown_to(identity)]
            place = {text: n for n, text in enumerate(written)}
            by_space: dict[str, list[int]] = {}
            for space, _channel, text in evidence.in_order(device.home, identity, writer):
                if text in place:
                    by_space.setdefault(space, []).append(place[text])
            if any(places != sorted(places) for places in by_space.values()):
                yield f"{who} sees what {name} wrote in another order"


def _honest_refused(case: Case) -> Iterator[str]:
    """Devices that refused something of whoever does not forge; and those that were in trouble."""
    for device in case.devices:
        for source, reason, count in evidence.rejections(device.home):
            if reason not in _HONEST_REASONS and case.truth.owners.get(source) not in case.truth.liars:
                yield f"{device.name} refused {count} honest events: {reason}"
        for text in device.troubles:
            if not device.bad_disk or "is damaged" in text:  # no disk here gives other bytes than it took
                yield f"{device.name} was in trouble: {text}"
        if found := evidence.damage(device.home):
            yield f"{device.name} has a damaged database: {found}"


def _says_too_much(case: Case) -> Iterator[str]:
    """Devices that have sent more than what they hold, and whom they meet, calls for."""
    for device in case.devices:
        if said := too_much_traffic(case.truth, device):
            yield said


def _removed_know_more(case: Case) -> Iterator[str]:
    """Removed people who hold, or were given, a key that was made after, or see what was sealed under one.

    Where nobody removed them, `by` hears of it later: what that one gave, and wrote, until then says nothing.
    """
    homes = {identity: device.home for device, identity, _ in identities(case.truth, case.everyone)}
    for device, identity, who in identities(case.truth, case.devices):
        gone = case.truth.removed.get(identity)
        if gone is None:
            continue
        # A key that the removed one made, before it heard, is held by nobody else.
        others = [
            evidence.keys(home, who_, gone.space_id) for who_, home in homes.items() if who_ != identity
        ]
        # What was made, and written, by who had not heard of it yet is theirs to have.
        had = gone.keys | evidence.made_unawares(homes[gone.by], gone.by, gone.space_id, identity)
        if more := (evidence.keys(device.home, identity, gone.space_id) - had) & set().union(*others):
            yield f"{who} was removed and holds {len(more)} keys that were made later"
        for key, owner in case.truth.owners.items():
            boss = homes[gone.by], gone.by, gone.space_id
            if owner == identity and (handed := evidence.handed_on(*boss, identity, key)):
                yield f"{who} was removed and handed {handed} keys by who knew of it"
            given = evidence.locked_by(device.home, identity, gone.space_id, key, gone.keys)
            if owner == gone.by and given and not gone.why:
                yield f"{who} was removed and given {given} events afterwards by who removed it"
        under = evidence.sealed_under(homes[gone.by], gone.by, gone.space_id)
        later = {event_id for event_id, key in under.items() if key not in had}
        if seen := later & evidence.shown_ids(device.home, identity):
            yield f"{who} was removed and sees {len(seen)} messages under later keys"
        for write in case.truth.writes:
            kept = under.keys() & write.event_ids if case.truth.may_be_gone(write) else set(write.event_ids)
            knew = write.writer == gone.by and write.at_ms > gone.at_ms and not gone.why
            if knew and not later.issuperset(kept):
                yield f"what was written at {write.at_ms / 1000:.1f} s, after {who} was removed, is under an old key"


_CHECKS: tuple[Check, ...] = (
    _differs,
    _liars_disagreed_on,
    _holds_other_events,
    _forked,
    _out_of_sync,
    _writes_torn,
    _wrongly_refused,
    _hardly_written,
    _out_of_order,
    _says_too_much,
    _removed_know_more,
    standings.disagreed_on,
    standings.careless,
    standings.not_turned_away,
    _honest_refused,
    laws.broken,
    found_again,
)
