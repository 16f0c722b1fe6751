"""Commands that take long, stopped from outside: what is under way puts its files away first.

Owns: what SIGTERM does meanwhile, and the exit codes of stopped commands. Must not know: any command.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM came: it ends things as Ctrl-C does."""


@contextmanager
def stoppable() -> Iterator[None]:
    """In here SIGTERM raises Terminated."""

    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_code(stopped: KeyboardInterrupt) -> int:
    """As shells give it: 128 and the signal's number."""
    return 128 + (signal.SIGTERM if isinstance(stopped, Terminated) else signal.SIGINT)
