"""A relay's key and its store belong together: neither is used with another one unless somebody says so."""

import asyncio
from pathlib import Path

import pytest

from quire.core.encoding import to_text
from quire.core.keys import DeviceKey
from quire.errors import HomeError, UserError
from quire.net.relay_wire import Record
from quire.relay.log_store import LogStore, Usage
from quire.runtime.relay_key import KeyFile
from tests.relay.memory_log import MemoryLog

NATS = "nats://127.0.0.1:4222"


def key_of(store: LogStore, url: str, file: str = "", anew: bool = False) -> DeviceKey:
    return asyncio.run(KeyFile(url, file).key(store, anew))


def written_to() -> MemoryLog:
    store = MemoryLog()
    asyncio.run(store.append(bytes(32), bytes(32), [Record(1, 1, "space", b"x")], 1))
    return store


def test_a_key_is_made_once_beside_the_store_for_its_owner_alone(tmp_path: Path) -> None:
    store, url = MemoryLog(), f"sqlite:{tmp_path / 'a.db'}"
    made = key_of(store, url)
    assert store.key == made.public
    assert key_of(store, url).public == made.public
    file = tmp_path / "a.db.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [file]
    assert key_of(store, NATS, str(file)).public == made.public
    begun_anew = KeyFile(NATS, str(file))
    assert asyncio.run(begun_anew.key(MemoryLog(), anew=False)).public == made.public
    assert begun_anew.is_older
    known = KeyFile(url, "")
    asyncio.run(known.key(store, anew=False))
    assert not known.is_older
    assert key_of(MemoryLog(), f"sqlite:{tmp_path / 'b.db'}").public != made.public


def test_processes_that_share_a_store_are_told_to_share_a_key() -> None:
    with pytest.raises(UserError, match="--key"):
        KeyFile(NATS, "")


def test_over_a_store_that_was_served_no_key_is_made_unless_asked_for(tmp_path: Path) -> None:
    store, url, file = MemoryLog(), f"sqlite:{tmp_path / 'a.db'}", tmp_path / "a.db.key"
    before = key_of(store, url).public
    file.unlink()
    with pytest.raises(HomeError, match=rf"There is no key {file}, .* --store {url} --new-key$"):
        key_of(store, url)
    typed = str(tmp_path / "typed.key")
    with pytest.raises(HomeError, match=rf"--store {NATS} --key {typed} --new-key$"):
        key_of(store, NATS, typed)
    assert [*tmp_path.iterdir()] == []
    made = key_of(store, url, anew=True).public
    assert made != before
    assert key_of(store, url).public == made
    assert key_of(store, url, anew=True).public == made  # given again it makes no other


def test_records_of_a_store_that_remembers_no_key_count_too(tmp_path: Path) -> None:
    store, url = written_to(), f"sqlite:{tmp_path / 'a.db'}"
    with pytest.raises(HomeError, match="There is no key"):
        key_of(store, url)
    assert key_of(store, url, anew=True).public == store.key


def test_another_key_is_refused_and_kept_unless_asked_for(tmp_path: Path) -> None:
    store, url = MemoryLog(), f"sqlite:{tmp_path / 'a.db'}"
    first = key_of(store, url)
    second = key_of(MemoryLog(), f"sqlite:{tmp_path / 'b.db'}")
    other = tmp_path / "b.db.key"
    with pytest.raises(HomeError, match=rf"{other} holds the key {to_text(second.public)}, .*under another"):
        key_of(store, url, str(other))
    assert store.key == first.public
    assert key_of(store, url, str(other), anew=True).public == store.key == second.public
    with pytest.raises(HomeError, match="under another"):
        key_of(store, url)


def test_of_two_first_starts_with_different_keys_one_wins(tmp_path: Path) -> None:
    class Slow(MemoryLog):
        async def served_under(self) -> bytes | None:
            found = await super().served_under()
            await asyncio.sleep(0)
            return found

    async def both() -> list[DeviceKey | BaseException]:
        store = Slow()
        files = [KeyFile(NATS, str(tmp_path / name)) for name in "ab"]
        return await asyncio.gather(*(one.key(store, False) for one in files), return_exceptions=True)

    won, lost = sorted(asyncio.run(both()), key=lambda one: isinstance(one, HomeError))
    assert isinstance(won, DeviceKey)
    assert "under another" in str(lost)
    (left,) = tmp_path.iterdir()  # nothing stands in the way of the right file
    assert key_of(MemoryLog(), NATS, str(left)).public == won.public


@pytest.mark.parametrize("text", ["", "{}", '"short"', '"%s"' % ("A" * 44), "\xff"])
def test_a_damaged_key_is_never_made_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / "relay.key"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(
        HomeError, match=rf"holds no key of a relay.* rm {file} && quire relay serve .* --new-key"
    ):
        key_of(MemoryLog(), "sqlite:x", str(file), anew=True)
    assert file.read_bytes() == text.encode("latin-1")


def test_a_folder_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="cannot be written"):
        key_of(MemoryLog(), "sqlite:x", str(tmp_path / "none" / "relay.key"))


def test_a_store_that_cannot_be_asked_is_told_of(tmp_path: Path) -> None:
    class Down(MemoryLog):
        async def usage(self) -> Usage:
            await self._log(bytes(32))
            return await super().usage()

    store = Down()
    store.down = True
    with pytest.raises(HomeError, match="down"):
        key_of(store, f"sqlite:{tmp_path / 'a.db'}")
    assert [*tmp_path.iterdir()] == []
