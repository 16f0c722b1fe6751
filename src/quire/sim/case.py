"""What one check of an outcome looks at, and what checks have in common.

Owns: the case. Must not know: what is checked.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from quire.sim.device import Device
from quire.sim.entitled import Shown, Truth
from quire.sim.notes import Notes
from quire.sim.raised import raised

#: What takes long is looked at on so many devices at a time, all of which hold the same.
MOST_AT_ONCE = 10


class Case(NamedTuple):
    """What one check looks at: `devices`, among `everyone`."""

    truth: Truth
    expected: dict[str, Counter[Shown]]
    devices: Sequence[Device]
    everyone: Sequence[Device]
    notes: Notes


Check = Callable[[Case], Iterator[str]]


def found(check: Check, case: Case) -> list[str]:
    """What one check finds. It runs the product, so it can raise: that is a fault, and others go on."""
    faults = []
    try:
        for fault in check(case):
            faults.append(fault)
    except Exception as error:
        faults.append(f"judging the outcome raised {raised(error)}")
    return faults


def identities(truth: Truth, devices: Sequence[Device]) -> Iterator[tuple[Device, str, str]]:
    """(device, identity, how to call it) of everyone on some devices."""
    for device in devices:
        for identity, name in truth.names.items():
            if truth.devices[identity] == device.name:
                yield device, identity, f"{name} on {device.name}"


def staying(truth: Truth, devices: Sequence[Device]) -> Iterator[tuple[Device, str, str]]:
    """The same without those who were removed, or left."""
    return (found for found in identities(truth, devices) if found[1] not in truth.removed)


def same(one: Counter[Any], other: Counter[Any]) -> bool:
    """Whether two hold the same. (Counters compare element by element, in Python.)"""
    return dict.__eq__(one, other)
