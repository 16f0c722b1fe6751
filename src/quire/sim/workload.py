"""The workload: what people will do, and what will go wrong, all drawn from the seed.

Owns: the plan, as rows of `sim_events`. Must not know: how it is carried out, or judged.
"""

from collections import Counter
from random import Random

import msgspec

from quire.sim.faults import DEATHS, FaultPlan, Step
from quire.sim.ground import ANYONE, GroundTruth
from quire.sim.scenario import LASTING, Scenario

_PEOPLE = ("ada", "ben", "cai", "dora", "eli", "fay", "gus", "hana", "ivo", "june", "kim", "lea")
_CHANNELS = ("general", "general", "random", "café plans")
_WORDS = (
    "bread",
    "meeting",
    "ответ",
    "naïve",
    "tomorrow",
    "🙂",
    "who\nelse",
    "東京",
    "a  b",
    "<b>",
    "'; --",
    "ok",
)
_SPACES = ("commons", "workshop")
_LARGE = 12_000
#: Messages of the history that are written at once, under one signature; and how much later the next are (ms). All in
#: one millisecond would be what no community has, and dear to look through.
_HISTORY_BATCH, _HISTORY_GAP_MS = 1_000, 10
#: Before somebody is removed it is silent for so long (ms): what had not come to the remover would not count.
_SILENT_MS = 8_000
#: The network is divided so long before the first removal and until so long after the last; latecomers come within so
#: long of about then (ms).
_PARTED_BEFORE_MS, _PARTED_AFTER_MS, _LATE_MS = 1_000, 4_000, 3_000
#: Rivals come within so long; who is too late comes so long after the invite, which was for a minute (ms).
_RIVALRY_MS, _EXPIRED_MS, _MINUTE_MS = 12_000, 62_000, 60_000
#: How long after the last has begun to join all should be in (ms).
_JOINED_MS = 5_000


def write_plan(ground: GroundTruth, scenario: Scenario, seed: int) -> None:
    """Fill `sim_events` with everything that is to happen."""
    for step in _Workload(scenario, seed).steps:
        ground.add(*step)


