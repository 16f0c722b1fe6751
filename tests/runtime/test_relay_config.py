from pathlib import Path

import msgspec
import pytest

from quire.errors import UserError
from quire.relay.log_store import Retention
from quire.runtime.relay_config import HELP, RelayConfig, configured


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


def test_a_file_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        configured({}, {}, str(tmp_path / "none.toml"))


def test_every_setting_has_its_help() -> None:
    assert [*HELP] == [field.name for field in msgspec.structs.fields(RelayConfig)]
