from pathlib import Path

import pytest

from quire.runtime import boot
from quire.runtime.boot import boot_id


def test_a_boot_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert boot_id() == boot_id()
    named = tmp_path / "boot_id"
    named.write_text("461a1118\n")
    monkeypatch.setattr(boot, "_BOOT_ID", named)
    assert boot_id() == "461a1118"


def test_a_system_that_gives_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "_BOOT_ID", tmp_path / "none")
    assert boot_id() == ""
