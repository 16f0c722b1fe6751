"""Which store an address means: the one place that knows them all.

Owns: the addresses. Must not know: any store's inside; what only one of them needs is imported when it is asked for.
"""

from pathlib import Path
from urllib.parse import urlsplit

from quire.errors import HomeError, UserError
from quire.relay.log_store import LogStore, StoreUnavailable
from quire.relay.nats_access import NatsAccess

SQLITE, NATS = "sqlite:", ("nats://", "tls://")
_NOBODY = NatsAccess()


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite store's address; None for another store's. Raises UserError for what is neither."""
    if url.startswith(SQLITE) and url != SQLITE:
        return Path(url.removeprefix(SQLITE)).expanduser()
    if nats_servers(url):
        return None
    if "@" in url and not url.startswith(SQLITE):  # not told: it may hold a password
        raise UserError(
            "A store's address holds no user and no password: put `user:password` into a file and name that with "
            "--nats-credentials."
        )
    raise UserError(
        f"{url!r} is no store. One is `sqlite:PATH`, a file on this machine, or `nats://A:4222,B:4222,C:4222`, a "
        "NATS cluster with JetStream (`tls://` for one that asks for TLS)."
    )


def nats_servers(url: str) -> list[str]:
    """The servers in `nats://A,B,C` or tls://; none if it is neither, or holds a name or password."""
    if not url.startswith(NATS):
        return []
    scheme, _, hosts = url.partition("://")
    found = [f"{scheme}://{host.strip()}" for host in hosts.rstrip("/").split(",") if host.strip()]
    return found if "@" not in hosts and all(map(_names_a_host, found)) else []


def place_of(url: str) -> str:
    """Which store an address means, for a log: wherever the process was started, and without anything secret."""
    path = sqlite_path(url)
    if path is not None:
        return f"{SQLITE}{path.absolute()}"
    servers = [urlsplit(server) for server in nats_servers(url)]
    return f"{servers[0].scheme}://{','.join(server.netloc for server in servers)}"


def _names_a_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


async def open_store(url: str, access: NatsAccess = _NOBODY) -> LogStore:
    """Open a store, or make it; `access` is for one on NATS.

    Raises UserError for what is no address, or where a package is missing or servers are too old; HomeError where
    the store cannot be had: a file that cannot be used, no server that answers.
    """
    path = sqlite_path(url)
    if path is not None:
        from quire.relay.sqlite_log import SqliteLog

        if not path.parent.is_dir():  # its lock would make it, also where the name is mistyped
            raise HomeError(
                f"There is no folder {path.parent} for the relay's store. Make it, or name another."
            )
        return SqliteLog(path)
    try:
        from quire.relay.nats_log import open_nats_log
    except ImportError as missing:
        if (missing.name or "").partition(".")[0] != "nats":
            raise
        raise UserError(
            "A store on NATS needs one more package: pip install '.[nats]' in the folder of Quire's source"
        ) from missing
    try:
        return await open_nats_log(nats_servers(url), access)
    except StoreUnavailable as error:
        raise HomeError(str(error)) from error
