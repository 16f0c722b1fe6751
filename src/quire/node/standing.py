"""How a device stands to one of our identities, by the membership graph: what it may be given, and whether it is heard.

Must not know: sessions, what is said.
"""

from quire.events.context import Context
from quire.events.home import Home
from quire.events.standing import graph_of
from quire.graph.changes import SetRole
from quire.graph.contests import leaves
from quire.graph.roles import Role
from quire.handlers import own_link
from quire.net.standing import Standing
from quire.store.memberships import DOORS, Membership


def standing(home: Home, member: Membership, device: str, inviting: bool) -> Standing:
    """Of a device (its key as text) to a member; `inviting`: its space has an invite that lets somebody in.

    Who was let in a moment ago knows nobody but whoever let it in, and gives to nobody else what it is given.
    At doors that are no spaces there is nothing to have but letters.
    """
    if member.kind in DOORS:
        return Standing.UNKNOWN
    graph = graph_of(home, member)
    if not graph.valid:
        known = own_link.inviter(Context(home, 0, member.account, member))
        return Standing.MEMBER if known in ("", device) else Standing.UNKNOWN
    if not graph.ledger.claims(device, graph.valid):
        return Standing.UNKNOWN
    claim = graph.ledger.standing(device, graph.valid)
    if claim is not None and graph.ledger.role(claim.member, graph.valid) >= Role.GUEST:
        return Standing.MEMBER
    if graph.ledger.revocations(device) & graph.valid:
        return Standing.REMOVED
    # Whoever was removed may hold a new invite, and has to be heard to show it; what somebody wrote before it left may
    # be here later than the news of that, and nobody else may have it.
    heard = inviting or _owes(home, member, device)
    return Standing.UNKNOWN if heard else Standing.REMOVED


def _owes(home: Home, member: Membership, device: str) -> bool:
    """Whether a device's member left by its own word, and something is not here of what it had written by then."""
    graph = graph_of(home, member)
    owner = graph.ledger.member_of(device, graph.valid)
    changed = graph.ledger.role_changes(owner, graph.valid) if owner is not None else []
    if not changed or not leaves(last := changed[-1][0]) or not isinstance(last.change, SetRole):
        return False
    end, _ = last.change.marks.get(device, (0, ""))
    held = "held", member.account, member.space, device
    changes = home.store.db.connection.total_changes
    whole = (end, None)
    # Every datagram of a device that is out passes here: while nothing is written it is as it was.
    if home.noted.get(held) not in (whole, (end, changes())):
        reaches = home.store.logs(member.account, member.space).reaches(device, end)
        home.noted[held] = whole if reaches else (end, changes())
    return home.noted[held] != whole
