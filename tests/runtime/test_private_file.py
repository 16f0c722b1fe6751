import os
import stat
from pathlib import Path

import pytest

from quire.errors import HomeError
from quire.runtime.private_file import draft_of, make_private, write_private


def test_private_files_are_their_owners_alone_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, {"a": 1})
    write_private(path, {"b": 2})
    assert path.read_bytes() == b'{"b":2}'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
    with pytest.raises(HomeError, match="cannot be written"):
        write_private(tmp_path / "no folder" / "x", 1)


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "secret", []
    real = os.fsync

    def noting(number: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(number).st_mode), path.exists()))
        real(number)

    monkeypatch.setattr(os, "fsync", noting)
    write_private(path, "easily lost")
    assert synced == []
    path.unlink()
    write_private(path, "kept", durable=True)
    assert synced == [(False, False), (True, True)]
    assert not draft_of(path).exists()


def test_a_file_is_made_once_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "relay.db.key"
    assert make_private(path, "first")
    assert not make_private(path, "second")
    assert path.read_bytes() == b'"first"'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(HomeError, match="cannot be written"):
        make_private(tmp_path / "no folder" / "x", 1)
