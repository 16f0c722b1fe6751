"""Three processes, of which two reach the third by bad paths only: invites, loss, and paths that go and come."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from threading import Thread

import pytest

from quire.core.address import parse_address
from quire.core.ticket import decode_link, encode_link
from tests.process.harness import Lab, Person, wait_until
from tests.process.lossy_proxy import Conditions, LossyProxy, has_ipv6

#: Three of ten lost each way, one of ten doubled, and delays that put them out of order.
BAD = Conditions(loss=0.3, twice=0.1, delay=0.04)
CUT = Conditions(loss=1.0)


class Star:
    """Ann in the middle; bob and cai each have a path to her, and none to each other.

    Ann speaks IPv4 and the others IPv6, so that nothing they are told leads round the proxies.
    """

    def __init__(self, lab: Lab) -> None:
        self.ann = lab.founder("ann")
        self._listen = parse_address(self.ann.up().listen)
        self.paths: list[LossyProxy] = []
        self.bob, self.cai = self._guest(lab, "bob", 5), self._guest(lab, "cai", 6)
        self.everyone = (self.ann, self.bob, self.cai)

    def _guest(self, lab: Lab, name: str, seed: int) -> Person:
        """Somebody who joins by a link that leads through a proxy of their own."""
        host = "::1" if has_ipv6() else "127.0.0.1"
        path = LossyProxy(self._listen, host, BAD, seed)
        path.start()
        self.paths.append(path)
        invite = replace(decode_link(self.ann.ask("createInvite")["link"]), addresses=[path.address])
        person = lab.person(name)
        person.ask("joinSpace", link=encode_link(invite), name=name)
        person.up(listen=f"[{host}]:0")
        person.comes_in()
        return person


@pytest.fixture
def star(lab: Lab) -> Iterator[Star]:
    made = Star(lab)
    yield made
    for path in made.paths:
        path.close()


def _say(person: Person, texts: list[str]) -> None:
    person.ask("sendMessages", target="general", texts=texts)


def _event_ids(person: Person) -> set[str]:
    rows = person.ask("query", statement="SELECT event_id FROM message_index")["rows"]
    return {row["event_id"] for row in rows}


@pytest.mark.slow
def test_three_nodes_converge_over_two_bad_paths(star: Star) -> None:
    """What bob writes reaches cai through ann alone. When ann sees him at another port, she follows him there."""
    texts = {
        person: [f"{person.name} {n} {'x' * (n * 37 % 900)}" for n in range(40)] for person in star.everyone
    }
    writers = [Thread(target=_say, args=(person, texts[person])) for person in star.everyone]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    everything = {text for written in texts.values() for text in written}
    for person in star.everyone:
        person.sees(everything)
    assert _event_ids(star.ann) == _event_ids(star.bob) == _event_ids(star.cai)
    for path in star.paths:
        assert min(path.counts["lost"], path.counts["twice"], path.counts["passed"]) > 10, path.counts
    addresses = [star.bob.peer("ann")["address"], star.cai.peer("ann")["address"]]
    assert addresses == [path.address for path in star.paths]
    before = star.ann.peer("bob")["address"]
    star.paths[0].rebind()
    for person in star.everyone:
        _say(person, [f"{person.name} again"])
    everything |= {f"{person.name} again" for person in star.everyone}
    for person in star.everyone:
        person.sees(everything)
    wait_until(lambda: star.ann.peer("bob")["address"] not in ("", before), "ann knowing bob's new port")


def _heard(person: Person, text: str) -> bool:
    return text in person.texts()


@pytest.mark.slow
def test_paths_that_are_cut_or_go_one_way_heal(star: Star) -> None:
    """Between bob and ann; all is well with cai meanwhile."""
    ann, bob, cai = star.everyone
    path = star.paths[0]
    everything: set[str] = set()
    for name, to_ann, to_bob in (("gone", CUT, CUT), ("deaf ann", CUT, BAD), ("deaf bob", BAD, CUT)):
        path.to_one, path.to_other = to_ann, to_bob
        told = {person: f"{name}: {person.name}" for person in star.everyone}
        for person, text in told.items():
            _say(person, [text])
        everything |= set(told.values())
        wait_until(partial(_heard, ann, told[cai]), "ann hearing cai")
        wait_until(partial(_heard, cai, told[ann]), "cai hearing ann")
        if to_ann is CUT:
            assert told[bob] not in ann.texts() + cai.texts()
        if to_bob is CUT:
            assert not {told[ann], told[cai]} & set(bob.texts())
        path.to_one = path.to_other = BAD
        for person in star.everyone:
            person.sees(everything)