class _Workload:
    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._random = Random(f"{seed} workload")
        self._end = scenario.writing.within_s * 1_000
        count = scenario.people.count
        self._people = [_PEOPLE[n] if n < len(_PEOPLE) else f"person{n}" for n in range(count)]
        devices = [f"device{n + 1}" for n in range(max(1, count - scenario.people.housemates))]
        self._device = {person: devices[n % len(devices)] for n, person in enumerate(self._people)}
        hosts = {name: f"10.0.0.{n + 1}" for n, name in enumerate(devices)}
        #: Devices of liars, and how each lies.
        on_time = self._people[: count - scenario.people.latecomers]
        self._liars = {
            self._device[p]: how for p, how in zip(on_time[::-1], scenario.faults.byzantine, strict=False)
        }
        # (space, person, since when): who is in which space, in order of joining.
        self._members: list[tuple[str, str, int]] = []
        self._faults = FaultPlan(scenario.faults, hosts, self._end, Random(f"{seed} faults"))
        self.steps: list[Step] = [
            Step(0, name, "boot", self._boot(name, host)) for name, host in hosts.items()
        ]
        self.steps.append(Step(0, "network", "conditions", msgspec.to_builtins(scenario.network)))
        #: Who is removed from the first space, and when; who joins it no earlier.
        self._removed: dict[str, int] = {}
        self._latecomers = self._people[count - scenario.people.latecomers :]
        #: Who is no member from the beginning on, and may never be one.
        first_rival = count - scenario.people.rivals
        self._rivals = self._people[first_rival:]
        self._too_late = self._people[first_rival - scenario.people.too_late : first_rival]
        self._gather()
        self._remove()
        self._leave(Random(f"{seed} leaving"))
        self._turn_away(Random(f"{seed} turning away"))
        self._lie()
        inviting = dict.fromkeys(step.detail["device"] for step in self.steps if step.action == "invite")
        for device in inviting:
            self._faults.keep_in_place(device)
        shielded = [device for device in hosts if device not in inviting][: scenario.faults.shielded]
        self.steps += [Step(0, "network", "shield", {"device": device}) for device in shielded]
        self.steps += self._faults.steps
        for number in range(scenario.writing.writes):
            self._write(number)
        self.steps.append(Step(self._end, "everyone", "rest", {}))
        self.steps.sort(key=lambda step: step.at)

    def _boot(self, name: str, host: str) -> dict[str, object]:
        return {
            "host": host,
            "bad_disk": name in self._faults.bad_disks,
            "lying": name in self._liars,
            "power": not self._scenario.faults.power_cuts,
        }

    def _lie(self) -> None:
        """Liars begin when all should be in: who withholds could keep others out, which is no fault of theirs."""
        people = self._scenario.people
        begin = _JOINED_MS if people.gathered else people.join_within_s * 1_000 + _JOINED_MS
        for device, how in self._liars.items():
            end = self._end * 2 // 3 if how in LASTING else self._end
            for _ in range(1 if how in LASTING else self._scenario.faults.lies):
                at = begin + self._random.randrange(end - begin)
                self.steps.append(Step(at, device, "lie", {"how": how}))

    def _gather(self) -> None:
        """Found the spaces and let everyone join. Who has invited others may join no other space later."""
        if self._scenario.people.gathered:
            self._gather_at_once()
            return
        second = min(self._scenario.people.second_space, len(self._people) - 1)
        guests = self._random.sample(self._people[2:], second - 1) if second > 1 else []
        self._found(_SPACES[0], self._people[0], 0)
        self._write_history()
        for person in self._people[1 : len(self._people) - len(self._rivals) - len(self._too_late)]:
            self._join(_SPACES[0], person, guests)
        if guests:
            founder = self._people[1]
            since = next(at for _, person, at in self._members if person == founder)
            self._found(_SPACES[1], founder, since + 1)
            for person in guests:
                self._join(_SPACES[1], person, guests)

    def _gather_at_once(self) -> None:
        """All are in, and know of each other, within the first milliseconds."""
        space, founder = _SPACES[0], self._people[0]
        self._found(space, founder, 0)
        self._write_history()
        at = self._members[0][2] + 1
        guests = [person for person in self._people[1:] if person not in self._latecomers]
        self._do(at, founder, "invite", space, guest=ANYONE, uses=len(guests))
        for person in guests:
            self._do(at + 1, person, "join", space)
            self._members.append((space, person, at + 2))
        self.steps.append(Step(at + 2, self._device[founder], "gather", {"space": space}))
        for person in self._latecomers:
            self._join(space, person, [])

    def _write_history(self) -> None:
        """What the founder writes before anybody joins."""
        space, founder, at = self._members[0]
        for first in range(0, self._scenario.writing.history, _HISTORY_BATCH):
            last = min(first + _HISTORY_BATCH, self._scenario.writing.history)
            texts = [f"long ago, no. {number}" for number in range(first, last)]
            self._do(at, founder, "write", space, to="#general", texts=texts)
            at += _HISTORY_GAP_MS
        self._members[0] = space, founder, at

    def _found(self, space: str, person: str, at: int) -> None:
        at = self._faults.when_up(self._device[person], at)
        self._do(at, person, "found", space)
        self._members.append((space, person, at))

    def _join(self, space: str, person: str, guests: list[str]) -> None:
        founder, since = next((p, at) for name, p, at in self._members if name == space)
        at = since + 1 + self._random.randrange(self._scenario.people.join_within_s * 1_000)
        if person in self._latecomers and space == _SPACES[0]:
            at = self._end * 2 // 3 + self._random.randrange(_LATE_MS)
        at = self._faults.when_up(self._device[founder], at)
        inviter = self._random.choice(
            [
                p
                for name, p, joined in self._members
                if name == space
                and joined < at
                and p not in guests
                and self._device[p] not in self._liars
                and self._faults.is_up(self._device[p], at)
            ]
        )
        self._do(at, inviter, "invite", space, guest=person)
        # The link travels by hand: the inviter may be gone before it is used.
        at = self._faults.when_up(self._device[person], at + 1 + self._random.randrange(3_000))
        self._do(at, person, "join", space)
        self._members.append((space, person, at))

    def _remove(self) -> None:
        """The founder removes some."""
        founder = self._people[0]
        for person in self._dispensable()[: self._scenario.people.removals]:
            at = self._faults.when_up(
                self._device[founder], self._end * 2 // 3 + self._random.randrange(1_000)
            )
            self._removed[person] = at
            self._do(at, founder, "remove", _SPACES[0], who=person)
        if self._removed and self._scenario.faults.parted_removals:
            self._part()

    def _leave(self, random: Random) -> None:
        """Some leave by their own word, having said goodbye to all and to one: that, too, is to be heard."""
        able = [person for person in self._dispensable()[::-1] if person not in self._removed]
        for person in able[: self._scenario.people.leavers]:
            at = self._end * 2 // 3 + random.randrange(self._end // 6)
            at = self._faults.when_up(self._device[person], at)
            for to in ("#general", "@" + random.choice([other for other in self._people if other != person])):
                text = f"goodbye {to}, says {person}"
                self._do(at, person, "write", _SPACES[0], to=to, texts=[text])
                at += 1 + random.randrange(200)
            self._do(at, person, "leave", _SPACES[0])

    def _dispensable(self) -> list[str]:
        """Those who live alone, have invited nobody and are in one space."""
        home_of = Counter(self._device.values())
        inviters = {step.actor for step in self.steps if step.action == "invite"}
        places = Counter(person for _, person, _ in self._members)
        return [
            person
            for person in self._people[1:]
            if home_of[self._device[person]] == places[person] == 1
            and person not in inviters
            and person not in self._latecomers
        ]

    def _part(self) -> None:
        """Divide the network while people are removed: who removes is on one side, they and some others on another."""
        theirs = {self._device[person] for person in self._removed}
        devices = dict.fromkeys(self._device.values())
        for device in list(devices)[1:]:  # the first is the founder's
            if self._random.random() < 0.5:
                theirs.add(device)
        groups = [sorted(devices.keys() - theirs), sorted(theirs)]
        begin, end = min(self._removed.values()), max(self._removed.values())
        self.steps.append(Step(begin - _PARTED_BEFORE_MS, "network", "partition", {"groups": groups}))
        self.steps.append(Step(end + _PARTED_AFTER_MS, "network", "heal", {}))

    def _turn_away(self, random: Random) -> None:
        """Some come by an invite that is used up, or has expired. They write nothing, and nothing is for them alone."""
        founder = self._people[0]
        for person in self._too_late:
            at = self._faults.when_up(self._device[founder], _JOINED_MS + random.randrange(_LATE_MS))
            self._do(at, founder, "invite", _SPACES[0], guest=person, expires="1m", lasts_ms=_MINUTE_MS)
            at = self._faults.when_up(self._device[person], at + _EXPIRED_MS + random.randrange(_LATE_MS))
            self._do(at, person, "join", _SPACES[0])
        if self._rivals:
            at = self._faults.when_up(self._device[founder], self._end // 3 + random.randrange(_LATE_MS))
            self._do(at, founder, "invite", _SPACES[0], guest=self._rivals[0])
            if self._scenario.faults.parted_rivals:
                self._part_rivals(at + _PARTED_BEFORE_MS, random)
            for person in self._rivals:
                begin = at + _PARTED_BEFORE_MS + random.randrange(_RIVALRY_MS)
                begin = self._faults.when_up(self._device[person], begin)
                self._do(begin, person, "join", _SPACES[0], by=self._rivals[0])

    def _part_rivals(self, at: int, random: Random) -> None:
        """Divide the network: the rivals in turn, and the others by lot, are on two sides, members on each."""
        inside = [device for device in dict.fromkeys(self._device.values()) if device not in self._outside()]
        random.shuffle(inside)
        cut = 1 + random.randrange(len(inside) - 1)
        sides = [inside[:cut], inside[cut:]]
        for place, device in enumerate(self._outside()):
            sides[place % 2].append(device)
        self.steps.append(Step(at, "network", "partition", {"groups": [sorted(side) for side in sides]}))
        self.steps.append(Step(at + _RIVALRY_MS * 2 // 3, "network", "heal", {}))

    def _outside(self) -> list[str]:
        return [self._device[person] for person in (*self._rivals, *self._too_late)]

    def _silent(self, person: str, at: int) -> bool:
        removed = self._removed.get(person)
        return removed is not None and removed - _SILENT_MS <= at <= removed

    def _write(self, number: int) -> None:
        """One write; some come just as the device is about to crash."""
        random = self._random
        at = 1 + random.randrange(self._end - 1)
        crashes = [step for step in self._faults.steps if step.action in DEATHS]
        doomed = ""
        if crashes and random.random() < 0.15:
            crash = random.choice(crashes)
            at, doomed = crash.at, crash.actor
        able = [
            (space, person)
            for space, person, since in self._members
            if since < at
            and not self._silent(person, at)
            and (self._device[person] == doomed if doomed else self._faults.is_up(self._device[person], at))
        ]
        if able:
            space, person = random.choice(able)
            to = self._target(space, at)
            self._do(at, person, "write", space, to=to, texts=self._texts(number))

    def _target(self, space: str, at: int) -> str:
        if self._random.random() >= self._scenario.writing.direct:
            return "#" + self._random.choice(_CHANNELS)
        return "@" + self._random.choice(
            [p for name, p, since in self._members if name == space and since < at]
        )

    def _texts(self, number: int) -> list[str]:
        writing, random = self._scenario.writing, self._random
        many = random.random() < writing.runs
        return [
            self._text(f"{number}.{place}")
            for place in range(2 + random.randrange(writing.at_once - 1) if many else 1)
        ]

    def _text(self, mark: str) -> str:
        """Words that no other message has."""
        words = " ".join(self._random.choice(_WORDS) for _ in range(1 + self._random.randrange(20)))
        if self._random.random() < self._scenario.writing.large:
            words += "x" * self._random.randrange(_LARGE)
        return f"no. {mark}: {words}"

    def _do(self, at: int, person: str, action: str, space: str, **detail: object) -> None:
        self.steps.append(
            Step(at, person, action, {"device": self._device[person], "space": space, **detail})
        )
