import json
import re
from pathlib import Path

import bench.peers
from bench.figures import Figure
from bench.peers.__main__ import PEERS, figures
from bench.peers.side import MEASUREMENTS

FOLDER = Path(bench.peers.__file__).parent


def test_medians_spread_and_what_quire_is_of_each_peer() -> None:
    found = {
        ("Quire", "live latency, median"): [2.0, 1.0, 9.0],
        ("hypercore", "live latency, median"): [4.0, 5.0, 3.0],
    }
    assert figures(found) == [
        Figure("live latency, median: Quire, median", 2.0, "ms"),
        Figure("live latency, median: Quire, least", 1.0, "ms"),
        Figure("live latency, median: Quire, most", 9.0, "ms"),
        Figure("live latency, median: hypercore, median", 4.0, "ms"),
        Figure("live latency, median: hypercore, least", 3.0, "ms"),
        Figure("live latency, median: hypercore, most", 5.0, "ms"),
        Figure("live latency, median: Quire's over hypercore's", 0.5, "times"),
    ]


def test_no_two_measurements_give_a_value_of_the_same_name() -> None:
    names = [name for entries in MEASUREMENTS.values() for name, _ in entries]
    assert len(set(names)) == len(names)


def test_every_peer_has_a_program_with_all_roles() -> None:
    for program in PEERS.values():
        roles = re.search(r"await run\(\{ (.*) \}\)", (FOLDER / program).read_text("utf-8"))
        assert roles is not None
        assert roles[1].split(", ") == ["make", "fill", "hold", "write", "read"]


def test_packages_are_held_to_one_version_and_come_from_no_named_place() -> None:
    wanted = json.loads((FOLDER / "package.json").read_text("utf-8"))["dependencies"]
    text = (FOLDER / "package-lock.json").read_text("utf-8")
    held = json.loads(text)["packages"]
    assert "://" not in text
    for name, version in wanted.items():
        assert held[f"node_modules/{name}"]["version"] == version
    assert all("integrity" in entry for path, entry in held.items() if entry.get("version"))
