"""deploy/: what the Containerfile and the systemd unit name is there, and does what they rely on."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from quire.runtime.relay_config import ENVIRONMENT, HELP
from tests.process.harness import PATIENCE, QUIRE, environment

ROOT = Path(__file__).resolve().parents[2]
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text()
UNIT = ROOT / "deploy" / "quire-relay.service"
#: Nobody: the number that a container's relay has is nobody's here either.
UNPRIVILEGED = 7750


def _instruction(word: str) -> list[str]:
    return re.findall(rf"^{word} (.*)$", CONTAINERFILE, re.MULTILINE)


def _words(word: str) -> list[str]:
    """The command of an instruction in JSON."""
    (found,) = [json.loads(text[text.index("[") :]) for text in _instruction(word)]
    return [str(one) for one in found]


def _settings() -> dict[str, str]:
    return dict(pair.split("=", 1) for text in _instruction("ENV") for pair in text.split())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


def test_the_image_is_made_of_what_is_there() -> None:
    copied = [text.split()[:-1] for text in _instruction("COPY") if not text.startswith("--from")]
    assert copied
    assert all((ROOT / name).exists() for names in copied for name in names)
    (version,) = {re.sub(r".*python:([\d.]+)-slim.*", r"\1", text) for text in _instruction("FROM")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    least = project["requires-python"].removeprefix(">=").split(",")[0]
    assert [int(part) for part in version.split(".")] >= [int(part) for part in least.split(".")]
    assert project["scripts"]["quire"], "the entry point's program"
    (extra,) = re.findall(r"/source\[(\w+)\]", CONTAINERFILE)
    assert extra in project["optional-dependencies"]
    needed = {project["readme"], "pyproject.toml", "src"}
    assert needed <= {name for names in copied for name in names}


def test_its_settings_are_settings() -> None:
    names = {name.removeprefix(ENVIRONMENT).lower() for name in _settings()}
    assert names == {"listen", "store"}
    assert names <= HELP.keys()
    (port,) = _instruction("EXPOSE")
    assert _settings()["QUIRE_RELAY_LISTEN"].endswith(f":{port}")
    assert _words("HEALTHCHECK")[-1].endswith(f":{port}")
    (data,) = _instruction("VOLUME")
    assert _settings()["QUIRE_RELAY_STORE"].startswith(f"sqlite:{data}/")


def _nobody(data: Path) -> dict[str, Any]:
    """How to be somebody without rights who owns a folder; nothing where one cannot be, or has nothing to run."""
    who: dict[str, Any] = {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []}
    try:
        os.chown(data, UNPRIVILEGED, UNPRIVILEGED)
        subprocess.run([QUIRE, "--help"], check=True, capture_output=True, cwd=data, **who)
    except (PermissionError, subprocess.CalledProcessError):
        os.chown(data, os.geteuid(), os.getegid())
        return {}
    return who


@pytest.mark.slow
def test_its_commands_run_as_somebody_without_rights_and_end_well(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    who = _nobody(data)
    port = _free_port()
    settings = {name: value.replace("/data", str(data)) for name, value in _settings().items()}
    settings["QUIRE_RELAY_LISTEN"] = f"127.0.0.1:{port}"
    program, *words = _words("ENTRYPOINT")
    checker, *check = _words("HEALTHCHECK")
    assert program == checker == "/quire/bin/quire"
    running = environment(data) | settings
    with (tmp_path / "errors").open("wb") as errors:
        relay = subprocess.Popen(
            [QUIRE, *words],
            cwd=data,
            env=running,
            stdout=subprocess.PIPE,
            stderr=errors,
            **who,
        )
    assert relay.stdout is not None
    try:
        assert relay.stdout.readline().startswith(b"Relay: ")
        healthy = [QUIRE, *check[:-1], f"ws://127.0.0.1:{port}"]
        assert subprocess.run(healthy, check=False, env=running, timeout=PATIENCE, **who).returncode == 0
        (stop,) = _instruction("STOPSIGNAL")
        relay.send_signal(getattr(signal, stop))
        assert relay.wait(PATIENCE) == 0
        assert subprocess.run(
            healthy, check=False, env=running, capture_output=True, timeout=PATIENCE
        ).returncode
    finally:
        relay.kill()
        relay.wait()
        relay.stdout.close()
    assert {path.name for path in data.iterdir()} >= {"relay.db", "relay.db.key"}
    assert b'"event":"stopped"' in (tmp_path / "errors").read_bytes()


def _service() -> dict[str, str]:
    lines = [line for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("named", ["", "other.db"])
def test_the_units_command_takes_its_options_and_the_files(tmp_path: Path, named: str) -> None:
    service = _service()
    program, *words = service["ExecStart"].split()
    assert program.endswith("/bin/quire")
    (state,) = [f"/var/lib/{service['StateDirectory']}"]
    assert service["WorkingDirectory"] == state
    assert "Environment" not in service
    file = tmp_path / "relay.toml"
    store = f"store = 'sqlite:{tmp_path / named}'\n" if named else ""
    file.write_text(f'listen = "127.0.0.1:0"\n{store}')
    words = [str(file) if word.startswith("/etc/") else word for word in words]
    relay = subprocess.Popen(
        [QUIRE, *words],
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert relay.stdout is not None
    assert relay.stderr is not None
    with relay.stdout, relay.stderr:
        assert relay.stdout.readline().startswith(b"Relay: ")
        told = json.loads(relay.stderr.readline())
        assert (told["event"], told["store"]) == ("listening", f"sqlite:{tmp_path / (named or 'relay.db')}")
        assert re.fullmatch(r"/bin/kill -HUP \$MAINPID", service["ExecReload"])
        relay.send_signal(signal.SIGHUP)
        relay.terminate()
        assert relay.wait(PATIENCE) == 0
    assert (tmp_path / (named or "relay.db")).exists()
    assert float(service["TimeoutStopSec"]) > 10 + 2, "a drain, and closing"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/quire/bin/quire", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert UNIT.name not in done.stderr
