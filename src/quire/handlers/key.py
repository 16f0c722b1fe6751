"""`key`: a new key of the space, wrapped to every device that is to have it.

Made at the founding, and whenever somebody has the present key who must not have it any more. What is
promised is secrecy after a removal, not forward secrecy: who holds a key can read all that it seals.
"""

import contextlib
from collections.abc import Sequence

import msgspec

from quire.core.encoding import is_key, to_text
from quire.core.sealing import KEY_ID_BYTES
from quire.errors import Refused
from quire.events import keyring
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened, Operation
from quire.events.keyring import CONTENT, CONTROL, HeldKey, KeyBox, OlderKey
from quire.graph import changes
from quire.graph.dag import Node
from quire.graph.roles import Role
from quire.graph.state import current_key, entitled, last_keys
from quire.handlers import graph_events, key_share
from quire.limits import KEY_BOXES, KEY_WAIT_MS, KEYS_HANDED_ON, KEYS_NAMED


class Older(msgspec.Struct, forbid_unknown_fields=True):
    """A key of the past (`content` or `control`), sealed under the new one."""

    kind: str
    name: str
    sealed: str


class KeyEvent(GraphEvent):
    """Key `name` (its 8-byte id) of `scope` follows the keys made by events `before`; see `core.wrapping`."""

    scope: str
    generation: int
    before: list[str]
    name: str
    ephemeral: str
    boxes: dict[str, str]
    older: list[Older]


class Rekeyed(msgspec.Struct):
    """A new key: its generation, and how many devices it was wrapped to."""

    generation: int
    devices: int


_KINDS = {"content": CONTENT, "control": CONTROL}


def change(o: Opened[KeyEvent], _: bytes) -> changes.AnyChange:
    """A new key, if its name is one, and its scope the space or what may be an audience."""
    event = o.event
    if len(key_share.raw(event.name)) != KEY_ID_BYTES or not (event.scope == "" or is_key(event.scope)):
        return changes.Void()
    return changes.NewKey(event.scope, event.generation, tuple(event.before), tuple(event.boxes), event.name)


def box(o: Opened[KeyEvent]) -> KeyBox:
    """The key in its wrappings."""
    older = [
        OlderKey(_KINDS[each.kind], each.name, key_share.raw(each.sealed))
        for each in o.event.older
        if each.kind in _KINDS
    ]
    boxes = key_share.raw_boxes(o.event.boxes)
    return KeyBox(o.event.name, key_share.raw(o.event.ephemeral), boxes, older, o.event.scope)


def first_key(ctx: Context) -> bytes:
    """The key that a space begins with, held by its founder."""
    content = keyring.content_key(ctx.home)
    keyring.write_under(ctx.home, ctx.member, content)
    return content


def announce(ctx: Context, content: bytes) -> None:
    """Enter a space's first key into its graph."""
    _write(ctx, "", content, [])


def rekey(ctx: Context) -> Rekeyed:
    """Make a new key for this space: what is written from now on opens for its present members alone."""
    return renew(ctx, "")


def renew(ctx: Context, scope: str) -> Rekeyed:
    """Make a new key of a scope, which hands on the keys before it as far as newcomers may have them."""
    with ctx.home.store.transaction():
        content = keyring.content_key(ctx.home)
        fresh = HeldKey(CONTENT, keyring.name_of(content), content, scope)
        devices = _write(ctx, scope, content, _older(ctx, scope, fresh))
        keyring.hold(ctx.home, ctx.member, ctx.graph, [fresh])
        keyring.choose(ctx.home, ctx.member, ctx.graph)
        ctx.home.stale.pop((ctx.member.account, ctx.member.space), None)
    key = current_key(ctx.graph, scope)
    assert key is not None
    return Rekeyed(_generation(key), devices)


