"""docs/membership.md names every rule and every kind of change, and no other rule."""

import re
from pathlib import Path
from typing import get_args

import pytest

from quire.graph.changes import AnyChange
from quire.graph.roles import Role
from quire.graph.rules import REASONS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "membership.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([^`]+)`", TEXT))


@pytest.mark.parametrize("slug", REASONS)
def test_every_rule_is_named(slug: str) -> None:
    assert slug in NAMED


@pytest.mark.parametrize("kind", [kind.__name__ for kind in get_args(AnyChange)])
def test_every_kind_of_change_is_named(kind: str) -> None:
    assert kind in NAMED


@pytest.mark.parametrize("role", [role.name.lower() for role in Role if role != Role.NONE])
def test_every_role_is_named(role: str) -> None:
    assert role in TEXT


def test_no_rule_is_named_that_is_none() -> None:
    kinds = {kind.__name__ for kind in get_args(AnyChange)}
    others = {"ts", "marks", "src/quire/graph/", "make bench", "Admit`s by it"}
    assert {name for name in NAMED if re.fullmatch(r"[a-z]+(-[a-z]+)*", name)} - others <= REASONS.keys()
    assert {name for name in NAMED if name[0].isupper()} - others <= kinds
