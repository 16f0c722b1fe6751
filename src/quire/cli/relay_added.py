"""`quire relay add` waits a little, to tell whether the relay answers: an address is easily mistyped.

Owns: how long. Must not know: how relays are reached.
"""

import time
from dataclasses import replace
from typing import Any

from quire.cli.access import Options, Outcome, perform
from quire.runtime import Unlocking

#: How long to wait for the relay's answer, and how often to look (s).
PATIENCE_S, LOOK_S = 5.0, 0.1
#: States in which a relay was not asked yet.
_NOT_YET = ("waiting", "offline")


def answered(options: Options, done: Outcome, unlocking: Unlocking) -> Outcome:
    """With the relay's `state` and `trouble`, as soon as they are known; as it is without a running node."""
    until = time.monotonic() + PATIENCE_S
    found: dict[str, Any] = {}
    while done.online and found.get("state", "waiting") in _NOT_YET and time.monotonic() < until:
        time.sleep(LOOK_S)
        found = _relay(options, done.result["address"], unlocking)
    told = {name: found[name] for name in ("state", "trouble") if found}
    return replace(done, result={**done.result, **told})


def _relay(options: Options, address: str, unlocking: Unlocking) -> dict[str, Any]:
    """How whoever added it stands with the relay, as the node tells; {} when it was taken away meanwhile."""
    status = perform(options, "getStatus", {}, unlocking).result
    spaces = [space for identity in status["identities"] for space in identity["spaces"]]
    relays = [relay for space in spaces for relay in space["relays"] if relay["address"] == address]
    return dict(relays[0]) if relays else {}
