"""A door's mailbox at a relay: how newcomers come in, and devices of one identity find each other, while others sleep.

Owns: what is left there and when. Must not know: connections, what letters say, which rule lets whom in.

All that was left is read anew on each connection, since what has been answered shows in what was left after it; it is
little, and a relay forgets what is old. A newcomer takes the welcome that waits for its link, and leaves a request;
a member's device answers requests that nobody has answered for a moment, and sees that welcomes wait.
"""

from collections.abc import Iterator

from quire.core.encoding import from_text, to_text
from quire.core.keys import derive
from quire.core.relay_address import RelayAddress
from quire.core.sealing import NONCE_BYTES
from quire.errors import BadEvent, HomeError, Refused
from quire.events.context import Context
from quire.events.home import Home
from quire.handlers import admit_letter, joining, own_link, siblings
from quire.handlers.admit_letter import REFUSAL, REQUEST, WELCOME
from quire.limits import ANSWER_MS, FORWARD_MS, MAX_LEFT, RELAY_RETRY_MS, SIBLINGS_GAP_MS, TICK_MS
from quire.net import left
from quire.net.left import Ahead, Left, Letter
from quire.net.mailbox import Access, bundles
from quire.net.relay_client import Came, Mark, Posted, RelayClient, Unposted
from quire.node.relay_use import Changed, Now
from quire.store.memberships import JOINING, SIBLINGS, Membership
from quire.store.relays import Use


