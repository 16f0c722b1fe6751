"""`quire join` waits a little: a member answers within seconds, when one is reached.

Owns: how long, and what becomes of a refusal. Must not know: how joining works.
"""

import time
from dataclasses import replace
from typing import Any

from quire.cli.access import Options, Outcome, perform
from quire.errors import Refused
from quire.runtime import Unlocking

#: How long to wait for a member's answer, and how often to look (s).
PATIENCE_S, LOOK_S = 10.0, 0.2
#: How long a refusal has to stand (s): another member may see it otherwise, if one's clock is wrong.
FINAL_S = 2.0


def settled(options: Options, done: Outcome, unlocking: Unlocking) -> Outcome:
    """What came of joining, as soon as it is known. Raises Refused when a member has refused.

    Without a running node nothing is asked, so nothing is waited for.
    """
    joined = done.result
    until = time.monotonic() + PATIENCE_S
    refused_since = None
    while done.online and joined["waiting"] and time.monotonic() < until:
        time.sleep(LOOK_S)
        space = _space(options, joined, unlocking)
        refused_since = (refused_since or time.monotonic()) if space["refused"] else None
        if refused_since is not None and time.monotonic() - refused_since >= FINAL_S:
            _forget(replace(options, identity=joined["identity"], space=joined["space_id"]), unlocking)
            raise Refused(
                f"You were {space['joining']} (rule `{space['refused']}`). Ask whoever gave you the link for a new one."
            )
        joined = {**joined, "waiting": bool(space["joining"]), "reason": space["joining"]}
        joined["unconfirmed"] = space["unconfirmed"]
    return Outcome(joined, done.online)


def _space(options: Options, joined: dict[str, Any], unlocking: Unlocking) -> dict[str, Any]:
    """How the newcomer stands in the space, as the node tells."""
    status = perform(replace(options, identity=joined["identity"]), "getStatus", {}, unlocking).result
    spaces = status["identities"][0]["spaces"]
    return next(dict(space) for space in spaces if space["space_id"] == joined["space_id"])


def _forget(options: Options, unlocking: Unlocking) -> None:
    """Drop a space that somebody was never in; what was written where it was once stays readable."""
    spaces = perform(replace(options, space=None), "listSpaces", {}, unlocking).result
    if any(one["space_id"] == options.space and one["kind"] == "joining" for one in spaces):
        perform(options, "leaveSpace", {}, unlocking)
