"""A running node without its sockets: the home, its identities' jobs, and sync with their peers.

Owns: how store, handlers and sessions are put together, behind the five verbs of a sans-IO machine
(`receive_datagram`, `datagrams_to_send`, `next_timer`, `handle_timer`, `next_event`).
Must not know: sockets, real clocks, the API.

`now` is a clock in ms that never runs backwards; `wall_ahead` is what must be added to it to get the time
of day, and may jump. What peers send is ingested in batches, one transaction for each burst; nothing
is pushed or told before the commit.
"""

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import cast

from quire.core.address import HostPort
from quire.core.encoding import from_text, to_text
from quire.events.context import Context
from quire.events.history import index_for
from quire.events.home import Home
from quire.events.standing import graph_of
from quire.graph.state import open_invites
from quire.handlers import incoming, own_link
from quire.handlers.admit_letter import WHY
from quire.limits import (
    ARRIVALS_PAGE,
    BEGIN_MS,
    FEW_LOGS,
    MAX_SESSIONS,
    REDIAL_MS,
    TICK_MS,
)
from quire.net.endpoint import Endpoint, SessionId
from quire.net.notices import (
    Address,
    AddressesLearned,
    BlobsReceived,
    Connected,
    FarApart,
    LetterReceived,
    Moved,
    Notice,
    Refused,
    Status,
)
from quire.net.session import Session
from quire.net.standing import Refusal, Standing
from quire.net.streams import Call, HangUp, Streams
from quire.node.acceptance import ask_why, is_refused
from quire.node.correspondence import Correspondence
from quire.node.fetching import Fetching, blame
from quire.node.guard import Guard, Mistake, Trouble
from quire.node.jobs import Jobs
from quire.node.relaying import RelayCall, RelayHangUp, Relaying
from quire.node.standing import standing
from quire.node.whereabouts import Whereabouts
from quire.store.memberships import DOORS, JOINING, Membership
from quire.sync.index import EventIndex


@dataclass(frozen=True)
class Arrived:
    """Events became valid here; `cursor` is the newest arrival's."""

    cursor: int


NodeEvent = Arrived | Trouble | Mistake | Call | HangUp | RelayCall | RelayHangUp


