"""The command line: commands made from the table of operations, and a few written by hand.

Owns: arguments, presentation, exit codes. Must not know: how anything is stored or sent.
"""

from quire.cli.app import main

__all__ = ["main"]
