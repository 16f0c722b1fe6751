"""`incoming`: envelopes that have arrived, each for one identity of this node.

The envelope is the event and who received it; everything else is derived by ingest.
"""

from collections.abc import Sequence

from quire.events.home import Home
from quire.events.ingest import ingest
from quire.events.settle import Report
from quire.limits import INGEST_BATCH
from quire.store.memberships import Membership


def receive(home: Home, received_by: Membership, sealed: Sequence[bytes], source: str, now: int) -> Report:
    """Take in events (`key_id ‖ blob`) for one identity, in batches; `source` is the giver's public key."""
    whole = Report()
    for start in range(0, len(sealed), INGEST_BATCH):
        report = ingest(home, received_by, sealed[start : start + INGEST_BATCH], source, now)
        whole.valid += report.valid
        whole.blocked += report.blocked
        whole.known += report.known
        whole.locked += report.locked
        whole.arrived += report.arrived
        for reason, number in report.rejected.items():
            whole.reject(reason, number)
    return whole
