"""What a relay grants and keeps, as its operator chose.

Owns: the numbers. Must not know: the service; a command line reads these without it.
"""

from typing import NamedTuple

from quire.relay.log_store import Retention
from quire.relay.quota import Quotas


class Settings(NamedTuple):
    """`connections`: at most at once. Times in ms; `drain_ms`: what is under way may take as long at the end."""

    quotas: Quotas = Quotas()
    retention: Retention = Retention()
    connections: int = 4_096
    prune_ms: int = 60 * 60_000
    drain_ms: int = 10_000
    #: Of one network address: connections at once, and mailboxes opened a second; 0 for no bound.
    origin_connections: int = 0
    origin_hellos: int = 0
