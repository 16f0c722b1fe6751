"""Views made anew, from what a store holds: they must be the same as those that grew as events came.

Owns: in which orders, and of whom. Must not know: what was to happen.
"""

from collections import Counter
from collections.abc import Iterator
from random import Random

from quire.sim import evidence
from quire.sim.case import MOST_AT_ONCE, Case, Check, found, identities, same


def _order_matters(case: Case) -> Iterator[str]:
    """Identities whose events, taken in in another order, give other views. Each tries one order, in turn.

    Where there are many devices some do, and where there are very many events one identity does: all hold the same.
    """
    places = [
        (device, identity, who, member)
        for device, identity, who in identities(case.truth, case.devices)
        for member in device.home.store.memberships.all()
        if member.account_id == identity
    ]
    random = Random(" ".join(identity for _, identity, _, _ in places) + " orders")
    start = random.randrange(len(evidence.ORDERS))
    if any(evidence.holds_many(device.home) for device in case.devices):
        places = [random.choice(places)]
    elif len(case.devices) > MOST_AT_ONCE:
        places = random.sample(places, MOST_AT_ONCE)
    for number, (device, identity, who, member) in enumerate(places, start):
        order = evidence.ORDERS[number % len(evidence.ORDERS)]
        found = case.notes.of(device, evidence.views, identity)
        of_space = Counter({row: n for row, n in found.items() if row[-1] == member.space_id})
        if not same(evidence.in_another_order(device.home, member, order, random), of_space):
            yield f"{who} would see something else had the events come {order}"


def _changed_by_rebuild(case: Case) -> Iterator[str]:
    """Devices whose views a rebuild changes. Where there are many devices, or very many events, some are looked at."""
    devices = list(case.devices)
    many = [device for device in devices if evidence.holds_many(device.home)]
    random = Random(" ".join(case.truth.names) + " rebuild")
    if many:
        devices = [random.choice(many)]
    elif len(devices) > MOST_AT_ONCE:
        devices = random.sample(devices, MOST_AT_ONCE)
    for device in devices:
        before = case.notes.of(device, evidence.views)
        if not same(evidence.rebuilt_views(device.home), before):
            yield f"{device.name} has other views after a rebuild"


def _views_made_anew(case: Case) -> tuple[Check, ...]:
    """The checks that make views again in other ways. Where there are very many events it is one of them, by lot."""
    if any(evidence.holds_many(device.home) for device in case.devices):
        return (Random(" ".join(case.truth.names) + " anew").choice((_order_matters, _changed_by_rebuild)),)
    return _order_matters, _changed_by_rebuild


def made_anew(case: Case) -> Iterator[str]:
    """Whoever's views are others when they are made again."""
    for check in _views_made_anew(case):
        yield from found(check, case)
