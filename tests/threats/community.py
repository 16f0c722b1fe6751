"""Homes in memory, each of one person, and whatever carries letters and sealed events between them.

Everything goes through the doors that a node uses: handlers' operations, letters, `incoming.receive`. Nothing is
random: entropy and time are counted.
"""

from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from quire.core.certificate import certify, consent
from quire.core.encoding import to_text
from quire.core.keys import DeviceKey
from quire.core.sealing import open_blob
from quire.events import keyring
from quire.events.context import Context
from quire.events.home import Home
from quire.events.ingest import release_held
from quire.events.rebuild import rebuild
from quire.events.settle import Report
from quire.graph import state
from quire.graph.changes import NewKey
from quire.graph.roles import Role
from quire.handlers import (
    device,
    identity,
    incoming,
    invite,
    joining,
    message,
    own_link,
    peer,
    role,
    siblings,
    space,
)
from quire.store.memberships import INVITED, JOINING, Membership
from tests.events.builders import MINUTE, NOW, make_home

DAY = 24 * 60 * MINUTE
EVERYTHING = 1_000_000


class Person:
    """Somebody with one home, or one of their devices, which goes by `called` then. `skew` is how far its clock is
    wrong (ms)."""

    def __init__(self, community: "Community", name: str, home: Home, called: str = "") -> None:
        self.community = community
        self.name = name
        self.called = called or name
        self.home = home
        self.skew = 0
        #: By who gave: the number of the last blob that it gave to this one.
        self.given: dict[str, int] = {}

    # --- Acting.

    @property
    def ctx(self) -> Context:
        """A run of an operation, a moment after the last one."""
        now = self.community.later() + self.skew
        ctx = Context(self.home, now)
        account = identity.account_called(ctx, self.name)
        spaces = self.home.store.memberships.of_account(account)
        return Context(self.home, now, account, spaces[-1] if spaces else None)

    @property
    def member(self) -> Membership:
        return self.ctx.member

    @property
    def id(self) -> str:
        return self.member.account_id

    @property
    def device(self) -> str:
        return self.member.device

    def say(self, text: str) -> str:
        return message.create(self.ctx, "general", text).event_id

    def invite(self, **limits: Any) -> str:
        return invite.create(self.ctx, **limits).link

    def join(self, link: str, *members: "Person") -> str:
        """Ask these members by letter, one after the other; where joining stands then."""
        joining.join(self.ctx, link, self.name)
        self.knock(*members)
        return self.waits()

    def knock(self, *members: "Person") -> None:
        for member in members:
            for letter in joining.greet(self.ctx, member.device):
                self.ask(member, letter)

    def ask(self, member: "Person", letter: bytes) -> list[bytes]:
        """Hand a letter to a member, and its answers back to this one."""
        answers = list(joining.answer(member.ctx, self.device, letter))
        for answer in answers:
            joining.answer(self.ctx, member.device, answer)
        return answers

    def waits(self) -> str:
        return own_link.state(self.ctx)

    def release(self) -> None:
        """Take in what was dated ahead of this clock, as far as it is no more."""
        ctx = self.ctx
        release_held(self.home, ctx.member, ctx.now)

    def run_jobs(self) -> None:
        """One tick of a node."""
        self.release()
        ctx = self.ctx
        with self.home.store.transaction():
            for handler in self.home.registry.handlers:
                for job in handler.jobs:
                    job(ctx)

    def rebuild(self) -> None:
        rebuild(self.home, self.community.now + self.skew)

    # --- Delivery.

    def blobs(self, after: int = 0) -> list[bytes]:
        """What this home holds, as it travels, in the order in which it came."""
        member, names = self.member, self.home.store.names
        rows = self.home.store.blobs.held_after(member.account, member.space, after, EVERYTHING)
        return [names.key_id(row.epoch) + row.sealed for row, _ in rows]

    def take(self, sealed: Sequence[bytes], source: str = "") -> Report:
        return incoming.receive(self.home, self.member, sealed, source or "a peer", self.ctx.now)

    def hear(self, other: "Person", random: Random | None = None) -> None:
        """Take what `other` holds and has not given before, in some order, in batches of some size."""
        member = other.member
        after = self.given.get(other.called, 0)
        rows = other.home.store.blobs.held_after(member.account, member.space, after, EVERYTHING)
        sealed = [other.home.store.names.key_id(row.epoch) + row.sealed for row, _ in rows]
        self.given[other.called] = max([after, *(row.n for row, _ in rows)])
        deliver(self, sealed, random, other.device)

    def hear_again(self, other: "Person") -> None:
        """Take all that `other` holds, as it is sealed there now."""
        self.given.pop(other.called, None)
        self.hear(other)

    # --- What is shown, held and known here.

    def texts(self) -> list[str]:
        return [one.body_text for one in message.list_(self.ctx, "general", limit=1_000)]

    def senders(self) -> dict[str, str]:
        """Text → the name that it is shown under."""
        return {one.body_text: one.sender_name for one in message.list_(self.ctx, "general", limit=1_000)}

    def roles(self) -> dict[str, str]:
        """Name → role, of members alone."""
        return {one.name: one.role for one in role.list_(self.ctx)}

    def counts(self, event_id: str) -> bool:
        return self.ctx.graph.counts(event_id)

    def keys(self) -> dict[str, bytes]:
        """Every key of the space that is held, by its public name."""
        member = self.member
        return {to_text(self.home.store.names.key_id(n)): key for n, (key, _) in member.epochs.items()}

    def content(self) -> bytes:
        """The key that content is sealed under."""
        return self.member.epochs[self.member.content][0]

    def opened(self) -> list[bytes]:
        """The events that this home holds, as their authors signed them."""
        member = self.member
        rows = self.home.store.blobs.held_after(member.account, member.space, 0, EVERYTHING)
        return [
            open_blob(member.epochs[row.epoch][0], row.sealed, member.epochs[row.epoch][1]) for row, _ in rows
        ]

    def key(self) -> str:
        """The name of the key that content is sealed under."""
        return to_text(self.home.store.names.key_id(self.member.content))

    def apart(self) -> list[Any]:
        """What is shown of private channels and conversations, to which this one's devices have to agree."""
        return sorted(
            self.home.store.db.all(
                "SELECT event_id, channel_id, sender, ts, body_text FROM message_index"
                " WHERE account_id = ? AND space_id = ? AND channel_id <> 'general'",
                (self.member.account_id, self.member.space_id),
            )
        )

    def view(self) -> dict[str, Any]:
        """All that honest nodes have to agree on."""
        ctx = self.ctx
        graph, db, member = ctx.graph, self.home.store.db, ctx.member
        current = state.current_key(graph, "")
        key = (member.account, member.space)
        return {
            "valid": sorted(node.event_id for node in graph.ledger.dag.each(graph.valid)),
            "graph": sorted(node.event_id for node in graph.ledger.dag.nodes),
            "members": list(state.members(graph)),
            "names": sorted((one.pubkey, one.name) for one in peer.everyone(ctx)),
            "invites": sorted((one.invite_id, one.used, one.state) for one in invite.list_(ctx)),
            "hidden": sorted(
                db.all(
                    "SELECT d.device, h.first, h.last FROM hidden AS h JOIN devices AS d ON d.n = h.device"
                    " WHERE h.account = ? AND h.space = ?",
                    key,
                )
            ),
            "devices": sorted(
                db.all(
                    "SELECT d.device, o.member, o.wrap, o.standing FROM member_devices AS o"
                    " JOIN devices AS d ON d.n = o.device WHERE o.account = ? AND o.space = ?",
                    key,
                )
            ),
            "shown": sorted(
                db.all(
                    "SELECT event_id, channel_id, sender, ts, body_text FROM message_index"
                    " WHERE account_id = ? AND space_id = ? AND channel_id = 'general'",
                    (member.account_id, member.space_id),
                )
            ),
            "key": current.change.name if current and isinstance(current.change, NewKey) else "",
            "forks": sorted(self.home.store.blobs.forks_held(*key, EVERYTHING)),
        }


