"""What a device's store shows of one identity: the evidence that the checker judges.

Owns: reading the documented relations, and making the same views again in other ways. Must not know: the
ground truth.
"""

import json
from collections import Counter
from collections.abc import Sequence, Set
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from random import Random

import apsw

from quire.core.keys import KEY_BYTES
from quire.core.sealing import NONCE_BYTES
from quire.core.vault import Vault
from quire.errors import Damaged
from quire.events.context import Context
from quire.events.home import Home
from quire.events.ingest import ingest
from quire.events.rebuild import rebuild
from quire.events.standing import graph_of
from quire.graph.changes import Admit, NewKey, SetRole, ShareKey
from quire.graph.dag import Node, has
from quire.graph.roles import Role
from quire.graph.rules import REASONS
from quire.handlers import REGISTRY, own_link
from quire.limits import INGEST_BATCH, MAX_FORKS_SHOWN
from quire.sim.entitled import Shown
from quire.sim.entropy import Stream
from quire.store.memberships import Membership

#: A time of day at which no event is held for being too far ahead (ms).
_FAR_FUTURE = 1 << 42
#: Events taken in at once, at most, in another order; how many are very many.
_SMALL_BATCH, _LARGE = 60, 20_000
#: Other orders than the one in which they came.
ORDERS = ("backwards", "shuffled", "twice")
_WHOSE = "JOIN accounts AS a ON a.n = x.account JOIN spaces AS s ON s.n = x.space"
_VIEWS = (
    "SELECT event_id, channel_id, sender, ts, body_text, account_id, space_id FROM message_index",
    "SELECT event_id, subject, action, author_user, ts, counts, account_id, space_id FROM auth_graph",
    f"SELECT x.member, x.role, x.since, a.account_id, s.space_id FROM members AS x {_WHOSE}",
    "SELECT d.device, x.member, x.wrap, x.standing, a.account_id, s.space_id"
    f" FROM member_devices AS x JOIN devices AS d ON d.n = x.device {_WHOSE}",
    "SELECT d.device, x.first, x.last, a.account_id, s.space_id"
    f" FROM hidden AS x JOIN devices AS d ON d.n = x.device {_WHOSE}",
)
#: What an identity holds; its own log left out.
_HELD = (
    "FROM events AS e JOIN accounts AS a USING (account_id) JOIN spaces AS s USING (space_id)"
    " JOIN memberships AS m ON m.account = a.n AND m.space = s.n WHERE e.account_id = ? AND m.kind <> 'home'"
)
Views = Counter[tuple[object, ...]]


def messages(home: Home, identity: str) -> Counter[Shown]:
    """What an identity sees, and how often."""
    rows = home.store.db.all(
        "SELECT space_id, channel_id, sender, body_text FROM message_index WHERE account_id = ?", (identity,)
    )
    return Counter(map(Shown._make, rows))


def count_messages(home: Home, identity: str) -> int:
    """How many messages an identity sees."""
    row = home.store.db.one("SELECT count(*) FROM message_index WHERE account_id = ?", (identity,))
    return 0 if row is None else int(row[0])


def shown_ids(home: Home, identity: str) -> set[str]:
    """The ids of the messages that an identity sees."""
    rows = home.store.db.all("SELECT event_id FROM message_index WHERE account_id = ?", (identity,))
    return {event_id for (event_id,) in rows}


def shown_of(home: Home, identity: str, event_ids: Sequence[str]) -> set[str]:
    """Which of these messages an identity sees."""
    rows = home.store.db.all(
        "SELECT event_id FROM message_index WHERE account_id = ? AND event_id IN (SELECT value FROM json_each(?))",
        (identity, json.dumps(event_ids)),
    )
    return {event_id for (event_id,) in rows}


def texts_shown(home: Home, identity: str, space_id: str) -> list[tuple[str, str]]:
    """(event id, text) of the messages that an identity sees in a space."""
    return home.store.db.all(
        "SELECT event_id, body_text FROM message_index WHERE account_id = ? AND space_id = ?",
        (identity, space_id),
    )


def index_is_right(home: Home) -> bool:
    """Whether the search index is what its messages call for, none of them left out.

    What SQLite itself finds (sqlite.org/fts5.html#the_integrity_check_command) is looked into: after a disk failed, its
    count of all words, which only ranking would need, may be off.
    """
    try:
        with home.store.db.plain_errors():
            home.store.db.execute(
                "INSERT INTO search (search, rank) VALUES ('integrity-check', 1)"
            ).fetchall()
    except Damaged:
        with closing(apsw.Connection(":memory:")) as copy:
            with copy.backup("main", home.store.db.connection, "main") as backup:
                backup.step()
            copy.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, search, instance)")
            words = copy.execute("SELECT doc, term, offset FROM words").fetchall()
            copy.execute("INSERT INTO search (search) VALUES ('rebuild')")
            return words == copy.execute("SELECT doc, term, offset FROM words").fetchall()
    return True


