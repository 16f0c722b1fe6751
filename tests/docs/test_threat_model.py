"""The threat model names every test of an adversary, and no test that does not exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.findall(
    r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
)


def names_in(path: Path) -> set[str]:
    """The names under which pytest finds the tests of a file."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in found if name.startswith(("test_", "Test"))}


def test_every_test_that_the_threat_model_names_exists() -> None:
    assert len(NAMED) > 50
    missing = [(path, name) for path, name in NAMED if name not in names_in(ROOT / path)]
    assert missing == []


def test_every_test_of_an_adversary_is_named_in_the_threat_model() -> None:
    every = {
        (f"tests/threats/{path.name}", name)
        for path in (ROOT / "tests" / "threats").glob("test_*.py")
        for name in names_in(path)
    }
    assert every - set(NAMED) == set()
