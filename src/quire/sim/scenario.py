"""Scenarios: what kind of community on what kind of network, as data (`scenarios/*.toml`).

Owns: their fields, defaults and reading. Must not know: how any of it is carried out.
"""

import tomllib
from importlib.resources import files
from typing import Annotated, Literal

import msgspec

from quire.errors import UserError

DEFAULT = "community"

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
Lie = Literal["forge", "fork", "withhold", "replay", "flood", "promise", "cheat", "dribble"]
#: Lies that begin once, before latecomers join, and never end; all but the first are told on streams.
LASTING: tuple[Lie, ...] = ("withhold", "promise", "cheat", "dribble")


class People(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who takes part. The first founds the space; the others join it through whoever is already in."""

    count: Annotated[int, msgspec.Meta(ge=2)]
    #: How many of them have no device of their own, and live on another's.
    housemates: _Count = 0
    #: How many are (also) in a second space.
    second_space: _Count = 0
    join_within_s: int = 5
    #: Whether all are members, and hold the same, before anything goes wrong. Each then has a device of its own, and
    #: there is one space.
    gathered: bool = False
    #: How many the founder removes from the first space towards the end; they, and the others, write on.
    removals: _Count = 0
    #: How many leave it by their own word, then as well.
    leavers: _Count = 0
    #: How many of the very last come by one invite, which is for one of them alone; how many of those before them come
    #: when their invite, of a minute, has expired.
    rivals: _Count = 0
    too_late: _Count = 0
    #: How many of the last join the first space only then.
    latecomers: _Count = 0


class Writing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What they write. `direct`, `runs` (many at once) and `large` are shares of the writes."""

    writes: int
    within_s: int
    direct: _Share = 0.2
    runs: _Share = 0.1
    large: _Share = 0.03
    #: The most messages that are written at once.
    at_once: Annotated[int, msgspec.Meta(ge=2)] = 12
    #: Messages that the founder writes before anybody joins, many at once.
    history: _Count = 0


class Conditions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the network does to each datagram."""

    delay_ms: Annotated[int, msgspec.Meta(ge=1)] = 20
    jitter_ms: _Count = 10
    loss: _Share = 0.0
    duplicate: _Share = 0.0
    #: Share that is held back, behind what is sent later.
    reorder: _Share = 0.0
    #: Share in which bits are flipped.
    corrupt: _Share = 0.0
    #: What each device can send, in kB/s; 0: anything.
    uplink_kb: _Count = 0
    #: Datagrams arrive, and devices act, at multiples of this time, all of one moment together: a run is cheaper by it.
    together_ms: Annotated[int, msgspec.Meta(ge=1)] = 1


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong while they write. All but skewed clocks is mended when the writing ends."""

    partitions: _Count = 0
    #: How many of these are of one way only: some hear the others, and are not heard.
    one_way: _Count = 0
    #: Times that all that goes to a device is held up for a while, and comes at once.
    clogs: _Count = 0
    #: Devices behind a NAT, of those whose people invite nobody: what they did not ask for does not reach them.
    shielded: _Count = 0
    #: Times that a device has no network.
    absences: _Count = 0
    #: Whether the network is divided while people are removed: those on their side hear of it later.
    parted_removals: bool = False
    #: Whether it is divided while rivals come, who are on two sides.
    parted_rivals: bool = False
    crashes: _Count = 0
    #: Times that a device loses power, and with it some of what its disk was not told to keep.
    power_cuts: _Count = 0
    #: Whether a device can come back at another address.
    moves: bool = False
    #: Devices whose disks are full, or fail, for a while; how often, and times that one dies in the midst of a write.
    bad_disks: _Count = 0
    disk_faults: _Count = 0
    tears: _Count = 0
    #: Byzantine peers, the last of the people but for latecomers, one of each kind that is named; how often each does
    #: it, but once what is LASTING.
    byzantine: tuple[Lie, ...] = ()
    lies: _Count = 4
    #: How far clocks are off at the start, how often one is set anew, and how far off it then is.
    skew_s: _Count = 0
    jumps: _Count = 0
    jump_s: _Count = 0


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of run. `settle_s` is the virtual time within which all must agree once faults have stopped."""

    about: str
    settle_s: int
    people: People
    writing: Writing
    network: Conditions = Conditions()
    faults: Faults = Faults()
    #: How nodes sync; if it is not said, the seed decides.
    strategy: str = ""
    #: Whether nodes can open streams to each other; if it is not said, the seed decides.
    streams: bool | None = None
    #: Whether all else but `settle_s` is drawn from the seed (see `mixture`).
    mixed: bool = False
    #: Takes minutes: it is run when it is named, and not among all.
    heavy: bool = False


def names() -> list[str]:
    """All scenarios that take seconds, by name."""
    return [name for name in every() if not load(name).heavy]


def every() -> list[str]:
    """All scenarios, by name."""
    folder = files("quire.sim").joinpath("scenarios")
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load(name: str) -> Scenario:
    """A scenario by name. Raises UserError when there is none."""
    if name not in every():
        raise UserError(f"There is no scenario {name!r}: choose one of {', '.join(every())}.")
    return parse(files("quire.sim").joinpath("scenarios", f"{name}.toml").read_text(encoding="utf-8"))


def parse(text: str) -> Scenario:
    """A scenario from TOML. Raises msgspec.ValidationError, which names the field."""
    return msgspec.convert(tomllib.loads(text), Scenario)
