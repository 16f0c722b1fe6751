"""Run Maelstrom's `broadcast` and `g-set` over Quire nodes, with partitions, and `kafka` over a relay.

`make maelstrom` does. Maelstrom is found by the variable MAELSTROM (the program, or the folder that it was unpacked
into), else on PATH.
Nothing is fetched. What it writes lies in `build/maelstrom/store`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.maelstrom.relays import relays

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / "tests" / "maelstrom" / "node.py"
KAFKA = ROOT / "tests" / "maelstrom" / "kafka.py"
#: Total availability: every request is answered, in partitions too.
OPTIONS = (
    "--node-count 5 --time-limit 40 --rate 50 --latency 20 --latency-dist uniform"
    " --nemesis partition --nemesis-interval 8 --availability total"
)
#: Its nodes do not speak with each other, so there is nothing to cut.
KAFKA_OPTIONS = "--node-count 3 --time-limit 20 --rate 100 --availability total"
WORKLOADS = ("broadcast", "g-set", "kafka")


def find_maelstrom(variable: str | None) -> str:
    """The program. Raises FileNotFoundError, in words for a person."""
    found = shutil.which("maelstrom")
    if variable:
        path = Path(variable)
        found = shutil.which(str((path / "maelstrom" if path.is_dir() else path).resolve()))
        if found is None:
            raise FileNotFoundError(f"MAELSTROM is {variable!r}, and there is no program to run there.")
    if found is None:
        raise FileNotFoundError(
            "Maelstrom was not found. Unpack a release of it, put `maelstrom` on PATH or set MAELSTROM to its "
            "folder, and run this again. Quire's own stand-in for it is among the tests (tests/maelstrom)."
        )
    return found


def check_java(program: str) -> None:
    """Maelstrom's start script needs Java. Raises FileNotFoundError."""
    if (Path(program).resolve().parent / "lib" / "maelstrom.jar").exists() and not shutil.which("java"):
        raise FileNotFoundError("Maelstrom needs Java, and there is no `java` on PATH.")


def command(program: str, workload: str, more: list[str]) -> list[str]:
    """One run; later options count."""
    node, options = (KAFKA, KAFKA_OPTIONS) if workload == "kafka" else (NODE, OPTIONS)
    return [program, "test", "-w", workload, "--bin", str(node), *options.split(), *more]


def main(more: list[str]) -> int:
    """Run all workloads; 0 when all are valid."""
    try:
        program = find_maelstrom(os.environ.get("MAELSTROM"))
        check_java(program)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    folder = ROOT / "build" / "maelstrom"
    folder.mkdir(parents=True, exist_ok=True)
    # The node is started as a program: it has to find this interpreter, which has Quire.
    here = Path(sys.executable).parent
    variables = os.environ | {"PATH": f"{here}{os.pathsep}{os.environ.get('PATH', '')}"}
    codes = []
    with TemporaryDirectory(prefix="quire-maelstrom-") as place, relays(Path(place)) as addresses:
        for workload in WORKLOADS:
            print(f"\n{workload}: {program}", flush=True)
            told = variables | {"RELAYS": addresses}
            done = subprocess.run(command(program, workload, more), cwd=folder, env=told, check=False)
            codes.append(done.returncode)
    return max(map(abs, codes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
