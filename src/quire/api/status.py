"""How a node stands: what is held, in sync, waiting, refused and why, in words a person can read.

Owns: the answer of `status`. Must not know: how sync works.
"""

from collections.abc import Collection, Mapping

import msgspec

from quire.api.host import Health, NodeContext, PeerStatus, RefusedAs, RelayFault, RelayStatus, carries
from quire.core.relay_address import called
from quire.events.context import Context
from quire.handlers import admit, outgoing, own_link, peer, recovering, relay_places, request
from quire.handlers import identity as identities
from quire.limits import MAX_FORKS_SHOWN
from quire.store.memberships import Membership

#: Kind of need → why an event waits.
BLOCKED_REASONS = {
    "device": "unknown-device: its author is not known here as a member's device yet",
    "graph": "builds on a change of membership that has not come yet",
    "vouch": "unsigned, waiting for its signed successor",
    "time": "clock too far ahead: held until its time comes",
    "damaged": "damaged on this disk: `quire verify` tells which",
}
#: Reason slug → what it means.
REJECTED_REASONS = {
    "bad-signature": "the signature does not match: forged or altered",
    "not-canonical": "not in canonical form",
    "wrong-key": "a change of membership that not everybody could open",
    "clock-ahead": "a request dated too far in the future",
    "waiting-list-full": "too many events wait already",
}

#: What a peer says of us → what it means.
REFUSED_REASONS: dict[RefusedAs, str] = {
    "not-admitted": "does not take this device for a member's (not yet, or no longer)",
    "removed": "says that this device was removed from the space",
}


#: What a relay did that none may → what it means.
RELAY_FAULTS = {
    "rolled-back": "it lost records that it had vouched for",
    "rewritten": "it changed, dropped or reordered records that it had vouched for",
    "unsigned": "it did not sign what it said",
    "another-key": "it is not the relay whose key the address names",
    "malformed": "it said what no relay says",
}


class Waiting(msgspec.Struct):
    """Events that are held and not shown yet, and why."""

    reason: str
    count: int


class Rejection(msgspec.Struct):
    """What was refused, from whom and why; `last_ts` is the last time (ms)."""

    source: str
    source_name: str
    reason: str
    meaning: str
    count: int
    last_ts: int


class Fork(msgspec.Struct):
    """Two different events of one device at one place of its log: proof that it wrote a second history."""

    device: str
    device_name: str
    seq: int
    #: Whether it is the device of this home: then a copy of the home was used as well.
    own: bool


class SpaceStatus(msgspec.Struct):
    """One identity in one space; `held` counts events that are valid, blocked or unsupported."""

    space_id: str
    name: str
    held: int
    valid: int
    blocked: list[Waiting]
    unsupported: int
    forks: list[Fork]
    outgoing_waiting: int
    #: Blobs that cannot be opened before their key comes.
    locked: int
    #: Who asked to be let in, and waits for a word of this identity's or another member's.
    requests: list[request.Waiting]
    #: Waiting to be let in, and what a member said of it; "" for who is in.
    joining: str
    #: The rule by which a member refused to let this identity in; "" when none has.
    refused: str
    #: Whether a welcome that waited at a relay is all that says so far that this identity is in.
    unconfirmed: bool
    #: Whether this device was revoked by another one of the identity: it can show what it holds, and nothing more.
    revoked: bool
    peers: list[PeerStatus]
    #: Whether a relay carries what is new between those who do not reach each other.
    carried: bool
    #: Other members whom no session has ever had to do with, while a relay does.
    by_relay: int
    relays: list[RelayStatus]


class IdentityStatus(msgspec.Struct):
    """One identity of this home."""

    pubkey: str
    name: str
    spaces: list[SpaceStatus]
    rejected: list[Rejection]


class Status(msgspec.Struct):
    """The whole node; `addresses` are its own, and empty offline."""

    running: bool
    addresses: list[str]
    health: Health
    search_backlog: int
    stale_views: bool
    identities: list[IdentityStatus]


