"""`key-share`: a key that exists already, wrapped to devices that lack it."""

import contextlib
import functools
import math
from collections.abc import Mapping, Sequence

from quire.core.encoding import from_text, to_text
from quire.core.sealing import KEY_ID_BYTES
from quire.core.wrapping import wrap
from quire.errors import Refused
from quire.events import keyring
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened
from quire.events.keyring import KeyBox
from quire.events.resealing import reseal_graph
from quire.graph import changes
from quire.graph.dag import Node
from quire.graph.state import (
    current_key,
    entitled,
    holders,
    left_behind,
    left_out,
    seniors,
    void_keys,
)
from quire.handlers import graph_events
from quire.limits import HEAL_MS, KEY_BOXES


class KeyShareEvent(GraphEvent):
    """The key `name`, made by event `key`, wrapped to more devices."""

    key: str
    name: str
    ephemeral: str
    boxes: dict[str, str]


def change(o: Opened[KeyShareEvent], _: bytes) -> changes.AnyChange:
    """A key for more devices, if its name is one."""
    if len(raw(o.event.name)) != KEY_ID_BYTES:
        return changes.Void()
    return changes.ShareKey(o.event.key, tuple(o.event.boxes))


def box(o: Opened[KeyShareEvent]) -> KeyBox:
    """The key in its wrappings."""
    return KeyBox(o.event.name, raw(o.event.ephemeral), raw_boxes(o.event.boxes))


def raw(text: str) -> bytes:
    """Bytes of base64url; nothing for what is none: it opens nothing."""
    try:
        return from_text(text)
    except ValueError:
        return b""


def raw_boxes(boxes: Mapping[str, str]) -> dict[str, bytes]:
    """Wrapped keys by device."""
    return {device: raw(text) for device, text in boxes.items()}


def wrapped(ctx: Context, content: bytes, devices: Sequence[str]) -> tuple[str, dict[str, str]]:
    """A key wrapped to devices: the ephemeral public key, and the boxes by device."""
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    claims = [claim for device in devices if (claim := ledger.standing(device, valid)) is not None]
    keys = [from_text(claim.wrap, 32) for claim in claims]
    context = keyring.wrap_context(ctx.member.raw_space_id, keyring.name_of(content))
    ephemeral, boxes = wrap(content, keys, ctx.home.entropy(32), context)
    return to_text(ephemeral), {device: to_text(box) for device, box in zip(devices, boxes, strict=True)}


def create(ctx: Context, made: Node, content: bytes, devices: Sequence[str]) -> None:
    """Wrap the key that an event made to devices, in as many events as it takes.

    They are sealed like the event that made the key (see `sealed_under`).
    """
    epoch = sealed_under(ctx, ctx.graph.ledger.scope_of(made.event_id))
    for start in range(0, len(devices), KEY_BOXES):
        ephemeral, boxes = wrapped(ctx, content, devices[start : start + KEY_BOXES])
        body = {
            "key": made.event_id,
            "name": keyring.name_of(content),
            "ephemeral": ephemeral,
            "boxes": boxes,
        }
        ctx.change("key-share", body, epoch, [made.event_id])


def sealed_under(ctx: Context, scope: str) -> int:
    """The epoch to seal under what hands out a key: for the space's that which all have, else (0) the present one."""
    return 0 if scope else keyring.first_epoch(ctx.home, ctx.member, ctx.graph)


def share_missing(ctx: Context, scope: str = "") -> int:
    """Hand keys of a scope to devices that are to have them and were left out; how many were handed out."""
    handed = 0
    current = current_key(ctx.graph, scope)
    # Void ones: some wrote under them before they heard so. Elsewhere the present key hands those on.
    void = void_keys(ctx.graph) if ctx.member.from_join and not scope else []
    for made in [*ctx.graph.ledger.keys(scope, ctx.graph.valid), *void]:
        assert isinstance(made.change, changes.NewKey)
        lacking = _lacking(ctx, scope, made, made is current)
        content = keyring.held_key(ctx.home, ctx.member, scope, made.change.name) if lacking else None
        if content is not None:
            create(ctx, made, content, lacking)
            handed += len(lacking)
    return handed


def _lacking(ctx: Context, scope: str, made: Node, is_current: bool) -> list[str]:
    """The devices that are to have a key and were left out.

    The present key is for all, those of the space's past for who came in while they were made elsewhere. Where
    newcomers do not get what was written before they came, each is for those whom its maker knew as members.
    """
    graph = ctx.graph
    if not scope and ctx.member.from_join:
        return left_out(graph, made)
    if is_current:
        return missing(ctx, scope)
    return [] if scope else left_behind(graph, made)


