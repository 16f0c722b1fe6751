"""A relay and NATS servers that ask for a password, a token or TLS: what works, what is told, what is not."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection

from quire.net import relay_wire as wire
from quire.relay.nats_access import NatsAccess
from tests.process import harness
from tests.process.certificates import Certificate, certificate
from tests.process.harness import PATIENCE, QUIRE
from tests.process.relay_devices import RelayProcess, heard, line, opened, relay_process, said
from tests.relay.cluster import Cluster
from tests.relay.parties import Owner, key_of, records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
USER, PASSWORD, TOKEN = "relais", "Quittenmus-17-Weidenkorb", "Marmeladentopf-23-Leiter"
WRONG = "Himbeersaft-99"
PHONE = key_of("phone")


class Guarded(NamedTuple):
    """What a cluster asks for: lines of its configuration, the scheme, what answers it, and the secret."""

    more: str
    scheme: str
    access: NatsAccess
    secret: str

    @property
    def words(self) -> tuple[str, ...]:
        """The same as options of a relay."""
        ca = ("--nats-ca", self.access.authority) if self.access.authority else ()
        return ("--nats-credentials", self.access.credentials, *ca)


def _tls(made: Certificate) -> str:
    return f'tls {{ cert_file: "{made.chain}", key_file: "{made.key}" }}\n'


def _guarded(kind: str, folder: Path) -> Guarded:
    user = f'authorization {{ user: "{USER}", password: "{PASSWORD}" }}\n'
    file = folder / "credentials"
    access = NatsAccess(str(file))
    if kind == "token":
        file.write_text(TOKEN + "\n")
        return Guarded(f'authorization {{ token: "{TOKEN}" }}\n', "nats", access, TOKEN)
    file.write_text(f"{USER}:{PASSWORD}\n")
    if kind == "password":
        return Guarded(user, "nats", access, PASSWORD)
    made = certificate(folder, "127.0.0.1")
    return Guarded(user + _tls(made), "tls", NatsAccess(str(file), str(made.authority)), PASSWORD)


@pytest.fixture(params=["password", "token", "tls"])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Guarded:
    return _guarded(str(request.param), tmp_path)


@pytest.fixture
def cluster(guarded: Guarded, tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "nats").mkdir()
    with Cluster(tmp_path / "nats", guarded.more, guarded.scheme, guarded.access) as made:
        yield made


def _refused(store: str, folder: Path, *words: str) -> str:
    """What a relay that does not start says."""
    command = [
        QUIRE,
        "relay",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--store",
        store,
        "--key",
        str(folder / "key"),
    ]
    done = subprocess.run(
        [*command, *words],
        check=False,
        env=harness.environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_it_keeps_records_there_and_tells_nobody_the_secret(
    guarded: Guarded, cluster: Cluster, tmp_path: Path
) -> None:
    async def scenario(relay: RelayProcess) -> None:
        async with line(relay) as socket:
            greeting = await opened(socket, Owner(), PHONE, frugal=True, records=records(1, 3))
            assert greeting.taken == 3
            await asyncio.to_thread(cluster.kill, 1)
            await said(socket, wire.Add(1, records(4, 6)))
            while not isinstance(message := await heard(socket), wire.Added):
                assert isinstance(message, wire.Grown), message
            assert message.taken == 6

    words = ("--key", str(tmp_path / "relay.key"), *guarded.words)
    with relay_process(tmp_path, *words, store=cluster.url) as relay:
        asyncio.run(scenario(relay))
        stats = _well(relay)
        assert relay.process is not None
        proc = Path(f"/proc/{relay.process.pid}")
        secret = guarded.secret.encode()
        seen = stats + (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
        assert b"--nats-credentials" in seen
        assert secret not in seen
        cluster.stop()
        asyncio.run(_is_unavailable(relay))
        relay.stop()
    assert '"event":"store-unavailable"' in relay.said()
    assert guarded.secret not in relay.said()


def _well(relay: RelayProcess) -> bytes:
    """What a relay says once it is well, which is when the servers that are left have agreed on all their leaders."""
    until = monotonic() + PATIENCE
    while True:
        command = [QUIRE, "relay", "stats", relay.address]
        done = subprocess.run(
            command, check=False, capture_output=True, env=relay.environment, timeout=PATIENCE
        )
        if done.returncode == 0:
            assert b"ok" in done.stdout
            return done.stdout
        assert b"unavailable" in done.stdout, done.stderr
        assert monotonic() < until


async def _is_unavailable(relay: RelayProcess) -> None:
    async with line(relay) as socket:
        challenge = await heard(socket)
        assert isinstance(challenge, wire.Challenge)
        await said(socket, Owner().hello(challenge, PHONE))
        message = await heard(socket)
        assert isinstance(message, wire.Refusal), message
        assert message.reason == "unavailable"


def test_what_servers_refuse_is_told_in_plain_words(
    guarded: Guarded, cluster: Cluster, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(WRONG if guarded.secret == TOKEN else f"{USER}:{WRONG}")
    certificates = guarded.words[2:]
    for words in (certificates, ("--nats-credentials", str(wrong), *certificates)):
        told = _refused(cluster.url, tmp_path, *words)
        assert "None of the 3 NATS servers can be used" in told
        assert "--nats-credentials" in told
        assert (
            "Authorization Violation" in told or guarded.scheme == "tls"
        )  # there the end may come before the word
        assert WRONG not in told
    if certificates:
        told = _refused(cluster.url, tmp_path, *guarded.words[:2])
        assert "certificate verify failed" in told
        assert guarded.secret not in told


def test_no_password_is_told_to_a_server_without_tls(tmp_path: Path) -> None:
    """The library would, to whoever answers there."""
    guarded = _guarded("password", tmp_path)
    (tmp_path / "nats").mkdir()
    with Cluster(tmp_path / "nats", guarded.more + "trace: true\n", access=guarded.access) as cluster:
        url = cluster.url.replace("nats:", "tls:")
        told = _refused(url, tmp_path, *guarded.words)
        assert "does not ask for TLS" in told
        assert guarded.secret not in told


def test_servers_that_change_the_password_are_used_again_once_it_is_told(tmp_path: Path) -> None:
    guarded = _guarded("password", tmp_path)
    (tmp_path / "nats").mkdir()

    async def scenario(relay: RelayProcess, cluster: Cluster) -> None:
        async with line(relay) as socket:
            await opened(socket, Owner(), PHONE, frugal=True, records=records(1, 3))
            cluster.reload(guarded.more.replace(PASSWORD, TOKEN))
            local = 4
            while (told := await _add(socket, local)) == "kept":  # until they have read it
                local += 1
            assert told == "unavailable"
            (tmp_path / "credentials").write_text(f"{USER}:{TOKEN}\n")
            while (told := await _add(socket, local)) == "unavailable":
                pass
            assert told == "kept"

    with Cluster(tmp_path / "nats", guarded.more, access=guarded.access) as cluster:
        words = ("--key", str(tmp_path / "relay.key"), *guarded.words)
        relay = RelayProcess(tmp_path, *words, store=cluster.url)
        # Its library lets go of connections that were refused without waiting for their end.
        relay.environment["PYTHONWARNINGS"] = "error,ignore::ResourceWarning"
        relay.start()
        try:
            asyncio.run(scenario(relay, cluster))
        finally:
            relay.kill()
    assert "Traceback" not in relay.said()
    assert not any(secret in relay.said() for secret in (PASSWORD, TOKEN))


async def _add(socket: ClientConnection, local: int) -> str:
    await said(socket, wire.Add(1, records(local, local)))
    while isinstance(message := await heard(socket), wire.Grown):
        pass
    if isinstance(message, wire.Refusal):
        return message.reason
    assert isinstance(message, wire.Added), message
    return "kept"
