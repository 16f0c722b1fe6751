"""`quire sim soak`: many simulations, what failed and how to see it again.

Owns: its options, progress and summary. Must not know: how simulations run.
"""

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
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

Ends after --minutes, or after --seeds seeds of each scenario. With --ledger, what a former run of the same code did is
not done again: killed at any time, it loses no more than the runs under way."""

#: What is wrong with runs is told again at the end, of so many.
_MOST_FAILURES = 50
_HEADINGS = [
    "SCENARIO",
    "RUNS",
    "PASSED",
    "FAILED",
    "SETTLED, MEDIAN",
    "LONGEST",
    "DEVICE-HOURS / CPU-MINUTE",
]

Names = Annotated[list[str] | None, typer.Argument(metavar="[SCENARIO]...", help="All, if none is named.")]


def soak() -> Callable[..., None]:
    """The command `sim soak`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        from quire.sim.scenario import every, load, names

        options: Options = take_options(ctx, given)
        chosen = given["scenarios"] or (every() if given["all"] else names())
        for name in chosen:
            load(name)  # an unknown one is told of before anything runs
        if min(given["seeds"], given["minutes"]) < 0 or given["jobs"] < 1:
            raise UserError("--seeds and --minutes are 0 or more, --jobs is at least 1.")
        if not (given["minutes"] or given["seeds"]):
            raise UserError("Say how long: --minutes M, or --seeds N for each scenario.")
        outcomes = _run_all(chosen, given)
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
        option("all", False, bool, "--all", "Scenarios that take minutes too, if none is named."),
        option(
            "ledger",
            None,
            Path | None,
            "--ledger",
            "Note each run there, and go on from what it holds.",
            "FILE",
        ),
    ]
    return with_options(run, parameters, _SOAK)


def _run_all(chosen: list[str], given: dict[str, Any]) -> "list[Outcome]":
    """What was asked for, with what the ledger holds of it."""
    from quire.runtime.ledger import Ledger, code_fingerprint
    from quire.runtime.soak import soak as run_all

    first, seeds = given["seed"], given["seeds"]
    path: Path | None = given["ledger"]
    ledger = None if path is None else Ledger(path, code_fingerprint())
    before = {} if ledger is None else ledger.outcomes
    outcomes: list[Outcome] = [
        one
        for (name, seed), one in before.items()
        if name in chosen and seed >= first and (not seeds or seed < first + seeds)
    ]
    if ledger is not None:
        note(
            f"{path} holds {plural(len(outcomes), 'run')} of this, and {ledger.of_other_code} of other code."
        )
    minutes = given["minutes"] or 10**6
    most = len(chosen) * seeds
    try:
        for outcome in run_all(chosen, first, seeds, minutes, given["jobs"], before.keys()):
            if ledger is not None:
                ledger.add(outcome)
            outcomes.append(outcome)
            _progress(outcomes, most)
    finally:
        if ledger is not None:
            ledger.close()
    return outcomes


def _progress(outcomes: "list[Outcome]", most: int) -> None:
    """A line that is written over on a terminal; failures have lines of their own."""
    last = outcomes[-1]
    if last.faults:
        note(f"\r{_fault(last)}")
    if sys.stderr.isatty():
        of = f" of {most}" if most else ""
        done = f"{len(outcomes)}{of} runs, {_failed(outcomes)} failed"
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
    ill = [run for run in outcomes if run.faults]
    for run in ill[:_MOST_FAILURES]:
        print(_fault(run))
    print(f"{plural(len(outcomes), 'run')}, {len(ill)} failed; {pace}.")


def _fault(run: "Outcome") -> str:
    return f"FAULT: {run.faults[0]}. Run it again with: {run.replay}"


def _failed(runs: "list[Outcome]") -> int:
    return sum(bool(run.faults) for run in runs)


def _row(name: str, runs: "list[Outcome]") -> list[Any]:
    settled = [run.settled_ms / 1_000 for run in runs if run.settled_ms is not None]
    times = [f"{median(settled):.1f} s", f"{max(settled):.1f} s"] if settled else ["never", "never"]
    return [name, len(runs), len(runs) - _failed(runs), _failed(runs), *times, f"{_pace(runs):.1f}"]


def _pace(runs: "list[Outcome]") -> float:
    from quire.runtime.soak import pace

    return pace(sum(run.lived_ms for run in runs), sum(run.cpu_ms for run in runs))
