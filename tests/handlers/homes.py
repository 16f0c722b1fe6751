"""People with a home each, in one space: what they write and pass on, and what somebody forges among them."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from quire.core import canonical
from quire.core.certificate import certify
from quire.core.encoding import to_text
from quire.core.event import event_id
from quire.core.keys import DeviceKey
from quire.core.phrase import root_key
from quire.core.sealing import seal
from quire.events import keyring
from quire.events.context import Context
from quire.events.handler import GraphEvent, Handler, Opened, Registry
from quire.events.home import Home
from quire.events.ingest import ingest
from quire.events.keyring import CONTENT, HeldKey
from quire.events.settle import Report
from quire.graph import changes
from quire.graph.state import parents
from quire.handlers import REGISTRY, graph_events, identity, invite, joining, message, space
from quire.store.memberships import INVITED, Membership
from tests.events.builders import NOW, VAULT, digest

_homes = count()


class Unfit(Exception):
    """What was forged is no event, for these reasons."""


class LinkEvent(GraphEvent):
    """Another device of the author's."""

    device: str
    wrap: str


def _change(o: Opened[LinkEvent], _: bytes) -> changes.AnyChange:
    return changes.Link(o.event.device, o.event.wrap)


#: Brings in a second device without the ceremony.
LINK = Handler(
    type="test-link",
    event=LinkEvent,
    change=_change,
    needs=graph_events.needs,
    provides=graph_events.provides,
)
WITH_LINKS = Registry((*REGISTRY.handlers, LINK))


def make_home() -> Home:
    number, numbers = next(_homes), count()
    return Home(":memory:", WITH_LINKS, lambda size: digest(f"home {number} {next(numbers)}", size), VAULT)


class Person:
    """One device of one identity, in a home of its own."""

    def __init__(self, homes: "Homes", name: str) -> None:
        self.homes, self.name, self.home = homes, name, make_home()

    @property
    def ctx(self) -> Context:
        self.homes.now += 10
        account = self.home.store.memberships.accounts()[0]
        spaces = self.home.store.memberships.of_account(account)
        return Context(self.home, self.homes.now, account, spaces[-1] if spaces else None)

    @property
    def member(self) -> Membership:
        return self.ctx.member

    @property
    def key(self) -> str:
        return self.member.account_id

    def send(self, target: str, text: str) -> message.Message:
        return message.create(self.ctx, target, text)

    def texts(self, target: str) -> list[str]:
        return [m.body_text for m in message.list_(self.ctx, target)]

    def shown(self) -> list[str]:
        rows = self.home.store.db.all("SELECT body_text FROM message_index ORDER BY ts, event_id")
        return [body for (body,) in rows]

    def channels(self) -> dict[str, message.Channel]:
        """By what a person types."""
        return {("@" if c.direct else "#") + c.name: c for c in message.list_channels(self.ctx)}

    def records(self) -> list[bytes]:
        """Everything that it holds, as `key_id ‖ blob`."""
        member, names = self.member, self.home.store.names
        rows = self.home.store.blobs.held_after(member.account, member.space, 0, 100_000)
        return [names.key_id(row.epoch) + row.sealed for row, _ in rows]

    def give(self, records: Sequence[bytes]) -> Report:
        return ingest(self.home, self.member, records, "a peer", self.homes.now)

    @property
    def heads(self) -> list[str]:
        """What its next event of the graph builds on."""
        return parents(self.ctx.graph, self.member.device)

    def tick(self) -> None:
        with self.home.store.transaction():
            for handler in self.home.registry.handlers:
                for job in handler.jobs:
                    job(self.ctx)

    def forge(self, type_: str, body: Mapping[str, Any], of_graph: bool = False) -> bytes:
        """Write anything at all into its own log, past every check; gives the record. Raises Unfit."""
        member, home = self.member, self.home
        device = home.store.names.device_number(member.space, member.device)
        seq, prev = home.store.blobs.head(device)
        self.homes.now += 1_000
        draft = {
            **{"type": type_, "v": 1, "ts": self.homes.now, "author": member.device},
            **{"seq": seq + 1, "prev": prev},
            **body,
        }
        signature = member.device_key.sign(b"quire event 1\0" + member.raw_space_id + canonical.encode(draft))
        data = canonical.encode({**draft, "sig": to_text(signature)})
        epoch = member.control if of_graph else member.content
        key, context = member.epochs[epoch]
        record = home.store.names.key_id(epoch) + seal(key, home.entropy(24), data, context)
        if rejected := self.give([record]).rejected:
            raise Unfit(*rejected)
        assert home.store.blobs.head(device) == (seq + 1, event_id(data))
        return record


