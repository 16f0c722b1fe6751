"""The tables of the event store itself, and the relations that a user may query.

Owns: their SQL, as ordered migrations. Must not know: the tables of handlers (views).

Inside, things are numbered (`n`) so that rows stay small; the relations `events`, `message_index` and
`auth_graph` give the names. Every table that tells something of an identity begins with `account`.
"""

FIRST = """
CREATE TABLE accounts (n INTEGER PRIMARY KEY, account_id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE spaces (n INTEGER PRIMARY KEY, space_id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE epochs (
    n INTEGER PRIMARY KEY, space INTEGER NOT NULL, key_id BLOB NOT NULL, UNIQUE (space, key_id)
) STRICT;
CREATE TABLE devices (
    n INTEGER PRIMARY KEY, space INTEGER NOT NULL, device TEXT NOT NULL, UNIQUE (space, device)
) STRICT;

-- Secrets and local facts: not derived from events, never synced, untouched by a rebuild.
-- `device` is the public key of `seed`; `chain` certifies it for the identity; `root` is the entropy of
-- the identity's root key, on the device alone that made or recovered it. `seed` and `root` are sealed by the vault.
CREATE TABLE device_keys (
    account INTEGER PRIMARY KEY, device TEXT NOT NULL UNIQUE, seed BLOB NOT NULL, root BLOB, chain TEXT NOT NULL
) STRICT;
-- `link_key` opens the way to the space's devices and never changes. `content` and `control` are the epochs
-- that new events are sealed under; 0 until a key is held. `from_join`: newcomers do not get what was written
-- before they came.
CREATE TABLE memberships (
    account INTEGER NOT NULL, space INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    link_key BLOB NOT NULL, content INTEGER NOT NULL DEFAULT 0, control INTEGER NOT NULL DEFAULT 0,
    from_join INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, space)
) STRICT, WITHOUT ROWID;
-- `name` is the public name of the content key that a key belongs to (itself, or the one it is derived from).
CREATE TABLE space_keys (
    account INTEGER NOT NULL, epoch INTEGER NOT NULL, key BLOB NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (account, epoch)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_name ON space_keys (account, name);
-- Keys of audiences, by the event that made the audience.
CREATE TABLE audience_keys (
    account INTEGER NOT NULL, space INTEGER NOT NULL, audience TEXT NOT NULL, name TEXT NOT NULL,
    key BLOB NOT NULL, PRIMARY KEY (account, space, audience, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE addresses (
    account INTEGER NOT NULL, space INTEGER NOT NULL, device TEXT NOT NULL, address TEXT NOT NULL,
    reached_ts INTEGER NOT NULL, PRIMARY KEY (account, space, device, address)
) STRICT, WITHOUT ROWID;

-- Every event once, as its author sealed it. `seq` is its place in the log of `device`, which is only a
-- claim while `genuine` is 0 (unsigned, and not yet cited by a genuine successor).
CREATE TABLE blobs (
    n INTEGER PRIMARY KEY, event_id TEXT NOT NULL, space INTEGER NOT NULL, epoch INTEGER NOT NULL,
    device INTEGER NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL, genuine INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
-- 66 bits of the id find it; the whole id is compared after. A third of the size of an index over all of it.
CREATE INDEX blobs_by_id ON blobs (substr(event_id, 1, 11));
CREATE INDEX blobs_by_log ON blobs (device, seq);
CREATE TABLE forks (device INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (device, seq)) STRICT, WITHOUT ROWID;

-- Which identity holds which event (the envelope's `received_by`), in the order of reconciliation.
-- state: 0 valid, 1 blocked, 2 kept but of an unsupported type or version.
CREATE TABLE received (
    account INTEGER NOT NULL, space INTEGER NOT NULL, ts INTEGER NOT NULL, event INTEGER NOT NULL,
    state INTEGER NOT NULL, received_ts INTEGER NOT NULL, PRIMARY KEY (account, space, ts, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX unsupported ON received (account, space) WHERE state = 2;
-- `epoch` is 0 but for content in a space where not everybody can open the same: what a peer cannot open is
-- left out of what is compared with it. Spaces that turned out to be such are counted anew: see `recounts`.
CREATE TABLE buckets (
    account INTEGER NOT NULL, space INTEGER NOT NULL, level INTEGER NOT NULL, bucket INTEGER NOT NULL,
    epoch INTEGER NOT NULL, count INTEGER NOT NULL, total BLOB NOT NULL,
    PRIMARY KEY (account, space, level, bucket, epoch)
) STRICT, WITHOUT ROWID;
CREATE TABLE recounts (
    account INTEGER NOT NULL, space INTEGER NOT NULL, PRIMARY KEY (account, space)
) STRICT, WITHOUT ROWID;
CREATE TABLE blocked (
    account INTEGER NOT NULL, space INTEGER NOT NULL, need TEXT NOT NULL, event INTEGER NOT NULL,
    PRIMARY KEY (account, space, need, event)
) STRICT, WITHOUT ROWID;
CREATE TABLE provided (
    account INTEGER NOT NULL, space INTEGER NOT NULL, need TEXT NOT NULL, PRIMARY KEY (account, space, need)
) STRICT, WITHOUT ROWID;

-- Blobs under a key that is not held yet: opened when it comes. Their events' ids are not known before.
CREATE TABLE locked (
    account INTEGER NOT NULL, space INTEGER NOT NULL, key_id BLOB NOT NULL, digest BLOB NOT NULL,
    blob BLOB NOT NULL, source TEXT NOT NULL, PRIMARY KEY (account, space, key_id, digest)
) STRICT, WITHOUT ROWID;

-- Events whose body is sealed under a key of this name, which is not held (yet): they are valid, and shown nowhere.
CREATE TABLE unopened (
    account INTEGER NOT NULL, space INTEGER NOT NULL, key_name TEXT NOT NULL, event INTEGER NOT NULL,
    PRIMARY KEY (account, space, key_name, event)
) STRICT, WITHOUT ROWID;

-- The membership graph: its events as they were read, whether they count, and what they come to.
CREATE TABLE graph_events (
    account INTEGER NOT NULL, space INTEGER NOT NULL, place INTEGER NOT NULL, event INTEGER NOT NULL,
    event_id TEXT NOT NULL, device TEXT NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL,
    parents TEXT NOT NULL, change TEXT NOT NULL, counts INTEGER NOT NULL, PRIMARY KEY (account, space, place)
) STRICT, WITHOUT ROWID;
-- role: 0 banned, 1 not a member, 2 guest, 3 member, 4 admin, 5 founder.
CREATE TABLE members (
    account INTEGER NOT NULL, space INTEGER NOT NULL, member TEXT NOT NULL, role INTEGER NOT NULL,
    since INTEGER NOT NULL, PRIMARY KEY (account, space, member)
) STRICT, WITHOUT ROWID;
CREATE TABLE member_devices (
    account INTEGER NOT NULL, space INTEGER NOT NULL, device INTEGER NOT NULL, member TEXT NOT NULL,
    wrap TEXT NOT NULL, standing INTEGER NOT NULL, PRIMARY KEY (account, space, device)
) STRICT, WITHOUT ROWID;
-- Places of logs that are not shown: written without the right to.
CREATE TABLE hidden (
    account INTEGER NOT NULL, space INTEGER NOT NULL, device INTEGER NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, PRIMARY KEY (account, space, device, first)
) STRICT, WITHOUT ROWID;
-- Events of a rewritten log that are not of the history which a removal, or a revocation, names the end of.
CREATE TABLE disowned (
    account INTEGER NOT NULL, event INTEGER NOT NULL, device INTEGER NOT NULL, PRIMARY KEY (account, event)
) STRICT, WITHOUT ROWID;

-- Places of logs that were written by who was in an audience that changes: only these are shown in it.
CREATE TABLE audience_spans (
    account INTEGER NOT NULL, space INTEGER NOT NULL, audience TEXT NOT NULL, device INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (account, space, audience, device, first)
) STRICT, WITHOUT ROWID;

-- The order in which events became valid here: what a subscriber's cursor counts. Events that were not
-- blocked before are `counted` in their buckets later, in bulk: see bucket_cursor.
CREATE TABLE arrivals (
    cursor INTEGER PRIMARY KEY, account INTEGER NOT NULL, event INTEGER NOT NULL, counted INTEGER NOT NULL
) STRICT;
CREATE TABLE bucket_cursor (cursor INTEGER NOT NULL) STRICT;
INSERT INTO bucket_cursor VALUES (0);

CREATE TABLE rejections (
    account INTEGER NOT NULL, source TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
    last_ts INTEGER NOT NULL, PRIMARY KEY (account, source, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE view_versions (handler TEXT PRIMARY KEY, version TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE VIEW events (event_id, account_id, received_ts, encrypted, space_id, state) AS
SELECT b.event_id, a.account_id, r.received_ts, b.sealed, s.space_id,
       CASE r.state WHEN 0 THEN 'valid' WHEN 1 THEN 'blocked' ELSE 'unsupported' END
FROM received AS r
JOIN blobs AS b ON b.n = r.event
JOIN accounts AS a ON a.n = r.account
JOIN spaces AS s ON s.n = r.space;

-- What each event of the membership graph says of whom or what, and whether it counts.
CREATE VIEW auth_graph (event_id, subject, action, author_user, ts, counts, account_id, space_id) AS
SELECT g.event_id, CASE g.change ->> 0 WHEN 'Found' THEN s.space_id ELSE g.change ->> 1 END,
       lower(g.change ->> 0), o.member, g.ts, g.counts, a.account_id, s.space_id
FROM graph_events AS g
JOIN spaces AS s ON s.n = g.space
JOIN accounts AS a ON a.n = g.account
LEFT JOIN devices AS d ON d.space = g.space AND d.device = g.device
LEFT JOIN member_devices AS o ON o.account = g.account AND o.space = g.space AND o.device = d.n;
"""

