"""`recovery`: a new device of an identity, certified by its root key alone: the first word of the device itself.

That the root is the identity's present one is for the graph to say, so that an old phrase brings nobody back.
"""

from collections.abc import Sequence

from quire.core.certificate import Certificate, certificate_holds
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened
from quire.graph import changes
from quire.handlers import device, graph_events
from quire.handlers.device import Sibling
from quire.store.views import View


class RecoveryEvent(GraphEvent):
    """The author is a device of `identity`, certified by `root`, and has agreed; `name` is the device's."""

    identity: str
    root: str
    wrap: str
    certificate: Certificate
    consent: str
    name: str


def is_sound(identity: str, root: str, certificate: Certificate, sibling: Sibling) -> bool:
    """Whether `root` signed for just this device of the identity, and the device has agreed."""
    return (
        (certificate.signer, certificate.device, certificate.wrap) == (root, sibling.device, sibling.wrap)
        and device.is_sound(identity, sibling)
        and certificate_holds(identity, certificate)
    )


def change(o: Opened[RecoveryEvent], _: bytes) -> changes.AnyChange:
    """A recovered device, if its certificate and consent hold."""
    event = o.event
    sibling = Sibling(event.author, event.wrap, event.consent, event.name)
    if not is_sound(event.identity, event.root, event.certificate, sibling):
        return changes.Void()
    return changes.Recover(event.identity, event.root, event.wrap)


def project(view: View, batch: Sequence[Opened[RecoveryEvent]]) -> None:
    """Keep what recovered devices say of themselves, as for those that were linked."""
    device.write_rows(view, "recovery_rows", [(o, o.event.author) for o in batch])


def roots(ctx: Context) -> dict[str, str]:
    """Present root key → identity, of the members of this space."""
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    return {ledger.root(member, valid): member for member in ledger.people()}


HANDLER = Handler(
    type="recovery",
    event=RecoveryEvent,
    tables=("recovery_rows",),
    schema=device.row_schema("recovery_rows"),
    project=project,
    change=change,
    needs=graph_events.needs_of_first,
    provides=graph_events.provides,
)
