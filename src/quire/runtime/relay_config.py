"""What a relay is told by its operator: options, environment, a file, and what holds without any of them.

Owns: the settings, their names and meaning, and which source counts. Must not know: how a relay runs.
"""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import msgspec

from quire.core.encoding import to_text
from quire.core.keys import KEY_BYTES
from quire.core.relay_address import parse_relay
from quire.errors import UserError
from quire.relay.log_store import Retention
from quire.relay.origins import Proxies, proxies_of
from quire.relay.quota import Quotas
from quire.relay.settings import Settings

ENVIRONMENT = "QUIRE_RELAY_"
_MIB = 1024 * 1024
_DAY_MS, _MINUTE_MS, _SECOND_MS = 24 * 60 * 60_000, 60_000, 1_000

Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Some = Annotated[int, msgspec.Meta(ge=1, le=2**40)]
Span = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
Days = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
_TAKES: dict[object, str] = {
    Count: "a whole number from 0 on",
    Some: "a whole number from 1 on",
    Span: "a number above 0",
    Days: "a number from 0 on",
}
_UNKNOWN = re.compile("unknown field `(.+)`")


class RelayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a relay; 0 for no bound where a number bounds anything.

    `key`: the file of its key (else beside a SQLite store). `url`: the address that others use, where it is not the
    one listened at. `connections`: at most at once. `..._mib`: MiB. `address_...`: of one network address.
    """

    listen: str = "127.0.0.1:7750"
    store: str = "sqlite:relay.db"
    key: str = ""
    url: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    connections: Some = 4_096
    mailbox_mib: Count = 4_096
    mailbox_records: Count = 20_000_000
    device_mib: Count = 2_048
    records_per_second: Count = 20_000
    mib_per_second: Count = 32
    keep_days: Days = 0.0
    keep_mib: Count = 0
    prune_minutes: Span = 60.0
    stall_seconds: Span = 30.0
    drain_seconds: Span = 10.0
    address_connections: Count = 256
    address_hellos_per_second: Count = 200
    nats_credentials: str = ""
    nats_ca: str = ""
    proxies: str = ""

    def settings(self) -> Settings:
        """The numbers of the service."""
        quotas = Quotas(
            self.mailbox_mib * _MIB,
            self.mailbox_records,
            self.device_mib * _MIB,
            self.records_per_second,
            self.mib_per_second * _MIB,
        )
        retention = Retention(int(self.keep_days * _DAY_MS), self.keep_mib * _MIB)
        prune_ms, drain_ms = int(self.prune_minutes * _MINUTE_MS), int(self.drain_seconds * _SECOND_MS)
        of_one = self.address_connections, self.address_hellos_per_second
        return Settings(quotas, retention, self.connections, prune_ms, drain_ms, *of_one)

    def base(self) -> str:
        """`url`, or "" without one. Raises UserError where it is no address that others could use."""
        base = self.url.rstrip("/")
        if base:
            try:
                parse_relay(f"{base}/#{to_text(bytes(KEY_BYTES))}")
            except UserError:
                raise UserError(
                    f"--url takes an address that others use, like wss://relay.example.org, not {self.url[:80]!r}."
                ) from None
        return base

    def trusted(self) -> Proxies:
        """The proxies whose X-Forwarded-For is believed. Raises UserError where one is no network."""
        try:
            return proxies_of(self.proxies)
        except ValueError as error:
            raise UserError(f"--proxies takes addresses or networks like 10.0.0.0/8: {error}.") from None


#: What each setting is, in a line of help.
HELP = {
    "listen": "Address to listen at: an IP address and a port.",
    "store": "Where logs are kept: sqlite:PATH or nats://A,B,C.",
    "key": "File of the relay's key, made if there is none; else beside the SQLite store.",
    "url": "The address that others use, like wss://relay.example.org, to print it with the key.",
    "tls_cert": "Certificate chain (PEM) for TLS.",
    "tls_key": "Private key (PEM) for TLS.",
    "connections": "Connections at once.",
    "mailbox_mib": "MiB that one mailbox keeps; 0 for no bound.",
    "mailbox_records": "Records that one mailbox keeps; 0 for no bound.",
    "device_mib": "MiB that one device keeps in a mailbox; 0 for no bound.",
    "records_per_second": "Records a second of one device; 0 for no bound.",
    "mib_per_second": "MiB a second of one device; 0 for no bound.",
    "keep_days": "Days that records are kept; 0 for ever.",
    "keep_mib": "MiB that are kept of each mailbox, the newest; 0 for all.",
    "prune_minutes": "Minutes between removals of what need not be kept.",
    "stall_seconds": "Seconds after which a client that takes nothing is dropped.",
    "drain_seconds": "Seconds that what is under way may take at the end.",
    "address_connections": "Connections at once of one network address; 0 for no bound.",
    "address_hellos_per_second": "Mailboxes a second that one network address opens; 0 for no bound.",
    "nats_credentials": "File with `user:password`, or a token, for a store on NATS.",
    "nats_ca": "Certificate (PEM) of who vouches for the NATS servers, where the system does not know it.",
    "proxies": "Addresses or networks of proxies whose X-Forwarded-For is believed, with commas between them.",
}


def configured(
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    file: str | None,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> RelayConfig:
    """Settings from options (None: not given), else the environment, else a TOML file, else as they are by default,
    or as `defaults` has them.

    The file is named by the option, else by QUIRE_RELAY_CONFIG. A variable that is empty is none. Raises UserError in
    plain words.
    """
    settings = dict(defaults)
    for _, told in _sources(given, environment, file):
        settings |= told
    return msgspec.convert(settings, RelayConfig)


def overridden(given: Mapping[str, Any], environment: Mapping[str, str], file: str | None) -> list[str]:
    """A sentence about each setting of the file that does not count, since something else says otherwise."""
    (where, named), (_, around), (_, options) = _sources(given, environment, file)
    counts = named | around | options
    return [
        f"{name!r} in {where} does not count: {_by(name, options)} says otherwise."
        for name, value in named.items()
        if counts[name] != value
    ]


def _by(name: str, options: Mapping[str, Any]) -> str:
    return "an option" if name in options else f"{ENVIRONMENT}{name.upper()} in the environment"


def _sources(
    given: Mapping[str, Any], environment: Mapping[str, str], file: str | None
) -> list[tuple[str, dict[str, Any]]]:
    """File, environment and options: how each is called, and its settings. What comes later counts."""
    file = file or environment.get(f"{ENVIRONMENT}CONFIG")
    named = f"the file {file}"
    variables = {name: value for name in HELP if (value := environment.get(f"{ENVIRONMENT}{name.upper()}"))}
    around, options = "the environment (QUIRE_RELAY_…)", "the options"
    return [
        (named, _checked(_read(Path(file)), named, strict=True) if file else {}),
        (around, _checked(variables, around, strict=False)),
        (options, _checked({k: v for k, v in given.items() if v is not None}, options, strict=False)),
    ]


def unknown_settings(environment: Mapping[str, str]) -> list[str]:
    """A sentence about each variable of the environment that looks like a setting and is none."""
    known = [f"{ENVIRONMENT}{name.upper()}" for name in HELP] + [f"{ENVIRONMENT}CONFIG"]
    found = sorted(key for key in environment if key.startswith(ENVIRONMENT) and key not in known)
    sentences = []
    for key in found:
        near = get_close_matches(key, known, 1)
        hint = f" Is {near[0]} meant?" if near else ""
        sentences.append(f"{key} is in the environment, but there is no such setting: it is ignored.{hint}")
    return sentences


def _checked(settings: dict[str, Any], where: str, strict: bool) -> dict[str, Any]:
    try:
        read = msgspec.convert(settings, RelayConfig, strict=strict)
    except msgspec.ValidationError as error:
        raise UserError(
            f"A setting in {where} cannot be used: {_plainly(str(error))}. `quire relay serve --help` lists them."
        ) from None
    return {name: getattr(read, name) for name in settings}


def _plainly(error: str) -> str:
    """What msgspec says about a setting, without its words for types and places."""
    if unknown := _UNKNOWN.search(error):
        return f"there is no setting {unknown[1]!r}"
    name = error.rpartition("$.")[2].rstrip("`")
    for field in msgspec.structs.fields(RelayConfig):
        if field.name == name:
            return f"{name} takes {_TAKES.get(field.type, 'a text in quotes')}"
    return error


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The file of settings {file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The file of settings {file} is not TOML: {error}.") from None
