"""Hosts with network stacks of their own (Linux network namespaces), cables between them, and a switch.

The switch is a bridge in a namespace of its own, so that nothing of this machine's own network is touched, and
removing the namespaces removes everything. Their names carry the number of the process that made them: what a
run that was killed has left behind is removed by the next one.
"""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.process.harness import Lab, Person

_PREFIX = "quire-test"
_CLONE_NEWNET = 0x40000000


def why_not() -> str:
    """Why there can be no hosts here, in words; "" when there can."""
    if shutil.which("ip") is None:
        return "network namespaces need `ip` (Debian's package iproute2), and it is not installed"
    name = f"{_PREFIX}-{os.getpid()}-try"
    try:
        _ip("netns", "add", name)
        _ip("-n", name, "link", "add", "switch", "type", "bridge")
        _ip("-n", name, "link", "add", "one", "type", "veth", "peer", "name", "other")
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not permitted here: {error.stderr.strip()}"
    finally:
        _remove(name)
    return ""


class HostPerson(Person):
    """Somebody whose node runs on a host; questions to it are asked on that host too."""

    def __init__(self, folder: Path, name: str, namespace: str) -> None:
        super().__init__(folder, name)
        self.prefix = ["ip", "netns", "exec", namespace]
        # A namespace belongs to a thread: this one is on the host for good.
        self._on_host = ThreadPoolExecutor(1, initializer=_enter, initargs=(namespace,))

    def ask(self, operation: str, _as: str | None = None, /, **params: Any) -> Any:
        return self._on_host.submit(super().ask, operation, _as, **params).result()

    def leave(self) -> None:
        """End the thread."""
        self._on_host.shutdown()


class Hosts:
    """The hosts of one test, on one switch, without a router. Their addresses are 10.77.0.NUMBER."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._people: list[HostPerson] = []
        self._names: list[str] = []
        _remove_leftovers()
        self._switch = self._namespace("switch")
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")

    def person(self, name: str, number: int) -> HostPerson:
        """Somebody on a new host, with a cable to the switch."""
        host = self._namespace(name)
        _ip("-n", host, "link", "add", "cable", "type", "veth", "peer", "name", name, "netns", self._switch)
        _ip("-n", self._switch, "link", "set", name, "master", "switch", "up")
        _ip("-n", host, "link", "set", "lo", "up")
        _ip("-n", host, "link", "set", "cable", "up")
        self._address(host, number)
        person = HostPerson(self._lab.folder, name, host)
        self._people.append(person)
        self._lab.people.append(person)
        return person

    def unplug(self, person: Person) -> None:
        """Pull the cable out of the switch: the host sees that its link is down, and keeps its address."""
        _ip("-n", self._switch, "link", "set", person.name, "down")

    def plug(self, person: Person) -> None:
        _ip("-n", self._switch, "link", "set", person.name, "up")

    def move(self, person: Person, number: int) -> None:
        """Give a host another address; it loses the one that it had. Nobody tells its node."""
        host = self._full(person.name)
        _ip("-n", host, "address", "flush", "dev", "cable")
        self._address(host, number)

    def close(self) -> None:
        for person in self._people:
            person.leave()
        for name in self._names:
            _remove(name)

    def _address(self, host: str, number: int) -> None:
        _ip("-n", host, "address", "add", f"10.77.0.{number}/24", "dev", "cable")

    def _namespace(self, name: str) -> str:
        full = self._full(name)
        _remove(full)  # of an earlier process with our number
        self._names.append(full)
        _ip("netns", "add", full)
        return full

    def _full(self, name: str) -> str:
        return f"{_PREFIX}-{os.getpid()}-{name}"


def hosts(lab: Lab) -> Iterator[Hosts]:
    """A fixture's body."""
    made = Hosts(lab)
    try:
        yield made
    finally:
        lab.close()  # a namespace lives as long as a process in it
        made.close()


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


def _enter(namespace: str) -> None:
    with open(f"/run/netns/{namespace}", "rb") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")


def namespaces() -> list[str]:
    """The names of all that there are."""
    return [line.split()[0] for line in _ip("netns", "list").splitlines()]


def _remove_leftovers() -> None:
    """Remove what processes that have ended left behind."""
    for name in namespaces():
        maker = name.removeprefix(f"{_PREFIX}-").partition("-")[0]
        if name.startswith(_PREFIX) and maker.isdigit() and not Path(f"/proc/{maker}").exists():
            _remove(name)


def _remove(name: str) -> None:
    """Remove a namespace, and end what runs in it; one that is not there is as good."""
    with suppress(subprocess.CalledProcessError):
        for process in _ip("netns", "pids", name).split():
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
    with suppress(subprocess.CalledProcessError):
        _ip("netns", "delete", name)
