"""`quire device link` and `quire device join`: two devices, six digits, and a person who compares them.

Owns: what is asked and shown while a device is linked. Must not know: how devices speak to each other.
"""

import sys
import time
from collections.abc import Callable
from inspect import Parameter
from typing import Annotated, Any

import typer

from quire.cli.access import Options, perform
from quire.cli.commands import option, take_options, with_options
from quire.cli.passphrase import ask
from quire.cli.tables import note
from quire.cli.text import clean, json_text
from quire.core.qr import as_terminal
from quire.errors import Refused
from quire.runtime import Unlocking

_LINK = """Link a further device to this identity: a link for `quire device join`, good for ten minutes and one device.

Waits for it to come, and asks whether both show the same six digits; without a terminal, or with --no-wait,
`quire device confirm CODE` says so. A node has to run here."""

_JOIN = """Make this home a further device of the identity whose `quire device link` made LINK.

Shows six digits, and waits until they are confirmed on the other device. A node has to run here."""

#: How often the node is asked how far it is (seconds).
_POLL_S = 0.5
_OVER = ("done", "void", "none")


def link() -> Callable[..., None]:
    """The command `device link`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        options = take_options(ctx, given)
        pairing = _perform(options, "linkDevice", name=given["name"])
        if options.json:
            print(json_text(pairing))
            return
        print(pairing["link"])
        if sys.stdout.isatty():
            print(as_terminal(pairing["link"]))
        sys.stdout.flush()
        note(
            "Run `quire device join LINK` on the new device within ten minutes, with `quire up` running there."
        )
        if given["wait"] and sys.stdin.isatty():
            _confirm(options)
        else:
            note(
                "Compare the digits that both show (`quire device pairing`), then `quire device confirm CODE`."
            )

    name = option("name", "", str, "--name", "What this device is called from now on.", "DEVICE")
    return with_options(run, [name, _wait()], _LINK)


def join() -> Callable[..., None]:
    """The command `device join`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        options = take_options(ctx, given)
        called = {"name": given["name"]} if given["name"] else {}
        pairing = _perform(options, "joinDevice", link=given["link"], **called)
        if options.json:
            print(json_text(pairing))
            return
        if not given["wait"]:
            note("`quire device pairing` shows the digits to compare.")
            return
        pairing = _until(options, ("compare", *_OVER))
        if pairing["state"] == "compare":
            print(f"Digits: {pairing['code']}", flush=True)
            note("If the other device shows the same, confirm there. If not, say no there.")
            pairing = _until(options, _OVER)
        _end(pairing)
        print(f"This device is one of {clean(pairing['identity'])}'s now; its spaces come by sync.")

    place = Annotated[str, typer.Argument(metavar="LINK", show_default=False)]
    name = option("name", "", str, "--name", "What this device is called.", "DEVICE")
    link = Parameter("link", Parameter.KEYWORD_ONLY, annotation=place)
    return with_options(run, [link, name, _wait()], _JOIN)


def _wait() -> Parameter:
    return option("wait", True, bool, "--wait/--no-wait", "Wait until it is done.")


def _perform(options: Options, operation: str, **params: Any) -> Any:
    return perform(options, operation, params, Unlocking(ask)).result


def _until(options: Options, states: tuple[str, ...]) -> Any:
    """How linking stands, once it has come to one of these states. The node ends it after ten minutes."""
    while True:
        pairing = _perform(options, "getPairing")
        if pairing["state"] in states:
            return pairing
        time.sleep(_POLL_S)


def _confirm(options: Options) -> None:
    pairing = _until(options, ("compare", *_OVER))
    if pairing["state"] == "compare":
        device = clean(pairing["device"])
        if not typer.confirm(f"Do both show {pairing['code']}? ({device})", default=False):
            _end(_perform(options, "cancelPairing"))
        pairing = _perform(options, "confirmDevice", code=pairing["code"])
        note("Confirmed. Waiting for the new device to take it over ...")
        pairing = _until(options, _OVER)
    _end(pairing)
    print(f"{clean(pairing['device'])} is linked.")


def _end(pairing: Any) -> None:
    """Raises Refused unless linking has come to its end."""
    if pairing["state"] != "done":
        reason = pairing["reason"] or "Its time is over. Begin anew with `quire device link`."
        raise Refused(f"Nothing was linked. {reason}")
