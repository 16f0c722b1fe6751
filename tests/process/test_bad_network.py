"""Two processes with a bad network between them, and somebody who listens to it."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from threading import Thread

import pytest

from quire.core.address import parse_address
from quire.core.encoding import from_text
from quire.core.ticket import Ticket, decode_link, encode_link
from quire.limits import MAX_DATAGRAM
from tests.process.harness import Lab, Person, wait_until
from tests.process.lossy_proxy import Conditions, LossyProxy, has_ipv6

#: Three of ten lost, one of twenty damaged, some doubled, and delays that put them out of order.
BAD = Conditions(loss=0.3, twice=0.05, damaged=0.05, delay=0.04)
SECRETS = {"alice": "Aloysia Featherstone", "bob": "Bartholomew Quill", "club": "Chrysanthemum Society"}


class Crossing:
    """Two people who reach each other only through a proxy."""

    def __init__(self, lab: Lab, conditions: Conditions, seed: int) -> None:
        self.alice = lab.person("alice")
        self.alice.ask("createIdentity", name=SECRETS["alice"])
        self.alice.ask("createSpace", name=SECRETS["club"])
        node = self.alice.up()
        # Alice speaks IPv4 and bob IPv6, so that nothing they tell each other leads round the proxy.
        self.bobs_host = "::1" if has_ipv6() else "127.0.0.1"
        self.proxy = LossyProxy(parse_address(node.listen), self.bobs_host, conditions, seed)
        self.proxy.start()
        self.invite = decode_link(self.alice.ask("createInvite")["link"])
        self.bob = lab.person("bob")
        link = encode_link(replace(self.invite, addresses=[self.proxy.address]))
        self.bob.ask("joinSpace", link=link, name=SECRETS["bob"])
        self.bob_up()
        self.bob.comes_in()
        self.bob.stop()

    def bob_up(self) -> None:
        self.bob.up(listen=f"[{self.bobs_host}]:0")


@pytest.fixture
def crossing(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Crossing]:
    made = Crossing(lab, *request.param)
    yield made
    made.proxy.close()


def _write(person: Person, name: str, count: int, errors: list[BaseException]) -> None:
    """A few at a time, as people do, so that live pushes, resends and reconciliation all take part."""
    try:
        for number in range(0, count, 5):
            texts = [f"{name} {n} {'x' * (n * 37 % 900)}" for n in range(number, number + 5)]
            person.ask("sendMessages", target="general", texts=texts)
    except BaseException as error:
        errors.append(error)


def _texts(name: str, count: int) -> set[str]:
    return {f"{name} {n} {'x' * (n * 37 % 900)}" for n in range(count)}


def _event_ids(person: Person) -> set[str]:
    rows = person.ask("query", statement="SELECT event_id FROM events AS e, message_index USING (event_id)")
    return {row["event_id"] for row in rows["rows"]}


@pytest.mark.slow
@pytest.mark.parametrize("crossing", [(BAD, 7)], indirect=True)
def test_a_bad_network_only_delays(crossing: Crossing) -> None:
    alice, bob, proxy = crossing.alice, crossing.bob, crossing.proxy
    alice.ask("sendMessages", target="general", texts=[f"before {n}" for n in range(100)])
    bob.ask("sendMessage", target="general", text="L" * 15_999)  # 16 datagrams, of which five are lost
    crossing.bob_up()
    errors: list[BaseException] = []
    writers = [Thread(target=_write, args=(who, who.name, 200, errors)) for who in (alice, bob)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not errors, errors
    everything = (
        _texts("alice", 200) | _texts("bob", 200) | {f"before {n}" for n in range(100)} | {"L" * 15_999}
    )
    alice.sees(everything)
    bob.sees(everything)
    assert _event_ids(alice) == _event_ids(bob)
    for person in (alice, bob):
        status = person.ask("getStatus")
        assert [identity["rejected"] for identity in status["identities"]] == [[]]
        assert all(not space["forks"] and not space["blocked"] for space in status["identities"][0]["spaces"])
    assert bob.peer(SECRETS["alice"])["address"] == proxy.address
    assert min(proxy.counts.values()) > 10, proxy.counts


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("crossing", [(BAD, seed) for seed in (1, 2)], indirect=True)
def test_a_bad_network_and_restarts_on_it_only_delay(crossing: Crossing) -> None:
    alice, bob = crossing.alice, crossing.bob
    everything: set[str] = set()
    for turn in range(4):
        crossing.bob_up()
        for person in (alice, bob):
            texts = [f"{person.name} {turn} {n}" for n in range(60)]
            person.ask("sendMessages", target="general", texts=texts)
            everything |= set(texts)
        if turn % 2:
            bob.kill()
        else:
            wait_until(lambda: bob.peer(SECRETS["alice"])["state"] != "waiting", "a first word")
            bob.stop()
        bob.ask("sendMessage", target="general", text=f"offline {turn}")
        everything.add(f"offline {turn}")
    crossing.bob_up()
    alice.sees(everything)
    bob.sees(everything)
    assert _event_ids(alice) == _event_ids(bob)


@pytest.mark.slow
@pytest.mark.parametrize("crossing", [(Conditions(), 3)], indirect=True)
def test_who_listens_learns_sizes_and_times_alone(crossing: Crossing) -> None:
    alice, bob, proxy = crossing.alice, crossing.bob, crossing.proxy
    words = [f"the cipher wheel turned {Random(n).randbytes(6).hex()} times" for n in range(60)]
    crossing.bob_up()
    for text in words:
        (alice if len(text) % 2 else bob).ask("sendMessage", target="general", text=text)
    alice.ask("sendMessages", target="secretgarden", texts=[f"{n} {words[n]}" for n in range(60)])
    alice.ask("sendMessage", target="general", text="Z" * 15_999)
    bob.sees({*words, "Z" * 15_999})
    wait_until(lambda: bob.peer(SECRETS["alice"])["state"] == "in-sync", "both in sync")
    captured = list(proxy.captured)
    assert len(captured) > 100
    assert max(map(len, captured)) <= MAX_DATAGRAM
    whole = b"\n".join(captured)
    for secret in _known(crossing, words):
        assert secret not in whole, secret
    _share_nothing(captured)


def _known(crossing: Crossing, words: list[str]) -> list[bytes]:
    """Everything that the two know and the listener must not: as text, and where it has bytes, as bytes."""
    invite: Ticket = crossing.invite
    listed = [
        m for target in ("general", "secretgarden") for m in crossing.alice.ask("getMessages", target=target)
    ]
    names = [m[field] for m in listed for field in ("event_id", "sender")]
    rows = crossing.alice.ask("query", statement="SELECT hex(key_id) AS k FROM epochs")["rows"]
    raw = [bytes.fromhex(row["k"]) for row in rows]
    raw += [invite.space_id, invite.link_key, invite.inviter, invite.secret]
    raw += [from_text(name) for name in names]
    texts = [*words, *SECRETS.values(), *names, "secretgarden", "general", "message", "sendMessage", "bloom"]
    texts += ["127.0.0.1", "ZZZZZZZZ", '"body"', "quire"]
    return [part for secret in raw for part in (secret, secret[:8], secret[-8:])] + [
        t.encode() for t in texts
    ]


def _share_nothing(captured: list[bytes], most: int = 1_000_000) -> None:
    """No eight bytes stand in two datagrams (a million windows: a chance of one in 10^8 that they do)."""
    seen: dict[bytes, int] = {}
    windows = 0
    for number, datagram in enumerate(captured):
        windows += len(datagram)
        if windows > most:
            break
        for at in range(len(datagram) - 7):
            first = seen.setdefault(datagram[at : at + 8], number)
            assert first == number, f"datagrams {first} and {number} share {datagram[at : at + 8].hex()}"
