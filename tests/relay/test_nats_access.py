"""Credentials and authorities for NATS servers: what their files may hold, and what is told where they do not."""

import asyncio
from pathlib import Path

import pytest

from quire.errors import UserError
from quire.relay.nats_access import Credentials, NatsAccess, read_credentials, tls_context
from quire.relay.stores import open_store
from tests.process.certificates import certificate

SECRET = "Quittenmus-17"


def _file(folder: Path, text: str) -> NatsAccess:
    (folder / "credentials").write_text(text)
    return NatsAccess(str(folder / "credentials"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("relay:Quittenmus-17\n", Credentials("relay", SECRET)),
        ("relay:a:b:c", Credentials("relay", "a:b:c")),
        ("Quittenmus-17\n\n", Credentials(token=SECRET)),
        ("  relay:Quittenmus-17 \nand more", Credentials("relay", SECRET)),
    ],
)
def test_what_a_file_holds(tmp_path: Path, text: str, found: Credentials) -> None:
    assert read_credentials(_file(tmp_path, text)) == found
    assert read_credentials(NatsAccess()) == Credentials()


@pytest.mark.parametrize("text", ["", "\n", ":Quittenmus-17", "relay:", b"\xff\xfe".decode("latin-1")])
def test_a_file_that_holds_nothing_is_told_without_what_it_holds(tmp_path: Path, text: str) -> None:
    (tmp_path / "credentials").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as told:
        read_credentials(NatsAccess(str(tmp_path / "credentials")))
    assert "credentials" in str(told.value)
    assert SECRET not in str(told.value)


def test_files_that_cannot_be_had_are_told(tmp_path: Path) -> None:
    nothing = str(tmp_path / "nothing")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_credentials(NatsAccess(nothing))
    with pytest.raises(UserError, match="cannot be read: No such file"):
        tls_context(NatsAccess(authority=nothing))
    with pytest.raises(UserError, match="no certificate"):
        tls_context(NatsAccess(authority=_file(tmp_path, "relay").credentials))
    made = certificate(tmp_path, "127.0.0.1")
    assert tls_context(NatsAccess(authority=str(made.authority))).verify_mode


@pytest.mark.parametrize(
    "url",
    [
        "nats://relay:Quittenmus-17@a",
        "tls://Quittenmus-17@a,b",
        "nats//relay:Quittenmus-17@a",
        "nat:Quittenmus-17@a",
    ],
)
def test_no_address_holds_a_password(url: str) -> None:
    with pytest.raises(UserError, match="--nats-credentials") as told:
        asyncio.run(open_store(url))
    assert SECRET not in str(told.value)
