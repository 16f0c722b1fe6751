"""`incoming`: envelopes that have arrived, each for one identity of this node.

The envelope is the event and who received it; everything else is derived by ingest.
"""

from collections.abc import Sequence

from quire.events.home import Home
from quire.events.ingest import Tail, ingest
from quire.events.settle import Report
from quire.limits import INGEST_BATCH
from quire.store.memberships import Membership


def receive(
    home: Home,
    received_by: Membership,
    sealed: Sequence[bytes],
    source: str,
    now: int,
    tail: Tail | None = None,
    more: bool = False,
) -> Report:
    """Take in events (`key_id ‖ blob`) for one identity, in batches; `source` is the giver's public key.

    `tail` and `more` as for `ingest`.
    """
    whole = Report()
    kept = Tail() if tail is None else tail
    for start in range(0, max(len(sealed), 1), INGEST_BATCH):
        batch, follows = sealed[start : start + INGEST_BATCH], more or start + INGEST_BATCH < len(sealed)
        report = ingest(home, received_by, batch, source, now, kept, follows)
        whole.valid += report.valid
        whole.blocked += report.blocked
        whole.known += report.known
        whole.locked += report.locked
        whole.carried = report.carried
        whole.arrived += report.arrived
        for reason, number in report.rejected.items():
            whole.reject(reason, number)
    return whole
