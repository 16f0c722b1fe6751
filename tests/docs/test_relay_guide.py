"""The configuration of NATS servers in the operators' guide, as it stands there."""

import asyncio
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from quire.errors import HomeError
from quire.relay.log_store import LogStore
from quire.relay.stores import open_store
from tests.relay.cluster import nats_server
from tests.relay.conformance import BOX, ONE
from tests.relay.log_model import T0, records

GUIDE = Path(__file__).parents[2] / "docs" / "operators.md"
NAMES = ("a", "b", "c")


@pytest.fixture
def ports() -> list[int]:
    """Two for each server: for clients and for other servers."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(6)]
        return [one.getsockname()[1] for one in taken]


@pytest.fixture
def servers(tmp_path: Path, ports: list[int]) -> Iterator[None]:
    """Three that run with what is in the guide; three machines are three ports of one here."""
    (typed,) = re.findall(r"```\n(server_name: a\n.*?)```", GUIDE.read_text(), re.DOTALL)
    running = []
    try:
        for at, name in enumerate(NAMES):
            text = typed.replace("server_name: a", f"server_name: {name}")
            text = text.replace("/var/lib/nats", str(tmp_path / name))
            text = text.replace('"0.0.0.0:4222"', f'"127.0.0.1:{ports[at]}"')
            text = text.replace('"0.0.0.0:6222"', f'"127.0.0.1:{ports[3 + at]}"')
            for other, known in enumerate(NAMES):
                text = text.replace(f"nats://{known}:6222", f"nats://127.0.0.1:{ports[3 + other]}")
            file = tmp_path / f"{name}.conf"
            file.write_text(text)
            with (tmp_path / f"{name}.log").open("wb") as log:
                running.append(subprocess.Popen([nats_server(), "-c", str(file)], stdout=log, stderr=log))
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.mark.usefixtures("servers")
def test_servers_that_are_configured_as_in_the_guide_keep_a_relays_logs(ports: list[int]) -> None:
    async def opened() -> LogStore:
        url = "nats://" + ",".join(f"127.0.0.1:{port}" for port in ports[:3])
        for _ in range(9):  # they find each other first
            with suppress(HomeError):
                return await open_store(url)
        return await open_store(url)

    async def scenario() -> None:
        store = await opened()
        assert (await store.append(BOX, ONE, records(1, 5), T0)).taken == 5
        await store.check(True)
        await store.close()

    asyncio.run(scenario())
