"""Relays that are killed, lose what they kept, have no room, or are not what they were: what people see of it."""

import asyncio
import shutil
import subprocess
import time
from pathlib import Path
from random import Random
from threading import Event, Thread

import pytest

from tests.process.certificates import certificate
from tests.process.harness import QUIRE, Lab, Person, wait_until
from tests.process.relays import (
    HttpProxy,
    Relay,
    Relays,
    alone,
    apart,
    founder,
    in_sync,
    relay_of,
)
from tests.process.small_disk import SmallDisk
from tests.relay.cluster import Cluster

LONG = 600


class Talk:
    """People who go on writing, whatever happens to their relay, until it is closed; `texts` are all they said."""

    def __init__(self, people: tuple[Person, ...], pause: float = 0.2) -> None:
        self.people = people
        self._said: list[set[str]] = [set() for _ in people]
        self._over = Event()
        self._failures: list[Exception] = []
        self._threads = [Thread(target=self._talk, args=(n, pause)) for n in range(len(people))]
        for thread in self._threads:
            thread.start()

    def _talk(self, n: int, pause: float) -> None:
        try:
            while not self._over.wait(pause):
                texts = [f"{self.people[n].name} {len(self._said[n]) + at} {'t' * 500}" for at in range(2)]
                self.people[n].ask("sendMessages", target="general", texts=texts)
                self._said[n] |= set(texts)
        except Exception as error:
            self._failures.append(error)

    def end(self) -> None:
        """Let them fall silent, and everybody have everything, once each, without a word against the relay."""
        self.hush()
        for person in self.people:
            person.sees(set().union(*self._said))
            in_sync(person)

    def hush(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        assert self._failures == []
        assert all(self._said)


def _no_faults(people: tuple[Person, ...], host: str) -> None:
    for person in people:
        assert relay_of(person, host)["faults"] == []


def _kill_now_and_then(relay: Relay, random: Random, kills: int) -> None:
    for _ in range(kills):
        time.sleep(random.random() * 1.5)
        relay.kill()
        time.sleep(random.random() * 0.3)
        relay.up()
        time.sleep(1.0)


@pytest.mark.slow
@pytest.mark.timeout(LONG)
@pytest.mark.parametrize("seed", range(2))
def test_a_relay_that_is_killed_again_and_again_loses_nothing(lab: Lab, relays: Relays, seed: int) -> None:
    relay = relays.relay()
    alice, bob = apart(lab, relay.address)
    talk = Talk((alice, bob))
    _kill_now_and_then(relay, Random(seed), 6)
    talk.end()
    _no_faults((alice, bob), relay.host)
    alice.stop()
    bob.stop()
    _newcomer_gets_all(lab, alice)


def _newcomer_gets_all(lab: Lab, alice: Person) -> None:
    """What lies at the relay is all there is: somebody who comes while everybody else sleeps reads it."""
    alice.up()
    link = alice.ask("createInvite")["link"]
    in_sync(alice)
    texts = set(alice.texts())
    alice.stop()
    carol = lab.person("carol")
    carol.ask("joinSpace", link=link, name="carol")
    carol.up()
    carol.sees(texts)


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_those_who_are_never_up_together_while_the_relay_is_killed(lab: Lab, relays: Relays) -> None:
    """Each writes, is up alone while the relay dies under it, and sleeps again."""
    relay = relays.relay()
    alice, bob = apart(lab, relay.address)
    alice.stop()
    bob.stop()
    random, texts = Random(5), set[str]()
    for turn in range(6):
        person = (alice, bob)[turn % 2]
        written = {f"{person.name} {turn} {n} {'t' * 900}" for n in range(100)}
        person.ask("sendMessages", target="general", texts=sorted(written))
        texts |= written
        person.up(listen=("127.0.0.1:0", "[::1]:0")[turn % 2])
        time.sleep(random.random() * 0.5)
        relay.kill()
        relay.up()
        person.sees(texts)
        in_sync(person)
        _no_faults((person,), relay.host)
        person.stop()
    alone(alice, texts)


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_a_cluster_loses_a_server_then_a_process_and_is_healed(
    lab: Lab, cluster: Cluster, relays: Relays
) -> None:
    processes = relays.processes(cluster.url)
    front = relays.front(processes)
    alice, bob = apart(lab, front.address)
    talk = Talk((alice, bob))
    time.sleep(2)
    cluster.kill(1)
    time.sleep(4)
    processes[0].kill()
    time.sleep(3)
    asyncio.run(cluster.heal())
    processes[0].up()
    time.sleep(2)
    processes[1].kill()
    time.sleep(2)
    processes[1].up()
    talk.end()
    _no_faults((alice, bob), front.host)
    alice.stop()
    bob.stop()
    _newcomer_gets_all(lab, alice)


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_a_relay_that_lost_its_newest_records_is_told_of_and_given_them_anew(
    lab: Lab, relays: Relays
) -> None:
    relay = relays.relay()
    alice = founder(lab, "alice", relay.address)
    alice.up()
    texts = {f"before {n}" for n in range(5)}
    alice.ask("sendMessages", target="general", texts=sorted(texts))
    in_sync(alice)
    relay.stop()
    copy = relay.folder / "copy.db"
    shutil.copyfile(relay.database, copy)
    relay.up()
    later = {f"after {n}" for n in range(5)}
    for text in sorted(later):
        alice.ask("sendMessage", target="general", text=text)
    in_sync(alice)
    relay.stop()
    for name in ("relay.db", "relay.db-wal", "relay.db-shm"):
        (relay.folder / name).unlink(missing_ok=True)
    shutil.copyfile(copy, relay.database)
    relay.up()
    wait_until(lambda: relay_of(alice, relay.host)["faults"], "alice finding it out")
    in_sync(alice)
    said = alice.cli("status")
    assert "it lost records that it had vouched for (rolled-back)" in said
    link = alice.ask("createInvite")["link"]
    in_sync(alice)
    alice.stop()
    bob = lab.person("bob")
    bob.ask("joinSpace", link=link, name="bob")
    bob.up()
    bob.sees(texts | later)
    bob.ask("sendMessage", target="general", text="and on")
    in_sync(bob)
    bob.stop()
    alone(alice, texts | later | {"and on"})


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_a_relay_whose_store_is_damaged_says_so_to_devices_and_to_its_operator(
    lab: Lab, relays: Relays
) -> None:
    relay = relays.relay()
    alice = founder(lab, "alice", relay.address)
    alice.up()
    alice.ask("sendMessages", target="general", texts=[f"{n} {'f' * 900}" for n in range(200)])
    in_sync(alice)
    link = alice.ask("createInvite")["link"]
    in_sync(alice)
    alice.stop()
    relay.stop()
    with relay.database.open("r+b") as file:
        for page in range(12, relay.database.stat().st_size // 4096):
            file.seek(4096 * page)
            file.write(b"\xff" * 4096)
    relay.up()
    bob = lab.person("bob")
    bob.ask("joinSpace", link=link, name="bob")
    bob.up()
    wait_until(lambda: relay_of(bob, relay.host)["state"] == "refused", "bob being told")
    assert "store is damaged" in bob.cli("status")
    wait_until(lambda: '"level":"error","event":"store-unavailable"' in relay.said(), "the log")
    stats = subprocess.run(
        [QUIRE, "relay", "stats", relay.address],
        capture_output=True,
        text=True,
        check=False,
        env=relay.environment,
    )
    assert (stats.returncode, "unavailable" in stats.stdout, "damaged" in stats.stdout) == (1, True, True)


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_a_relay_whose_disk_is_full_takes_nothing_and_all_once_there_is_room(
    lab: Lab, disk: SmallDisk, relays: Relays
) -> None:
    relay = relays.relay(store=f"sqlite:{disk.folder / 'relay.db'}")
    try:
        alice, bob = apart(lab, relay.address)
        disk.fill()
        texts = {f"while full {n} {'f' * 900}" for n in range(60)}
        alice.ask("sendMessages", target="general", texts=sorted(texts))
        wait_until(lambda: relay_of(alice, relay.host)["state"] == "refused", "alice being refused")
        said = alice.cli("status")
        assert "The relay cannot store" in said
        assert f"relay {relay.host}: refused, 1 to hand over" not in said
        alice.cli("send", "general", "we go on")
        assert "we go on" in alice.texts()
        assert "no space" in relay.said().lower() or "full" in relay.said().lower()
        disk.free()
        bob.sees(texts | {"we go on"})
        in_sync(alice)
        _no_faults((alice, bob), relay.host)
    finally:
        relay.kill()


# --- The way there.


def test_a_relay_is_reached_through_an_http_proxy(lab: Lab, relays: Relays) -> None:
    relay = relays.relay()
    proxy = HttpProxy()
    try:
        alice = founder(lab, "alice", relay.address)
        for name in ("no_proxy", "NO_PROXY"):
            alice.environment.pop(name, None)
        alice.environment |= {"http_proxy": proxy.url, "https_proxy": proxy.url}
        alice.ask("sendMessage", target="general", text="through a proxy")
        alice.up()
        in_sync(alice)
        assert set(proxy.asked) == {relay.host}
        alice.stop()
    finally:
        proxy.close()


@pytest.mark.slow
def test_a_relay_is_reached_over_tls_if_its_certificate_is_good(
    lab: Lab, relays: Relays, tmp_path: Path
) -> None:
    made = certificate(tmp_path, "127.0.0.1")
    relay = relays.relay(options=("--tls-cert", str(made.chain), "--tls-key", str(made.key)))
    assert relay.address.startswith("wss://")
    alice = founder(lab, "alice", relay.address)
    alice.up()
    wait_until(lambda: relay_of(alice, relay.host)["trouble"], "alice doubting the certificate")
    assert "its certificate" in alice.cli("status")
    alice.stop()
    alice.environment["SSL_CERT_FILE"] = str(made.authority)
    alice.up()
    in_sync(alice)


@pytest.mark.slow
def test_a_certificate_for_another_host_is_refused_in_plain_words(
    lab: Lab, relays: Relays, tmp_path: Path
) -> None:
    made = certificate(tmp_path, "relay.example")
    relay = relays.relay(options=("--tls-cert", str(made.chain), "--tls-key", str(made.key)))
    alice = founder(lab, "alice", relay.address)
    alice.environment["SSL_CERT_FILE"] = str(made.authority)
    alice.up()
    wait_until(lambda: relay_of(alice, relay.host)["trouble"], "alice refusing the certificate")
    said = alice.cli("status")
    assert "its certificate is not good" in said
    assert "127.0.0.1" in said


@pytest.mark.slow
def test_a_relay_that_was_given_another_key_is_found_out(lab: Lab, relays: Relays) -> None:
    relay = relays.relay()
    alice = founder(lab, "alice", relay.address)
    alice.up()
    in_sync(alice)
    relay.stop()
    (relay.folder / "relay.db.key").unlink()
    before = relay.address
    with pytest.raises(AssertionError, match="There is no key"):
        relay.up()
    relay.kill()
    assert relay.up("--new-key") != before
    wait_until(lambda: "another key" in alice.cli("status"), "alice telling that it has another key")
    alice.cli("relay", "add", relay.address)  # the operator tells its new address
    alice.cli("relay", "remove", before)
    in_sync(alice)


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_a_relay_ends_well_though_its_cluster_is_gone(lab: Lab, cluster: Cluster, relays: Relays) -> None:
    (relay,) = relays.processes(cluster.url, 1)
    alice = founder(lab, "alice", relay.address)
    alice.up()
    in_sync(alice)
    alice.ask("sendMessage", target="general", text="acknowledged in a moment")
    in_sync(alice)
    cluster.stop()
    alice.ask("sendMessage", target="general", text="nobody can keep it")
    wait_until(lambda: relay_of(alice, relay.host)["state"] == "refused", "alice being refused")
    assert "The relay cannot store" in alice.cli("status")
    relay.stop()
    assert '"event":"stopped"' in relay.said()
