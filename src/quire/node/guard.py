"""What goes wrong in one part of a node stays there: it is told, and the node lives on.

Owns: which failures are the disk's and which are mistakes of this program, how often each is told, and when timers
rest. Must not know: what the parts do.

The disk's troubles are everybody's: they are over once something could be written again. A mistake is a fault of ours,
whoever provoked it: it is told with its exception, so that simulator and tests end on it, and a log shows where.
"""

from collections.abc import Callable
from dataclasses import dataclass

from quire.errors import HomeError, QuireError
from quire.limits import MAX_TROUBLES_NOTED, TELL_AGAIN_MS, TICK_MS
from quire.store.database import Database

#: A part of what a node does at a time (ms).
Step = Callable[[int], None]


@dataclass(frozen=True)
class Trouble:
    """Something went wrong that the node lives through; `text` is for a person."""

    text: str


@dataclass(frozen=True)
class Mistake:
    """This program failed where it should not have; `text` is for a person, `error` for who mends it."""

    text: str
    error: Exception


class Guard:
    """`tell` is called with what is to be told."""

    def __init__(self, db: Database, tell: Callable[[Trouble | Mistake], None], now: int) -> None:
        self._db = db
        self._tell = tell
        #: Until then no timer is due: what failed is still to be done, and would fail at once again.
        self.rest_until = now
        self._trouble = self._mistake = ""
        self._mistaken_at = now
        #: By text or place in the code: how often it was told, and when last.
        self._told: dict[object, tuple[int, int]] = {}

    @property
    def trouble(self) -> str:
        """The trouble that there is, or the last mistake of the last while, for a person; "" when all is well."""
        return self._trouble or self._mistake

    def run(self, what: str, step: Step, now: int, due: bool = True) -> bool:
        """Run a step, which is `what` for a person; whether nothing failed.

        Timers rest after the disk's troubles, and after a mistake where the step is still `due`.
        """
        changes = self._db.connection.total_changes
        before = changes()
        if self._mistake and now - self._mistaken_at >= TELL_AGAIN_MS:
            self._mistake = ""
        try:
            with self._db.plain_errors():
                step(now)
        except QuireError as error:
            self.rest_until = now + TICK_MS
            self._troubled(str(error), now)
            return False
        except Exception as error:
            if due:
                self.rest_until = now + TICK_MS
            self._mistook(what, error, now)
            return False
        if self._trouble and changes() > before:
            self._trouble = ""
        return True

    def contain(self, what: str, part: Step, now: int) -> bool:
        """Run a part of a step, so that a mistake in it ends this part alone; whether there was none.

        Raises HomeError: the disk's troubles are the whole step's.
        """
        try:
            with self._db.plain_errors():
                part(now)
        except HomeError:
            raise
        except Exception as error:
            self._mistook(what, error, now)
            return False
        return True

    def _troubled(self, text: str, now: int) -> None:
        if self._trouble != text:
            self._trouble = text
            if self._is_news(text, now):
                self._tell(Trouble(text))

    def _mistook(self, what: str, error: Exception, now: int) -> None:
        self._mistake, self._mistaken_at = _words(what, error), now
        if self._is_news(_place(error), now):
            self._tell(Mistake(self._mistake, error))

    def _is_news(self, about: object, now: int) -> bool:
        """Whether it is to be told: the first time, and then less and less often."""
        times, last = self._told.pop(about, (0, now))
        news = not times or now - last >= min(TICK_MS << min(times, 32), TELL_AGAIN_MS)
        self._told[about] = (times + 1, now) if news else (times, last)
        if len(self._told) > MAX_TROUBLES_NOTED:
            del self._told[next(iter(self._told))]
        return news


def _words(what: str, error: Exception) -> str:
    told = f"{type(error).__name__}: {error}".removesuffix(".")
    return f"A mistake in Quire itself: {what} failed ({told}). All else goes on."


def _place(error: Exception) -> object:
    """Where it was raised: there are as many as the code has lines, whatever others send."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return type(error), at and (at.tb_frame.f_code.co_filename, at.tb_lineno)
