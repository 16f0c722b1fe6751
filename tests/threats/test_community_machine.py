"""A community in which everything happens at random, and some lie; in the end all honest members see the same."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from quire.core.certificate import invite_key
from quire.core.ticket import decode_link
from quire.errors import QuireError
from quire.events.keyring import control_key
from quire.graph import state
from quire.graph.changes import NewKey
from quire.handlers import (
    channel,
    device_revoke,
    invite,
    invite_revoke,
    joining,
    key,
    message,
    readmission,
    request,
    role,
    rotation,
)
from quire.store.memberships import JOINING
from tests.events.builders import MINUTE, digest, invite_keys
from tests.threats.attacker import Attacker, reads
from tests.threats.community import DAY, Community, Person, deliver, in_standing
from tests.threats.test_keys import boxes, control

FIRST = ("ann", "bob", "cat", "dan", "eve", "mal")
LATER = ("fay", "gus", "hal")
#: These write what they like, beside what they may.
LIARS = ("eve", "mal")
ROLES = ("guest", "member", "admin")

#: Further devices that may be linked, and whose they are. Until then, their owners act instead.
FURTHER = {
    "ann2": "ann",
    "ann3": "ann",
    "bob2": "bob",
    "cat2": "cat",
    "cat3": "cat",
    "fay2": "fay",
    "mal2": "mal",
}

whoever = st.sampled_from(FIRST + LATER)
who = st.sampled_from((*FIRST, *LATER, *FURTHER))
liar = st.sampled_from((*LIARS, "mal2"))
seeds = st.integers(0, 2**16)


@contextmanager
def may_be_refused() -> Iterator[None]:
    """Whatever is refused in words is no failure; anything else is."""
    try:
        yield
    except QuireError:
        pass


class Machine(RuleBasedStateMachine):
    """The people of FIRST are in from the start, those of LATER may come."""

    @initialize(
        history=st.sampled_from(("all", "all", "from-join")),
        linked=st.sets(st.sampled_from(("ann2", "bob2", "cat2", "mal2")), min_size=1, max_size=3),
    )
    def found(self, history: str, linked: set[str]) -> None:
        self.folder = TemporaryDirectory()
        self.c = Community(*FIRST, history=history, folder=Path(self.folder.name))
        self.links: list[str] = []
        self.said = 0
        #: Events that liars wrote.
        self.lies: list[bytes] = []
        #: Devices that were revoked because a thief has them.
        self.stolen: set[str] = set()
        #: Devices for which liars wrapped keys.
        self.told: set[str] = set()
        for called in sorted(linked):
            self.link(called, 0)
        self.c.meet()

    def person(self, name: str) -> Person | None:
        """The home that goes by this name, else its owner's first."""
        return self.c.people.get(name) or self.c.people.get(FURTHER.get(name, ""))

    def is_honest(self, person: Person) -> bool:
        return person.name not in LIARS and person.device not in self.stolen

    def acting(self, name: str) -> Person | None:
        """Somebody who is, or was, in."""
        found = self.person(name)
        return found if found is not None and found.member.kind != JOINING else None

    # --- What honest people do.

    @rule(name=who)
    def say(self, name: str) -> None:
        if person := self.acting(name):
            self.said += 1
            with may_be_refused():
                person.say(f"{name} {self.said}")

    @rule(one=who, other=who, seed=seeds)
    def sync(self, one: str, other: str, seed: int) -> None:
        """One hears the other; other pairs do not meet."""
        here, there = self.person(one), self.acting(other)
        if here and there and here is not there:
            here.hear(there, Random(seed) if seed % 3 else None)

    @rule(names=st.sets(who, min_size=2, max_size=4), seed=seeds)
    def part(self, names: set[str], seed: int) -> None:
        """Some are together, apart from the others."""
        self.c.meet(*[one for name in sorted(names) if (one := self.acting(name))], random=Random(seed))

    @rule(
        name=who,
        uses=st.integers(1, 2),
        to=st.sampled_from(ROLES),
        expires=st.sampled_from(("1h", "7d")),
        approve=st.booleans(),
    )
    def make_link(self, name: str, **limits: Any) -> None:
        if person := self.acting(name):
            with may_be_refused():
                limits["role"] = limits.pop("to")
                self.links.append(person.invite(**limits))

    @rule(name=st.sampled_from(LATER), member=who, pick=seeds)
    def join(self, name: str, member: str, pick: int) -> None:
        host = self.acting(member)
        if not self.links or not host or name == member:
            return
        with may_be_refused():
            person = self.person(name) or self.c.person(name)
            person.join(self.links[pick % len(self.links)], host)
            person.hear(host)

    @rule(name=who, member=who, pick=seeds)
    def come_again(self, name: str, member: str, pick: int) -> None:
        """Somebody who was removed, or left, asks to be let in."""
        person, host = self.acting(name), self.acting(member)
        if person and host and person is not host and self.links and not in_standing(person):
            with may_be_refused():
                person.join(self.links[pick % len(self.links)], host)
                person.hear(host)

    @rule(name=who)
    def approve(self, name: str) -> None:
        if person := self.acting(name):
            for waiting in request.list_(person.ctx):
                with may_be_refused():
                    request.approve(person.ctx, waiting.pubkey)
                if newcomer := self.person(waiting.name):
                    newcomer.knock(person)

    @rule(name=who, other=who, to=st.sampled_from((*ROLES, "remove", "ban", "unban", "remove")))
    def change_role(self, name: str, other: str, to: str) -> None:
        person, subject = self.acting(name), self.person(other)
        if person and subject:
            act: dict[str, Callable[..., Any]] = {"remove": role.remove, "ban": role.ban, "unban": role.unban}
            with may_be_refused():
                if to in act:
                    act[to](person.ctx, subject.id)
                else:
                    role.grant(person.ctx, subject.id, to)

    @rule(name=st.sampled_from(("cat", "dan", *LATER)))
    def leave(self, name: str) -> None:
        if person := self.acting(name):
            with may_be_refused():
                role.leave(person.ctx)

    @rule(name=who, pick=seeds)
    def revoke_or_rekey(self, name: str, pick: int) -> None:
        if person := self.acting(name):
            with may_be_refused():
                made = invite.list_(person.ctx)
                if made and pick % 2:
                    invite_revoke.create(person.ctx, made[pick % len(made)].invite_id)
                else:
                    key.rekey(person.ctx)

    @rule(called=st.sampled_from(sorted(FURTHER)), pick=seeds)
    def link(self, called: str, pick: int) -> None:
        """One of somebody's devices links a further one, which knows the space's key and nothing else."""
        own = [
            one for one in self.c.people.values() if one.name == FURTHER[called] and self.acting(one.called)
        ]
        if own and called not in self.c.people:
            with may_be_refused():
                self.c.link(own[pick % len(own)], called)

    @rule(called=st.sampled_from(sorted(FURTHER)), pick=seeds, stolen=st.booleans())
    def revoke_device(self, called: str, pick: int, stolen: bool) -> None:
        """One of somebody's devices revokes another one, older or younger, which need not hear of it."""
        own = [
            one for one in self.c.people.values() if one.name == FURTHER[called] and self.acting(one.called)
        ]
        if len(own) > 1:
            by, gone = Random(pick).sample(own, 2)
            with may_be_refused():
                done = device_revoke.revoke(by.ctx, gone.device)
                # The founder's go to no thief, so that somebody honest is left in every case.
                if done.spaces and stolen and by.name != "ann":
                    self.stolen.add(gone.device)

    @rule(name=who, other=whoever, old=whoever)
    def rotate_or_readmit(self, name: str, other: str, old: str) -> None:
        """A new root key; or an admin puts somebody in the place of who was somebody before."""
        person = self.acting(name)
        if not person:
            return
        gone, new = self.person(old), self.person(other)
        with may_be_refused():
            if name == other:
                rotation.rotate(person.ctx)
            elif gone and new and gone is not new:
                readmission.readmit(person.ctx, gone.id, new.id)

    @rule(
        name=who, other=whoever, private=st.booleans(), act=st.sampled_from(("make", "add", "remove", "say"))
    )
    def say_apart(self, name: str, other: str, private: bool, act: str) -> None:
        """In a conversation of two, or in a private channel, whose members change."""
        person, to = self.acting(name), self.acting(other)
        if not person or not to:
            return
        with may_be_refused():
            if private and act == "make":
                channel.create(person.ctx, "board", private=True)
            elif private and act in ("add", "remove"):
                (channel.add if act == "add" else channel.remove)(person.ctx, "board", to.id)
            else:
                self.said += 1
                target = "board" if private else f"@{to.id}"
                message.create(person.ctx, target, f"{name} {self.said} apart")

    # --- What happens to homes.

    @rule(ms=st.sampled_from((100, MINUTE, 2 * MINUTE, 60 * MINUTE)))
    def wait(self, ms: int) -> None:
        self.c.later(ms)

    @rule(name=who, skew=st.sampled_from((0, 0, -30 * MINUTE, -5 * 60 * MINUTE, 2 * MINUTE, 30 * MINUTE)))
    def turn_clock(self, name: str, skew: int) -> None:
        if person := self.person(name):
            person.skew = skew

    @rule(name=who)
    def tick(self, name: str) -> None:
        if person := self.acting(name):
            person.run_jobs()

    @rule(name=who, rebuild=st.booleans())
    def restart(self, name: str, rebuild: bool) -> None:
        if person := self.person(name):
            if person.member.kind != JOINING:
                person.release()
            before = person.view() if person.member.kind != JOINING else {}
            if rebuild:
                person.rebuild()
            self.c.restart(person)
            if before:
                assert person.view() == before

    # --- What liars do.

    @rule(name=liar, other=who, pick=seeds, to=st.sampled_from((*ROLES, "founder", "none", "banned")))
    def lie_about_roles(self, name: str, other: str, pick: int, to: str) -> None:
        subject = self.person(other)
        if subject:
            marks = {subject.device: [pick % 9, digest(f"{pick}").hex()[:43]]} if pick % 2 else {}
            self.lie(name, pick, "role", {"member": subject.id, "role": to, "marks": marks})

    @rule(name=liar, pick=seeds, recipients=st.sets(who))
    def lie_about_keys(self, name: str, pick: int, recipients: set[str]) -> None:
        """A key for some, of any generation, that follows any keys; or one that was there before, of the graph too."""
        person = self.person(name)
        assert person is not None
        nodes = person.ctx.graph.ledger.dag.nodes
        keys = [(one.event_id, made.generation) for one in nodes if isinstance(made := one.change, NewKey)]
        chosen = Random(pick).sample(keys, min(len(keys), 1 + pick % 2))
        content = (person.content(), control(person), digest(f"liar's {pick % 50}"))[pick % 3]
        others = list({one.device: one for each in sorted(recipients) if (one := self.person(each))}.values())
        self.told |= {one.device for one in others}
        body = {
            "scope": "",
            "generation": max([0, *(generation for _, generation in chosen)]) + pick % 3,
            "before": [event_id for event_id, _ in chosen],
            "older": [],
            **boxes(person, content, *others),
        }
        self.lie(name, pick, "key", body)
        if keys:
            share = {"key": keys[pick % len(keys)][0], **boxes(person, content, *others)}
            self.lie(name, pick + 1, "key-share", share)

    @rule(name=liar, pick=seeds, to=st.sampled_from((*ROLES, "founder")))
    def lie_about_invites(self, name: str, pick: int, to: str) -> None:
        """An invite out of thin air, and an accomplice let in by it, or by one that is there."""
        person = self.person(name)
        assert person is not None
        secret = digest(f"secret {pick % 7}")
        limits = {"uses": 1 + pick % 3, "expires": self.c.now + DAY, "approve": False, "role": to}
        keys = invite_keys(secret, person.member.space_id, person.device)
        link = self.links[pick % len(self.links)] if self.links else ""
        public = invite_key(decode_link(link).secret).text if link else keys["public"]
        keys |= {"public": public} if pick % 5 == 0 else {}  # another's
        made = self.lie(name, pick, "invite", {**keys, **limits})
        if link and pick % 2 and (node := invite.find(person.ctx, public)) is not None:
            asked = Attacker.made_up(person, f"nobody {pick % 5}").asked(link)
            self.lie(name, pick, "admit", {"invite": node.event_id, "request": asked})
        elif made:
            self.lie(name, pick, "invite-revoke", {"invite": made})

    @rule(name=liar, pick=seeds)
    def lie_in_messages(self, name: str, pick: int) -> None:
        """Old and new dates, and other events at places that are taken."""
        person = self.person(name)
        assert person is not None
        author = Attacker(person)
        place: dict[str, Any] = {"seq": 1, "prev": None} if pick % 3 == 0 else {}
        made = author.say(f"lie {pick}", ts=self.c.now - (pick % 3) * DAY, **place)
        self.spread(pick, made.sealed)

    @rule(pick=seeds, to=st.sampled_from((*ROLES, "remove", "device", "message")))
    def steal(self, pick: int, to: str) -> None:
        """A thief writes on with a device that was revoked: messages, roles, and the owner's devices away."""
        stolen = [one for one in self.c.people.values() if one.device in self.stolen]
        if not stolen:
            self.revoke_device(("bob2", "cat2")[pick % 2], pick, True)
            return
        thief = stolen[pick % len(stolen)]
        others = [one for one in self.c.people.values() if one is not thief]
        subject = others[pick % len(others)]
        if to == "message":
            self.lie_in_messages(thief.called, pick)
        elif to == "device":
            own = [one for one in others if one.name == thief.name]
            body = {"device": (own or others)[0].device, "last_seq": 0, "last": ""}
            self.lie(thief.called, pick, "device-revoke", body)
        else:
            role_now = {"remove": "none"}.get(to, to)
            self.lie(thief.called, pick, "role", {"member": subject.id, "role": role_now, "marks": {}})

    def lie(self, name: str, pick: int, type_: str, body: dict[str, Any]) -> str:
        """Write any event of the graph, on any part of it, and give it to some."""
        person = self.person(name)
        assert person is not None
        random = Random(pick)
        nodes = person.ctx.graph.ledger.dag.nodes
        if not nodes:
            return ""  # a device that was linked just now knows nothing to build on
        after = [node.event_id for node in random.sample(nodes, min(len(nodes), random.randrange(1, 4)))]
        author = Attacker(person)
        past = max(node.ts for node in nodes if node.event_id in after)
        ts = random.choice((self.c.now, self.c.now, past + 1, past, self.c.now + 2 * MINUTE))
        # Under the present key of the graph; or one that it holds, or made up for few (see `lie_about_keys`).
        held = sorted(key for key, _ in person.member.epochs.values())
        odd = control_key(digest(f"liar's {pick % 50}"))
        control = person.member.epochs[person.member.control][0]
        control = (control, control, random.choice(held), odd)[pick % 4]
        made = author.change(type_, body, author.heads() if pick % 2 else after, under=control, ts=ts)
        self.spread(pick, made.sealed)
        return made.event_id

    def spread(self, pick: int, sealed: bytes) -> None:
        self.lies.append(sealed)
        people = list(self.c.people.values())
        for person in Random(pick).sample(people, 1 + pick % len(people)):
            person.take([sealed], "a liar")

    # --- The end.

    def teardown(self) -> None:
        if not hasattr(self, "c"):
            return
        try:
            self.settle()
            self.agree()
        finally:
            self.c.close()
            self.folder.cleanup()

    def settle(self) -> None:
        """Clocks are set right, partitions end, and nodes do what they do by themselves."""
        people = [one for one in self.c.people.values() if one.member.kind != JOINING]
        honest = [one for one in people if self.is_honest(one)]
        for one in self.c.people.values():
            one.skew = 0
        self.c.later(DAY)
        for place, one in enumerate(honest):
            deliver(one, self.lies, Random(place), "a liar")
        self.c.meet(*people, random=Random(len(self.lies)))
        self.c.heal(*honest)
        members = [one for one in honest if in_standing(one)]
        for one in members:
            with may_be_refused():
                one.say(f"{one.called}'s last word")
        self.c.meet(*honest)
        self.c.heal(*honest)

    def agree(self) -> None:
        people = [one for one in self.c.people.values() if one.member.kind != JOINING]
        ann = next(one for one in people if one.name == "ann" and in_standing(one))
        standing = {device for one in state.members(ann.ctx.graph) for device in one.devices}
        # Who was put out may lack the key under which that is said.
        members = [one for one in people if one.device in standing and self.is_honest(one)]
        ann.say("the end")
        self.c.meet(*members)
        first = ann.view()
        for one in members:
            seen = one.view()
            apart = {each: (seen[each], first[each]) for each in first if seen[each] != first[each]}
            of_the_past = set() if self.reads_all(one) else {"shown", "names", "forks"}
            assert apart.keys() <= of_the_past, (one.called, apart)
            assert "the end" in one.texts(), one.called
            assert one.key() == first["key"], one.called
        self.agree_apart(members)
        self.look_again(ann, first)
        liars_in = any(one.device in standing for one in people if not self.is_honest(one))
        for one in people:
            if one.device not in standing:
                handed_on = liars_in and (not self.is_honest(one) or one.device in self.told)
                assert handed_on or "the end" not in reads(one, *members), f"{one.called} reads on"

    def agree_apart(self, members: list[Person]) -> None:
        """All devices of one person show the same private messages."""
        for one in members:
            other = next(other for other in members if other.name == one.name)
            if self.reads_all(one) and self.reads_all(other):
                assert one.apart() == other.apart(), (one.called, other.called)

    def reads_all(self, person: Person) -> bool:
        """Whether a member may read the past: not who came later, where the space promised otherwise."""
        return person.called in FIRST or self.c._history == "all"

    def look_again(self, person: Person, first: dict[str, Any]) -> None:
        """The same after a rebuild, and from the same events in other orders."""
        everything = [*person.blobs(), *self.lies]
        apart = person.apart()
        person.rebuild()
        assert person.view() == first
        assert person.apart() == apart
        for seed in range(2):
            twin = self.c.twin(person, everything, Random(seed))
            twin.run_jobs()
            assert twin.view() == first, f"order {seed}"
            twin.home.close()


#: The same communities every time.
QUICK = settings(
    max_examples=10,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
#: With QUIRE_EXAMPLES=100 so many, others each time; without, always the same ones. A failing one is not made
#: smaller, which takes longer than all of them: its steps are printed.
LONG = settings(
    max_examples=int(os.environ.get("QUIRE_EXAMPLES", "12")),
    stateful_step_count=60,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    derandomize="QUIRE_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


class Quick(Machine):
    pass


class Long(Machine):
    pass


Quick.TestCase.settings = QUICK
Long.TestCase.settings = LONG
TestQuick = Quick.TestCase
TestLong = pytest.mark.slow(pytest.mark.timeout(3_600)(Long.TestCase))

__all__ = ["TestLong", "TestQuick", "joining"]