def keys(home: Home, identity: str, space_id: str) -> set[str]:
    """The ids, in hexadecimal, of the keys of a space that an identity holds."""
    rows = home.store.db.all(
        "SELECT hex(e.key_id) FROM space_keys AS k JOIN epochs AS e ON e.n = k.epoch"
        " JOIN accounts AS a ON a.n = k.account JOIN spaces AS s ON s.n = e.space"
        " WHERE a.account_id = ? AND s.space_id = ?",
        (identity, space_id),
    )
    return {key for (key,) in rows}


def made_unawares(home: Home, identity: str, space_id: str, removed: str) -> set[str]:
    """The ids of those keys whose makers had not heard that somebody is out: what they know of the graph says so."""
    member = _member(home, identity, space_id)
    nodes = graph_of(home, member).ledger.dag.nodes
    unawares = {
        node.change.name
        for node in nodes
        if isinstance(node.change, NewKey) and _is_had(nodes, removed, node, node.change)
    }
    rows = home.store.db.all(
        "SELECT hex(e.key_id), k.name FROM space_keys AS k JOIN epochs AS e ON e.n = k.epoch"
        " WHERE k.account = ? AND e.space = ?",
        (member.account, member.space),
    )
    return {key for key, name in rows if name in unawares}


def _is_had(nodes: Sequence[Node], removed: str, node: Node, key: NewKey) -> bool:
    """Whether a key may be in the hands of who is out."""
    if _removals(nodes, removed):
        return not _knew(nodes, removed, node)
    # Who found no seat was given what was there when it seemed to have one, and what names it.
    was_there = any(has(admit.past, node) for admit, _ in _admissions(nodes, removed))
    names_it = not _devices(nodes, removed).isdisjoint(key.recipients)
    return was_there or (names_it and not _knew(nodes, removed, node))


def handed_on(home: Home, identity: str, space_id: str, removed: str, device: str) -> int:
    """How many keys, of whatever scope, were wrapped to a device of somebody by who had heard that it is out."""
    nodes = graph_of(home, _member(home, identity, space_id)).ledger.dag.nodes
    return sum(
        isinstance(node.change, NewKey | ShareKey)
        and device in node.change.recipients
        and _knew(nodes, removed, node)
        for node in nodes
    )


def locked_by(home: Home, identity: str, space_id: str, source: str, keys: Set[str]) -> int:
    """How many events a device gave to an identity that lacks their key, under others than these."""
    rows = home.store.db.all(
        "SELECT hex(l.key_id) FROM locked AS l JOIN accounts AS a ON a.n = l.account JOIN spaces AS s ON s.n = l.space"
        " WHERE a.account_id = ? AND s.space_id = ? AND l.source = ?",
        (identity, space_id, source),
    )
    return sum(key not in keys for (key,) in rows)


def _member(home: Home, identity: str, space_id: str) -> Membership:
    names = home.store.names
    return home.store.memberships.get(names.account_number(identity), names.space_number(space_id))


def admissions(home: Home, identity: str, space_id: str, newcomer: str) -> int:
    """How many events that an identity knows of let somebody into a space, whether they count or not."""
    nodes = graph_of(home, _member(home, identity, space_id)).ledger.dag.nodes
    return len(_admissions(nodes, newcomer))


def _admissions(nodes: Sequence[Node], newcomer: str) -> list[tuple[Node, Admit]]:
    return [
        (node, node.change)
        for node in nodes
        if isinstance(node.change, Admit) and node.change.member == newcomer
    ]


def _removals(nodes: Sequence[Node], removed: str) -> list[Node]:
    return [
        node
        for node in nodes
        if isinstance(node.change, SetRole)
        and node.change.member == removed
        and node.change.role < Role.GUEST
    ]


def _devices(nodes: Sequence[Node], newcomer: str) -> set[str]:
    return {change.device for _, change in _admissions(nodes, newcomer)}


def _others(nodes: Sequence[Node], newcomer: str) -> list[Node]:
    """What let others in by the invites of a newcomer."""
    invites = {change.invite for _, change in _admissions(nodes, newcomer)}
    return [
        node
        for node in nodes
        if isinstance(node.change, Admit) and node.change.invite in invites and node.change.member != newcomer
    ]


