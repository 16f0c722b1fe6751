import errno
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from quire.errors import HomeError, UserError
from quire.runtime.ledger import Ledger, code_fingerprint, entry
from quire.runtime.soak import Outcome

WELL = Outcome("two-peers", 1, [], "quire sim run two-peers --seed 1", 400, 30_000, 3_600_000)
ILL = Outcome("removal", 2, ["ada lacks x"], "quire sim run removal --seed 2", None, 30_000, 0)


def note(path: Path, code: str, *outcomes: Outcome) -> None:
    ledger = Ledger(path, code)
    for outcome in outcomes:
        ledger.add(entry(outcome, code))
    ledger.close()


def read(path: Path, code: str) -> tuple[list[tuple[str, int]], int]:
    ledger = Ledger(path, code)
    ledger.close()
    return list(ledger.outcomes), ledger.of_other_code


def test_what_was_noted_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    note(path, "a", WELL)
    note(path, "a", ILL)
    assert read(path, "a") == ([("two-peers", 1), ("removal", 2)], 0)
    ledger = Ledger(path, "a")
    ledger.close()
    assert ledger.outcomes["removal", 2].faults == ["ada lacks x"]
    assert [one.passed for one in ledger.outcomes.values()] == [True, False]


def test_what_other_code_did_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    note(path, "a", WELL, ILL)
    note(path, "b", WELL)
    assert read(path, "b") == ([("two-peers", 1)], 2)


def test_a_line_that_was_cut_off_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    note(path, "a", WELL)
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole + whole[:length])
        assert read(path, "a") == ([("two-peers", 1)], 0)
        assert path.read_bytes() == whole
    note(path, "a", ILL)
    assert read(path, "a") == ([("two-peers", 1), ("removal", 2)], 0)


@pytest.mark.parametrize(("faults", "passed"), [("[]", "false"), ('["x"]', "true")])
def test_a_line_that_contradicts_itself_is_refused(tmp_path: Path, faults: str, passed: str) -> None:
    path = tmp_path / "ledger"
    note(path, "a", WELL)
    told = path.read_text().replace('"faults":[]', f'"faults":{faults}')
    told = told.replace('"passed":true', f'"passed":{passed}')
    path.write_text(told)
    with pytest.raises(UserError, match="contradict"):
        Ledger(path, "a")
    assert path.read_text() == told


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    first = Ledger(path, "a")
    with pytest.raises(UserError, match="in use by another soak"):
        Ledger(path, "a")
    first.close()
    Ledger(path, "a").close()


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for a writer
    for path in (tmp_path, tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(UserError, match="no file"):
            Ledger(path, "a")


def test_what_finds_no_room_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger"
    write = os.write
    ledger = Ledger(path, "a")
    ledger.add(entry(WELL, "a"))
    whole = path.read_bytes()
    room = [7]

    def little_room(number: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(number, data[: room.pop()])

    monkeypatch.setattr(os, "write", little_room)
    with pytest.raises(HomeError, match="the disk is full"):
        ledger.add(entry(ILL, "a"))
    assert path.read_bytes() == whole
    monkeypatch.undo()
    ledger.add(entry(ILL, "a"))
    ledger.close()
    assert read(path, "a") == ([("two-peers", 1), ("removal", 2)], 0)


@pytest.mark.parametrize("text", ["Dear diary\n", "Dear diary", "{}\n", '{"scenarios'])
def test_another_file_is_not_taken_for_a_ledger(tmp_path: Path, text: str) -> None:
    path = tmp_path / "diary"
    path.write_text(text)
    with pytest.raises(UserError, match="line 1 cannot be read"):
        Ledger(path, "a")
    assert path.read_text() == text


def test_the_fingerprint_is_of_the_code_and_of_nothing_else() -> None:
    program = "from quire.runtime.ledger import code_fingerprint; print(code_fingerprint())"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert told.strip() == code_fingerprint()
    assert len(code_fingerprint()) == 16


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("sync/sketch.py", True),
        ("sim/scenarios/removal.toml", True),
        ("limits.py", True),
        ("relay/service.py", False),
        ("cli/app.py", False),
        ("web/new.js", False),
    ],
)
def test_what_simulations_do_not_run_does_not_count(tmp_path: Path, name: str, counts: bool) -> None:
    program = Path(str(files("quire")))
    shutil.copytree(program, tmp_path / "quire", ignore=shutil.ignore_patterns("__pycache__"))
    assert code_fingerprint(tmp_path / "quire") == code_fingerprint()
    with (tmp_path / "quire" / name).open("a") as file:
        file.write("\n")
    assert (code_fingerprint(tmp_path / "quire") != code_fingerprint()) == counts
