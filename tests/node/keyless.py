"""A device that keys do not reach: what is sealed under them stays locked there."""

import pytest

from quire.events import keyring
from tests.node.world import Station


def keyless(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a device takes no key out of what hands it one."""
    device = station.home.store.memberships.all()[0].device
    unwrapped = keyring._unwrapped
    monkeypatch.setattr(
        keyring,
        "_unwrapped",
        lambda member, *box: None if member.device == device else unwrapped(member, *box),
    )
