"""An endpoint that asks all its sessions each time, and finds that those it need not have asked say nothing."""

from quire.net.endpoint import Endpoint, SessionId
from quire.net.notices import Address


class AskingAll(Endpoint):
    """As Endpoint. Raises AssertionError when an idle session has something to say, or is due at another time."""

    #: How often an idle session was asked, of all endpoints.
    asked = 0
    _last_asked = -1

    def datagrams_to_send(self, now: int) -> list[tuple[bytes, Address]]:
        busy = self._agenda.busy(now)
        # Once a millisecond: one that goes through ranges, and looks again in the next, would do so at once.
        for session_id in self._sessions if now != self._last_asked else ():
            if session_id not in busy:
                self._ask(session_id, now)
        self._last_asked = now
        return super().datagrams_to_send(now)

    def _ask(self, session_id: SessionId, now: int) -> None:
        session = self._sessions[session_id]
        timer = session.next_timer()
        assert timer > now
        assert self._agenda._due[session_id] == timer
        assert session.datagrams_to_send(now) == []
        assert session.next_timer() == timer
        assert session_id in self._telling or session.next_event() is None
        AskingAll.asked += 1
