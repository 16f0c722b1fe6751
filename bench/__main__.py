"""`python -m bench [--quick] [--only PART …]`: measure, print the table; if it was all, write bench/out/latest.json."""

import argparse
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import (
    compression,
    graph,
    local,
    members,
    network,
    processes,
    reconcile,
    relay,
    relay_nats,
    relay_nostr,
    relay_store,
)
from bench.figures import Figure, show, write

OUT = Path(__file__).parent / "out" / "latest.json"


#: A part, and one of its measurements, which may need what those before it of the same part left in the folder.
Measurement = tuple[str, Callable[[], list[Figure]]]


def main() -> None:
    """Each benchmark in a process of its own, one after the other."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the million events")
    parts = list(dict.fromkeys(part for part, _ in measurements(Path(), quick=True)))
    parser.add_argument(
        "--only", nargs="+", choices=parts, default=[], help="only these parts; nothing is written"
    )
    given = parser.parse_args()
    os.environ["PYTHON_KEYRING_BACKEND"] = (
        "keyring.backends.null.Keyring"  # no keys of ours in a person's keyring
    )
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="quire-bench-") as name:
        for part, run in measurements(Path(name), given.quick):
            if part in (given.only or parts):
                figures += processes.apart(run)
    show(figures)
    if not given.only:
        write(figures, OUT)


def measurements(folder: Path, quick: bool) -> list[Measurement]:
    """All there are, in turn."""
    found: list[Measurement] = [
        ("local", partial(local.append, folder)),
        ("local", partial(local.foreign, folder)),
        ("graph", graph.membership),
        ("members", partial(members.community, folder / "community")),
        ("network", partial(network.live, folder / "live")),
        ("network", partial(network.small, folder / "small")),
        ("compression", partial(compression.before_sealing, folder / "compression")),
        ("relay-store", partial(relay_store.sqlite, folder / "relay-store")),
        ("relay-nats", partial(relay_nats.replicated, folder / "nats")),
        ("relay", partial(relay.through, folder / "relay-through")),
        ("relay", partial(relay.idle, folder / "relay-idle")),
        ("relay", partial(relay.live, folder / "relay-live")),
        ("relay", partial(relay.one_by_one, folder / "relay-one-by-one", 20_000)),
        ("relay", partial(relay.catch_up, folder / "relay-catch-up", 100_000)),
        ("relay-nostr", partial(relay_nostr.side_by_side, folder / "relay-nostr")),
    ]
    for count, text in [(100_000, "100,000")] + ([] if quick else [(1_000_000, "1,000,000")]):
        found.append(("network", partial(network.cold, folder / f"cold-{text}", count, text)))
        found.append(("local", partial(local.read_and_size, folder, count, text)))
        found.append(("reconcile", partial(reconcile.differences, folder / f"apart-{text}", count, text)))
        found.append(("local", partial(processes.start_up, folder / f"reader-{text}", text)))
    return found


if __name__ == "__main__":
    main()
