"""Processes that do one task after the other; one that dies takes no more than its task along.

Owns: the processes, what is said to them, and their end. Must not know: what the tasks are, how long to go on.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
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
    #: Whether it has come so far that it could begin.
    ready: bool = False


def work(
    do: Callable[[_Task], _Answer], tasks: Iterator[_Task], jobs: int, go_on: Callable[[], bool]
) -> Generator[list[tuple[_Task, _Answer | Died]], None, None]:
    """Each task with its answer, those that ended together at once, `jobs` at a time.

    The first tasks are begun in any case, others while `go_on` says so; what has begun is finished. `do` is a function
    that a new process can import; a QuireError that it raises is raised here. Raises HomeError when processes cannot be
    started. Closing this ends the processes.
    """
    busy: dict[Connection, _Worker[_Task]] = {}
    try:
        for task in islice(tasks, jobs):
            _start(busy, do, task)
        while busy:
            ended: list[tuple[_Task, _Answer | Died]] = []
            for pipe in [pipe for pipe in wait(list(busy)) if isinstance(pipe, Connection)]:
                worker, said = busy[pipe], _hear(pipe, busy[pipe])
                if said is None:
                    worker.ready = True
                    continue
                ended.append((worker.task, said))
                following = list(islice(tasks, 1 if go_on() else 0))
                if following and not isinstance(said, Died):
                    worker.task = following[0]
                    _send(pipe, worker.task)
                else:
                    _close(pipe, busy.pop(pipe).process)
                    for task in following:
                        _start(busy, do, task)
            if ended:
                yield ended
    finally:
        _end(busy)


def _start(busy: dict[Connection, _Worker[_Task]], do: Callable[[_Task], object], task: _Task) -> None:
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
    busy[ours] = _Worker(process, task)
    _send(ours, task)


def _send(pipe: Connection, task: object) -> None:
    with suppress(OSError):  # it died: that is heard next
        pipe.send(task)


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
    for worker in busy.values():
        worker.process.terminate()
    end = time.monotonic() + _GRACE_S
    for worker in busy.values():
        worker.process.join(max(0.0, end - time.monotonic()))
        worker.process.kill()
    for pipe, worker in busy.items():
        _close(pipe, worker.process)


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
