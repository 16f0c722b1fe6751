"""A byzantine peer: a member with a real home and a real node, whose outgoing behaviour is malicious.

Owns: what each kind of liar sends, to whom. Must not know: when (that is in the plan), who is honest.

What it gives to a peer in place of an event, or of nothing, comes from `_Index`, on streams from `LyingCarrier`; raw
datagrams go out beside its sessions' own.
"""

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from quire.core.address import HostPort
from quire.core.cells import Sketch
from quire.core.encoding import from_text, to_text
from quire.core.keys import KEY_BYTES
from quire.errors import NotIn
from quire.events.context import Context
from quire.events.home import Home
from quire.handlers import message
from quire.limits import ADDRESSES_PER_FRAME, LETTERS_PER_MINUTE, MAX_LETTER_BYTES
from quire.net.endpoint import SessionId
from quire.net.link import Door
from quire.net.session import Session
from quire.net.streams import Streams
from quire.node import Node
from quire.sim import forgery
from quire.sim.forgery import Made
from quire.sim.liar_streams import Dribble, LyingCarrier
from quire.store.memberships import Membership
from quire.sync.index import END, START, EventIndex, Position, Summary

#: Datagrams remembered for replay; what one flood holds: messages, datagrams of nothing to each peer, devices made up.
_REMEMBERED = 120
_MESSAGES, _GARBAGE, _STRANGERS = 60, 40, 40
#: Events that are sent again, and those of each history of a fork.
_AGAIN, _FORKED = 40, 3


