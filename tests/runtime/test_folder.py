import os
import shutil
import stat
from pathlib import Path

import msgspec
import pytest

from quire.api.operations import call
from quire.errors import HomeError
from quire.limits import LOG_PART
from quire.runtime import folder as real_folder
from quire.runtime.folder import (
    NodeInfo,
    hold,
    home_folder,
    open_offline,
    opened_home,
    running_node,
    token_of,
)
from quire.runtime.private_file import write_private


def test_the_folder_is_the_option_then_the_variable_then_the_platforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("QUIRE_HOME", "/variable")
    assert home_folder("/option") == Path("/option")
    assert home_folder(None) == Path("/variable")
    assert home_folder("~/mine") == tmp_path / "mine"
    monkeypatch.setenv("QUIRE_HOME", "")
    assert home_folder(None).is_relative_to(tmp_path)
    assert home_folder(None).name == "quire"


def test_one_process_holds_a_home_and_is_named(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    with hold(home, "quire up"):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        with (
            pytest.raises(HomeError, match=rf"in use by process {os.getpid()} \(quire up\)"),
            hold(home, "other"),
        ):
            raise AssertionError("two hold it")
        assert (home / "holder.json").exists(), "the second took away the first one's name"
        (home / "holder.json").write_bytes(b"?")
        with pytest.raises(HomeError, match="in use by another process"), hold(home, "other"):
            raise AssertionError("two hold it")
    assert not (home / "holder.json").exists()
    with hold(home, "again"):
        pass


def test_a_home_is_let_go_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(tmp_path, "first"):
        1 / 0  # noqa: B018
    with hold(tmp_path, "second"):
        pass


@pytest.mark.parametrize("where", ["/proc/quire", "/dev/null", "/dev/null/home"])
def test_a_folder_that_cannot_be_is_told(where: str) -> None:
    with pytest.raises(HomeError, match=f"The home {where} cannot be used: .*--home"), hold(Path(where), "x"):
        raise AssertionError("it was used")


def test_the_token_stays_the_same(tmp_path: Path) -> None:
    token = token_of(tmp_path)
    assert len(token) >= 40
    assert token_of(tmp_path) == token
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"7", b"\xff\xff", b'"\xff"'])
def test_a_token_that_cannot_be_read_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    token = token_of(tmp_path)
    assert len(token) >= 40
    assert token_of(tmp_path) == token


def _node(folder: Path, pid: int) -> NodeInfo:
    info = NodeInfo(pid, "127.0.0.1:1", "127.0.0.1:2", "t")
    write_private(folder / "node.json", info)
    return info


def test_a_running_node_is_found(tmp_path: Path) -> None:
    with hold(tmp_path, "quire up"):
        assert running_node(tmp_path) is None
        info = _node(tmp_path, os.getpid())
        assert running_node(tmp_path) == info


def test_a_node_that_was_killed_is_not_running_whoever_has_its_number_now(tmp_path: Path) -> None:
    for pid in (os.getpid(), 1, 2**22 + 1, 2**40, 2**62, -1, 0):
        _node(tmp_path, pid)
        assert running_node(tmp_path) is None
    with hold(tmp_path, "a command"):  # asking held the home only for a moment
        pass
    with hold(tmp_path, "a command"):
        _node(tmp_path, 2**22 + 1)
        assert running_node(tmp_path) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"pid":1}', b'{"pid":1e400}', b'{"listen":"\xff"}', bytes(50)]
)
def test_a_node_file_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "node.json").write_bytes(content)
    assert running_node(tmp_path) is None
    assert running_node(tmp_path / "nowhere") is None


def test_an_offline_home_keeps_what_is_written_and_is_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    umask = os.umask(0)
    try:
        with open_offline(home) as host:
            assert host.addresses() == ()
            assert host.peers(1, 1) == []
            host.committed()
            call(host, "createIdentity", {"name": "alice"})
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()}
    finally:
        os.umask(umask)
    assert "quire.db-wal" in modes
    assert set(modes.values()) == {0o600}, modes
    with open_offline(home) as host:
        assert [i["name"] for i in msgspec.to_builtins(call(host, "listIdentities", {}))] == ["alice"]


def test_after_a_run_that_was_cut_off_with_the_system_logs_go_on_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after one that was stopped, or killed alone; commands without a node look at it too, and hand nothing out."""
    monkeypatch.setattr(real_folder, "boot_id", lambda: "first")
    with opened_home(tmp_path, sharing=True):
        pass
    with opened_home(tmp_path) as home:
        assert home.store.power.floor == 0
        shutil.copytree(tmp_path, tmp_path / "tidy")
    with opened_home(tmp_path, sharing=True):
        shutil.copytree(tmp_path, tmp_path / "cut off", ignore=shutil.ignore_patterns("tidy"))
    for name, boot, floor in (
        ("tidy", "second", 0),
        ("cut off", "first", 0),
        ("cut off", "second", LOG_PART),
        ("cut off", "third", LOG_PART),
    ):
        monkeypatch.setattr(real_folder, "boot_id", lambda boot=boot: boot)
        with opened_home(tmp_path / name) as home:
            assert (home.store.power.floor, name) == (floor, name)
