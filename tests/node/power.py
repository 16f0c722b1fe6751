"""Power cuts: a station's database as of an earlier commit, which is all that one leaves."""

import shutil
from pathlib import Path

from tests.node.world import Station


def kept_on_disk(station: Station, folder: Path) -> Path:
    """A copy of a station's database as it stands: what a later power cut leaves, if nothing is synced until then."""
    folder.mkdir()
    for file in station.path.parent.glob(f"{station.path.name}*"):
        if not file.name.endswith("-shm"):
            shutil.copyfile(file, folder / file.name)
    return folder


def lose_power(station: Station, kept: Path) -> None:
    """Lose what was committed since, start the machine again, and the node."""
    station.down(kept)
    station.up()