SKETCHES = """
-- Sketches of the ids that are held, of those in one part of all possible ones; none where events are counted apart.
CREATE TABLE sketches (
    account INTEGER NOT NULL, space INTEGER NOT NULL, part INTEGER NOT NULL, cells BLOB NOT NULL,
    PRIMARY KEY (account, space, part)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO recounts SELECT account, space FROM memberships;
"""

FRONTIERS = """
-- How far an identity holds each log without a gap, as of the last time that it was asked; `born` is its first event's
-- timestamp.
CREATE TABLE frontiers (
    account INTEGER NOT NULL, device INTEGER NOT NULL, seq INTEGER NOT NULL, event_id TEXT NOT NULL,
    born INTEGER NOT NULL, PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;
"""

RELAYS = """
-- Relays by their public keys, and each identity's use of them in each space. Of a mailbox: the place up to which it is
-- read, the chain there, the last number of our own in it, and the longest head that the relay signed.
CREATE TABLE relays (n INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE relay_mailboxes (
    account INTEGER NOT NULL, space INTEGER NOT NULL, relay INTEGER NOT NULL, mailbox BLOB NOT NULL,
    cursor INTEGER NOT NULL, chain BLOB NOT NULL, local INTEGER NOT NULL, head_length INTEGER NOT NULL,
    head_chain BLOB NOT NULL, head_sig BLOB NOT NULL, PRIMARY KEY (account, space, relay, mailbox)
) STRICT, WITHOUT ROWID;
-- The place of the own log, and the arrival of others' events, up to which they were handed to a relay;
-- `missed` records it had removed before they were read.
CREATE TABLE relay_posts (
    account INTEGER NOT NULL, space INTEGER NOT NULL, relay INTEGER NOT NULL, own INTEGER NOT NULL,
    others INTEGER NOT NULL, missed INTEGER NOT NULL, PRIMARY KEY (account, space, relay)
) STRICT, WITHOUT ROWID;
CREATE TABLE relayed (
    account INTEGER NOT NULL, space INTEGER NOT NULL, relay INTEGER NOT NULL, nonce INTEGER NOT NULL,
    PRIMARY KEY (account, space, relay, nonce)
) STRICT, WITHOUT ROWID;
CREATE TABLE relay_faults (
    account INTEGER NOT NULL, space INTEGER NOT NULL, relay INTEGER NOT NULL, misdeed TEXT NOT NULL,
    ts INTEGER NOT NULL,
    before_length INTEGER NOT NULL, before_chain BLOB NOT NULL, before_sig BLOB NOT NULL,
    now_length INTEGER NOT NULL, now_chain BLOB NOT NULL, now_sig BLOB NOT NULL,
    PRIMARY KEY (account, space, relay, misdeed)
) STRICT, WITHOUT ROWID;
"""

