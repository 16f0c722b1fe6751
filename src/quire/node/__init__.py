"""One home with its sessions, streams and jobs: a sans-IO machine. Must not know: sockets, real clocks, the API."""

from quire.node.node import Arrived, Node, Trouble

__all__ = ["Arrived", "Node", "Trouble"]
