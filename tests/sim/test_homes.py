import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.sim import run
from quire.sim.device import Device
from quire.sim.homes import NoRoom, is_nearly_full, sweep, temporary_homes
from quire.sim.run import simulate
from tests.process.small_disk import SmallDisk, small_disk

PROGRAM = (
    "import sys\nfrom quire.sim.homes import temporary_homes\n"
    "with temporary_homes() as folder:\n"
    "    (folder / 'device1').mkdir()\n"
    "    print(folder, flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    tempfile.tempdir = None


def stopped_in_one(place: Path) -> None:
    with temporary_homes() as folder:
        assert folder.parent == place
        assert folder.stat().st_mode & 0o777 == 0o700
        raise KeyboardInterrupt


def test_it_is_gone_when_the_run_is(place: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stopped_in_one(place)
    assert list(place.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_what_is_in_use_is_not(place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        folder = Path(other.stdout.readline().strip())
        with temporary_homes() as own:
            assert set(place.iterdir()) == {folder, own}
            assert (folder / "device1").is_dir()
            other.send_signal(signal.SIGKILL)
            other.wait()
            sweep()
            assert set(place.iterdir()) == {own}


def test_what_is_not_ours_stays(place: Path) -> None:
    (place / "quire-sim-without-lock" / "device1").mkdir(parents=True)
    (place / "quire-sim-file").write_text("x")
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    (place / "quire-sim-link").symlink_to(elsewhere)
    (place / "quire-sim-linked-lock").mkdir()
    (place / "quire-sim-linked-lock" / "lock").symlink_to(elsewhere / "lock")
    before = sorted(place.rglob("*"))
    sweep()
    assert sorted(place.rglob("*")) == before


def test_where_none_can_be_made(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place / "nowhere"))
    with pytest.raises(NoRoom, match="TMPDIR"), temporary_homes():
        pass


@pytest.fixture
def disk(place: Path) -> Iterator[SmallDisk]:
    yield from small_disk(place / "disk")


def test_a_full_disk_says_nothing_of_the_product(disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    assert not is_nearly_full(disk.folder)
    for leaving in (0, 400_000, 3_000_000):
        disk.fill(leaving)
        with pytest.raises(NoRoom, match="TMPDIR"):
            simulate("community", 1)
        assert [one.name for one in disk.folder.iterdir()] == ["filler"]
        disk.free()


def test_a_run_that_passes_though_there_is_little_room_has_passed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "is_nearly_full", lambda _: True)
    assert simulate("two-peers", 1).faults == []
    monkeypatch.setattr(Device, "receive", lambda *_: None)
    with pytest.raises(NoRoom):
        simulate("two-peers", 1)
