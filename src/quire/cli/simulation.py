"""`quire sim run` and `quire sim list`: simulate a community, and show the verdict.

Owns: its options, the summary, where pictures go. Must not know: how a simulation runs.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from quire.cli.access import Options
from quire.cli.commands import option, take_options, with_options
from quire.cli.files import check_writable, write_whole
from quire.cli.live import live_display
from quire.cli.stopping import exit_code, stoppable
from quire.cli.tables import console, fitting, note, table
from quire.cli.text import digits, json_text, plural
from quire.errors import HomeError, UserError
from quire.runtime import keep_in_file

if TYPE_CHECKING:
    from rich.console import Console

    from quire.sim.run import DeviceResult, Result
    from quire.sim.witness import Witness

_SIM = """Simulate a community on a bad network, and check that everyone ends with the same messages.

The same scenario and seed give the same run; `quire sim list` tells which scenarios there are."""

_HEADINGS = [
    *("DEVICE", "PEOPLE", "EVENTS", "MESSAGES", "DATAGRAMS", "BYTES"),
    *("LOST", "CORRUPTED", "CRASHES", "SETTLED"),
]

#: Columns that are left out where a terminal is narrow, the first first.
_SPARE = ("CORRUPTED", "DATAGRAMS", "LOST", "CRASHES", "BYTES")

_Scenario = Annotated[str, typer.Argument(metavar="SCENARIO", help="What happens.", show_default=False)]


def sim() -> Callable[..., None]:
    """The command `sim run`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        from quire.runtime.soak import lived, pace, timed

        options = take_options(ctx, given)
        _check_files(given["picture"], given["timeline"])
        try:
            with stoppable():
                (result, witness), cpu_ms = timed(lambda: _simulate(given, options.json))
        except KeyboardInterrupt as stopped:
            note("Stopped before the end: there is no verdict.")
            raise typer.Exit(exit_code(stopped)) from None
        if options.json:
            print(json_text(msgspec.to_builtins(result) | {"replay": result.replay}))
        else:
            _show(result, pace(lived(result), cpu_ms))
        sys.stdout.flush()
        if failures := [*_draw(result, witness, given), *_keep_keys(result, given["keep"])]:
            raise HomeError(" ".join(failures))
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


def _simulate(given: dict[str, Any], quiet: bool) -> "tuple[Result, Witness | None]":
    """Run it, with a witness if anybody asks for what one notes."""
    from quire.sim.run import simulate
    from quire.sim.scenario import DEFAULT
    from quire.sim.witness import Witness

    name, seed = given["scenario"] or DEFAULT, given["seed"]
    live = not quiet and sys.stderr.isatty()
    drawn = bool(given["picture"] or given["timeline"])
    if not (live or drawn):
        return simulate(name, seed, given["keep"], None), None
    witness = Witness(thorough=drawn)
    with live_display(witness, f"{name}, seed {seed}") if live else nullcontext():
        return simulate(name, seed, given["keep"], witness), witness


def _draw(result: "Result", witness: "Witness | None", given: dict[str, Any]) -> Iterator[str]:
    """What could not be drawn, and why."""
    from quire.sim.history import history
    from quire.sim.picture import convergence
    from quire.sim.timeline import timeline

    every = (("picture", convergence), ("timeline", timeline))
    wanted = [(what, drawn) for what, drawn in every if given[what] is not None]
    if witness is None or not wanted:
        return
    if not witness.plan:
        yield "Nothing is drawn: the run came to nothing."
        return
    told = history(result.scenario, result.seed, witness)
    for what, drawn in wanted:
        try:
            write_whole(given[what], drawn(told), f"The {what}")
            note(f"{given[what]} is written.")
        except HomeError as error:
            yield str(error)


def _keep_keys(result: "Result", folder: Path | None) -> Iterator[str]:
    """Homes that were kept open by their keys; which could not be written, and why."""
    from quire.sim.device import home_key

    if folder is None:
        return
    for device in result.devices:
        try:
            keep_in_file(folder / device.device, home_key(result.seed, device.device))
        except HomeError as error:
            yield str(error)


def _check_files(*paths: Path | None) -> None:
    """That files can be written there is found out before a run, not after."""
    given = [path for path in paths if path is not None]
    for path in given:
        check_writable(path)
    if len({path.resolve() for path in given}) < len(given):
        raise UserError("--picture and --timeline name the same file: name two.")


def _show(result: "Result", pace: float) -> None:
    devices_table(console(), result.devices)
    print(
        f"{plural(result.writes, 'write')} in {result.virtual_ms / 1000:.1f} s of simulated time"
        f" ({result.refused} refused, {result.interrupted} interrupted), fingerprint {result.fingerprint}"
    )
    note(f"{digits(pace)} simulated device-hours per CPU-minute.")  # no part of what follows from the seed
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


def devices_table(out: "Console", devices: "list[DeviceResult]") -> None:
    """A row for each device, as wide as there is room."""
    rows = [_row(device) for device in devices]
    kept = fitting(_HEADINGS, rows, out.width, _SPARE)
    places = [_HEADINGS.index(heading) for heading in kept]
    table(out, kept, [[row[place] for place in places] for row in rows], "No device was left running.")


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
