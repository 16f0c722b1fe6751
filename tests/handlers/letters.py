"""Homes apart from each other, which meet by letters and by giving each other what they hold."""

from collections.abc import Iterator
from contextlib import contextmanager

from quire.events.append import append
from quire.events.settle import Report
from quire.handlers import identity, incoming, joining, message
from quire.handlers.admit_letter import REFUSAL
from tests.handlers.network import Network


class Apart:
    """Networks of one identity each, by its name, with one clock."""

    def __init__(self, founder: str, history: str = "all") -> None:
        self.homes: dict[str, Network] = {founder: Network(seed=founder)}
        self.founder = founder
        self.homes[founder].found(founder, history=history)

    def __getitem__(self, name: str) -> Network:
        return self.homes[name]

    def close(self) -> None:
        for net in self.homes.values():
            net.home.close()

    def pass_time(self, ms: int = 10) -> None:
        now = max(net.now for net in self.homes.values()) + ms
        for net in self.homes.values():
            net.now = now

    def knock(self, name: str, link: str) -> joining.Joined:
        """A newcomer takes a link, in a home of its own; nobody has been asked yet."""
        self.pass_time()
        net = self.homes.setdefault(name, Network(seed=name))
        self.pass_time()
        return joining.join(net.ctx(), link, name)

    def ask(self, name: str, member: str) -> list[bytes]:
        """The newcomer's letters reach a member, and the answers come back; gives the answers."""
        self.pass_time()
        new, old = self[name], self[member]
        answers = []
        for letter in joining.greet(new.ctx(name), old.member(member).device):
            for reply in joining.answer(old.ctx(member), new.member(name).device, letter):
                answers.append(reply)
                joining.answer(new.ctx(name), old.member(member).device, reply)
        return answers

    def join(self, name: str, member: str = "", link: str = "", **limits: object) -> None:
        """The newcomer is let in by a member, and learns what it holds."""
        member = member or self.founder
        self.knock(name, link or self[member].link(member, **limits))
        self.ask(name, member)
        self.give(member, name)
        self.give(name, member)

    def blobs(self, name: str) -> list[bytes]:
        """All that an identity holds, as it travels."""
        net, member = self[name], self[name].member(name)
        rows = net.home.store.blobs.held_after(member.account, member.space, 0, 100_000)
        return [net.home.store.names.key_id(row.epoch) + row.sealed for row, _ in rows]

    def give(self, name: str, to: str) -> Report:
        """One identity's holdings reach another."""
        self.pass_time()
        member, net = self[to].member(to), self[to]
        return incoming.receive(net.home, member, self.blobs(name), self[name].member(name).device, net.now)

    def settle(self, *names: str) -> None:
        """Everyone gives everyone what it holds, until nothing is new."""
        names = names or tuple(self.homes)
        while sum(self.give(one, other).valid for one in names for other in names if one != other):
            pass

    def texts(self, name: str) -> list[str]:
        return [m.body_text for m in message.list_(self[name].ctx(name), "general")]

    def say(self, name: str, text: str) -> None:
        self.pass_time()
        self[name].send(name, "general", text)

    def say_all_the_same(self, name: str, text: str) -> None:
        """What a program writes that does not ask whether it may."""
        self.pass_time()
        net, member = self[name], self[name].member(name)
        append(net.home, member, "message", [{"body": text, "channel": "general"}], net.now)

    def person(self, name: str) -> str:
        """A person's root key."""
        return identity.list_(self[name].ctx())[0].pubkey


def refused(answers: list[bytes]) -> list[str]:
    """The rules that answers name."""
    return [answer[1:].decode() for answer in answers if answer[:1] == REFUSAL]


@contextmanager
def apart(founder: str = "ann", history: str = "all") -> Iterator[Apart]:
    found = Apart(founder, history)
    try:
        yield found
    finally:
        found.close()
