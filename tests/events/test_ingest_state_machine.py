"""Anything that can happen to a store, in any order: what an identity sees is a function of what it holds.

Authors write runs, forks, forgeries and events from the future; subsets of all this reach three identities
of two homes in any order and cut; homes are rebuilt, reopened and interrupted. After each step of `check`
the views are compared with those of a new home that takes in the same events at once.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from quire.core.encoding import from_text
from quire.core.summary import COARSE, FINE
from quire.events.context import Context
from quire.events.home import Home
from quire.events.ingest import ingest, release_held
from quire.events.rebuild import rebuild
from quire.handlers import message, peer
from quire.store.memberships import Membership
from tests.events.builders import (
    MINUTE,
    NOW,
    Author,
    Made,
    Space,
    add_holder,
    bodies,
    digest,
    give,
    make_home,
    states,
    undone,
    views,
    waits,
)

HOLDERS = (("first", "alice"), ("first", "bob"), ("second", "dora"))


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.space = Space()
        self.now = NOW
        self.homes = {name: self._open(name) for name in ("first", "second")}
        self.members: list[Membership] = []
        self.written: list[list[str]] = [[] for _ in HOLDERS]
        for home, name in HOLDERS:
            self.members.append(add_holder(self.homes[home], self.space, name))
        self.authors = [Author(self.space, name) for name in ("carol", "erin", "frank")]
        self.pool: list[Made] = []
        self.junk: list[bytes] = []

    def _open(self, name: str) -> Home:
        return make_home(self.folder / f"{name}.db", seed=f"{name} {self.now}")

    def teardown(self) -> None:
        try:
            self.everything_reaches_everyone()
        finally:
            for home in self.homes.values():
                home.close()
            shutil.rmtree(self.folder)

    def holder(self, who: int) -> tuple[Home, Membership]:
        return self.homes[HOLDERS[who][0]], self.members[who]

    @initialize()
    def holders_introduce_themselves(self) -> None:
        for who, (_, name) in enumerate(HOLDERS):
            home, member = self.holder(who)
            peer.create(Context(home, self.now, member.account, member), name)
            self.pool.append(Author(self.space, name).introduce())
            self._collect(who)

    def _collect(self, who: int) -> None:
        """What a holder itself wrote goes on its way to the others."""
        home, member = self.holder(who)
        index = home.store.index(member.account, member.space)
        have = {made.event_id for made in self.pool}
        for (event_id,) in home.store.db.all(
            "SELECT b.event_id FROM blobs AS b JOIN devices AS d ON d.n = b.device"
            " WHERE d.device = ? AND b.genuine ORDER BY b.seq",
            (member.device,),
        ):
            if event_id not in have:
                self.pool.append(Made(event_id, b"", index.blobs([from_text(event_id)])[0]))

    # --- what people do

    @rule(who=st.integers(0, 2), size=st.integers(1, 4))
    def author_writes(self, who: int, size: int) -> None:
        self.pool += self.authors[who].says([f"{who} says {size}-{place}" for place in range(size)])

    @rule(who=st.integers(0, 2), signed=st.booleans())
    def author_introduces_itself(self, who: int, signed: bool) -> None:
        author = self.authors[who]
        self.pool += [author.introduce(ts=author.ts), author.is_called(sign=signed)]
        if not signed:
            self.pool.append(author.say("signed for what stands before"))

    @rule(who=st.integers(0, 2))
    def author_writes_what_nobody_knows(self, who: int) -> None:
        self.pool += self.authors[who].run(
            "poll", [{"question": "when?"}, {"question": "where?", "votes": [1, 2]}]
        )

    @rule(who=st.integers(0, 2), minutes=st.integers(6, 30))
    def author_writes_ahead_of_time(self, who: int, minutes: int) -> None:
        ts = self.now + minutes * MINUTE
        author = self.authors[who]
        self.pool.append(author.say(f"from {minutes} minutes ahead", ts=ts, sign=minutes % 2 == 0))
        if minutes % 2:
            self.pool.append(author.say("and back"))

    @rule(who=st.integers(0, 2), signed=st.booleans())
    def author_forks_its_log(self, who: int, signed: bool) -> None:
        author = self.authors[who]
        seq, prev = author.seq, author.prev
        branch = [author.say("one branch", sign=signed), author.say("its end")]
        author.seq, author.prev = seq, prev
        self.pool += [*branch, author.say("the other branch")]

    @rule(who=st.integers(0, 2), text=st.text(max_size=5).map(lambda text: "own " + text), many=st.booleans())
    def holder_writes(self, who: int, text: str, many: bool) -> None:
        home, member = self.holder(who)
        texts = [f"{len(self.written[who])} {text}", "and more"] if many else [text]
        message.create_many(Context(home, self.now, member.account, member), "general", texts)
        self.written[who] += texts
        self._collect(who)

    @rule(
        who=st.integers(0, 2),
        victim=st.integers(0, 2),
        kind=st.sampled_from(["own", "other", "sig", "bytes"]),
    )
    def someone_forges(self, who: int, victim: int, kind: str) -> None:
        names = {"own": HOLDERS[victim][1], "other": self.authors[victim].name}
        forger = Author(self.space, names.get(kind, self.authors[who].name))
        forger.seq, forger.prev = self.authors[victim].seq, self.authors[victim].prev or None
        if kind in names:  # unsigned: claims a place in a log that is not the writer's
            made = forger.say("forged", sign=False)
        else:
            sealed = bytearray(forger.say("altered").sealed)
            if kind == "bytes":
                sealed[40] ^= 1
                self.junk.append(bytes(sealed))
                return
            draft = forger.draft("message", {"body": "forged", "channel": "general"})
            made = self.space.made(Author(self.space, "mallory").signed(draft))
        self.junk.append(made.sealed)

    # --- what the network does

    @rule(who=st.integers(0, 2), data=st.data())
    def events_arrive(self, who: int, data: st.DataObject) -> None:
        home, member = self.holder(who)
        sealed = [made.sealed for made in self.pool] + self.junk
        if not sealed:
            return
        chosen = data.draw(st.lists(st.sampled_from(range(len(sealed))), min_size=1, max_size=8))
        size = data.draw(st.integers(1, 4))
        for start in range(0, len(chosen), size):
            batch = [sealed[place] for place in chosen[start : start + size]]
            report = ingest(home, member, batch, "network", self.now)
            assert report.valid >= len(report.arrived)

    @rule(who=st.integers(0, 2), data=st.data())
    def a_batch_is_interrupted(self, who: int, data: st.DataObject) -> None:
        home, member = self.holder(who)
        batch = data.draw(st.lists(st.sampled_from(self.pool), max_size=4))
        before = views(home, member)
        with undone(home.store.db):
            give(home, member, *batch, now=self.now)
            message.create(Context(home, self.now, member.account, member), "general", "never")
        assert views(home, member) == before

    @rule(minutes=st.integers(1, 30))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        for who in range(len(HOLDERS)):
            release_held(*self.holder(who), self.now)

    @rule(name=st.sampled_from(["first", "second"]))
    def home_is_rebuilt(self, name: str) -> None:
        before = [views(*self.holder(who)) for who in range(len(HOLDERS))]
        rebuild(self.homes[name], self.now)
        assert [views(*self.holder(who)) for who in range(len(HOLDERS))] == before

    @rule(name=st.sampled_from(["first", "second"]))
    def home_is_reopened(self, name: str) -> None:
        self.homes[name].close()
        self.homes[name] = self._open(name)
        memberships = self.homes[name].store.memberships
        for who, (home, _) in enumerate(HOLDERS):
            if home == name:
                self.members[who] = memberships.get(self.members[who].account, self.members[who].space)

    # --- what must hold

    @rule(who=st.integers(0, 2))
    def check(self, who: int) -> None:
        home, member = self.holder(who)
        release_held(home, member, self.now)
        self._nothing_acknowledged_vanished(who)
        self._counts_add_up(home, member)
        self._summaries_are_sums(home, member)
        self._forks_are_noted(home)
        assert views(home, member) == self._seen_anew(home, member)

    def _nothing_acknowledged_vanished(self, who: int) -> None:
        shown = bodies(*self.holder(who))
        for text in self.written[who]:
            assert text in shown

    def _counts_add_up(self, home: Home, member: Membership) -> None:
        db, held = home.store.db, states(home, member)
        arrived = [
            event_id
            for (event_id,) in db.all(
                "SELECT b.event_id FROM arrivals AS a JOIN blobs AS b ON b.n = a.event WHERE a.account = ?",
                (member.account,),
            )
        ]
        assert sorted(arrived) == sorted(event for event, state in held.items() if state == "valid")
        waiting = waits(home, member)
        assert sorted(event for _, event in waiting) == sorted(
            e for e, state in held.items() if state == "blocked"
        )
        assert home.store.waiting.count(member.account, member.space) == len(waiting)

    def _summaries_are_sums(self, home: Home, member: Membership) -> None:
        index = home.store.index(member.account, member.space)
        held = home.store.db.all(
            "SELECT r.ts, b.event_id FROM received AS r JOIN blobs AS b ON b.n = r.event WHERE r.account = ?",
            (member.account,),
        )
        numbers = [(ts, int.from_bytes(from_text(event_id), "big")) for ts, event_id in held]
        assert index.whole() == (len(numbers), sum(number for _, number in numbers) % 2**256)
        for level in (COARSE, FINE):
            expected: dict[int, tuple[int, int]] = {}
            for ts, number in numbers:
                count, total = expected.get(ts >> level, (0, 0))
                expected[ts >> level] = (count + 1, (total + number) % 2**256)
            found = index.buckets(level, 0, 1 << 53, len(expected) + 1)
            assert [(n, tuple(cell)) for n, cell in found] == sorted(expected.items())

    def _forks_are_noted(self, home: Home) -> None:
        twins = home.store.db.all(
            "SELECT device, seq FROM blobs WHERE genuine GROUP BY device, seq HAVING count(*) > 1 ORDER BY 1, 2"
        )
        assert home.store.db.all("SELECT device, seq FROM forks ORDER BY 1, 2") == twins
        for device, seq, event_id in home.store.db.all(
            "SELECT device, max(seq), event_id FROM blobs WHERE genuine GROUP BY device"
        ):
            head = home.store.blobs.head(device)
            assert head[0] == seq
            assert head[1] == event_id or (device, seq) in twins

    def _seen_anew(self, home: Home, member: Membership) -> dict[str, Any]:
        """The views of a new home that takes in, at once, what the identity holds."""
        index = home.store.index(member.account, member.space)
        sealed = index.blobs([from_text(event_id) for event_id in sorted(states(home, member))])
        other = make_home()
        try:
            name = next(name for _, name in HOLDERS if Author(self.space, name).identity == member.account_id)
            again = add_holder(other, self.space, name)
            ingest(other, again, sealed, "all at once", self.now)
            return views(other, again)
        finally:
            other.close()

    def everything_reaches_everyone(self) -> None:
        for author in self.authors:
            self.pool += [author.introduce()]
        self.now += 60 * MINUTE
        seen = []
        for who in range(len(HOLDERS)):
            home, member = self.holder(who)
            release_held(home, member, self.now)
            for _ in range(2):  # what was refused for want of a successor is given again, as sync would
                for made in reversed(self.pool):
                    give(home, member, made, now=self.now)
            found = states(home, member)
            for made in self.pool:
                assert found.get(made.event_id) in ("valid", "unsupported"), made
            self.check(who)
            seen.append(bodies(home, member))
        assert seen[0] == seen[1] == seen[2]
        assert "forged" not in seen[0]


calm = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
TestStore = StoreMachine.TestCase
TestStore.settings = settings(calm, max_examples=25, stateful_step_count=30)


class LongStoreMachine(StoreMachine):
    """The same, for longer."""


TestStoreForLonger = pytest.mark.timeout(900)(pytest.mark.slow(LongStoreMachine.TestCase))
TestStoreForLonger.settings = settings(calm, max_examples=150, stateful_step_count=40)


def test_the_reference_is_not_blind() -> None:
    """The comparison that `check` makes does see a difference."""
    space, author = Space(), Author(Space(), "carol")
    home = make_home()
    member = add_holder(home, space, "alice")
    give(home, member, author.introduce())
    before = views(home, member)
    give(home, member, author.say(digest("x").hex()))
    assert views(home, member) != before
