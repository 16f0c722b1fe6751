"""`quire up`: run a node.

Owns: its options and what it prints. Must not know: how a node runs.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from quire import runtime
from quire.cli.commands import option, take_options, take_unlocking, unlocking_options, with_options
from quire.cli.tables import note
from quire.cli.text import json_text
from quire.core.address import parse_address
from quire.runtime.ports import DEFAULT_API, DEFAULT_LISTEN, DEFAULT_MIRROR

if TYPE_CHECKING:
    from quire.api.host import Host
    from quire.runtime.relay_config import RelayConfig

_UP = """Run a node: sync with peers, serve the local API and the web page, until interrupted.

The page's address is printed; it holds the token that opens this home, so keep it to yourself."""

_OPEN = """\
Warning: with this --api, other machines reach the local API. It is plain HTTP: whoever listens on the way
gets the token, and with it everything in this home. Use --api 127.0.0.1:PORT; from elsewhere a tunnel (`ssh -L`)."""


def up() -> Callable[..., None]:
    """The command `up`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        from quire.api.guard import is_loopback
        from quire.runtime.run import run_node

        options = take_options(ctx, given)
        unlocking = take_unlocking(given)

        def ready(node: runtime.NodeInfo, _host: "Host") -> None:
            page = f"http://{node.api}/#token={node.token}"
            if options.json:
                said = {"page": page, "api": node.api, "listen": node.listen, "pid": node.pid}
                print(json_text(said | ({"relay": node.relay} if node.relay else {})))
            else:
                print(f"Page:    {page}")
                print(f"Listen:  {node.listen} (UDP and TCP)")
                if node.relay:
                    print(f"Relay:   {node.relay}")
                note("Press Ctrl-C to stop.")
            if not is_loopback(parse_address(given["api"])[0]):
                note(_OPEN)
            sys.stdout.flush()

        folder = runtime.home_folder(options.home)
        listen, file = given.pop("mirror_listen"), given.pop("mirror_config")
        asked = given.pop("mirror") or listen is not None or file is not None
        mirror = _mirror(folder, listen, file) if asked else None
        run_node(folder, ready=ready, unlocking=unlocking, mirror=mirror, **given)

    parameters = [
        option("listen", DEFAULT_LISTEN, str, "--listen", "Address for peers, of UDP and TCP.", "HOST:PORT"),
        option("api", DEFAULT_API, str, "--api", "Address of the local API and page.", "HOST:PORT"),
        option("strategy", "sketch", str, "--strategy", "How to sync: sketch, bloom or full.", "NAME"),
        option(
            "frugal",
            False,
            bool,
            "--frugal",
            "Let relays tell only that there is news; fetch it now and then.",
        ),
        option("mirror", False, bool, "--mirror", "Serve as a relay too, for all who are given its address."),
        option(
            "mirror_listen",
            None,
            str | None,
            "--mirror-listen",
            f"Address of that relay [default: {DEFAULT_MIRROR}]; implies --mirror.",
            "HOST:PORT",
        ),
        option(
            "mirror_config",
            None,
            str | None,
            "--mirror-config",
            "Its settings in a TOML file, as of `quire relay serve`; implies --mirror. QUIRE_RELAY_… count too.",
            "FILE",
        ),
        *unlocking_options(),
    ]
    return with_options(run, parameters, _UP)


def _mirror(folder: Path, listen: str | None, file: str | None) -> "RelayConfig":
    """The settings of a relay beside the node, from the places where those of any relay come from."""
    from quire.runtime.relay_config import configured, overridden, unknown_settings

    given = {"listen": listen}
    for text in unknown_settings(os.environ) + overridden(given, os.environ, file):
        note(text)
    defaults = {"listen": DEFAULT_MIRROR, "store": f"sqlite:{folder / 'relay.db'}"}
    return configured(given, os.environ, file, defaults)