class Community:
    """People and their clock. The first of them founds the space, the others come in by it."""

    def __init__(self, *names: str, history: str = "all", folder: Path | None = None, seed: str = "") -> None:
        self.now = NOW
        self.people: dict[str, Person] = {}
        self.folder = folder
        self._seed = seed
        self._homes = count()
        self._history = history
        if names:
            founder = self.person(names[0])
            space.create(founder.ctx, "garden", history)
            for name in names[1:]:
                self.admit(name, founder)
            self.meet()

    def __getattr__(self, name: str) -> Person:
        try:
            return self.people[name]
        except KeyError:
            raise AttributeError(name) from None

    def later(self, ms: int = 10) -> int:
        self.now += ms
        return self.now

    def home(self, name: str) -> Home:
        path = ":memory:" if self.folder is None else self.folder / f"{name}.db"
        return make_home(path, seed=f"{self._seed} {name} {next(self._homes)}")

    def restart(self, person: Person) -> None:
        """Close a home and open it again, as another process would."""
        person.home.close()
        person.home = self.home(person.called)

    def person(self, name: str) -> Person:
        """Somebody new, with an identity and no space."""
        made = self.people[name] = Person(self, name, self.home(name))
        identity.create(Context(made.home, self.later()), name)
        return made

    def link(self, person: Person, called: str) -> Person | None:
        """A further device of somebody, as pairing leaves it behind; the space comes by a sibling's letters.

        None where the person's device cannot bring it in.
        """
        if not device.stands(person.ctx):
            return None
        new = Person(self, person.name, self.home(called), called)
        mine = DeviceKey(new.home.entropy(32))
        wrap = identity.wrap_text(mine)
        sibling = device.Sibling(mine.text, wrap, consent(mine, person.id, wrap), called)
        with person.home.store.transaction():
            siblings.keep(person.ctx, sibling)
            door = siblings.door(person.ctx)
            device.bring_in(person.ctx, [sibling])
        chain = identity.chain_of(person.ctx, person.member.account)
        chain.append(certify(person.member.device_key, person.id, mine.text, wrap))
        identity.add(Context(new.home, self.later()), person.id, mine, chain, person.name, None)
        with new.home.store.transaction():
            for one in (siblings.own(person.ctx), sibling):
                siblings.keep(new.ctx, one)
            there = siblings.open_door(new.ctx, door.raw_space_id, door.link_key)
        at_door = Context(new.home, self.later(), there.account, there)
        for letter in siblings.greet(at_door, person.device):
            for answer in siblings.answer(person.ctx.within(door), mine.text, letter):
                siblings.answer(at_door, person.device, answer)
        if new.ctx.chosen is None:
            new.home.close()
            if self.folder is not None:  # who is linked later under this name begins anew
                (self.folder / f"{called}.db").unlink()
            return None
        self.people[called] = new
        return new

    def admit(self, name: str, member: Person, **limits: Any) -> Person:
        """Somebody new comes in by an invite of `member`, and hears everything from it."""
        newcomer = self.person(name)
        assert newcomer.join(member.invite(**limits), member) == "", newcomer.waits()
        newcomer.hear(member)
        member.hear(newcomer)
        return newcomer

    def meet(self, *people: Person, random: Random | None = None) -> None:
        """These, or all, give each other what they hold until nothing is new."""
        group = list(people or self.people.values())
        while True:
            before = [one.home.store.blobs.take_numbers(0).start for one in group]
            for one in group:
                for other in group:
                    if one is not other and one.member.kind != JOINING:
                        one.hear(other, random)
            if before == [one.home.store.blobs.take_numbers(0).start for one in group]:
                return

    def close(self) -> None:
        for one in self.people.values():
            one.home.close()

    def heal(self, *people: Person) -> None:
        """Let a minute pass in which nodes do what they do by themselves, and meet."""
        for _ in range(3):
            self.later(MINUTE)
            for one in people:
                one.run_jobs()
                self.meet(*people)
        for one in people:  # what was sealed anew goes to who could not open it before
            one.given.clear()
        self.meet(*people)

    # --- Others who look at the same events.

    def twin(self, person: Person, sealed: Sequence[bytes], random: Random | None = None) -> Person:
        """A home that has this person's device and keys, and took in `sealed` in an order of its own."""
        twin = self.empty_twin(person)
        with twin.home.store.transaction():
            held = [
                keyring.HeldKey(keyring.CONTENT if name == to_text(key_id) else keyring.CONTROL, name, key)
                for name, key, key_id in person.home.store.db.all(
                    "SELECT k.name, k.key, e.key_id FROM space_keys AS k JOIN epochs AS e ON e.n = k.epoch"
                    " WHERE k.account = ? AND e.space = ?",
                    (person.member.account, person.member.space),
                )
            ]
            keyring.hold(twin.home, twin.member, twin.ctx.graph, held)
        deliver(twin, sealed, random, "a peer")
        return twin

    def empty_twin(self, person: Person) -> Person:
        """A home with this person's device, in the space, and nothing else."""
        member, old = person.member, person.home.store.memberships
        twin = Person(self, person.name, make_home(seed=f"{self._seed} twin {next(self._homes)}"))
        with twin.home.store.transaction():
            account = identity.add(
                Context(twin.home, self.now),
                member.account_id,
                DeviceKey(member.device_key.seed),
                identity.chain_of(person.ctx, member.account),
                person.name,
                old.root(member.account),
            )
            twin.home.store.memberships.add(account, member.space_id, member.link_key, member.name, INVITED)
        return twin


