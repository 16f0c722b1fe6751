"""`merge`: many ends of the membership graph become one, so that what comes next can build on all of them."""

from quire.events.context import MERGE
from quire.events.handler import GraphEvent, Handler, Opened
from quire.graph import changes
from quire.handlers import graph_events


class MergeEvent(GraphEvent):
    """Nothing but what it builds on."""


def change(_: Opened[MergeEvent], __: bytes) -> changes.AnyChange:
    """What its author knows."""
    return changes.Merge()


HANDLER = Handler(
    type=MERGE,
    event=MergeEvent,
    change=change,
    needs=graph_events.needs,
    provides=graph_events.provides,
)