class Homes:
    """Everybody, by name; a second device of `ann` is called `ann2`."""

    def __init__(self, *names: str, history: str = "all") -> None:
        self.now = NOW
        self.people: dict[str, Person] = {}
        first, *others = names
        founder = self.people[first] = Person(self, first)
        identity.create(Context(founder.home, self.now), first)
        space.create(founder.ctx, "garden", history)
        for name in others:
            self.join(first, name)

    def __getitem__(self, name: str) -> Person:
        return self.people[name]

    def join(self, inviter: str, name: str) -> Person:
        by, new = self[inviter], Person(self, name)
        joining.join(Context(new.home, self.now), invite.create(by.ctx).link, name)
        for letter in joining.greet(new.ctx, by.member.device):
            for reply in joining.answer(by.ctx, new.member.device, letter):
                joining.answer(new.ctx, by.member.device, reply)
        self.people[name] = new
        self.settle()
        return new

    def link(self, name: str, called: str, settle: bool = True) -> Person:
        """A second device of somebody, which holds the space's keys."""
        first, second = self[name], Person(self, called)
        device, root = DeviceKey(digest(f"device {called}")), first.home.store.memberships.root(1)
        assert root is not None
        signer, wrap = root_key(root), identity.wrap_text(device)
        chain = [certify(signer, signer.text, device.text, wrap)]
        first.ctx.change("test-link", {"device": device.text, "wrap": wrap})
        identity.add(Context(second.home, self.now), signer.text, device, chain, name, None)
        self._admit(second, first.member)
        self.people[called] = second
        if settle:
            self.settle()
        return second

    def twin(self, name: str) -> Person:
        """The same device once more, in a home that holds the space's keys and nothing else."""
        person, twin = self[name], Person(self, name)
        member = person.member
        chain = identity.chain_of(person.ctx, member.account)
        identity.add(Context(twin.home, self.now), member.account_id, member.device_key, chain, name, None)
        self._admit(twin, member)
        return twin

    def _admit(self, new: Person, like: Membership) -> None:
        memberships = new.home.store.memberships
        with new.home.store.transaction():
            member = memberships.add(1, like.space_id, like.link_key, like.name, INVITED)
            contents = [like.epochs[epoch][0] for epoch in sorted(like.contents)]
            held = [HeldKey(CONTENT, keyring.name_of(key), key) for key in contents]
            keyring.hold(new.home, member, new.ctx.graph, held)
            content, control = (key for key, _ in (like.epochs[like.content], like.epochs[like.control]))
            epochs = [
                memberships.add_key(member, key, keyring.name_of(content)) for key in (content, control)
            ]
            memberships.seal_under(member, *epochs)

    def pass_on(self, giver: str, taker: str) -> None:
        report = self[taker].give(self[giver].records())
        assert report.rejected == {}

    def settle(self, *among: str) -> None:
        """Pass everything on and run jobs, until nothing moves."""
        people = list(among or self.people)
        before: Iterable[int] = ()
        while before != (before := [self[name].home.store.blobs.last_cursor() for name in people]):
            for giver in people:
                for taker in people:
                    if giver != taker:
                        self.pass_on(giver, taker)
            self.now += 10_000
            for name in people:
                self[name].tick()


def keys_held(person: Person) -> list[bytes]:
    """Every symmetric key in somebody's home, whatever it is for."""
    db = person.home.store.db
    found = db.all("SELECT key FROM space_keys UNION ALL SELECT key FROM audience_keys")
    return [bytes(key) for (key,) in found]
