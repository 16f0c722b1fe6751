import importlib
import os
import signal
import time
from pathlib import Path

import pytest

from quire.errors import HomeError
from quire.runtime import workers
from quire.runtime.workers import Died, work


def double(number: int) -> int:
    """Task 13 kills its process, 14 ends it, 15 cannot be done here, 16 has no end, and 17 will not be told to end."""
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 14:
        os._exit(3)
    if number == 15:
        raise HomeError("no room")
    if number == 17:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while number in (16, 17):
        time.sleep(0.01)
    return 2 * number


def test_one_that_dies_takes_its_task_along_and_no_other() -> None:
    answers = {
        task: said
        for ended in work(double, iter((1, 13, 2, 14, 3)), 2, lambda: True, 60)
        for task, said in ended
    }
    assert {task: answers[task] for task in (1, 2, 3)} == {1: 2, 2: 4, 3: 6}
    assert isinstance(answers[13], Died)
    assert "SIGKILL" in answers[13]
    assert answers[14] == Died("ended with code 3")


@pytest.mark.parametrize("endless", [16, 17])
def test_one_that_has_no_end_is_ended_and_the_others_go_on(
    endless: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_GRACE_S", 1.0)
    answers = {
        task: said
        for ended in work(double, iter((1, endless, 2, 3)), 1, lambda: True, 5)
        for task, said in ended
    }
    assert {task: answers[task] for task in (1, 2, 3)} == {1: 2, 2: 4, 3: 6}
    assert isinstance(answers[endless], Died)
    assert "not come to an end after 5 s" in str(answers[endless])


def test_only_what_has_begun_is_done_when_it_should_not_go_on() -> None:
    answers = [task for ended in work(double, iter(range(9)), 2, lambda: False, 60) for task, _ in ended]
    assert sorted(answers) == [0, 1]


def test_what_keeps_all_from_working_is_raised_here() -> None:
    with pytest.raises(HomeError, match="no room"):
        list(work(double, iter((1, 15, 2)), 1, lambda: True, 60))


def test_processes_that_cannot_begin_are_no_fault_of_their_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text(
        f"import os\nassert os.getpid() == {os.getpid()}\ndef do(task): return task\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    do = importlib.import_module("only_here").do
    with pytest.raises(HomeError, match="could not be started: it ended with code 1"):
        list(work(do, iter((1, 2)), 2, lambda: True, 60))
