"""What a node may cost: its memory, and the datagrams and bytes that it sends, by what it holds and whom it meets.

Owns: the figures, and taking a node's measure. Must not know: why it costs so much. The figures are about twice what
was measured over the scenarios, so that what grows without end, or is said again and again, is found.
"""

import gc
import sys
from collections.abc import Sequence
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import cast

from msgspec import Struct

from quire.core.cells import CELLS, PARTS
from quire.limits import (
    FRAGMENT_BYTES,
    MAX_BLOB_BYTES,
    MAX_FRAGMENTED,
    MAX_RECENT,
    MAX_UNKNOWN_SESSIONS,
    PUSH_BATCH,
    RUN_BYTES,
)
from quire.net.wire import MAX_INLINE
from quire.node import Node
from quire.sim.device import Device
from quire.sim.disk import Disk
from quire.sim.entitled import Truth

#: Bytes of memory: of any node, for each peer in each space, for each device of nobody's that knocks, and for each
#: event held (the membership graph is kept in memory, and what was pushed lately).
_NODE, _PEER, _STRANGER, _EVENT = 250_000, 45_000, 20_000, 800
#: The same for each event that a peer got lately, and for each cell of a sketch that events lie in, four of each.
_RECENT, _CELL = 200, 50
#: Bytes of one sealed message of a stream that has not come whole, and of what is opened; and for each character that
#: was written, in a frame of events that has not either.
_STREAM, _PER_TEXT = 2 * 65_536, 8
#: Bytes of events on their way to one peer, at most: read, and kept until they are acknowledged.
_UNDER_WAY = PUSH_BATCH * MAX_INLINE + MAX_FRAGMENTED * MAX_BLOB_BYTES
#: Datagrams to each peer: at first, each second, and for each datagram that one copy of all events would fill.
_GREETINGS, _PER_SECOND, _PER_PIECE = 60, 3, 2
#: The same in bytes; the last for each byte of all events.
_FIRST_BYTES, _BYTES_PER_SECOND, _PER_BYTE = 20_000, 600, 2
#: What does not belong to a node, though it can be reached from it.
_SHARED = (type, ModuleType, BuiltinFunctionType, CodeType, Disk)


def memory(node: Node) -> int:
    """Bytes of all objects that a node keeps; what SQLite does is not among them."""
    todo: list[object] = [node]
    seen, size = {id(node)}, 0
    while (
        todo
    ):  # all that is so far from the node at once: one by one it would be the most costly of all checks
        size += sum(map(sys.getsizeof, todo))
        kept = _kept_by(todo)
        fresh = dict(zip(map(id, kept), kept, strict=True))
        for known in seen.intersection(fresh):
            del fresh[known]
        seen.update(fresh)
        todo = list(fresh.values())
        if any(issubclass(kind, _SHARED) for kind in set(map(type, todo))):
            todo = [other for other in todo if not isinstance(other, _SHARED)]
    return size


def _kept_by(found: Sequence[object]) -> list[object]:
    """What objects keep: functions what they close over, and not the module that they stand in."""
    odd = {kind for kind in set(map(type, found)) if _is_odd(kind)}
    if not odd:
        return gc.get_referents(*found)
    kept: list[object] = gc.get_referents(*(one for one in found if type(one) not in odd))
    for one in (one for one in found if type(one) in odd):
        if isinstance(one, FunctionType):
            kept += [*(one.__closure__ or ()), one.__defaults__, one.__kwdefaults__, one.__dict__]
        else:
            kept += [getattr(one, field) for field in cast(Struct, one).__struct_fields__]
    return kept


def _is_odd(kind: type) -> bool:
    """Whether the collector does not follow such objects, or too far; what they keep is kept all the same."""
    return kind is FunctionType or (issubclass(kind, Struct) and not kind.__struct_config__.gc)


def too_much_memory(truth: Truth, device: Device, sending: bool) -> str:
    """What is to be said of a device whose node keeps too much; nothing of any other.

    `sending`: all that it holds may be on its way, to each peer.
    """
    events, size = device.home.store.db.one(
        "SELECT (SELECT count(*) FROM received), (SELECT coalesce(sum(length(sealed)), 0) FROM blobs)"
    ) or (0, 0)
    strangers = MAX_UNKNOWN_SESSIONS if truth.lying else 0
    peer = _PEER + _RECENT * min(events, MAX_RECENT) + (min(_UNDER_WAY, size) if sending else 0)
    kept_of_events = _EVENT * events + _CELL * min(4 * events, PARTS * CELLS)
    coming = _coming(truth) if device.has_streams else 0
    peers = _peers(truth, device) + 1  # who asks to be let in has a session before it is in
    most = _NODE + peer * peers + _STRANGER * strangers + kept_of_events + coming
    kept = memory(device.node)
    return f"{device.name} keeps {kept:,} bytes in memory, of at most {most:,}" if kept > most else ""


def _coming(truth: Truth) -> int:
    """What may have come of a stream, and is not whole yet."""
    written = sum(len(text) for write in truth.writes for text in write.texts)
    return _STREAM + min(RUN_BYTES, _PER_TEXT * written)


def too_much_traffic(truth: Truth, device: Device) -> str:
    """What is to be said of a device that has sent too much; nothing of any other."""
    if device.strategy == "full":  # it sends everything again at each heartbeat: that is what it is for
        return ""
    pieces, size = device.home.store.db.one(
        "SELECT coalesce(sum((length(sealed) + ?) / ?), 0), coalesce(sum(length(sealed)), 0) FROM blobs",
        (FRAGMENT_BYTES - 1, FRAGMENT_BYTES),
    ) or (0, 0)
    peers, seconds = max(1, _peers(truth, device)), device.lived_ms // 1_000
    # What was lost with power is sent once more.
    cuts = sum(map(len, truth.cuts.values()))
    datagrams = peers * (_GREETINGS + _PER_SECOND * seconds + _PER_PIECE * pieces) + cuts * pieces
    most = peers * (_FIRST_BYTES + _BYTES_PER_SECOND * seconds + _PER_BYTE * size) + cuts * size
    if device.datagrams_sent > datagrams:
        return f"{device.name} sent {device.datagrams_sent:,} datagrams, of at most {datagrams:,}"
    if device.bytes_sent > most:
        return f"{device.name} sent {device.bytes_sent:,} bytes, of at most {most:,}"
    return ""


def _peers(truth: Truth, device: Device) -> int:
    """How many sessions with members there are to be: one for each two identities of a space on two devices."""
    return sum(
        1
        for members in truth.members.values()
        for mine in members
        if truth.devices[mine] == device.name
        for other in members
        if truth.devices[other] != device.name
    )