class RelayDoor:
    """One identity's, at one relay; `changed` is told when a letter moved something."""

    def __init__(
        self, home: Home, member: Membership, relay: RelayAddress, client: RelayClient, changed: Changed
    ) -> None:
        self.account, self.space = member.account, member.space
        self.use = Use(member.account, member.space, home.store.relays.number(relay.key))
        self._home = home
        self._relay = relay
        self._client = client
        self._changed = changed
        self._n = 0
        self._reached = False
        self.rest_until = self._next_look = 0
        #: The last arrival here when it was looked at what is to be left.
        self._looked = -1
        #: What lies there, in order, and how much of it was looked at by now.
        self._left: list[Left] = []
        self._seen = 0
        #: Since when a request, or the lack of a welcome, waits for somebody else to see to it (ms).
        self._since: dict[bytes, int] = {}
        #: What is on its way there.
        self._posting: dict[int, list[Left]] = {}

    @property
    def member(self) -> Membership:
        """The identity at this door, as it is now."""
        return self._home.store.memberships.get(self.account, self.space)

    @property
    def numbers(self) -> list[int]:
        """The mailbox, as the client numbers it."""
        return [self._n] if self._n else []

    @property
    def in_sync(self) -> bool:
        """Whether all is left that is to be left by now."""
        looked = self._looked == self._home.store.blobs.last_cursor()
        return self._reached and looked and not self._posting

    @property
    def wanted(self) -> int:
        """How many mailboxes are to be open."""
        return 1

    def open_mailboxes(self, now: Now, most: int) -> None:
        """Open the door's mailbox, if one may be open at `most`."""
        if self._n or now.steady < self.rest_until or not most or not self._client.free:
            return
        self._n = self._client.open(self._access(), Mark(), [], now.wall)

    def came(self, came: Came, now: Now) -> None:
        """Remember what lies there; once all of it is read, act on it."""
        for data in came.data:
            try:
                self._left += [left.unpack(item) for item in self._access().open(data)]
            except BadEvent as error:
                source = f"relay {self._relay.host}"
                self._home.store.rejections.count(self.account, source, error.reason, now.wall, 1)
        if len(self._left) > MAX_LEFT:
            over = len(self._left) - MAX_LEFT
            del self._left[:over]
            self._seen = max(self._seen - over, 0)
        self._reached = self._reached or came.reached
        self._next_look = 0
        self._client.kept(came.n, came.mark.cursor)

    def posted(self, posted: Posted) -> None:
        """What was left lies there."""
        self._left += self._posting.pop(posted.post, [])

    def unposted_by(self, unposted: Unposted, now: Now) -> None:
        """It does not; it is left again in a while."""
        self._posting.pop(unposted.post, None)
        wait = 0 if unposted.refusal is None else unposted.refusal.retry_ms
        self.rest_until = now.steady + max(wait, RELAY_RETRY_MS)

    def refused(self, n: int, retry_ms: int, now: Now) -> None:
        """The relay does not open the mailbox: it is tried again in a while."""
        self._n, self._reached = 0, False
        self.rest_until = now.steady + max(retry_ms, RELAY_RETRY_MS)

    def closed(self, now: Now) -> None:
        """The connection is gone: nothing is kept here."""

    def post(self, now: Now) -> None:
        """Take what is for this device, and leave what is to be left: when something came, and now and then."""
        if not self._reached or self._posting or now.steady < max(self.rest_until, self._next_look):
            return
        self._next_look = now.steady + (SIBLINGS_GAP_MS if self.member.kind == SIBLINGS else TICK_MS)
        ctx = Context(self._home, now.wall, self.account, self.member)
        if self._take(ctx):
            self._changed(self.member.raw_space_id, now.steady)
        ctx = Context(self._home, now.wall, self.account, self.member)
        wanted = list(self._to_leave(ctx, now))
        self._looked = self._home.store.blobs.last_cursor()
        if wanted and self._client.room(self._n):
            items = [left.pack(one) for one in wanted]
            data = [self._access().seal(one, self._home.entropy(NONCE_BYTES)) for one in bundles(items)]
            self._posting[self._client.post(self._n, data, now.wall)] = wanted
            self._changed(self.member.raw_space_id, now.steady)

    # --- inside

    def _access(self) -> Access:
        member = self.member
        scope = "private" if member.kind == SIBLINGS else "friend"
        secret = derive(member.link_key, "quire relay door")
        return Access(secret, self._relay.key, member.device_key.seed, scope)  # type: ignore[arg-type]

    def _own(self) -> bytes:
        return self.member.device_key.public

    def _take(self, ctx: Context) -> bool:
        """Act on what was left for this device and not looked at yet, whatever it is once; whether there was any.

        Raises HomeError when it cannot be kept: it is looked at again.
        """
        acted = False
        while self._seen < len(self._left):
            one = self._left[self._seen]
            self._seen += 1
            try:
                with self._home.store.db.plain_errors():
                    acted = self._take_one(ctx, one) or acted
            except HomeError:
                self._seen -= 1
                raise
        return acted

    def _take_one(self, ctx: Context, one: Left) -> bool:
        try:
            if isinstance(one, Ahead):
                if own_link.is_unsure(ctx) and to_text(one.invite) == own_link.own_invite(ctx):
                    joining.enter_ahead(ctx, one.sealed)
                    return True
            elif one.to == self._own():
                body = left.open_letter(one, ctx.member.device_key, ctx.member.raw_space_id)
                self._answer(ctx, one.sender, body)
                return True
        except BadEvent as error:
            source = to_text(one.sender if isinstance(one, Letter) else one.invite)
            self._home.store.rejections.count(self.account, source, error.reason, ctx.now, 1)
        return False

    def _answer(self, ctx: Context, sender: bytes, body: bytes) -> None:
        """Hear a letter to this device; what siblings are answered is left with what they are to know."""
        if ctx.member.kind != SIBLINGS:
            joining.answer(ctx, to_text(sender), body)
        elif body[:1] != siblings.HAVE:
            siblings.answer(ctx, to_text(sender), body)

    def _to_leave(self, ctx: Context, now: Now) -> Iterator[Left]:
        if ctx.member.kind == SIBLINGS:
            yield from self._for_siblings(ctx)
            return
        if own_link.is_unsure(ctx):
            yield from self._request(ctx)
        if ctx.member.kind != JOINING and not own_link.is_unsure(ctx):
            yield from self._welcomes(ctx, now)
            yield from self._answers(ctx, now)

    def _for_siblings(self, ctx: Context) -> Iterator[Letter]:
        """What each sibling should know, and what it lacks by its own last word, but for what lies there already."""
        own = self._own()
        for other in siblings.known(ctx):
            to = from_text(other)
            if to == own:
                continue
            wanted = list(siblings.letters(ctx, other))
            for heard in self._letters(ctx, to, own)[-1:]:
                wanted += siblings.answer(ctx, other, heard)
            lies = self._letters(ctx, own, to, every=True)
            for body in wanted:
                if body not in lies:
                    yield self._letter(ctx, to, body)

    def _letters(self, ctx: Context, sender: bytes, to: bytes, every: bool = False) -> list[bytes]:
        """What one sibling told another of the spaces that it has, or `every` letter, in order."""
        found = []
        for one in self._left:
            if isinstance(one, Letter) and (one.sender, one.to) == (sender, to):
                try:
                    body = left.open_letter(one, ctx.member.device_key, ctx.member.raw_space_id)
                except BadEvent:
                    continue
                if every or body[:1] == siblings.HAVE:
                    found.append(body)
        return found

    def _request(self, ctx: Context) -> Iterator[Letter]:
        """The newcomer's request, unless it lies there already."""
        invite = own_link.own_invite(ctx)
        for one in self._requests():
            if one.sender == self._own() and _asks_by(one) == invite:
                return
        for body in joining.greet(ctx, ""):
            yield Letter(self._own(), b"", body)

    def _requests(self) -> list[Letter]:
        return [
            one for one in self._left if isinstance(one, Letter) and not one.to and one.body[:1] == REQUEST
        ]

    def _answers(self, ctx: Context, now: Now) -> Iterator[Letter]:
        """Answers to requests that nobody has answered, each after a moment in which others may."""
        waiting: dict[bytes, Letter] = {}
        for one in self._left:
            if isinstance(one, Letter) and not one.to and one.body[:1] == REQUEST:
                waiting[one.sender] = one
            elif isinstance(one, Letter):
                waiting.pop(one.to, None)
        for sender, one in waiting.items():
            about = sender + one.body[-32:]
            if sender == self._own() or not self._due(ctx, about, now):
                continue
            self._since[about] = now.steady + FORWARD_MS  # again, where there was nothing to answer yet
            try:
                replies = joining.answer(ctx, to_text(sender), one.body)
            except (BadEvent, Refused):
                replies = ()
            for body in replies:
                if body[:1] in (WELCOME, REFUSAL):
                    yield self._letter(ctx, sender, body)

    def _welcomes(self, ctx: Context, now: Now) -> Iterator[Ahead]:
        """Welcomes that should wait for newcomers and do not, each after a time in which its inviter may leave it."""
        invites = joining.welcomes_ahead(ctx)
        if not invites:
            return
        name = joining.key_name(ctx)
        lies = {(one.invite, one.key_name) for one in self._left if isinstance(one, Ahead)}
        for made in invites:
            public = from_text(made.public)
            if not name or (public, from_text(name)) in lies:
                continue
            if joining.is_inviter(ctx, made.public) or self._due(ctx, public + from_text(name), now):
                yield Ahead(public, from_text(name), joining.welcome_ahead(ctx, made.public))

    def _due(self, ctx: Context, about: bytes, now: Now) -> bool:
        """Whether those who come before this device had their time to see to something."""
        waited = now.steady - self._since.setdefault(about, now.steady)
        return waited >= joining.rank(ctx, about) * ANSWER_MS

    def _letter(self, ctx: Context, to: bytes, body: bytes) -> Letter:
        nonce = self._home.entropy(NONCE_BYTES)
        return left.seal_letter(ctx.member.device_key, to, body, nonce, ctx.member.raw_space_id)


def _asks_by(letter: Letter) -> str:
    try:
        return admit_letter.unpack_request(letter.body[1:]).invite
    except BadEvent:
        return ""
