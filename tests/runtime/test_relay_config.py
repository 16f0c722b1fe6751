from pathlib import Path

import msgspec
import pytest

from quire.errors import UserError
from quire.relay.log_store import Retention
from quire.runtime.relay_config import HELP, RelayConfig, configured, overridden, unknown_settings


def test_an_option_counts_before_the_environment_that_before_the_file_that_before_the_default(
    tmp_path: Path,
) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('listen = "127.0.0.1:1"\nkeep_days = 30\nmailbox_mib = 7\n')
    environment = {"QUIRE_RELAY_LISTEN": "127.0.0.1:2", "QUIRE_RELAY_KEEP_DAYS": "1.5", "QUIRE_HOME": "x"}
    given = {"listen": "127.0.0.1:3", "keep_days": None}
    config = configured(given, environment, str(file))
    assert (config.listen, config.keep_days, config.mailbox_mib) == ("127.0.0.1:3", 1.5, 7)
    assert config.stall_seconds == RelayConfig().stall_seconds
    assert configured({}, environment | {"QUIRE_RELAY_CONFIG": str(file)}, None).mailbox_mib == 7


def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('url = "wss://relay.example"\n')
    environment = {"QUIRE_RELAY_KEEP_DAYS": "", "QUIRE_RELAY_URL": "", "QUIRE_RELAY_CONFIG": ""}
    config = configured({}, environment, str(file))
    assert (config.keep_days, config.url) == (0, "wss://relay.example")
    assert configured({}, environment, None) == RelayConfig()


def test_what_does_not_count_of_the_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('listen = "127.0.0.1:1"\nstore = "sqlite:file.db"\nkeep_mib = 7\nkey = "k"\n')
    environment = {
        "QUIRE_RELAY_STORE": "sqlite:env.db",
        "QUIRE_RELAY_LISTEN": "127.0.0.1:2",
        "QUIRE_RELAY_KEEP_MIB": "7",
    }
    given = {"listen": "127.0.0.1:3", "key": None, "url": "wss://relay.example"}
    assert overridden(given, environment, str(file)) == [
        f"'listen' in the file {file} does not count: an option says otherwise.",
        f"'store' in the file {file} does not count: QUIRE_RELAY_STORE in the environment says otherwise.",
    ]
    assert overridden(given, environment, None) == []


def test_numbers_become_those_of_the_service() -> None:
    settings = RelayConfig(keep_days=1.0, keep_mib=2, mailbox_mib=3, mib_per_second=4).settings()
    assert settings.retention == Retention(24 * 60 * 60_000, 2 * 2**20)
    assert (settings.quotas.mailbox_bytes, settings.quotas.bytes_per_second) == (3 * 2**20, 4 * 2**20)


@pytest.mark.parametrize(
    ("given", "environment", "text"),
    [
        ({"keep_days": "soon"}, {}, ""),
        ({"connections": "0"}, {}, ""),
        ({}, {"QUIRE_RELAY_KEEP_MIB": "-1"}, ""),
        ({}, {}, "listn = 'x'\n"),
        ({}, {}, "connections = '12'\n"),
        ({}, {}, "no toml"),
    ],
)
def test_a_mistake_is_told_with_its_place(
    tmp_path: Path, given: dict[str, str], environment: dict[str, str], text: str
) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(text)
    with pytest.raises(UserError) as told:
        configured(given, environment, str(file))
    where = "the options" if given else "the environment" if environment else str(file)
    assert where in str(told.value)
    assert "`$" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("connections = '12'", "connections takes a whole number from 1 on"),
        ("keep_mib = -1", "keep_mib takes a whole number from 0 on"),
        ("keep_days = 'x'", "keep_days takes a number from 0 on"),
        ("prune_minutes = 0", "prune_minutes takes a number above 0"),
        ("url = 7", "url takes a text in quotes"),
        ("listn = 'x'", "there is no setting 'listn'"),
    ],
)
def test_a_mistake_is_told_without_the_words_of_a_program(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(text)
    with pytest.raises(UserError) as told:
        configured({}, {}, str(file))
    assert str(told.value).startswith(f"A setting in the file {file} cannot be used: {says}. ")


def test_a_variable_that_is_no_setting_is_told_of() -> None:
    environment = {
        "QUIRE_RELAY_MAILBX_MIB": "1",
        "QUIRE_RELAY_CONFIG": "x",
        "QUIRE_RELAY_URL": "x",
        "PATH": "",
    }
    (said,) = unknown_settings(environment)
    assert "QUIRE_RELAY_MAILBX_MIB" in said
    assert "Is QUIRE_RELAY_MAILBOX_MIB meant?" in said


@pytest.mark.parametrize("url", ["foo", "ftp://foo", "wss://", "ws://me@foo", "wss://relay.example#x"])
def test_an_address_that_nobody_could_use_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="--url takes an address"):
        RelayConfig(url=url).base()
    assert RelayConfig(url="wss://relay.example:444/quire/").base() == "wss://relay.example:444/quire"


def test_defaults_of_the_caller_count_last(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("listen = '127.0.0.1:1'")
    defaults = {"listen": "127.0.0.1:2", "store": "sqlite:x"}
    config = configured({"listen": None}, {}, str(file), defaults)
    assert (config.listen, config.store) == ("127.0.0.1:1", "sqlite:x")


def test_a_file_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        configured({}, {}, str(tmp_path / "none.toml"))


def test_every_setting_has_its_help() -> None:
    assert [*HELP] == [field.name for field in msgspec.structs.fields(RelayConfig)]
