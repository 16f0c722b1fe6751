"""`python -m bench [--quick]`: run everything, print the table, write bench/out/latest.json."""

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


def main() -> None:
    """Each benchmark in a process of its own, one after the other."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the million events")
    quick = parser.parse_args().quick
    os.environ["PYTHON_KEYRING_BACKEND"] = (
        "keyring.backends.null.Keyring"  # no keys of ours in a person's keyring
    )
    sizes = [(100_000, "100,000")] + ([] if quick else [(1_000_000, "1,000,000")])
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="quire-bench-") as name:
        folder = Path(name)
        runs: list[Callable[[], list[Figure]]] = [
            partial(local.append, folder),
            partial(local.foreign, folder),
            graph.membership,
            partial(members.community, folder / "community"),
            partial(network.live, folder / "live"),
            partial(network.small, folder / "small"),
            partial(compression.before_sealing, folder / "compression"),
            partial(relay_store.sqlite, folder / "relay-store"),
            partial(relay_nats.replicated, folder / "nats"),
            partial(relay.through, folder / "relay-through"),
            partial(relay.idle, folder / "relay-idle"),
            partial(relay.live, folder / "relay-live"),
            partial(relay.one_by_one, folder / "relay-one-by-one", 20_000),
            partial(relay.catch_up, folder / "relay-catch-up", 100_000),
            partial(relay_nostr.side_by_side, folder / "relay-nostr"),
        ]
        for count, text in sizes:
            runs.append(partial(network.cold, folder / f"cold-{text}", count, text))
            runs.append(partial(local.read_and_size, folder, count, text))
            runs.append(partial(reconcile.differences, folder / f"apart-{text}", count, text))
            runs.append(partial(processes.start_up, folder / f"reader-{text}", text))
        for run in runs:
            figures += processes.apart(run)
    show(figures)
    write(figures, OUT)


if __name__ == "__main__":
    main()
