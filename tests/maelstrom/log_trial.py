"""One run of `kafka`: sends, polls and commits to every node in turn, while the operator's faults go on outside.

As Maelstrom's workload, but that the last poll of each node asks for everything. A commit is of what a poll showed.
"""

import argparse
import asyncio
from pathlib import Path
from random import Random
from typing import Any

from tests.maelstrom.judge import DEFINITE, Body, Network
from tests.maelstrom.log_checker import LogVerdict, Marks, Poll, Sent, judge_logs

KEYS = 4
#: How often the last polls are asked again where a node cannot answer yet, and the rest between (seconds).
TRIES, REST_S = 60, 0.5


class LogTrial:
    """`sent`, `polls`, `marks`: the history."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.names = [f"n{number}" for number in range(options.node_count)]
        self.random = Random(options.seed)
        self.network = Network("kafka", 0, 0, self.random)
        self.sent: list[Sent] = []
        self.polls: list[Poll] = []
        self.marks: list[Marks] = []
        self.requests = self.answered = 0
        self._next = {name: {str(key): 1 for key in range(KEYS)} for name in self.names}

    async def run(self) -> dict[str, Any]:
        """Everything from the first process to the verdict, as a summary. Raises Unfit."""
        try:
            await self.network.start(str(Path(self.options.bin).resolve()), self.names)
            await self._request()
            silent = [name for name in self.names if not await self._read_all(name)]
        finally:
            silent_by_end = await self.network.close()
        return self._summary(judge_logs(self.sent, self.polls, self.marks), sorted({*silent, *silent_by_end}))

    async def _request(self) -> None:
        asked = []
        for number in range(int(self.options.rate * self.options.time_limit)):
            name = self.names[number % len(self.names)]
            act = self.random.choices((self._send, self._poll, self._commit, self._list), (4, 3, 1, 1))[0]
            asked.append(asyncio.create_task(act(name, number)))
            await asyncio.sleep(1 / self.options.rate)
        await asyncio.gather(*asked)

    async def _send(self, name: str, number: int) -> None:
        one = Sent(str(self.random.randrange(KEYS)), number, self._now())
        self.sent.append(one)
        answer = await self._ask(name, {"type": "send", "key": one.key, "msg": one.message})
        if answer is None:
            return
        if answer["type"] == "send_ok":
            one.completed, one.offset = self._now(), answer["offset"]
        elif answer["code"] in DEFINITE:
            self.sent.remove(one)

    async def _poll(self, name: str, number: int) -> None:
        nexts = self._next[name]
        found = await self._polled(name, dict(nexts))
        for key, some in found.items():
            nexts[key] = max([nexts[key], *(offset + 1 for offset, _ in some)])

    async def _commit(self, name: str, number: int) -> None:
        offsets = {key: offset - 1 for key, offset in self._next[name].items() if offset > 1}
        await self._mark(name, {"type": "commit_offsets", "offsets": offsets}, offsets)

    async def _list(self, name: str, number: int) -> None:
        await self._mark(name, {"type": "list_committed_offsets", "keys": [str(key) for key in range(KEYS)]})

    async def _mark(self, name: str, body: Body, offsets: dict[str, int] | None = None) -> None:
        begun = self._now()
        answer = await self._ask(name, body)
        if answer is not None and answer["type"] != "error":
            given = answer["offsets"] if offsets is None else offsets
            self.marks.append(Marks(given, begun, self._now(), listed=offsets is None))

    async def _read_all(self, name: str) -> bool:
        """Poll a node from the first offset on until nothing more comes; whether it answered."""
        messages: dict[str, list[tuple[int, int]]] = {str(key): [] for key in range(KEYS)}
        nexts = dict.fromkeys(messages, 1)
        for _ in range(TRIES):
            found = await self._polled(name, dict(nexts))
            for key, some in found.items():
                messages[key] += some
                nexts[key] = max([nexts[key], *(offset + 1 for offset, _ in some)])
            if found and not any(found.values()):
                self.polls.append(Poll(dict.fromkeys(messages, 1), messages, final=True))
                await self._list(name, 0)
                return True
            if not found:
                await asyncio.sleep(REST_S)
        return False

    async def _polled(self, name: str, asked: dict[str, int]) -> dict[str, list[tuple[int, int]]]:
        answer = await self._ask(name, {"type": "poll", "offsets": asked})
        if answer is None or answer["type"] == "error":
            return {}
        found = {key: [(offset, message) for offset, message in some] for key, some in answer["msgs"].items()}
        self.polls.append(Poll(asked, found))
        return found

    async def _ask(self, name: str, body: Body) -> Body | None:
        self.requests += 1
        try:
            answer = await self.network.ask(name, body)
        except TimeoutError:
            return None
        self.answered += answer["type"] != "error"
        return answer

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _summary(self, verdict: LogVerdict, silent: list[str]) -> dict[str, Any]:
        return {
            "judge": "Quire's stand-in for Maelstrom",
            "workload": "kafka",
            "valid": verdict.valid and not silent and not self.network.malformed,
            "malformed": self.network.malformed,
            "requests": self.requests,
            "answered": self.answered,
            **vars(verdict),
            "silent": silent,
        }
