"""Handlers' jobs, at each tick, for each of our identities in each space, and at doors that are none.

Owns: that a job that fails keeps neither other jobs nor other spaces from theirs, and costs less and less.
Must not know: what jobs do.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from quire.errors import HomeError
from quire.events.context import Context
from quire.events.handler import Handler, Registry
from quire.events.home import Home
from quire.events.ingest import release_held
from quire.limits import MAX_JOB_REST_MS, TICK_MS
from quire.node.guard import Guard
from quire.store.memberships import DOORS, Membership

Job = Callable[[Context], None]
#: A job of one identity in one space, by their numbers.
_Key = tuple[int, int, Job]


def serving(registry: Registry, member: Membership) -> list[Handler]:
    """The handlers that have to do with a space, or with a door that is none."""
    return [h for h in registry.handlers if member.kind not in DOORS or member.kind in h.doors]


class Jobs:
    """`context` gives what an identity's jobs may use at a time (ms)."""

    def __init__(self, home: Home, guard: Guard, context: Callable[[Membership, int], Context]) -> None:
        self._home = home
        self._guard = guard
        self._context = context
        #: Jobs that failed: until when they rest, and how long that is (ms).
        self._resting: dict[_Key, tuple[int, int]] = {}

    def run(self, members: Iterable[Membership], now: int) -> None:
        """Do what is due, for each by itself."""
        every = list(members)
        if self._resting:
            here = {(one.account, one.space) for one in every}
            self._resting = {key: rest for key, rest in self._resting.items() if key[:2] in here}
        for member in every:
            self._guard.run("a job", partial(self._run, member), now, due=False)

    def _run(self, member: Membership, now: int) -> None:
        """All in one transaction; when one fails each has its own."""
        due = [job for job in self._jobs(member) if self._is_due((member.account, member.space, job), now)]
        try:
            self._together(member, due, now)
        except HomeError:
            raise
        except Exception:
            # Found by running each alone, and told there.
            if not [job for job in due if not self._alone(member, job, now)]:
                raise

    def _together(self, member: Membership, jobs: Sequence[Job], now: int) -> None:
        ctx = self._context(member, now)
        with self._home.store.db.plain_errors(), self._home.store.transaction():
            for job in jobs:
                job(ctx)
        if self._resting:
            for job in jobs:
                self._resting.pop((member.account, member.space, job), None)

    def _alone(self, member: Membership, job: Job, now: int) -> bool:
        if self._guard.contain(_called(job), partial(self._together, member, [job]), now):
            return True
        key = member.account, member.space, job
        _, last = self._resting.get(key, (0, TICK_MS))
        rest = min(2 * last, MAX_JOB_REST_MS)
        self._resting[key] = now + rest, rest
        return False

    def _jobs(self, member: Membership) -> list[Job]:
        waits = self._home.store.waiting.count(member.account, member.space)
        first: list[Job] = [_release] if waits else []
        return first + [job for handler in serving(self._home.registry, member) for job in handler.jobs]

    def _is_due(self, key: _Key, now: int) -> bool:
        return now >= self._resting[key][0] if key in self._resting else True


def _release(ctx: Context) -> None:
    release_held(ctx.home, ctx.member, ctx.now)


def _called(job: Job) -> str:
    return f"the job {job.__module__.rpartition('.')[2]}.{job.__name__.strip('_')}"
