"""One file for each event type. Adding a type is one new file and one name in this list."""

from quire.events.handler import Registry
from quire.handlers import identity, message, outgoing, peer, space, sync_peers, tor_simulator

REGISTRY = Registry(
    (
        identity.HANDLER,
        peer.HANDLER,
        space.HANDLER,
        message.HANDLER,
        sync_peers.HANDLER,
        outgoing.HANDLER,
        tor_simulator.HANDLER,
    )
)