def _older(ctx: Context, scope: str, fresh: HeldKey) -> list[Older]:
    """The keys before the new one, sealed under it: in a `from-join` space those of the graph alone.

    An audience has no graph of its own, and hands on nothing in such a space. Where there are more than one event
    holds, `_mend` goes on with the others.
    """
    found: list[HeldKey] = []
    hands_on = hands_on_content(ctx)
    # Of each those first that were here first: rivals, of any number, come after what was written under before.
    last = sorted(last_keys(ctx.graph, scope), key=lambda node: node.index)[: KEYS_HANDED_ON // 2]
    lost = [] if scope else sorted(_not_handed_on(ctx), key=lambda node: node.index)
    for node in dict.fromkeys([*last, *lost]):
        assert isinstance(node.change, changes.NewKey)
        held = keyring.held_key(ctx.home, ctx.member, scope, node.change.name)
        if held is not None and (hands_on or not scope):
            own = HeldKey(CONTENT, node.change.name, held)
            found.append(own if hands_on else keyring.control_of(own))
    return [_sealed(ctx, fresh, older) for older in [*dict.fromkeys(found)][:KEYS_HANDED_ON]]


def _sealed(ctx: Context, fresh: HeldKey, older: HeldKey) -> Older:
    under = fresh if older.kind == CONTENT else keyring.control_of(fresh)
    sealed = keyring.seal_older(under, older, ctx.home.entropy(24), ctx.member.raw_space_id)
    kind = "content" if older.kind == CONTENT else "control"
    return Older(kind, sealed.name, to_text(sealed.sealed))


def _not_handed_on(ctx: Context) -> list[Node]:
    kind = CONTENT if hands_on_content(ctx) else CONTROL
    return keyring.not_handed_on(ctx.home, ctx.member, ctx.graph, kind)


def hands_on_content(ctx: Context) -> bool:
    """Whether newcomers may read what was written before they came."""
    return not ctx.member.from_join


def hand_over(ctx: Context) -> None:
    """Give the present key to who was just let in; where newcomers do not get what is there already, a new one."""
    if hands_on_content(ctx):
        key_share.share_missing(ctx)
    else:
        renew(ctx, "")


def _write(ctx: Context, scope: str, content: bytes, older: Sequence[Older]) -> int:
    """Write a key wrapped to all who are to have it, in as many events as it takes; how many devices."""
    name = keyring.name_of(content)
    devices = entitled(ctx.graph, scope)
    before = last_keys(ctx.graph, scope)
    generation = _generation(before[0]) if before else 0
    ephemeral, boxes = key_share.wrapped(ctx, content, devices[:KEY_BOXES])
    made = ctx.change(
        "key",
        {
            "scope": scope,
            "generation": generation + 1,
            "before": [node.event_id for node in before[:KEYS_NAMED]],
            "name": name,
            "ephemeral": ephemeral,
            "boxes": boxes,
            "older": list(older),
        },
        key_share.sealed_under(ctx, scope),
    )
    node = ctx.graph.ledger.node(made.event_id)
    assert node is not None
    key_share.create(ctx, node, content, devices[KEY_BOXES:])
    return len(devices)


def _generation(node: Node) -> int:
    assert isinstance(node.change, changes.NewKey)
    return node.change.generation


def _renew_stale(ctx: Context, scope: str) -> None:
    """Before anything is written: replace a key that somebody has who must not have it."""
    try:
        renew(ctx, scope)
    except Refused:
        if scope or _may_renew(ctx):
            raise  # nothing goes to anybody under a key that others have
        # Guests, and who was removed, cannot: what they write is not shown either.


def _may_renew(ctx: Context) -> bool:
    ledger, valid = ctx.graph.ledger, ctx.graph.valid
    claim = ledger.standing(ctx.member.device, valid)
    return claim is not None and ledger.role(claim.member, valid) >= Role.MEMBER


def _begin_anew(ctx: Context) -> None:
    """Job: where newcomers do not get what is there already, a new key for who came in while one was made elsewhere."""
    if hands_on_content(ctx) or ctx.member.content not in ctx.member.epochs:
        return
    waited = key_share.waiting(ctx, "anew")
    if waited is None or waited < key_share.patience(ctx, ""):
        return
    if len(last_keys(ctx.graph, "")) > 1 or key_share.missing(ctx):
        with contextlib.suppress(Refused):
            renew(ctx, "")
    key_share.settle(ctx, "anew")


def _mend(ctx: Context) -> None:
    """Job: make a new key where the present one never came here, or does not lead to all that were before.

    Somebody left members out, or did not have the keys before: newcomers could not be let in, or read the past.
    """
    graph = ctx.graph
    if ctx.member.content not in ctx.member.epochs or not graph.valid:
        return
    waited = key_share.waiting(ctx, "key")
    if waited is None or waited < KEY_WAIT_MS + key_share.turn(ctx):
        return
    if keyring.lacks_current(ctx.home, ctx.member, graph) or _not_handed_on(ctx):
        with contextlib.suppress(Refused):
            renew(ctx, "")
            key_share.settle(ctx, "key", 1)  # to be looked at again: one event hands on only so many
            return
    key_share.settle(ctx, "key")


HANDLER = Handler(
    type="key",
    event=KeyEvent,
    change=change,
    box=box,
    renew=_renew_stale,
    jobs=(_mend, _begin_anew),
    needs=graph_events.needs,
    provides=graph_events.provides,
    operations=(Operation("rekeySpace", rekey, ("space", "rekey"), writes=True),),
)