def missing(ctx: Context, scope: str = "") -> list[str]:
    """The devices that are to have the present key of a scope, and were left out."""
    key = current_key(ctx.graph, scope)
    had = holders(ctx.graph, key) if key is not None else set()
    return [device for device in entitled(ctx.graph, scope) if device not in had]


def share_all_held(ctx: Context, device: str) -> int:
    """Hand every key of the space that this device holds to another one, of the same person; how many.

    For a new device where newcomers do not get what was written before they came: elsewhere the present key
    brings those before it. A guest, whom the graph does not let, hands out nothing.
    """
    if not ctx.member.from_join:
        return 0
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    shared = 0
    with contextlib.suppress(Refused):
        for node in list(ledger.keys("", valid)):
            assert isinstance(node.change, changes.NewKey)
            content = keyring.held_key(ctx.home, ctx.member, "", node.change.name)
            if content is not None and node.change.name not in ctx.graph.ledger.given(device):
                create(ctx, node, content, [device])
                shared += 1
    return shared


def _heal(ctx: Context) -> None:
    """Job: give the present key to members who came in while it was made elsewhere.

    Whoever made the key does it at once; the others wait, the more junior the longer, so that one will do.
    """
    if ctx.member.content not in ctx.member.epochs:
        return
    waited = waiting(ctx, "heal")
    if waited is None:
        return
    wait = functools.cache(lambda scope: patience(ctx, scope))
    scopes = ["", *ctx.graph.ledger.audiences_of(ctx.member.account_id)]
    for scope in scopes:
        if waited >= wait(scope):
            with contextlib.suppress(Refused):  # a guest hands out no keys
                share_missing(ctx, scope)
    if all(waited >= wait(scope) for scope in scopes):
        settle(ctx, "heal")


def waiting(ctx: Context, job: str) -> int | None:
    """For how long a job has not looked at something of the graph (ms), or None where it has seen all.

    Counted from when the first of it came here, whatever has come since and however that is dated: otherwise whoever
    goes on writing could keep the job from ever being done.
    """
    nodes, noted, at = ctx.graph.ledger.dag.nodes, ctx.home.noted, _at(ctx, job)
    seen = noted.get(at, max(len(nodes) - 1, 0))
    assert isinstance(seen, int)
    if seen >= len(nodes):
        return None
    since_at = _at(ctx, f"{job} since")
    since = noted.get(since_at)
    if not isinstance(since, int):
        account, space, node = ctx.member.account, ctx.member.space, nodes[seen]
        number = ctx.home.store.graph.event_at(account, space, node.index)
        since = ctx.home.store.blobs.received_at(account, space, node.ts, number)
    noted[since_at] = since = min(since, ctx.now)  # the clock may have been ahead
    return ctx.now - since


def settle(ctx: Context, job: str, unseen: int = 0) -> None:
    """A job has seen all of the graph, but for the newest so many."""
    ctx.home.noted[_at(ctx, job)] = len(ctx.graph.ledger.dag.nodes) - unseen
    ctx.home.noted.pop(_at(ctx, f"{job} since"), None)


def _at(ctx: Context, job: str) -> tuple[str, int, int]:
    return job, ctx.member.account, ctx.member.space


def patience(ctx: Context, scope: str) -> int:
    """How long this device waits before handing on a key (ms)."""
    key = current_key(ctx.graph, scope)
    return 0 if key is None or key.device == ctx.member.device else turn(ctx)


def turn(ctx: Context) -> int:
    """How long to wait (ms) before doing what any member could: the more junior the longer, so that one will.

    It grows with the root of their number, so that juniors who are alone do not wait for ever.
    """
    before = [member for _, member in seniors(ctx.graph)]
    place = before.index(ctx.member.account_id) if ctx.member.account_id in before else len(before)
    return int(HEAL_MS * (1 + math.sqrt(place)))


def _reseal(ctx: Context) -> None:
    """Job: let others open what a few were given an odd key for."""
    size, at = len(ctx.graph.ledger.dag.nodes), ("reseal", ctx.member.account, ctx.member.space)
    if ctx.home.noted.get(at) != size:
        reseal_graph(ctx.home, ctx.member, ctx.graph)
        ctx.home.noted[at] = size


HANDLER = Handler(
    type="key-share",
    event=KeyShareEvent,
    change=change,
    box=box,
    needs=graph_events.needs,
    provides=graph_events.provides,
    jobs=(_heal, _reseal),
)
