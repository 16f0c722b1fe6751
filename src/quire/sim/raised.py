"""What an exception says of itself, in one line of a verdict.

Owns: that line. Must not know: who raised it.
"""

import traceback
from pathlib import Path


def raised(error: BaseException) -> str:
    """`KeyError: 'x' (in judge, checker.py line 7)`: the kind, the text, and where it was raised."""
    found = traceback.extract_tb(error.__traceback__)
    where = (
        f" (in {found[-1].name}, {Path(found[-1].filename).name} line {found[-1].lineno})" if found else ""
    )
    return f"{type(error).__name__}: {error}{where}"