class Node:
    """The machine. `addresses` are the node's own `host:port`s, told to peers and put into invites; `frugal`: see
    `Relaying`.
    """

    def __init__(
        self,
        home: Home,
        strategy: str,
        now: int,
        wall_ahead: int,
        addresses: tuple[str, ...] = (),
        streams: bool = False,
        frugal: bool = False,
    ) -> None:
        self.home = home
        self.wall_ahead = wall_ahead
        self.addresses = addresses
        self._events: deque[NodeEvent] = deque()
        self._guard = Guard(home.store.db, self._events.append, now)
        self._jobs = Jobs(home, self._guard, self._context)
        contain = partial(self._guard.run, "a session", due=False)
        self._endpoint = Endpoint(home.entropy, strategy, streams, contain)
        self._letters = Correspondence(home.registry, self._endpoint, self._guard, self._context)
        self._whereabouts = Whereabouts(home, self._endpoint, addresses)
        self._members: dict[tuple[bytes, bytes], Membership] = {}
        self._known: list[Membership] = []
        self._inviting: dict[tuple[int, int], None] = {}
        self._asking: set[tuple[bytes, bytes]] = set()
        self._doors: list[Membership] = []
        #: Who was reached, or says that we are out: by whom and which, and not acted on while the store cannot be used.
        self._news: dict[tuple[SessionId, type[Connected | Refused]], Connected | Refused] = {}
        self._cursor = home.store.blobs.last_cursor()
        self._next_tick = now + BEGIN_MS
        self._next_dial = now
        self._own_noted = False
        self._fetching = Fetching(home, self._endpoint, self._members, self.wall, self._changed)
        self._has_streams = streams
        self._streams = Streams(self._endpoint, home.entropy, self._fetching)
        #: The relays that the identities here use.
        self.relaying = Relaying(home, self.wall, self._changed, frugal)
        self._join_spaces()
        self._guard.run("the start", self._begin, now)

    @property
    def trouble(self) -> str:
        """What the node lives through, for a person; "" when all is well."""
        return self._guard.trouble

    def wall(self, now: int) -> int:
        """The time of day (ms) at `now`."""
        return now + self.wall_ahead

    def receive_datagram(self, data: bytes, address: HostPort, now: int) -> None:
        """Take any bytes from the network. They are ingested at the next `datagrams_to_send`."""
        self._guard.run(
            "taking a datagram", partial(self._endpoint.receive_datagram, data, address), now, due=False
        )

    def take_in(self, now: int) -> None:
        """Act on what sessions and streams tell and ingest it; answers to sessions go out by `datagrams_to_send`."""
        self._guard.run("seeing to streams", self._streams.act, now, due=False)
        came = False
        while (found := self._endpoint.next_event()) is not None:
            session_id, notice = found
            session = self._endpoint.session(session_id)
            if session is not None:
                came = True
                self._guard.run(
                    "acting on a peer", partial(self._act, session_id, session, notice), now, due=False
                )
        if came:
            self.committed(now)

    def datagrams_to_send(self, now: int) -> list[tuple[bytes, HostPort]]:
        """Ingest what has come, and give what may go out now."""
        self.take_in(now)
        out: list[tuple[bytes, Address]] = []
        self._guard.run("sending", lambda now: out.extend(self._endpoint.datagrams_to_send(now)), now)
        return [(data, cast(HostPort, address)) for data, address in out]

    def next_timer(self) -> int:
        """When `handle_timer` should be called next (ms)."""
        parts = (self._endpoint, self._streams, self._fetching, self._whereabouts)
        timers = [due for part in parts if (due := part.next_timer()) is not None]
        timers += [0] if self._news else []
        return max(min([self._next_tick, *timers]), self._guard.rest_until)

    def handle_timer(self, now: int) -> None:
        """Do what is due: sessions' timers, and at each tick the handlers' jobs."""
        if self._news:
            self._guard.run("greeting", self._see_to_news, now)
        self._guard.run("a session's timer", self._endpoint.handle_timer, now)
        self._guard.run("a stream's timer", self._streams.handle_timer, now)
        self._guard.run("fetching", self._fetching.handle_timer, now)
        self._guard.run("telling of addresses", self._whereabouts.handle_timer, now)
        if now >= self._next_tick:
            self._next_tick = now + TICK_MS
            self._tick(now)

    def next_event(self) -> NodeEvent | None:
        """What has happened since the last time, oldest first, and what is to be done about streams and relays."""
        if self._events:
            return self._events.popleft()
        return self._streams.next_event() or self.relaying.next_event()

    def stream_called(self, now: int, source: str = "") -> int | None:
        """A peer opened a stream to this node, from a network address: its number; None when it is to be closed."""
        takes = self._has_streams and not self._fetching.keeping.holds(now)
        return self._streams.accept(source, now) if takes else None

    def receive_stream(self, number: int, data: bytes, now: int) -> None:
        """Take any bytes of a stream. What they bring is ingested at the next `datagrams_to_send`: answer first."""
        self._guard.run("taking from a stream", partial(self._streams.receive, number, data), now, due=False)

    def stream_to_send(self, number: int, now: int) -> bytes:
        """What to write on a stream next; ask again while it gives something and there is room."""
        out: list[bytes] = []
        self._guard.run(
            "sending on a stream", lambda now: out.append(self._streams.to_send(number, now)), now, due=False
        )
        return b"".join(out)

    def stream_closed(self, number: int, now: int) -> None:
        """A stream is gone, or could not be opened."""
        self._guard.run("ending a stream", partial(self._streams.closed, number), now, due=False)

    @property
    def fetching(self) -> bool:
        """Whether runs are being fetched over streams: what can wait should."""
        return self._streams.fetching

    def relay_opened(self, number: int, now: int) -> None:
        """A connection to a relay that was asked for stands: at the next timer, at once, mailboxes are opened."""
        self._guard.run("greeting a relay", partial(self.relaying.opened, number), now, due=False)
        self._next_tick = now

    def receive_relay(self, number: int, data: bytes, now: int) -> None:
        """Take a message of a relay's, and ingest what it brings."""
        self._guard.run("taking from a relay", partial(self.relaying.receive, number, data), now, due=False)

    def relay_closed(self, number: int, why: str, now: int) -> None:
        """A connection to a relay is gone, or could not be made; `why` is for a person."""
        self._guard.run("leaving a relay", partial(self.relaying.closed, number, why), now, due=False)

    def committed(self, now: int) -> None:
        """After a commit by anyone: push what this node's identities wrote, and tell of what arrived.

        What cannot be done now, for the store cannot be read, is done after the next commit or tick: the commit is
        done, and whoever wrote must not be told that it failed.
        """
        self._guard.run("acting on what was written", self._committed, now, due=False)

    def sessions(self, member: Membership) -> dict[str, Status]:
        """Sync state of each peer that this identity has a session with, by public key."""
        mine = (member.raw_space_id, member.device_key.public)
        return {
            to_text(session_id.peer): self._status(session_id, session)
            for session_id, session in self._endpoint.sessions()
            if (session_id.space_id, session_id.local) == mine
        }

    def _status(self, session_id: SessionId, session: Session) -> Status:
        status = session.status()
        taken, given = self._streams.carried_bytes(session_id)
        return status._replace(bytes_in=status.bytes_in + taken, bytes_out=status.bytes_out + given)

    def dropped(self) -> dict[str, int]:
        """Datagrams that belonged to no session, by reason."""
        return dict(self._endpoint.dropped)

    # --- inside

    def _committed(self, now: int) -> None:
        self._join_spaces()
        if self.home.moved:
            self._guard.contain("looking at invites", self._note_invites, now)
        for space in list(self.home.moved):
            self._guard.contain("asking who stands how", partial(self._standing_changed, space), now)
        start = self._cursor
        fresh: dict[tuple[int, int], list[bytes]] = {}
        rows = self.home.store.blobs.arrivals_by_own_devices(start)
        for account, space, event_id in rows:
            fresh.setdefault((account, space), []).append(from_text(event_id))
        self._cursor = self.home.store.blobs.last_cursor()
        for member in self._known:
            ids = fresh.get((member.account, member.space), [])
            for page in range(0, len(ids), ARRIVALS_PAGE):
                self._endpoint.push(
                    member.raw_space_id, member.device_key.public, ids[page : page + ARRIVALS_PAGE], now
                )
        if self._cursor > start:
            self._events.append(Arrived(self._cursor))
        self.relaying.committed(now)
        if rows:
            self.relaying.hurry(now)

    def _standing_changed(self, space: int, now: int) -> None:
        self._endpoint.standing_changed(from_text(self.home.store.names.space_name(space)), now)
        self._streams.standing_changed(now)
        # A stream that ended for it took in its last, and was here before.
        self.home.moved.pop(space, None)

    def _begin(self, now: int) -> None:
        """Greet whoever is known at once: jobs wait until they had the time to answer."""
        self._dial(now)
        self._see_to_relays(now)

    def _tick(self, now: int) -> None:
        """What is done each time, each part by itself: what is wrong with one keeps no other from its turn."""
        self._jobs.run((*self._known, *self._doors), now)
        for what, part in (
            ("opening doors", lambda _: self._join_spaces()),  # jobs open doors, and close them
            ("asking again", self._ask_again),
            ("seeing to relays", self._see_to_relays),
            ("acting on what was written", self._committed),
            ("noting addresses", self._note_own),
        ):
            self._guard.run(what, part, now, due=False)
        if now >= self._next_dial:
            self._guard.run("dialling", self._dial, now, due=False)

    def _see_to_relays(self, now: int) -> None:
        self.relaying.tick([*self._known, *self._doors], now)

    def _note_own(self, now: int) -> None:
        if not self._own_noted:
            self._whereabouts.note_own(self._known, self.wall(now))
            self._own_noted = True

    def _ask_again(self, now: int) -> None:
        """Greet again where one of our identities has a link to show, and for handlers that remind."""
        asking = {
            (member.raw_space_id, member.device_key.public)
            for member in self._known
            if own_link.is_unsure(self._context(member, now))
        }
        if asking - self._asking:
            self._next_dial = now
        self._asking = asking
        for session_id, session in self._endpoint.sessions():
            key = (session_id.space_id, session_id.local)
            if session.connected:
                self._letters.greet(self._members[key], session_id, now, again=key not in asking)

    def _join_spaces(self) -> None:
        """Open a door for each identity in each space, and those where its devices meet."""
        memberships = self.home.store.memberships
        members, doors = memberships.all(), memberships.doors()
        if members is self._known and doors is self._doors:
            return
        self._known, self._doors = members, doors
        if self.relaying.in_use:
            self._next_tick = 0  # what relays have for them is not waited for
        open_now = {(one.raw_space_id, one.device_key.public) for one in (*members, *doors)}
        for key in [key for key in self._members if key not in open_now]:
            del self._members[key]
            self._endpoint.remove(*key)
        for member in (*members, *doors):
            key = (member.raw_space_id, member.device_key.public)
            known = key in self._members
            self._members[key] = member
            if not known:
                self._endpoint.add(
                    member.raw_space_id,
                    member.link_key,
                    member.device_key,
                    partial(self._index_for, member.account, member.space),
                    partial(self._standing, member.account, member.space),
                )
                self._next_dial = 0
                self._own_noted = False

    def _index_for(self, account: int, space: int, device: bytes) -> EventIndex:
        return index_for(self.home, account, space, to_text(device))

    def _note_invites(self, now: int) -> None:
        """Which spaces have an invite that still lets somebody in."""
        wall = self.wall(now)
        self._inviting = {
            (member.account, member.space): None
            for member in self._known
            for invite in open_invites(graph_of(self.home, member), wall)
            if invite.is_open
        }

    def _standing(self, account: int, space: int, device: bytes) -> Standing:
        member = self.home.store.memberships.get(account, space)
        return standing(self.home, member, to_text(device), (account, space) in self._inviting)

    def _act(self, session_id: SessionId, session: Session, notice: Notice, now: int) -> None:
        member = self._members[session_id.space_id, session_id.local]
        if isinstance(notice, BlobsReceived):
            if member.kind not in DOORS:  # where no event has any business
                self._ingest(member, session_id, session, notice.records, now)
        elif isinstance(notice, FarApart):
            self._far_apart(session_id, session, notice.lacks, now)
        elif isinstance(notice, Connected):
            self._hear(session_id, notice, now)
        elif isinstance(notice, Moved):
            self._found_at(member, session_id, session, notice.address, now)
        elif isinstance(notice, Refused) and notice.reason is Refusal.NOT_ADMITTED:
            self._endpoint.send_letter(session_id, WHY)
        elif isinstance(notice, Refused) and member.kind not in (JOINING, *DOORS):
            self._hear(session_id, notice, now)
        elif isinstance(notice, LetterReceived):
            self._answer(member, session_id, session, notice.data, now)
        elif isinstance(notice, AddressesLearned):
            self._whereabouts.learn(member, session_id, notice.known, self._here(), now)

    def _ingest(
        self, member: Membership, session_id: SessionId, session: Session, records: list[bytes], now: int
    ) -> None:
        come = self.home, member, records, to_text(session_id.peer), self.wall(now)
        report = self._fetching.keeping.keep(partial(incoming.receive, *come), now)
        session.peer_holds([from_text(opened.event_id) for opened in report.arrived], now)
        blame(session, report, now)
        if report.valid and session.restricted:
            self.home.moved[member.space] = None  # it may have been heard for the sake of these
        if report.valid or report.blocked:
            self._endpoint.nudge(session_id.space_id, now)

    def _changed(self, space_id: bytes, now: int) -> None:
        self._endpoint.nudge(space_id, now)
        self.committed(now)

    def _expect(self, session_id: SessionId, session: Session) -> None:
        """Where there are many logs to tell of, small differences are for datagrams from the first."""
        member = self._members[session_id[:2]]
        logs = self.home.store.graph.count_devices(member.account, member.space)
        if logs > FEW_LOGS:
            session.distance.settle()

    def _far_apart(self, session_id: SessionId, session: Session, lacks: bool, now: int) -> None:
        if self._has_streams and (address := session.status().address) is not None:
            holds = self._fetching.keeping.holds(now)  # it would all come for nothing
            session.distance.defers = not holds and self._streams.far_apart(session_id, address, lacks, now)

    def _hear(self, session_id: SessionId, notice: Connected | Refused, now: int) -> None:
        """What cannot be done about it now is done when the store can be used again: it is not said twice."""
        about = session_id, type(notice)
        self._news.pop(about, None)
        self._news[about] = notice
        if len(self._news) > 2 * MAX_SESSIONS:
            here = dict(self._endpoint.sessions())
            self._news = {about: one for about, one in self._news.items() if about[0] in here}
        self._see_to_news(now)

    def _see_to_news(self, now: int) -> None:
        while self._news:
            about, notice = next(iter(self._news.items()))
            self._guard.contain("greeting", partial(self._act_on, about[0], notice), now)
            del self._news[about]

    def _act_on(self, session_id: SessionId, notice: Connected | Refused, now: int) -> None:
        session = self._endpoint.session(session_id)
        member = self._members.get(session_id.door)
        if member is not None and isinstance(notice, Refused):
            own_link.hear_removed(self._context(member, now))
        elif member is not None and session is not None and isinstance(notice, Connected):
            self._reached(member, session_id, session, notice.address, now)

    def _reached(
        self, member: Membership, session_id: SessionId, session: Session, address: Address | None, now: int
    ) -> None:
        """Remember a device that was reached, and tell it what there is to tell."""
        self._expect(session_id, session)
        self._found_at(member, session_id, session, address, now)
        self.relaying.hurry(now)
        if member.kind != JOINING:  # whoever is not known as a member is not listened to
            self._share(member, session_id, session)
            here = self._context(member, now)
            if own_link.told(here) and not is_refused(self._endpoint, session_id, session):
                own_link.note_told(here, "")
        self._letters.greet(member, session_id, now)

    def _found_at(
        self, member: Membership, session_id: SessionId, session: Session, address: Address | None, now: int
    ) -> None:
        """Remember where a peer proved to be, and tell the others if it is a member."""
        if address is not None:
            self._whereabouts.found(member, session_id, session, address, self.wall(now), now)

    def _share(self, member: Membership, session_id: SessionId, session: Session) -> None:
        housemates = [m.device_key.public for m in self._known if m.space == member.space]
        self._whereabouts.share(member, housemates, session_id.peer, session)

    def _answer(
        self, member: Membership, session_id: SessionId, session: Session, letter: bytes, now: int
    ) -> None:
        self._letters.answer(member, session_id, session, letter, now)
        now_in = self.home.store.memberships.get(member.account, member.space)
        if member.kind == JOINING != now_in.kind:
            self._share(now_in, session_id, session)
        if session.restricted and self._endpoint.is_member(session_id):
            self._hand_over(member, session, now)

    def _hand_over(self, member: Membership, session: Session, now: int) -> None:
        """Give who was let in just now the membership graph before all else: what lets it in builds on that."""
        session.set_standing(Standing.MEMBER, now)
        graph = self.home.store.graph.events(member.account, member.space)
        session.push([from_text(row.event_id) for row in graph], now)

    def _context(self, member: Membership, now: int) -> Context:
        return Context(self.home, self.wall(now), member.account, member, self.addresses)

    def _dial(self, now: int) -> None:
        """Greet the peers of every space."""
        self._next_dial = now + REDIAL_MS
        self._guard.contain("looking at invites", self._note_invites, now)  # some may have expired
        self._guard.contain("asking why", self._ask_why, now)
        for member in (*self._known, *self._doors):
            self._guard.contain("dialling", partial(self._whereabouts.dial, member, self._here()), now)

    def _ask_why(self, now: int) -> None:
        def is_told(session_id: SessionId) -> bool:
            member = self._members[session_id.door]
            return member.kind in (JOINING, *DOORS) or bool(own_link.told(self._context(member, now)))

        ask_why(self._endpoint, is_told)

    def _here(self) -> set[tuple[int, str]]:
        """The devices of this home, by space."""
        return {(member.space, member.device) for member in self._known}