def _knew(nodes: Sequence[Node], removed: str, node: Node) -> bool:
    """Whether what a node builds on tells that somebody is out: by a removal; or else since nothing let it in, or that
    and who else had its seat.
    """
    if removals := _removals(nodes, removed):
        return any(has(node.past, removal) for removal in removals)
    inside = any(has(node.past, admit) for admit, _ in _admissions(nodes, removed))
    return not inside or any(has(node.past, other) for other in _others(nodes, removed))


def _signs(nodes: Sequence[Node], removed: str) -> list[list[Node]]:
    """What tells a member that a key is somebody's who is out, once it knows of one in each list: a removal; or else,
    where that one found no seat, that it was let in, that it was given a key, and who else was let in.
    """
    if removals := _removals(nodes, removed):
        return [removals]
    devices = _devices(nodes, removed)
    given = [
        node
        for node in nodes
        if isinstance(node.change, ShareKey) and devices.intersection(node.change.recipients)
    ]
    return [[node for node, _ in _admissions(nodes, removed)], given, _others(nodes, removed)]


def sealed_under(home: Home, identity: str, space_id: str) -> dict[str, str]:
    """Event id → id of its key, of everything that an identity holds in a space."""
    rows = home.store.db.all(
        "SELECT b.event_id, hex(k.key_id) FROM received AS r JOIN blobs AS b ON b.n = r.event"
        " JOIN epochs AS k ON k.n = b.epoch JOIN accounts AS a ON a.n = r.account"
        " JOIN spaces AS s ON s.n = r.space WHERE a.account_id = ? AND s.space_id = ?",
        (identity, space_id),
    )
    return dict(rows)


def roles(home: Home, identity: str, space_id: str) -> dict[str, int]:
    """By identity: the role (see `Role`) of all who were ever let into a space, as one identity knows it."""
    rows = home.store.db.all(
        "SELECT x.member, x.role FROM members AS x JOIN accounts AS a ON a.n = x.account"
        " JOIN spaces AS s ON s.n = x.space WHERE a.account_id = ? AND s.space_id = ?",
        (identity, space_id),
    )
    return dict(rows)


def written_knowing(home: Home, identity: str, space_id: str, removed: str) -> set[str]:
    """The ids of what an identity wrote on this device when it had heard that somebody is out.

    What it wrote before it heard of its own admission is left out: that became valid later than it was written.
    """
    member = _member(home, identity, space_id)
    signs = _signs(graph_of(home, member).ledger.dag.nodes, removed)
    rows = home.store.db.all(
        "SELECT b.event_id, d.device = ? AND NOT r.counted FROM arrivals AS r JOIN blobs AS b ON b.n = r.event"
        " JOIN devices AS d ON d.n = b.device WHERE r.account = ? AND b.space = ? ORDER BY r.cursor",
        (member.device, member.account, member.space),
    )
    places = {event_id: place for place, (event_id, _) in enumerate(rows)}
    heard = max(
        min((places.get(sign.event_id, len(rows)) for sign in each), default=len(rows)) for each in signs
    )
    return {event_id for event_id, own in rows[heard + 1 :] if own}


def why_out(home: Home, identity: str, space_id: str) -> str:
    """What an identity was told of why it is not let into a space, or is a member no more, in words."""
    member = _member(home, identity, space_id)
    ctx = Context(home, 0, member.account, member)
    return REASONS.get(own_link.refusal(ctx), "") or own_link.told(ctx)


def in_order(home: Home, identity: str, sender: str) -> list[tuple[str, str, str]]:
    """(space, channel, text) of one sender's messages, as sorted for reading (time, then place in its log)."""
    rows = home.store.db.all(
        "SELECT i.space_id, i.channel_id, i.body_text FROM message_index AS i JOIN blobs AS b USING (event_id)"
        " WHERE i.account_id = ? AND i.sender = ? ORDER BY i.ts, b.seq",
        (identity, sender),
    )
    return [(space, channel, text) for space, channel, text in rows]


def held(home: Home, identity: str) -> dict[str, Counter[tuple[str, str]]]:
    """By space: (event id, state) of everything that an identity holds there; its own log left out."""
    found: dict[str, Counter[tuple[str, str]]] = {}
    rows = home.store.db.all(f"SELECT e.space_id, e.event_id, e.state {_HELD}", (identity,))
    for space, rows_of_space in groupby(rows, key=itemgetter(0)):
        found.setdefault(space, Counter()).update(map(itemgetter(1, 2), rows_of_space))
    return found


def ids_by(home: Home, identity: str, space_id: str, author: str) -> set[str]:
    """The ids of all messages of one author that an identity is shown in a space."""
    rows = home.store.db.all(
        "SELECT event_id FROM message_index WHERE account_id = ? AND space_id = ? AND sender = ?",
        (identity, space_id, author),
    )
    return {event_id for (event_id,) in rows}


