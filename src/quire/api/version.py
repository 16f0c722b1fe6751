"""Which version of Quire this is.

Owns: reading it from the installed package. Must not know: anything else of quire.
"""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """The version, or `unknown` where the package runs without having been installed."""
    try:
        return installed("quire")
    except PackageNotFoundError:
        return "unknown"
