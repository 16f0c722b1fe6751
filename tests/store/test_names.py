import pytest

from quire.errors import NotFound
from quire.store.store import Store
from tests.events.builders import VAULT


def test_numbers_and_back() -> None:
    names = Store(":memory:", VAULT).names
    assert names.account_number("a") == names.account_number("a") == 1
    assert names.account_number("b") == 2
    space = names.space_number("s")
    assert names.device_number(space, "d") != names.device_number(space + 1, "d"), "a log for each space"
    assert names.key_id(names.epoch_number(space, b"12345678")) == b"12345678"
    assert (names.account_name(2), names.space_name(space), names.device_name(1)) == ("b", "s", "d")
    assert names.known_device(space, "d") == 1
    assert names.known_device(space, "x") is None
    with pytest.raises(NotFound):
        names.account_name(99)
