"""Whether a SQLite log store holds what it was given: every mailbox's hash chain, worked out anew.

Owns: the walk through the log. Must not know: what is done about a store that does not.
"""

from itertools import groupby

import apsw

from quire.net.relay_wire import Record, digest, link
from quire.relay.sqlite_group import PLACE_BITS

_RECORDS = (
    "SELECT log.n, d.device, log.local, log.ts, log.scope, log.data, log.chain"
    " FROM log LEFT JOIN devices AS d ON d.n = log.device ORDER BY log.n"
)


def broken_at(db: apsw.Connection) -> str | None:
    """The first place where the log is not what the mailboxes' chains say, in words; None where it is all of it.

    It takes some seconds for each million records. SQLite's own check sees broken pages, not a byte within a record.
    """
    ends = {
        n: (floor, floor_chain, length, chain)
        for n, floor, floor_chain, length, chain in db.execute(
            "SELECT n, floor, floor_chain, length, chain FROM mailboxes"
        )
    }
    for n, rows in groupby(db.execute(_RECORDS), lambda row: int(row[0]) >> PLACE_BITS):
        if n not in ends:
            return "records of a mailbox that is not there"
        place, reached, length, chain = ends.pop(n)
        for number, device, local, ts, scope, data, kept in rows:
            place += 1
            if number != n << PLACE_BITS | place or device is None:
                return f"record {place:,} of mailbox {n} is missing"
            reached = link(reached, [digest(device, Record(local, ts, scope, data))])
            if reached != kept:
                return f"record {place:,} of mailbox {n} is not what was kept"
        if (place, reached) != (length, chain):
            return f"the last records of mailbox {n} are missing"
    if any((floor, floor_chain) != (length, chain) for floor, floor_chain, length, chain in ends.values()):
        return "all records of a mailbox are missing"
    return None
