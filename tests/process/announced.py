"""What `quire up --json` says once it serves."""

import json
from collections.abc import Iterable
from typing import Any


def announced(lines: Iterable[str]) -> dict[str, Any]:
    """The first object on its standard output; empty where it ended before."""
    said = []
    for line in lines:
        said.append(line)
        if line == "}\n":
            break
    return dict(json.loads("".join(said) or "{}"))
