"""One home with its sessions, streams and jobs: a sans-IO machine. Must not know: sockets, real clocks, the API."""

from quire.node.guard import Mistake, Trouble
from quire.node.node import Arrived, Node, NodeEvent

__all__ = ["Arrived", "Mistake", "Node", "NodeEvent", "Trouble"]
