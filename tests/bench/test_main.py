from collections.abc import Callable
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import graph, processes
from bench.figures import Figure


def measured(monkeypatch: pytest.MonkeyPatch, out: Path, *words: str) -> list[Callable[[], list[Figure]]]:
    """What is run with these words, which takes long."""
    ran: list[Callable[[], list[Figure]]] = []
    monkeypatch.setattr(processes, "apart", lambda run: ran.append(run) or [])
    monkeypatch.setattr(bench, "OUT", out)
    monkeypatch.setattr("sys.argv", ["bench", *words])
    bench.main()
    return ran


def test_parts_are_run_by_name_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out" / "latest.json"
    some = measured(monkeypatch, out, "--only", "graph", "relay")
    assert len(some) == 6
    assert graph.membership in some
    assert not out.exists()
    all_of_them = measured(monkeypatch, out)
    assert len(all_of_them) == len(bench.measurements(tmp_path, quick=False)) > 20
    assert out.read_text() == "[]\n"


def test_a_part_that_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        measured(monkeypatch, tmp_path, "--only", "moon")
    assert "relay-nostr" in capsys.readouterr().err
