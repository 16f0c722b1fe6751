"""A program that is there to be killed: it uses the library, and says what is kept.

For each line `folder seed` on standard input it forks a child that works on that home without end. The
child's process number goes to standard output, and `dead` once it is gone. After each commit the child adds
the ids of what it wrote to the file `acknowledged` beside the home.
"""

import os
import sys
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from quire.api.operations import call
from quire.runtime import open_offline


def write_until_killed(folder: Path, seed: int) -> None:
    """Make identity and space if there are none; then write in every way there is."""
    random = Random(seed)
    acknowledged = os.open(f"{folder}.acknowledged", os.O_RDWR | os.O_APPEND | os.O_CREAT)
    # A child that was killed while it told of many left half a line, to which the next would add.
    told = os.pread(acknowledged, os.fstat(acknowledged).st_size, 0)
    os.truncate(acknowledged, told.rfind(b"\n") + 1)
    with open_offline(folder) as host:

        def do(operation: str, **params: Any) -> Any:
            return msgspec.to_builtins(call(host, operation, params))

        def keep(event_ids: list[str]) -> None:
            os.write(acknowledged, "".join(f"{event_id}\n" for event_id in event_ids).encode())

        if not do("listIdentities"):
            do("createIdentity", name="writer")
        if not do("listSpaces"):
            do("createSpace", name="desk")
        while True:
            choice = random.random()
            if choice < 0.60:
                text = "x" * random.choice((20, 200, 2_000))
                keep([do("sendMessage", target="general", text=text)["event_id"]])
            elif choice < 0.65:  # a commit that takes a while, so that some are killed within
                keep(do("sendMessages", target="large", texts=[f"{n} " + "z" * 1_500 for n in range(400)]))
            elif choice < 0.90:
                texts = [f"{random.random()} words" for _ in range(random.randrange(1, 120))]
                keep(do("sendMessages", target=f"channel {random.randrange(5)}", texts=texts))
            elif choice < 0.96:
                host.home.search.step()
            elif choice < 0.98:
                host.home.store.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            else:
                do("rebuild")


def main() -> None:
    for line in sys.stdin:
        folder, _, seed = line.rpartition(" ")
        pid = os.fork()
        if pid == 0:
            try:
                write_until_killed(Path(folder), int(seed))
            finally:
                sys.stderr.flush()
                os._exit(1)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        os.waitpid(pid, 0)
        sys.stdout.write("dead\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
