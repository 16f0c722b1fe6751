"""Laws that one honest device's store keeps by itself, whatever was written, and what its node has told of it.

Owns: those laws, and looking for what breaks them. Must not know: what was to happen, other devices.
"""

from collections.abc import Iterator

from quire.events.home import Home
from quire.limits import LOG_PART, MAX_CLOCK_AHEAD_MS
from quire.sim.case import Case
from quire.sim.device import Device
from quire.sim.entitled import Truth
from quire.store.memberships import Membership

_NONCES_TWICE = (
    "SELECT count(*) FROM (SELECT 1 FROM blobs AS b JOIN devices AS d ON d.n = b.device WHERE d.device = ?"
    " GROUP BY substr(b.sealed, 1, 24), b.epoch HAVING count(*) > 1)"
)
_UNKNOWN_FORKS = (
    "SELECT count(*) FROM (SELECT device, seq FROM blobs WHERE genuine GROUP BY device, seq HAVING count(*) > 1"
    " EXCEPT SELECT device, seq FROM forks)"
)
#: Own logs in parts: places up to the last one, and how many of them there are.
_GAPS = (
    "SELECT b.device, max(b.seq) - count(DISTINCT b.seq) - b.seq / ?1 * ?1 FROM blobs AS b"
    " JOIN devices AS d ON d.n = b.device JOIN device_keys AS k ON k.device = d.device"
    " WHERE b.genuine GROUP BY b.device, b.seq / ?1"
)
#: Events that their holder itself wrote when another's, of the same time or a later one, was shown to it already. What
#: was blocked (`counted`) is left out: it became valid at another time than it was written.
_BEFORE_CAUSES = (
    "SELECT count(*) FROM (SELECT b.ts, r.counted, k.device IS NOT NULL AS own, max(b.ts)"
    " FILTER (WHERE k.device IS NULL) OVER (PARTITION BY r.account ORDER BY r.cursor) AS seen"
    " FROM arrivals AS r JOIN blobs AS b ON b.n = r.event JOIN devices AS d ON d.n = b.device"
    " LEFT JOIN device_keys AS k ON k.account = r.account AND k.device = d.device)"
    " WHERE own AND NOT counted AND ts <= seen"
)
#: Others' events that were shown though dated too far ahead of the clock by which they were received.
_TOO_FAR_AHEAD = (
    "SELECT count(*) FROM arrivals AS r JOIN blobs AS b ON b.n = r.event JOIN devices AS d ON d.n = b.device"
    " JOIN received AS h ON h.account = r.account AND h.space = b.space AND h.ts = b.ts AND h.event = b.n"
    " WHERE NOT r.counted AND b.ts > h.received_ts + ? AND d.device NOT IN (SELECT device FROM device_keys)"
)
#: Keys of conversations between two people in the hands of a third.
_KEYS_OF_OTHERS = (
    "SELECT count(*) FROM audience_keys AS k JOIN accounts AS a ON a.n = k.account JOIN spaces AS s ON s.n = k.space"
    " JOIN graph_events AS g ON g.account = k.account AND g.space = k.space AND g.event_id = k.audience"
    " WHERE a.account_id = ? AND s.space_id = ? AND g.change ->> 0 = 'OpenAudience' AND g.change ->> 2"
    " AND a.account_id NOT IN (SELECT value FROM json_each(g.change, '$[1]'))"
)
_LOCKED = (
    "SELECT count(*) FROM locked AS l JOIN accounts AS a ON a.n = l.account JOIN spaces AS s ON s.n = l.space"
    " WHERE a.account_id = ? AND s.space_id = ?"
)


def broken(case: Case) -> Iterator[str]:
    """Devices whose store breaks a law that it keeps by itself."""
    for device in case.devices:
        yield from _broken(case.truth, device)


def _broken(truth: Truth, device: Device) -> Iterator[str]:
    home, name = device.home, device.name
    for author, owner in truth.owners.items():
        if owner not in truth.liars and (twice := _count(home, _NONCES_TWICE, (author,))):
            yield f"{name} holds events of {truth.names[owner]} with {twice} nonces that were used before"
    if forks := _count(home, _UNKNOWN_FORKS):
        yield f"{name} holds {forks} forks and does not know of them"
    if name not in truth.cuts:  # what was lost may come back later, or never
        if any(gap for _, gap in home.store.db.execute(_GAPS, (LOG_PART,))):
            yield f"{name} left places of its own log free"
        if early := _count(home, _BEFORE_CAUSES):
            yield f"{name} dated {early} events before others that it had shown by then"
    if ahead := _count(home, _TOO_FAR_AHEAD, (MAX_CLOCK_AHEAD_MS,)):
        yield f"{name} let in {ahead} events that were dated too far ahead"
    if device.cursor != (last := home.store.blobs.last_cursor()):
        yield f"{name} has told of arrivals up to {device.cursor}, there are {last}"
    for member in home.store.memberships.all():
        if foreign := _count(home, _KEYS_OF_OTHERS, (member.account_id, member.space_id)):
            yield f"{truth.names[member.account_id]} holds {foreign} keys of conversations of others"
        yield from _locked(truth, home, member)


def _count(home: Home, sql: str, bindings: tuple[object, ...] = ()) -> int:
    found = home.store.db.one(sql, bindings)
    return 0 if found is None else int(found[0])


def _locked(truth: Truth, home: Home, member: Membership) -> Iterator[str]:
    """Events whose key never came. Liars hand out what nobody can open, and to who was removed no more keys come."""
    if truth.lying or member.account_id in truth.removed:
        return
    if locked := _count(home, _LOCKED, (member.account_id, member.space_id)):
        yield f"{truth.names[member.account_id]} was given {locked} events that it has no key for"
