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
CREATE TABLE device_keys (account INTEGER PRIMARY KEY, seed BLOB NOT NULL) STRICT;
CREATE TABLE memberships (
    account INTEGER NOT NULL, space INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    invited INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (account, space)
) STRICT, WITHOUT ROWID;
CREATE TABLE space_keys (
    account INTEGER NOT NULL, epoch INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (account, epoch)
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
CREATE TABLE buckets (
    account INTEGER NOT NULL, space INTEGER NOT NULL, level INTEGER NOT NULL, bucket INTEGER NOT NULL,
    count INTEGER NOT NULL, total BLOB NOT NULL, PRIMARY KEY (account, space, level, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE blocked (
    account INTEGER NOT NULL, space INTEGER NOT NULL, need TEXT NOT NULL, event INTEGER NOT NULL,
    PRIMARY KEY (account, space, need, event)
) STRICT, WITHOUT ROWID;
CREATE TABLE provided (
    account INTEGER NOT NULL, space INTEGER NOT NULL, need TEXT NOT NULL, PRIMARY KEY (account, space, need)
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
"""

#: (name, SQL), applied in this order, each once and whole.
MIGRATIONS: tuple[tuple[str, str], ...] = (("first", FIRST),)