IDS = """
-- Events by 66 bits of their ids; the whole id is compared after. A third of the size of an index over all of it.
-- `ids_behind` has the number of the first event that is still to be sorted in, with all after it.
CREATE TABLE ids (
    short TEXT NOT NULL, event INTEGER NOT NULL, PRIMARY KEY (short, event)
) STRICT, WITHOUT ROWID;
CREATE TABLE ids_behind (event INTEGER NOT NULL) STRICT;
INSERT INTO ids SELECT substr(event_id, 1, 11) AS short, n FROM blobs ORDER BY short;
DROP INDEX blobs_by_id;
"""

POWER = """
-- Whether the last run of the system in which something was handed out (`boot`) was ended tidily, and how often it may
-- have ended with a loss: see `store.power`.
CREATE TABLE power (boot TEXT NOT NULL, tidy INTEGER NOT NULL, cuts INTEGER NOT NULL) STRICT;
INSERT INTO power VALUES ('', 1, 0);
-- How far each part of a log is held: see LOG_PART.
DROP TABLE frontiers;
CREATE TABLE frontiers (
    account INTEGER NOT NULL, device INTEGER NOT NULL, part INTEGER NOT NULL, seq INTEGER NOT NULL,
    event_id TEXT NOT NULL, born INTEGER NOT NULL, PRIMARY KEY (account, device, part)
) STRICT, WITHOUT ROWID;
"""

HEIGHTS = """
-- They are measured anew: what nobody vouched for counted as held.
DELETE FROM frontiers;
"""

TIMES = """
-- What waits for its time is found in the order of time: see `time_need`.
UPDATE blocked SET need = 'time ' || printf('%016d', coalesce((SELECT ts FROM blobs WHERE n = event), 0))
WHERE need = 'time';
"""

CLAIMS = """
-- Anybody can claim a place of a log: what is genuine there is found without reading all of that.
DROP INDEX blobs_by_log;
CREATE INDEX blobs_by_log ON blobs (device, seq, genuine);
"""

#: (name, SQL), applied in this order, each once and whole.
MIGRATIONS: tuple[tuple[str, str], ...] = (
    ("members", FIRST),
    ("sketches", SKETCHES),
    ("frontiers", FRONTIERS),
    ("relays", RELAYS),
    ("ids", IDS),
    ("power", POWER),
    ("heights", HEIGHTS),
    ("times", TIMES),
    ("claims", CLAIMS),
)
