"""Processes that do one task after the other; one that dies, or is not done in time, takes its task along alone.

Owns: the processes, what is said to them, and their end. Must not know: what the tasks are, how long to go on.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Generic, TypeVar

from quire.errors import HomeError, QuireError

_Task = TypeVar("_Task")
_Answer = TypeVar("_Answer")

#: How long processes that are to end may take to put their files away (seconds).
_GRACE_S = 10.0


class Died(str):
    """How a process ended that did not answer."""


@dataclass
class _Worker(Generic[_Task]):
    process: BaseProcess
    task: _Task
    #: When it is to be done with it (time.monotonic).
    due: float
    #: Whether it has come so far that it could begin.
    ready: bool = False


def work(
    do: Callable[[_Task], _Answer],
    tasks: Iterator[_Task],
    jobs: int,
    go_on: Callable[[], bool],
    most_s: float,
) -> Generator[list[tuple[_Task, _Answer | Died]], None, None]:
    """Each task with its answer, those that ended together at once, `jobs` at a time.

    A process that is not done with a task after `most_s` seconds is ended. The first tasks are begun in any case,
    others while `go_on` says so; what has begun is finished. `do` is a function that a new process can import; a
    QuireError that it raises is raised here. Raises HomeError when processes cannot be started. Closing this ends the
    processes.
    """
    busy: dict[Connection, _Worker[_Task]] = {}
    try:
        for task in islice(tasks, jobs):
            _start(busy, do, task, most_s)
        while busy:
            ended: list[tuple[_Task, _Answer | Died]] = []
            for pipe, said in _heard(busy, most_s):
                worker = busy[pipe]
                if said is None:
                    worker.ready = True
                    continue
                ended.append((worker.task, said))
                following = list(islice(tasks, 1 if go_on() else 0))
                if following and not isinstance(said, Died):
                    worker.task, worker.due = following[0], time.monotonic() + most_s
                    _send(pipe, worker.task)
                else:
                    _close(pipe, busy.pop(pipe).process)
                    for task in following:
                        _start(busy, do, task, most_s)
            if ended:
                yield ended
    finally:
        _end(busy)


def _start(
    busy: dict[Connection, _Worker[_Task]], do: Callable[[_Task], object], task: _Task, most_s: float
) -> None:
    # A forked child would share our open files; each begins afresh instead, once for all its tasks.
    spawning = get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(theirs, do))
    # It inherits what is blocked: Ctrl-C on a terminal reaches all, and is for whoever started them to act on.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    busy[ours] = _Worker(process, task, time.monotonic() + most_s)
    _send(ours, task)


def _send(pipe: Connection, task: object) -> None:
    with suppress(OSError):  # it died: that is heard next
        pipe.send(task)


def _heard(busy: dict[Connection, _Worker[_Task]], most_s: float) -> Iterator[tuple[Connection, Any]]:
    """Wait until any says something, or is not done in time: then it is ended, and has died."""
    left = min(worker.due for worker in busy.values()) - time.monotonic()
    pipes = [pipe for pipe in wait(list(busy), max(0.0, left)) if isinstance(pipe, Connection)]
    late = [pipe for pipe, worker in busy.items() if pipe not in pipes and worker.due <= time.monotonic()]
    for pipe in pipes:
        yield pipe, _hear(pipe, busy[pipe])
    for pipe in late:
        _stop([busy[pipe].process])
        yield pipe, Died(f"was ended, as it had not come to an end after {most_s:,.0f} s")


def _hear(pipe: Connection, worker: _Worker[_Task]) -> Any:
    """None: it is ready. Else its answer, or that it died. Raises what kept it from answering."""
    try:
        said = pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        if not worker.ready:
            raise HomeError(
                f"A process to run simulations in could not be started: it {_how(worker.process)}."
            ) from None
        return Died(_how(worker.process))
    if isinstance(said, QuireError):
        raise said
    return said


def _how(process: BaseProcess) -> str:
    code = process.exitcode or 0
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), as a system does that has no memory left"
    return f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"


def _close(pipe: Connection, process: BaseProcess) -> None:
    pipe.close()
    process.join()
    process.close()


def _end(busy: dict[Connection, _Worker[_Task]]) -> None:
    _stop([worker.process for worker in busy.values()])
    for pipe, worker in busy.items():
        _close(pipe, worker.process)


def _stop(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    end = time.monotonic() + _GRACE_S
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
        process.kill()


def _serve(pipe: Connection, do: Callable[[_Task], object]) -> None:
    """What a worker does until nobody has work for it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _end_with_parent()
    pipe.send(None)
    with suppress(EOFError):
        while True:
            task = pipe.recv()
            try:
                pipe.send(do(task))
            except QuireError as error:
                pipe.send(error)


def _end_with_parent() -> None:
    """A worker whose parent was killed ends as well, and puts its files away if it can."""
    parent = parent_process()

    def wait_for_it() -> None:
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(_GRACE_S)
            os._exit(1)

    Thread(target=wait_for_it, daemon=True).start()
