from pathlib import Path

import pytest

from quire.errors import HomeError, UserError
from quire.runtime.relay_key import relay_key


def test_a_key_is_made_once_beside_the_store_for_its_owner_alone(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'a.db'}"
    made = relay_key(store, "")
    assert relay_key(store, "").public == made.public
    file = tmp_path / "a.db.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert relay_key("nats://127.0.0.1:4222", str(file)).public == made.public
    assert relay_key(f"sqlite:{tmp_path / 'b.db'}", "").public != made.public


def test_processes_that_share_a_store_are_told_to_share_a_key() -> None:
    with pytest.raises(UserError, match="--key"):
        relay_key("nats://127.0.0.1:4222", "")


@pytest.mark.parametrize("text", ["", "{}", '"short"', '"%s"' % ("A" * 44), "\xff"])
def test_a_damaged_key_is_never_made_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / "relay.key"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(HomeError, match="holds no key"):
        relay_key("sqlite:x", str(file))
    assert file.read_bytes() == text.encode("latin-1")


def test_a_folder_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="cannot be written"):
        relay_key("sqlite:x", str(tmp_path / "none" / "relay.key"))
