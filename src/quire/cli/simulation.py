"""`quire sim run` and `quire sim list`: simulate a community, and show the verdict.

Owns: its options, the summary, where pictures go. Must not know: how a simulation runs.
"""

import inspect
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.access import Options
from quire.cli.commands import option, take_options, with_options
from quire.cli.live import live_display
from quire.cli.tables import console, note, table
from quire.cli.text import json_text, plural
from quire.errors import UserError
from quire.runtime import keep_in_file

if TYPE_CHECKING:
    from quire.sim.run import DeviceResult, Result
    from quire.sim.witness import Witness

_SIM = """Simulate a community on a bad network, and check that everyone ends with the same messages.

The same scenario and seed give the same run; `quire sim list` tells which scenarios there are."""

_HEADINGS = [
    *("DEVICE", "PEOPLE", "EVENTS", "MESSAGES", "DATAGRAMS", "BYTES"),
    *("LOST", "CORRUPTED", "CRASHES", "SETTLED"),
]

_Scenario = Annotated[str, typer.Argument(metavar="SCENARIO", help="What happens.", show_default=False)]


def sim() -> Callable[..., None]:
    """The command `sim run`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        from quire.runtime.soak import lived, pace, timed
        from quire.sim.device import home_key

        options = take_options(ctx, given)
        _check_files(given["picture"], given["timeline"])
        result, cpu_ms = timed(lambda: _simulate(given, options.json))
        for device in result.devices if given["keep"] else []:
            keep_in_file(given["keep"] / device.device, home_key(given["seed"], device.device))
        if options.json:
            print(json_text(result))
        else:
            _show(result, pace(lived(result), cpu_ms))
        if result.faults:
            raise typer.Exit(1)

    scenario = inspect.Parameter("scenario", inspect.Parameter.KEYWORD_ONLY, default="", annotation=_Scenario)
    parameters = [
        scenario,
        option("seed", 7, int, "--seed", "What the run follows from."),
        option("keep", None, Path | None, "--keep", "New folder to keep the homes and sim.db in.", "DIR"),
        option(
            "picture", None, Path | None, "--picture", "Draw convergence by device there, as SVG.", "FILE"
        ),
        option("timeline", None, Path | None, "--timeline", "Tell who had what when, as HTML.", "FILE"),
    ]
    return with_options(run, parameters, _SIM)


def scenarios() -> Callable[..., None]:
    """The command `sim list`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        from quire.sim.scenario import every, load

        options: Options = take_options(ctx, given)
        found = [{"name": name, "about": load(name).about} for name in every()]
        if options.json:
            print(json_text(found))
        else:
            table(console(), ["SCENARIO", "WHAT HAPPENS"], [list(entry.values()) for entry in found], "None.")

    return with_options(run, [], "Tell which scenarios there are.")


def _simulate(given: dict[str, Any], quiet: bool) -> "Result":
    """Run it, with a witness if anybody asks for what one notes."""
    from quire.sim.run import simulate
    from quire.sim.scenario import DEFAULT
    from quire.sim.witness import Witness

    name, seed = given["scenario"] or DEFAULT, given["seed"]
    live = not quiet and sys.stderr.isatty()
    drawn = bool(given["picture"] or given["timeline"])
    if not (live or drawn):
        return simulate(name, seed, given["keep"], None)
    witness = Witness(thorough=drawn)
    with live_display(witness, f"{name}, seed {seed}") if live else nullcontext():
        result = simulate(name, seed, given["keep"], witness)
    if drawn:
        _draw(name, seed, witness, given["picture"], given["timeline"])
    return result


def _draw(name: str, seed: int, witness: "Witness", picture: Path | None, page: Path | None) -> None:
    from quire.sim.history import history
    from quire.sim.picture import convergence
    from quire.sim.timeline import timeline

    told = history(name, seed, witness)
    for path, drawn in ((picture, convergence), (page, timeline)):
        if path is not None:
            path.write_text(drawn(told), encoding="utf-8")
            note(f"{path} is written.")


def _check_files(*paths: Path | None) -> None:
    """That files can be written there is found out before a run, not after."""
    for path in paths:
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise UserError(f"{path} cannot be written: name a file in a folder that exists.")


def _show(result: "Result", pace: float) -> None:
    rows = [_row(device) for device in result.devices]
    table(console(), _HEADINGS, rows, "No device was left running.")
    print(
        f"{plural(result.writes, 'write')} in {result.virtual_ms / 1000:.1f} s of simulated time"
        f" ({result.refused} refused, {result.interrupted} interrupted), fingerprint {result.fingerprint}"
    )
    print(f"{pace:.1f} simulated device-hours per CPU-minute.")
    if result.rounds is not None:
        print(
            f"Settled {plural(result.rounds, 'round')} after the faults stopped, of at most {result.most_rounds}."
        )
    for fault in result.faults:
        note(f"FAULT: {fault}")
    if result.faults:
        note(f"{plural(len(result.faults), 'fault')}. Run it again with: {result.replay}")
    else:
        print("All is well: everyone ended with what they should.")


def _row(device: "DeviceResult") -> list[Any]:
    settled = "never" if device.settled_ms is None else f"after {device.settled_ms / 1000:.1f} s"
    held = [device.device, ", ".join(device.people), device.events, device.messages]
    return [
        *held,
        device.datagrams,
        device.bytes_sent,
        device.lost,
        device.corrupted,
        device.crashes,
        settled,
    ]
