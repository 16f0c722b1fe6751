"""Whether members take one of our identities for a member, as their sessions tell.

Must not know: the graph, what was told before, who is let in.
"""

from collections.abc import Callable

from quire.handlers.admit_letter import WHY
from quire.net.endpoint import Endpoint, SessionId
from quire.net.session import Session
from quire.net.standing import Refusal


def is_refused(endpoint: Endpoint, session_id: SessionId, session: Session) -> bool:
    """Whether a peer does not take us for a member, or another member that is here does not: who left before we were
    removed will never hear of it.
    """
    here = [one for at, one in endpoint.sessions() if at.door == session_id.door and one.connected]
    return session.restricted or any(
        one.refused is not None and not one.restricted for one in (session, *here)
    )


def ask_why(endpoint: Endpoint, is_told: Callable[[SessionId], bool]) -> None:
    """Ask members who do not take us for one why, where nobody has said yet: they may know since they were asked."""
    for session_id, session in endpoint.sessions():
        refuses = session.connected and session.refused is Refusal.NOT_ADMITTED and not session.restricted
        if refuses and not is_told(session_id):
            session.send_letter(WHY)
