"""Letters between devices: what handlers say to one that was reached, and what they answer.

Owns: whom a letter is shown to, and that one that fails keeps no other from its turn. Must not know: what letters say.
"""

from collections.abc import Callable, Sequence
from functools import partial

from quire.core.encoding import to_text
from quire.errors import BadEvent
from quire.events.context import Context
from quire.events.handler import Registry
from quire.net.endpoint import Endpoint, SessionId
from quire.net.session import Session
from quire.node.guard import Guard
from quire.node.jobs import serving
from quire.store.memberships import Membership

#: See `Handler`.
_Greets = Callable[[Context, str], Sequence[bytes]]
_Answers = Callable[[Context, str, bytes], Sequence[bytes]]


class Correspondence:
    """`context` gives what an identity's handlers may use at a time (ms)."""

    def __init__(
        self,
        registry: Registry,
        endpoint: Endpoint,
        guard: Guard,
        context: Callable[[Membership, int], Context],
    ) -> None:
        self._registry = registry
        self._endpoint = endpoint
        self._guard = guard
        self._context = context

    def greet(self, member: Membership, session_id: SessionId, now: int, again: bool = False) -> None:
        """Say what there is to say to a device that was reached; `again`: what those say that remind."""
        for handler in serving(self._registry, member):
            if handler.greets is not None and (handler.reminds or not again):
                say = partial(self._say, handler.greets, member, session_id)
                self._guard.contain("a greeting", say, now)

    def answer(
        self, member: Membership, session_id: SessionId, session: Session, letter: bytes, now: int
    ) -> None:
        """Let every handler answer a letter; the peer is blamed for what is none."""
        for handler in serving(self._registry, member):
            if handler.answers is not None:
                hear = partial(self._hear, handler.answers, member, session_id, session, letter)
                self._guard.contain("an answer", hear, now)

    def _hear(
        self,
        answers: _Answers,
        member: Membership,
        session_id: SessionId,
        session: Session,
        letter: bytes,
        now: int,
    ) -> None:
        try:
            replies = answers(self._context(member, now), to_text(session_id.peer), letter)
        except BadEvent as error:
            session.blame(error.reason, now)
        else:
            self._send(session_id, replies, now)

    def _say(self, greets: _Greets, member: Membership, session_id: SessionId, now: int) -> None:
        self._send(session_id, greets(self._context(member, now), to_text(session_id.peer)), now)

    def _send(self, session_id: SessionId, letters: Sequence[bytes], now: int) -> None:
        for letter in letters:
            self._guard.contain("a letter", partial(self._send_one, session_id, letter), now)

    def _send_one(self, session_id: SessionId, letter: bytes, _: int) -> None:
        self._endpoint.send_letter(session_id, letter)