class LyingNode(Node):
    """A node that does as it is told by `lie`."""

    def __init__(
        self,
        home: Home,
        strategy: str,
        now: int,
        wall_ahead: int,
        addresses: tuple[str, ...],
        random: Random,
        streams: bool = False,
    ) -> None:
        self.withholding = False
        self._random = random
        #: By peer: what it is given in place of an event.
        self._lies: dict[bytes, dict[bytes, bytes]] = {}
        self._raw: list[tuple[bytes, HostPort]] = []
        self._said: deque[tuple[bytes, HostPort]] = deque(maxlen=_REMEMBERED)
        self._heard: deque[tuple[bytes, HostPort]] = deque(maxlen=_REMEMBERED)
        super().__init__(home, strategy, now, wall_ahead, addresses, streams)
        self._carrier = LyingCarrier(self._fetching, random, home.entropy)
        self._streams = Streams(self._endpoint, home.entropy, self._carrier)
        self._dribble: Dribble | None = None

    def lie(self, how: str, now: int) -> dict[str, Any]:
        """Do one of LIES; the ids of the events made, and the texts that nobody must ever see.

        Raises NotIn when nobody has let this device in yet.
        """
        member = next((one for one in self._known if one.content in one.epochs), None)
        if member is None:
            raise NotIn("This liar is not let in yet.")
        made = LIES[how](self, self._context(member, now), now)
        return {
            "event_ids": sorted({one.event_id for one in made}),
            "texts": sorted({one.text for one in made if one.text}),
        }

    def receive_datagram(self, data: bytes, address: HostPort, now: int) -> None:
        """As a node does; it is remembered."""
        self._heard.append((data, address))
        super().receive_datagram(data, address, now)

    def datagrams_to_send(self, now: int) -> list[tuple[bytes, HostPort]]:
        """As a node does, and what lies add to it."""
        said = super().datagrams_to_send(now)
        self._said.extend(said)
        raw, self._raw = self._raw, []
        return said + raw

    def stream_to_send(self, number: int, now: int) -> bytes:
        """As a node does, or byte by byte."""
        data = super().stream_to_send(number, now)
        return data if self._dribble is None else self._dribble.give(number, data, now)

    def _index_for(self, account: int, space: int, device: bytes) -> EventIndex:
        held = super()._index_for(account, space, device)
        return _Index(held, self._lies.setdefault(device, {}), lambda: self.withholding)

    def _ingest(
        self, member: Membership, session_id: SessionId, session: Session, records: list[bytes], now: int
    ) -> None:
        if not self.withholding:
            super()._ingest(member, session_id, session, records, now)

    # The kinds of lies.

    def _peers(self, ctx: Context) -> list[tuple[SessionId, Session, HostPort]]:
        """Connected sessions of members, with where each peer is."""
        found = []
        for session_id, session in self._endpoint.sessions():
            address = session.status().address
            mine = (session_id.space_id, session_id.local) == (
                ctx.member.raw_space_id,
                ctx.member.device_key.public,
            )
            if mine and session.connected and not session.restricted and isinstance(address, tuple):
                found.append((session_id, session, (str(address[0]), int(str(address[1])))))
        return found

    def _give(
        self, peers: Sequence[tuple[SessionId, Session, HostPort]], made: Sequence[Made], now: int
    ) -> None:
        for session_id, session, _ in peers:
            self._lies.setdefault(session_id.peer, {}).update({one.raw_id: one.record for one in made})
            session.push([one.raw_id for one in made], now)

    def _forge(self, ctx: Context, now: int) -> list[Made]:
        peers = self._peers(ctx)
        if not peers:
            return []
        victim = to_text(self._random.choice(peers)[0].peer)
        made = forgery.forged(ctx, victim, f"forged {to_text(ctx.home.entropy(9))}")
        self._give(peers, made, now)
        return made

    def _fork(self, ctx: Context, now: int) -> list[Made]:
        """Write, and give half of the peers another history from that place on."""
        member = ctx.member
        device = self.home.store.names.known_device(member.space, member.device) or 0
        seq, prev = self.home.store.blobs.head(device)
        mark = to_text(self.home.entropy(9))
        written = message.create_many(ctx, "general", [f"one history {mark} {n}" for n in range(_FORKED)])
        made = forgery.continued(ctx, seq, prev, [f"other history {mark} {n}" for n in range(_FORKED)])
        for session_id, _, _ in self._peers(ctx)[::2]:
            lies = self._lies.setdefault(session_id.peer, {})
            lies.update({from_text(real): other.record for real, other in zip(written, made, strict=True)})
        self._committed(now)
        return [Made(from_text(real), b"") for real in written] + [one._replace(text="") for one in made]

    def _withhold(self, ctx: Context, now: int) -> list[Made]:
        """From now on: claim to hold what is held now, take nothing in, and give nothing away."""
        self.withholding = True
        return self._say("withhold")

    def _say(self, how: str) -> list[Made]:
        """From now on: tell this lie on all streams."""
        self._carrier.how = how
        return []

    def _promise(self, ctx: Context, now: int) -> list[Made]:
        """On streams: tell of more than there is, and give nothing."""
        return self._say("promise")

    def _cheat(self, ctx: Context, now: int) -> list[Made]:
        """On streams: give something else than what is asked for."""
        return self._say("cheat")

    def _drip(self, ctx: Context, now: int) -> list[Made]:
        """On streams: give a byte now and then."""
        self._dribble = self._dribble or Dribble()
        return []

    def _replay(self, ctx: Context, now: int) -> list[Made]:
        """All of the latest datagrams again, to whom they were for and to others, and old events to all."""
        peers = self._peers(ctx)
        addresses = [address for _, _, address in peers]
        for data, address in [*self._said, *self._heard]:
            self._raw.append((data, address))
            if addresses:
                self._raw.append((data, self._random.choice(addresses)))
        held = super()._index_for(ctx.account, ctx.member.space, b"\0" * KEY_BYTES)
        old = [event_id for _, event_id in held.page(START, END, _AGAIN)]
        for _, session, _ in peers:
            session.push(old, now)
        return []

    def _flood(self, ctx: Context, now: int) -> list[Made]:
        """Many messages, and to each peer much that is nothing: datagrams, greetings, letters, addresses."""
        entropy, random = self.home.entropy, self._random
        mark = to_text(entropy(9))
        written = message.create_many(ctx, "random", [f"flood {mark} {n}" for n in range(_MESSAGES)])
        door = Door(ctx.member.raw_space_id, ctx.member.link_key)
        for session_id, session, address in self._peers(ctx):
            nothing = forgery.garbage(session.link, _GARBAGE, random, entropy)
            nothing += forgery.greetings(door, session_id.peer, _STRANGERS, entropy)
            self._raw += [(data, address) for data in nothing]
            for _ in range(LETTERS_PER_MINUTE):
                session.send_letter(entropy(1 + random.randrange(MAX_LETTER_BYTES // 3)))
            session.share([(entropy(KEY_BYTES), f"10.66.{n}.1:7700") for n in range(ADDRESSES_PER_FRAME)])
        self._committed(now)
        return [Made(from_text(event_id), b"") for event_id in written]


LIES: dict[str, Callable[[LyingNode, Context, int], list[Made]]] = {
    "forge": LyingNode._forge,
    "fork": LyingNode._fork,
    "withhold": LyingNode._withhold,
    "replay": LyingNode._replay,
    "flood": LyingNode._flood,
    "promise": LyingNode._promise,
    "cheat": LyingNode._cheat,
    "dribble": LyingNode._drip,
}


class _Index:
    """What one peer is told to be held: the truth, but for `lies`; where `withholding`, what it was at first."""

    def __init__(self, held: EventIndex, lies: dict[bytes, bytes], withholding: Callable[[], bool]) -> None:
        self._held = held
        self._lies = lies
        self._withholding = withholding
        self._claimed: Summary | None = None

    def whole(self) -> Summary:
        """See EventIndex."""
        if not self._withholding():
            return self._held.whole()
        if self._claimed is None:
            self._claimed = self._held.whole()
        return self._claimed

    def count(self) -> int:
        """See EventIndex."""
        return self.whole().count

    def buckets(self, level: int, first: int, last: int, limit: int) -> list[tuple[int, Summary]]:
        """See EventIndex."""
        return self._held.buckets(level, first, last, limit)

    def page(self, low: Position, high: Position, limit: int) -> list[Position]:
        """See EventIndex."""
        return self._held.page(low, high, limit)

    def sketch(self) -> Sketch | None:
        """See EventIndex."""
        return self._held.sketch()

    def called(self, names: Sequence[int]) -> list[Position]:
        """See EventIndex."""
        return self._held.called(names)

    def blobs(self, ids: Sequence[bytes]) -> list[bytes]:
        """See EventIndex."""
        if self._withholding():
            return []
        if not any(one in self._lies for one in ids):
            return self._held.blobs(ids)
        return [record for one in ids for record in self._one(one)]

    def _one(self, event_id: bytes) -> list[bytes]:
        lie = self._lies.get(event_id)
        return [lie] if lie is not None else self._held.blobs([event_id])
