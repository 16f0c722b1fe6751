"""A home folder: `quire.db` (everything), who holds it, and how to reach its running node.

Owns: the files `lock`, `holder.json`, `node.json` and `token`, and the folder's rights: its owner's alone.
Must not know: how the key of the home is kept.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import apsw
import msgspec
from filelock import FileLock, Timeout
from platformdirs import user_data_dir

from quire.errors import Damaged, HomeError, NotFound
from quire.events.home import Home
from quire.events.rebuild import rebuild
from quire.handlers import REGISTRY
from quire.runtime.boot import boot_id
from quire.runtime.checkpoints import Checkpoints
from quire.runtime.clock import wall_ms
from quire.runtime.home_key import UNATTENDED, Protection, Unlocking, make_vault, open_vault, protect
from quire.runtime.host import OfflineHost
from quire.runtime.private_file import write_private

#: How long a process waits for a home that another holds (seconds).
PATIENCE_S = 1.0


class NodeInfo(msgspec.Struct):
    """A running node: process, API and UDP address, the token that opens the API, and its relay's address, if any."""

    pid: int
    api: str
    listen: str
    token: str
    relay: str = ""


class _Holder(msgspec.Struct):
    pid: int
    doing: str


def home_folder(option: str | None) -> Path:
    """The home: `option` (`--home`), else QUIRE_HOME, else the platform's data folder."""
    return Path(
        option or os.environ.get("QUIRE_HOME") or user_data_dir("quire", appauthor=False)
    ).expanduser()


@contextmanager
def hold(folder: Path, doing: str) -> Iterator[None]:
    """Hold a home for this process alone. Raises HomeError, naming the holder, when another has it."""
    lock = FileLock(folder / "lock", mode=0o600)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire(timeout=PATIENCE_S)  # for another command, which takes less
    except Timeout:
        raise HomeError(
            f"The home {folder} is in use by {_describe_holder(folder)}. Stop it, or wait."
        ) from None
    except OSError as error:
        raise HomeError(
            f"The home {folder} cannot be used: {error.strerror}. Check its rights, or choose another with --home."
        ) from None
    try:
        with suppress(HomeError):  # a full disk: the name is only for whoever comes second
            write_private(folder / "holder.json", _Holder(os.getpid(), doing))
        yield
    finally:
        with suppress(OSError):
            (folder / "holder.json").unlink()
        lock.release()


def _describe_holder(folder: Path) -> str:
    try:
        holder = msgspec.json.decode((folder / "holder.json").read_bytes(), type=_Holder)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return "another process"
    return f"process {holder.pid} ({holder.doing})"


def token_of(folder: Path) -> str:
    """The token that opens this home's API, made at the first run and kept in `token`."""
    try:
        token = str(msgspec.json.decode((folder / "token").read_bytes(), type=str))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        token = secrets.token_urlsafe(32)
        write_private(folder / "token", token)
    return token


def is_there(folder: Path) -> bool:
    """Whether there is a home, or was one, or what can be none. Raises HomeError where that cannot be seen."""
    try:
        if folder.exists() and not folder.is_dir():
            return True  # whoever uses it is told so
        return (folder / "token").exists() or not _is_empty(folder / "quire.db")
    except OSError as error:
        raise HomeError(
            f"The home {folder} cannot be used: {error.strerror}. Choose another with --home."
        ) from None


def running_node(folder: Path) -> NodeInfo | None:
    """The node that runs on a home, as its `node.json` tells; None when there is none.

    A node that was killed leaves its file behind, and by now another program may have its number: only
    a home that someone holds has a running node.
    """
    try:
        info = msgspec.json.decode((folder / "node.json").read_bytes(), type=NodeInfo)
        os.kill(info.pid, 0)
        return info if _is_held(folder) else None
    except (OSError, OverflowError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _is_held(folder: Path) -> bool:
    try:
        with FileLock(folder / "lock", mode=0o600).acquire(timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def opened_home(folder: Path, unlocking: Unlocking = UNATTENDED, sharing: bool = False) -> Iterator[Home]:
    """The database of a home that this process holds, made if there is none, with checkpoints beside it.

    `sharing`: what is written is handed out to others before it is closed.
    """
    home = _open(folder, unlocking)
    try:
        with Checkpoints(home.store.db), _sharing(home) if sharing else nullcontext():
            yield home
    finally:
        home.close()


@contextmanager
def _sharing(home: Home) -> Iterator[None]:
    home.store.power.begin(boot_id())
    try:
        yield
    finally:
        with suppress(
            HomeError, apsw.Error
        ):  # then it is taken for untidy once the system has been started anew
            home.store.power.end()


def _open(folder: Path, unlocking: Unlocking) -> Home:
    path = folder / "quire.db"
    # The key is on the disk before the database that needs it: a kill between leaves a key of nothing.
    vault = make_vault(folder, unlocking) if _is_new(folder, path) else open_vault(folder, unlocking)
    old = os.umask(0o077)
    try:
        home = Home(path, REGISTRY, os.urandom, vault)
    finally:
        os.umask(old)
    token_of(folder)
    try:
        with home.store.db.plain_errors():
            for account in home.store.memberships.accounts():  # a key that is another home's is told now
                home.store.memberships.device_key(account)
        home.store.power.came_back(boot_id())
        if home.stale_views:
            rebuild(home, wall_ms())
    except BaseException:
        home.close()
        raise
    return home


def _is_new(folder: Path, path: Path) -> bool:
    """Whether nothing was ever kept here.

    A home that was used has a token: its database cannot be gone. Raises Damaged rather than begin anew.
    """
    empty = _is_empty(path)
    if empty and (folder / "token").exists():
        raise Damaged(
            f"{path} is {'empty' if path.exists() else 'gone'}, but this home was in use: its events and keys "
            "were there. Put a copy of the file back, or choose another home with --home."
        )
    return empty


def _is_empty(path: Path) -> bool:
    """Whether a database holds nothing, not in its log either: a creation that was killed early leaves that."""
    log = Path(f"{path}-wal")
    return not path.exists() or (path.stat().st_size == 0 and not (log.exists() and log.stat().st_size))


@contextmanager
def open_offline(folder: Path, unlocking: Unlocking = UNATTENDED) -> Iterator[OfflineHost]:
    """A home without a running node: what is written goes out when one runs. Raises HomeError."""
    with hold(folder, "a quire command"), opened_home(folder, unlocking) as home:
        yield OfflineHost(home)


def protect_home(folder: Path, kind: str, ask: Callable[[bool], str]) -> Protection:
    """Keep the key of a home that nobody uses in another way: see `home_key.protect`. Raises NotFound."""
    if not is_there(folder):
        raise NotFound(
            f"There is no home at {folder} yet. `quire up` makes one, or choose another with --home."
        )
    with hold(folder, "quire home protect"):
        return protect(folder, kind, ask)