def count_held(home: Home, identity: str) -> int:
    """How many events an identity holds; its own log left out."""
    row = home.store.db.one(f"SELECT count(*) {_HELD}", (identity,))
    return 0 if row is None else int(row[0])


def held_back(home: Home, identity: str, space_id: str) -> list[str]:
    """Ids of the events that an identity holds in a space, and that are not valid there."""
    rows = home.store.db.all(
        "SELECT event_id FROM events WHERE account_id = ? AND space_id = ? AND state <> 'valid'",
        (identity, space_id),
    )
    return [event_id for (event_id,) in rows]


def ids_held(home: Home) -> set[str]:
    """The ids of all events that anybody of a home holds."""
    return {event_id for (event_id,) in home.store.db.all("SELECT event_id FROM events")}


def waiting(home: Home) -> dict[str, str]:
    """Event id → device of the events that wait for others."""
    rows = home.store.db.all(
        "SELECT b.event_id, d.device FROM blocked AS w JOIN blobs AS b ON b.n = w.event"
        " JOIN devices AS d ON d.n = b.device"
    )
    return dict(rows)


def rejections(home: Home) -> list[tuple[str, str, int]]:
    """(device key of who gave it, reason, count) of whatever was refused."""
    rows = home.store.db.all(
        "SELECT source, reason, sum(count) FROM rejections GROUP BY source, reason ORDER BY source, reason"
    )
    return [(source, reason, count) for source, reason, count in rows]


def forks(home: Home, identity: str, space_id: str) -> list[tuple[str, int]]:
    """(device, place) wherever an identity knows of two histories of a log in a space."""
    names = home.store.names
    account, space = names.account_number(identity), names.space_number(space_id)
    return sorted(home.store.blobs.forks_held(account, space, MAX_FORKS_SHOWN))


def damage(home: Home) -> str:
    """What SQLite finds wrong with the file; nothing when all is well."""
    found = home.store.db.one("PRAGMA integrity_check")
    return "" if found is None or found[0] == "ok" else str(found[0])


def views(home: Home, identity: str = "") -> Views:
    """All rows of the documented views, of one identity or of all."""
    rows = [row for sql in _VIEWS for row in home.store.db.all(sql)]
    return Counter(row for row in rows if not identity or row[-2] == identity)


def rebuilt_views(home: Home) -> Views:
    """The views after they are dropped and made anew."""
    rebuild(home, _FAR_FUTURE)
    return views(home)


def holds_many(home: Home) -> bool:
    """Whether so many events are held that taking them in again takes long."""
    found = home.store.db.one("SELECT count(*) FROM received")
    return found is not None and found[0] > _LARGE


def in_another_order(home: Home, member: Membership, order: str, random: Random) -> Views:
    """An identity's views in one space, made by taking in its events in one of the ORDERS."""
    rows = home.store.db.all(
        "SELECT k.key_id, b.sealed FROM received AS r JOIN blobs AS b ON b.n = r.event"
        " JOIN epochs AS k ON k.n = b.epoch WHERE r.account = ? AND r.space = ? ORDER BY r.event",
        (member.account, member.space),
    )
    sealed = [bytes(key_id) + bytes(blob) for key_id, blob in rows]
    many = len(sealed) > _LARGE
    if order == "backwards":
        sealed.reverse()
    else:
        random.shuffle(sealed)
    if order == "twice" and not many:
        sealed += sealed[::-1]
    return _take_in(home, member, sealed, random, INGEST_BATCH if many else _SMALL_BATCH)


def _take_in(home: Home, member: Membership, sealed: list[bytes], random: Random, most: int) -> Views:
    """Views of a fresh store that is given these events in batches of random size."""
    entropy = Stream("checker")
    fresh = Home(":memory:", REGISTRY, entropy, Vault(entropy(KEY_BYTES)))
    try:
        with fresh.store.transaction():
            memberships = fresh.store.memberships
            account = memberships.add_account(
                member.account_id, member.device_key, "[]", entropy(2 * NONCE_BYTES)
            )
            here = memberships.add(account, member.space_id, member.link_key, member.name, member.kind)
            for epoch, (key, _) in member.epochs.items():
                memberships.add_key(here, key, home.store.memberships.key_name(member, epoch))
        at = 0
        while at < len(sealed):
            size = 1 + random.randrange(most)
            ingest(
                fresh, memberships.get(account, here.space), sealed[at : at + size], "checker", _FAR_FUTURE
            )
            at += size
        return views(fresh)
    finally:
        fresh.close()
