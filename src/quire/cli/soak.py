"""`quire sim soak`: many simulations, what failed and how to see it again.

Owns: its options, progress and summary. Must not know: how simulations run.
"""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from math import isnan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.access import Options
from quire.cli.commands import option, take_options, with_options
from quire.cli.stopping import exit_code, stoppable
from quire.cli.tables import console, note, table
from quire.cli.text import digits, json_text, plural
from quire.errors import UserError

if TYPE_CHECKING:
    from quire.runtime.ledger import Entry, Ledger
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
    "SETTLED",
    "AT MOST",
    "DEVICE-H/CPU-MIN",
]

Names = Annotated[list[str] | None, typer.Argument(metavar="[SCENARIO]...", help="All, if none is named.")]


def soak() -> Callable[..., None]:
    """The command `sim soak`."""

    def run(ctx: typer.Context, **given: Any) -> None:
        from quire.runtime.ledger import Ledger, code_fingerprint
        from quire.sim.scenario import every, load, names

        options: Options = take_options(ctx, given)
        chosen = list(dict.fromkeys(given["scenarios"] or (every() if given["all"] else names())))
        for name in chosen:
            load(name)  # an unknown one is told of before anything runs
        if isnan(given["minutes"]) or min(given["seeds"], given["minutes"]) < 0 or given["jobs"] < 1:
            raise UserError("--seeds and --minutes are 0 or more, --jobs is at least 1.")
        if not (given["minutes"] or given["seeds"]):
            raise UserError("Say how long: --minutes M, or --seeds N for each scenario.")
        path: Path | None = given["ledger"]
        code = code_fingerprint()
        outcomes: list[Entry] = []
        with nullcontext() if path is None else closing(Ledger(path, code)) as ledger:
            stopped = _run_all(chosen, given, outcomes, ledger, code)
        _show(options, outcomes)
        sys.stdout.flush()
        if isinstance(stopped, KeyboardInterrupt):
            note("Stopped before the end.")
            raise typer.Exit(exit_code(stopped))
        if stopped is not None:
            raise stopped
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


def _run_all(
    chosen: list[str], given: dict[str, Any], outcomes: "list[Entry]", ledger: "Ledger | None", code: str
) -> BaseException | None:
    """Add what was asked for to `outcomes`, with what the ledger holds of it; what ended it early, if anything did."""
    from quire.runtime.ledger import entry
    from quire.runtime.soak import soak as run_all

    first, seeds = given["seed"], given["seeds"]
    before = {} if ledger is None else ledger.outcomes
    if ledger is not None:
        last = first + seeds if seeds else None
        outcomes += [one for one in before.values() if _is_asked_for(one, chosen, first, last)]
        holds = plural(len(outcomes), "run")
        note(f"{given['ledger']} holds {holds} of this, and {ledger.of_other_code} of other code.")
    most = len(chosen) * seeds
    try:
        with (
            stoppable(),
            closing(
                run_all(chosen, first, seeds, given["minutes"] or 10**6, given["jobs"], before.keys())
            ) as runs,
        ):
            for outcome in runs:
                outcomes.append(entry(outcome, code))
                _progress(outcomes, most)
                if ledger is not None:
                    ledger.add(outcomes[-1])
    except (KeyboardInterrupt, Exception) as error:
        return error
    return None


def _is_asked_for(one: "Outcome", chosen: list[str], first: int, end: int | None) -> bool:
    return one.scenario in chosen and one.seed >= first and (end is None or one.seed < end)


def _progress(outcomes: "Sequence[Outcome]", most: int) -> None:
    """A line that is written over on a terminal; failures have lines of their own."""
    last = outcomes[-1]
    if last.faults:
        note(f"\r{_fault(last)}")
    if sys.stderr.isatty():
        of = f" of {most}" if most else ""
        done = f"{len(outcomes)}{of} runs, {_failed(outcomes)} failed"
        print(f"\r{done} ({last.scenario}, seed {last.seed})  ", end="", file=sys.stderr)


def _show(options: Options, outcomes: "Sequence[Outcome]") -> None:
    if options.json:
        print(json_text(outcomes))
        return
    if sys.stderr.isatty():
        note("")
    by_name: dict[str, list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda one: one.scenario):
        by_name.setdefault(outcome.scenario, []).append(outcome)
    table(console(), _HEADINGS, [_row(name, runs) for name, runs in by_name.items()], "Nothing was run.")
    pace = f"{digits(_pace(outcomes))} simulated device-hours per CPU-minute"
    ill = [run for run in outcomes if run.faults]
    for run in ill[:_MOST_FAILURES]:
        print(_fault(run))
    print(f"{plural(len(outcomes), 'run')}, {len(ill)} failed; {pace}.")


def _fault(run: "Outcome") -> str:
    return f"FAULT: {run.faults[0]}. Run it again with: {run.replay}"


def _failed(runs: "Sequence[Outcome]") -> int:
    return sum(bool(run.faults) for run in runs)


def _row(name: str, runs: "Sequence[Outcome]") -> list[Any]:
    settled = [run.settled_ms / 1_000 for run in runs if run.settled_ms is not None]
    times = [f"{median(settled):.1f} s", f"{max(settled):.1f} s"] if settled else ["never", "never"]
    return [name, len(runs), len(runs) - _failed(runs), _failed(runs), *times, digits(_pace(runs))]


def _pace(runs: "Sequence[Outcome]") -> float:
    from quire.runtime.soak import pace

    return pace(sum(run.lived_ms for run in runs), sum(run.cpu_ms for run in runs))
