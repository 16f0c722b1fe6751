"""The answer of `status` as lines for people.

Owns: their wording and order. Must not know: how the facts were found.
"""

from collections.abc import Iterator
from typing import Any

from quire.cli.text import clean, local_time, near_time, plural

#: What a fork of one's own device means, and what to do.
OWN_FORK = (
    "a copy of this home is used somewhere else, or an old backup of it was started. Stop one of the two for good; "
    "another computer gets a device of its own by `quire device link`. If the copy is not yours, link a new device, "
    "and take this one away there with `quire device revoke`"
)
#: So much of a key tells devices apart.
_SHORT = 8
#: Events not handed to a relay are counted up to here.
_MANY = 100


def status_lines(status: dict[str, Any], now: int) -> Iterator[str]:
    """The whole status at a time of day (ms), one line after the other."""
    where = " and ".join(status["addresses"])
    yield f"Node: running at {where}" if status["running"] else "Node: not running (start it with `quire up`)"
    yield from _health(status["health"])
    if status["search_backlog"]:
        yield f"Search: {plural(status['search_backlog'], 'message')} not indexed yet"
    if status["stale_views"]:
        yield "Views: made by another version; run `quire rebuild`"
    if not status["identities"]:
        yield "No identity yet: `quire identity create NAME`"
    for identity in status["identities"]:
        yield ""
        yield f"{clean(identity['name'])}  {identity['pubkey']}"
        for space in identity["spaces"]:
            yield from _space(space, now)
        if not identity["spaces"]:
            yield "  in no space yet"
        for refused in identity["rejected"]:
            yield _rejection(refused)


def _health(health: dict[str, Any]) -> Iterator[str]:
    if health["trouble"]:
        yield f"Trouble: {clean(health['trouble'])}"
    if health["dropped"]:
        reasons = ", ".join(f"{clean(reason)} × {count:,}" for reason, count in health["dropped"].items())
        yield f"Dropped datagrams that belong to nobody here: {reasons}"
    if health["unsent"]:
        yield f"Unsent: {plural(health['unsent'], 'datagram')} that the system did not take (sent again later)"


def _space(space: dict[str, Any], now: int) -> Iterator[str]:
    yield f"  {clean(space['name'])}: {plural(space['held'], 'event')} held, {space['valid']:,} valid"
    if space["revoked"]:
        yield "    revoked: this device was taken away by another one of the identity; nobody takes anything from it"
    if space["joining"]:
        yield f"    joining: {clean(space['joining'])}"
    for asking in space["requests"]:
        who = clean(asking["name"])
        yield f"    asks to be let in: {who}, since {local_time(asking['ts'])} (`quire member approve NAME`)"
    if space["unconfirmed"]:
        yield "    unconfirmed: " + _unconfirmed(space)
    if space["locked"]:
        yield f"    locked: {plural(space['locked'], 'event')} under a key that has not come yet"
    for waiting in space["blocked"]:
        yield f"    waiting: {plural(waiting['count'], 'event')}, {clean(waiting['reason'])}"
    if space["unsupported"]:
        count = plural(space["unsupported"], "event")
        yield f"    unsupported: {count} of a newer type or version (kept and synced; update to see them)"
    for fork in space["forks"]:
        name = clean(fork["device_name"] or fork["device"])
        yield f"    fork: {name} wrote two different events at place {fork['seq']} of its log"
    if any(fork["own"] for fork in space["forks"]):
        yield f"    fork of this device: {OWN_FORK}"
    if space["outgoing_waiting"]:
        yield f"    outgoing: {plural(space['outgoing_waiting'], 'event')} for other identities of this node"
    for peer in space["peers"]:
        yield "    " + _peer(peer, space["carried"])
    if space["by_relay"]:
        yield f"    by relay alone: {plural(space['by_relay'], 'other member')} (`quire peers` names them)"
    for relay in space["relays"]:
        yield from _relay(relay, now)


def _unconfirmed(space: dict[str, Any]) -> str:
    if not any(peer["state"] in ("in-sync", "syncing") for peer in space["peers"]):
        return "no member was online since you came; one who is lets you in, and sees what you wrote"
    if any(waiting["reason"].startswith("clock") for waiting in space["blocked"]):
        return "what lets you in seems to be dated ahead of this device's clock: is its clock right?"
    return "what lets you in has not come yet; until it has you cannot invite, nor write to one member alone"


def _peer(peer: dict[str, Any], carried: bool) -> str:
    name = clean(peer["name"] or peer["pubkey"] or f"a device unknown here ({peer['device'][:_SHORT]}…)")
    text = f"{name}: {_peer_state(peer['state'], carried)}"
    if peer["address"]:
        text += f" at {clean(peer['address'])}"
    if peer["theirs"] is None:
        text += ", what they hold is unknown"
    else:
        text += f", they hold {peer['theirs']:,}, {peer['pending']:,} to send"
    text += f", last heard {local_time(peer['last_heard_ts'])}"
    if peer["standing"]:
        text += f", {clean(peer['standing'])}"
    if "other-strategy" in peer["rejected"]:
        text += ", it syncs by another strategy: start both with the same --strategy"
    if peer["rejected"]:
        text += ", refused: " + ", ".join(f"{clean(r)} × {n:,}" for r, n in peer["rejected"].items())
    return text


def _peer_state(state: str, carried: bool) -> str:
    """A member who is never online together with this device may well have all by a relay, and not be known to."""
    apart = carried and state in ("unreachable", "waiting")
    return f"{state} directly (relays carry what is new)" if apart else state


def _relay(relay: dict[str, Any], now: int) -> Iterator[str]:
    count = f"{relay['unposted']:,}{' or more' if relay['unposted'] >= _MANY else ''}"
    text = f"    relay {clean(relay['host'])}: {relay['state']}"
    if relay["state"] != "offline":
        text += f", {count} to hand over, last heard {local_time(relay['last_heard_ts'])}"
    if relay["trouble"]:
        text += f", {clean(relay['trouble']).removesuffix('.')}"
    if relay["retry_ts"]:
        text += f", tried again at {near_time(relay['retry_ts'], now)}"
    yield text
    if relay["missed"]:
        count = plural(relay["missed"], "old record")
        yield f"      {count} had been removed there before this device read them: peers may still have them"
    for fault in relay["faults"]:
        yield (
            f"      fault at {local_time(fault['ts'])}: {clean(fault['meaning'])} ({clean(fault['misdeed'])}). Nothing "
            "of yours is lost: it is compared anew, and peers are asked as well"
        )


def _rejection(refused: dict[str, Any]) -> str:
    source = clean(refused["source_name"] or refused["source"])
    count = plural(refused["count"], "event")
    return (
        f"  rejected: {count} from {source}, {clean(refused['meaning'])} ({clean(refused['reason'])}),"
        f" last {local_time(refused['last_ts'])}"
    )
