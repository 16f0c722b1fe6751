"""`quire home protect`: keep the key of a home in another way.

Owns: its argument and what it prints. Must not know: how keys are kept.
"""

from collections.abc import Callable
from inspect import Parameter
from typing import Annotated, Any

import typer

from quire import runtime
from quire.cli.commands import take_options, with_options
from quire.cli.passphrase import ask
from quire.cli.text import json_text

_PROTECT = """Keep this home's key in another way: keyring, passphrase or file.

Private keys in the database are sealed with it. `passphrase` sets or changes one (QUIRE_PASSPHRASE and
QUIRE_NEW_PASSPHRASE, else it is asked for); `file` leaves the key to the folder's rights alone."""

_KEPT = {
    "keyring": "The key of this home is in the system's keyring now.",
    "passphrase": "The key of this home is sealed with the new passphrase now. Without it nobody can open the home.",
    "file": "The key of this home lies in its folder now: whoever can read the folder can open everything.",
}


def protect() -> Callable[..., None]:
    """The command `home protect`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        options = take_options(ctx, given)
        done = runtime.protect_home(runtime.home_folder(options.home), given["kind"], ask)
        print(json_text(done._asdict()) if options.json else _KEPT[done.kind])

    kind = Annotated[str, typer.Argument(metavar="KIND", show_default=False)]
    return with_options(run, [Parameter("kind", Parameter.KEYWORD_ONLY, annotation=kind)], _PROTECT)