def get_status(ctx: NodeContext) -> Status:
    """What is in sync with whom, what is pending, and what was rejected and why.

    Of every identity here, or of the one that is named.
    """
    accounts = zip(ctx.home.store.memberships.accounts(), identities.list_(ctx), strict=False)
    return Status(
        running=bool(ctx.addresses),
        addresses=list(ctx.addresses),
        health=ctx.host.health() if ctx.host is not None else Health(),
        search_backlog=ctx.home.search.backlog(),
        stale_views=ctx.home.stale_views,
        identities=[
            _identity(ctx, account, identity) for account, identity in accounts if ctx.account in (0, account)
        ],
    )


def _identity(ctx: NodeContext, account: int, identity: identities.Identity) -> IdentityStatus:
    blocked: dict[int, list[Waiting]] = {}
    for space, kind, count in ctx.home.store.waiting.reasons(account):
        blocked.setdefault(space, []).append(Waiting(BLOCKED_REASONS.get(kind, kind), count))
    members = ctx.home.store.memberships.of_account(account)
    rejections = ctx.home.store.rejections.of(account)
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    for member in members:
        here = ctx.within(member)
        names |= peer.names(here)
        owners |= {source: peer.owner(here, source) for source, *_ in rejections}
    rejected = [
        Rejection(
            source,
            names.get(owners.get(source, ""), ""),
            reason,
            REJECTED_REASONS.get(reason, reason),
            count,
            last,
        )
        for source, reason, count, last in rejections
    ]
    spaces = [_space(ctx, member, blocked.get(member.space, []), names) for member in members]
    return IdentityStatus(identity.pubkey, identity.name, spaces, rejected)


def _space(
    ctx: NodeContext, member: Membership, blocked: list[Waiting], names: dict[str, str]
) -> SpaceStatus:
    here = ctx.within(member)
    sessions = ctx.sessions(member.account, member.space)
    relays = ctx.relays(member.account, member.space)
    held = ctx.home.store.index(member.account, member.space).count()
    unsupported = ctx.home.store.blobs.count_unsupported(member.account, member.space)
    carried = carries(relays.values())
    return SpaceStatus(
        space_id=member.space_id,
        name=member.name,
        held=held,
        valid=held - unsupported - sum(w.count for w in blocked),
        blocked=blocked,
        unsupported=unsupported,
        forks=_forks(ctx, member, names),
        outgoing_waiting=outgoing.count(here),
        locked=ctx.home.store.locked.count(member.account, member.space),
        revoked=bool(here.graph.ledger.revocations(member.device) & here.graph.valid),
        requests=request.list_(here) if admit.may_let_in(here) else [],
        joining=recovering.state(here) or own_link.state(here) or own_link.outside(here),
        refused=own_link.refusal(here),
        unconfirmed=own_link.is_unconfirmed(here),
        peers=[
            msgspec.structs.replace(
                session, pubkey=owner, name=names.get(owner, ""), standing=_standing(session)
            )
            for device, session in sessions.items()
            for owner in (peer.owner(here, device),)
        ],
        carried=carried,
        by_relay=_not_met(here, sessions) if carried else 0,
        relays=_relays(here, relays),
    )


def _not_met(here: Context, sessions: Collection[str]) -> int:
    met = {here.member.account_id, *(peer.owner(here, device) for device in sessions)}
    return sum(person.pubkey not in met for person in peer.list_(here))


def _relays(here: Context, sessions: Mapping[str, RelayStatus]) -> list[RelayStatus]:
    """The relays that a space uses, what they did wrong told in words."""
    found = []
    used = relay_places.used(here)
    for one, name in zip(used, called(used), strict=True):
        status = sessions.get(one.text) or RelayStatus(host=one.host, address=one.text)
        faults = [RelayFault(f.misdeed, RELAY_FAULTS.get(f.misdeed, f.misdeed), f.ts) for f in status.faults]
        found.append(msgspec.structs.replace(status, host=name, faults=faults))
    return found


def _standing(session: PeerStatus) -> str:
    ours = ["is no member's device here (not yet, or no longer)"] if session.restricted else []
    theirs = [REFUSED_REASONS[session.refused]] if session.refused else []
    return " and ".join(ours + theirs)


def _forks(ctx: NodeContext, member: Membership, names: dict[str, str]) -> list[Fork]:
    found = ctx.home.store.blobs.forks_held(member.account, member.space, MAX_FORKS_SHOWN)
    here = ctx.within(member)
    return [
        Fork(device, names.get(peer.owner(here, device), ""), seq, device == member.device)
        for device, seq in found
    ]