def deliver(person: Person, sealed: Sequence[bytes], random: Random | None, source: str) -> None:
    """Give sealed events: in the order given, or shuffled and in batches of any size."""
    queue = list(sealed)
    if random is None:
        if queue:
            person.take(queue, source)
        return
    random.shuffle(queue)
    while queue:
        size = random.choice((1, 1, 2, 5, len(queue)))
        person.take(queue[:size], source)
        del queue[:size]


ORDERS = ("forward", "reversed", "one by one", "shuffled")


def in_order(sealed: Sequence[bytes], order: str) -> list[list[bytes]]:
    """The batches in which one of ORDERS delivers."""
    queue = list(sealed)
    if order == "reversed":
        queue.reverse()
    elif order == "shuffled":
        Random(7).shuffle(queue)
    return [[one] for one in queue] if order != "forward" else [queue]


def agreed(community: Community, *people: Person, sealed: Iterable[bytes] = ()) -> dict[str, Any]:
    """The view that all of these have; also from the same events (and `sealed`) in each of ORDERS, and rebuilt.

    Anything else is an AssertionError.
    """
    group = list(people or community.people.values())
    for one in group:
        one.take(list(sealed))
    community.meet(*group)
    first = group[0].view()
    for one in group:
        everything = one.blobs()
        assert one.view() == first, one.name
        for order in ORDERS if one is group[0] else ORDERS[1:2]:
            twin = community.twin(one, ())
            for batch in in_order([*everything, *sealed], order):
                twin.take(batch)
            assert twin.view() == first, (one.name, order)
            twin.home.close()
        one.rebuild()
        assert one.view() == first, (one.name, "rebuilt")
    return first


def in_standing(person: Person) -> bool:
    """Whether the person is a member and the device one of theirs, as far as it knows itself."""
    graph = person.ctx.graph
    claim = graph.ledger.standing(person.device, graph.valid)
    return claim is not None and graph.ledger.role(claim.member, graph.valid) >= Role.GUEST


def refused(letter_answers: Iterable[bytes]) -> list[str]:
    """The rules that answers to a request name."""
    return [answer[1:].decode() for answer in letter_answers if answer[:1] == b"N"]
