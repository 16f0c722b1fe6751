"""`quire sim soak`: many simulations, what failed and how to see it again.

Owns: its options, progress and summary. Must not know: how simulations run.
"""

import inspect
import os
import sys
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.access import Options
from quire.cli.commands import option, take_options, with_options
from quire.cli.tables import console, note, table
from quire.cli.text import json_text, plural
from quire.errors import UserError

if TYPE_CHECKING:
    from quire.runtime.soak import Outcome

_SOAK = """Simulate with many seeds, on all cores, and tell which failed.

Ends after --minutes, or after --seeds seeds of each scenario."""

_HEADINGS = ["SCENARIO", "RUNS", "FAILED", "SETTLED, MEDIAN", "LONGEST", "DEVICE-HOURS / CPU-MINUTE"]

Names = Annotated[list[str] | None, typer.Argument(metavar="[SCENARIO]...", help="All, if none is named.")]


def soak() -> Callable[..., None]:
    """The command `sim soak`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        from quire.runtime.soak import soak as run_all
        from quire.sim.scenario import load, names

        options: Options = take_options(ctx, given)
        chosen = given["scenarios"] or names()
        for name in chosen:
            load(name)  # an unknown one is told of before anything runs
        if min(given["seeds"], given["minutes"]) < 0 or given["jobs"] < 1:
            raise UserError("--seeds and --minutes are 0 or more, --jobs is at least 1.")
        minutes = given["minutes"] or (0 if not given["seeds"] else 10**6)
        if not minutes:
            raise UserError("Say how long: --minutes M, or --seeds N for each scenario.")
        outcomes = []
        for outcome in run_all(chosen, given["seed"], given["seeds"], minutes, given["jobs"]):
            outcomes.append(outcome)
            _progress(outcomes)
        _show(options, outcomes)
        if _failed(outcomes):
            raise typer.Exit(1)

    scenarios = inspect.Parameter("scenarios", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Names)
    parameters = [
        scenarios,
        option("minutes", 0.0, float, "--minutes", "How long to go on."),
        option("seeds", 0, int, "--seeds", "How many seeds of each scenario."),
        option("seed", 1, int, "--seed", "The first seed."),
        option("jobs", os.cpu_count() or 1, int, "--jobs", "How many to run at once."),
    ]
    return with_options(run, parameters, _SOAK)


def _progress(outcomes: "list[Outcome]") -> None:
    """A line that is written over on a terminal; failures have lines of their own."""
    last = outcomes[-1]
    if last.faults:
        note(f"\rFAULT: {last.faults[0]}. Run it again with: {last.replay}")
    if sys.stderr.isatty():
        done = f"{plural(len(outcomes), 'run')}, {_failed(outcomes)} failed"
        print(f"\r{done} ({last.scenario}, seed {last.seed})  ", end="", file=sys.stderr)


def _show(options: Options, outcomes: "list[Outcome]") -> None:
    if options.json:
        print(json_text(outcomes))
        return
    if sys.stderr.isatty():
        note("")
    by_name: dict[str, list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda one: one.scenario):
        by_name.setdefault(outcome.scenario, []).append(outcome)
    table(console(), _HEADINGS, [_row(name, runs) for name, runs in by_name.items()], "Nothing was run.")
    pace = f"{_pace(outcomes):.1f} simulated device-hours per CPU-minute"
    print(f"{plural(len(outcomes), 'run')}, {_failed(outcomes)} failed; {pace}.")


def _failed(runs: "list[Outcome]") -> int:
    return sum(bool(run.faults) for run in runs)


def _row(name: str, runs: "list[Outcome]") -> list[Any]:
    settled = [run.settled_ms / 1_000 for run in runs if run.settled_ms is not None]
    times = [f"{median(settled):.1f} s", f"{max(settled):.1f} s"] if settled else ["never", "never"]
    return [name, len(runs), _failed(runs), *times, f"{_pace(runs):.1f}"]


def _pace(runs: "list[Outcome]") -> float:
    from quire.runtime.soak import pace

    return pace(sum(run.lived_ms for run in runs), sum(run.cpu_ms for run in runs))
