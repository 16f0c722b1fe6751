"""A relay on a socket, in this process: what it answers over HTTP, TLS, what cannot be used."""

import asyncio
import datetime
import json
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect

from quire.errors import HomeError, QuireError, UserError
from quire.net import relay_wire as wire
from quire.runtime.relay_config import RelayConfig
from quire.runtime.relay_server import RunningRelay, serve_relay


def config(folder: Path, **more: object) -> RelayConfig:
    return RelayConfig(listen="127.0.0.1:0", store=f"sqlite:{folder / 'relay.db'}", **more)  # type: ignore[arg-type]


def get(address: str, path: str) -> tuple[int, str, bytes]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    until = now + datetime.timedelta(days=2)
    made = x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number(), now, until)
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    cert, secret = folder / "cert.pem", folder / "key.pem"
    pem = serialization.Encoding.PEM
    cert.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(pem, *plain))
    return cert, secret


async def challenged(relay: RunningRelay, name: str = "", cert: Path | None = None) -> wire.Challenge:
    context = None if cert is None else ssl.create_default_context(cafile=str(cert))
    url = relay.url.partition("#")[0]
    more = {} if context is None else {"ssl": context, "server_hostname": name}
    async with connect(url, compression=None, proxy=None, **more) as client:  # type: ignore[arg-type]
        data = await client.recv()
        assert isinstance(data, bytes)
        said = wire.read_relay(data)
        assert isinstance(said, wire.Challenge)
        return said


def test_health_metrics_and_a_word_for_browsers(tmp_path: Path) -> None:
    async def scenario() -> None:
        relay = await serve_relay(config(tmp_path))
        said = await challenged(relay)
        secret = json.loads((tmp_path / "relay.db.key").read_text())
        assert secret not in relay.url
        status, kind, body = await asyncio.to_thread(get, relay.address, "/health")
        assert (status, kind) == (200, "application/json")
        assert relay.url.endswith(f"/#{json.loads(body)['key']}")
        assert said.version == json.loads(body)["protocol"]
        status, kind, body = await asyncio.to_thread(get, relay.address, "/metrics")
        assert status == 200
        assert b"quire_relay_connections_made_total 1.0" in body
        status, _, body = await asyncio.to_thread(get, relay.address, "/")
        assert (status, b"relay of Quire" in body) == (426, True)
        await relay.close()
        with pytest.raises(OSError):
            await challenged(relay)
        again = await serve_relay(config(tmp_path))  # the store and the port were let go of
        assert again.url.partition("#")[2] == relay.url.partition("#")[2]
        await again.close()

    asyncio.run(scenario())


def test_a_key_that_is_older_than_its_store_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The store may have been lost, or its disk not be there."""

    def told() -> int:
        return sum("its store is new" in record.getMessage() for record in caplog.records)

    async def serve() -> None:
        relay = await serve_relay(config(tmp_path))
        await relay.close()

    for _ in range(2):
        asyncio.run(serve())
        assert told() == 0
    (tmp_path / "relay.db").unlink()
    asyncio.run(serve())
    assert told() == 1
    asyncio.run(serve())
    assert told() == 1


def test_tls_from_files_that_are_read_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        cert, key = certificate(tmp_path, "first.example")
        relay = await serve_relay(config(tmp_path, tls_cert=str(cert), tls_key=str(key)))
        assert relay.url.startswith("wss://127.0.0.1:")
        await challenged(relay, "first.example", cert)
        cert.write_text("damaged")
        relay.reload_certificate()
        certificate(tmp_path, "second.example")
        relay.reload_certificate()
        await challenged(relay, "second.example", cert)
        with pytest.raises(ssl.SSLCertVerificationError):
            await challenged(relay, "first.example", cert)
        await relay.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("wss://relay.example.org/", "wss://relay.example.org/"),
        ("http://relay.example", "ws://relay.example/"),
    ],
)
def test_behind_a_proxy_it_tells_the_address_of_others(tmp_path: Path, typed: str, meant: str) -> None:
    async def scenario() -> None:
        relay = await serve_relay(config(tmp_path, url=typed))
        assert relay.url.startswith(f"{meant}#")
        await relay.close()

    asyncio.run(scenario())


def test_what_cannot_be_used_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def fails(kind: type[QuireError], **more: object) -> str:
        settings = {"listen": "127.0.0.1:0", "store": f"sqlite:{tmp_path / 'relay.db'}"} | more
        with pytest.raises(kind) as told:
            await serve_relay(RelayConfig(**settings))  # type: ignore[arg-type]
        return str(told.value)

    async def scenario() -> None:
        cert, key = certificate(tmp_path, "first.example")
        assert "both" in await fails(UserError, tls_cert=str(cert))
        assert "cannot be read" in await fails(UserError, tls_cert=str(cert), tls_key=str(tmp_path / "none"))
        told = await fails(UserError, tls_cert=str(key), tls_key=str(key))
        assert "no certificate" in told
        assert "None" not in told
        (tmp_path / "other").mkdir()
        _, other = certificate(tmp_path / "other", "first.example")
        told = await fails(UserError, tls_cert=str(cert), tls_key=str(other))
        assert "the key is another certificate's" in told
        assert "--url takes" in await fails(UserError, url="foo")
        assert "no address" in await fails(UserError, listen="relay.example.org:1")
        assert "no store" in await fails(UserError, store="postgres://x")
        assert "There is no folder" in await fails(
            HomeError, store=f"sqlite:{tmp_path / 'none' / 'relay.db'}"
        )
        assert not (tmp_path / "relay.db").exists()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            assert "another program" in await fails(HomeError, listen=f"127.0.0.1:{taken.getsockname()[1]}")
        relay = await serve_relay(config(tmp_path))
        assert "in use by another relay" in await fails(HomeError)
        await challenged(relay)
        await relay.close()

    asyncio.run(scenario())


def test_signals_are_taken_while_the_store_is_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        store = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        words = [
            "relay",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--store",
            store,
            "--key",
            str(tmp_path / "key"),
        ]
        program = [sys.executable, "-c", "from quire.cli import main; main()", *words]
        relay = subprocess.Popen(program, stderr=subprocess.PIPE)
        assert relay.stderr is not None
        try:
            told = json.loads(relay.stderr.readline())  # before anybody answers
            assert (told["event"], told["store"]) == ("connecting", store)
            client, _ = silent.accept()  # it waits for an answer now, which never comes
            with client:
                relay.send_signal(signal.SIGHUP)
                relay.send_signal(signal.SIGTERM)
                assert relay.wait(60) == 0
        finally:
            relay.kill()
            relay.wait()
            relay.stderr.close()
