"""What was found in devices' stores, kept until they change: looking again costs nothing.

Owns: telling that a store is as it was. Must not know: what is looked for, and why.
"""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from quire.events.home import Home
from quire.sim.device import Device

P = ParamSpec("P")
T = TypeVar("T")


class Notes:
    """Of a world's devices. What is found must not be changed by whoever gets it."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], tuple[Home, int, Any]] = {}

    def of(
        self, device: Device, look: Callable[Concatenate[Home, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `look(home, *args)` gives for a running device; arguments by place, and only such as can be keys."""
        key = (device.name, look, *args)
        home = device.home
        changes = home.store.db.connection.total_changes()
        known = self._found.get(key)
        if known is None or known[0] is not home or known[1] != changes:
            known = self._found[key] = home, changes, look(home, *args, **kwargs)
        return cast(T, known[2])
