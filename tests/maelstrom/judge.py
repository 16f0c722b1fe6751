#!/usr/bin/env python3
"""A small stand-in for Maelstrom: its command line, its protocol and its faults, as far as Quire uses them.

It is not Maelstrom. It starts the programs, routes their messages with latency and partitions that follow from
a seed, sends the requests of `broadcast` or `g-set`, heals, gives the same ten seconds to recover, reads every
node a last time, and judges by `checker`. Written from Maelstrom's documents (protocol, workloads).
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from tests.maelstrom.checker import Op, Outcome, Verdict, judge

WRITES = {"broadcast": ("broadcast", "message"), "g-set": ("add", "element")}
#: By workload, what the answers to requests have to have.
ANSWERS: dict[str, dict[str, tuple[str, Any]]] = {
    "broadcast": {"read": ("messages", list[int])},
    "g-set": {"read": ("value", list[int])},
    "kafka": {
        "send": ("offset", int),
        "poll": ("msgs", dict[str, list[tuple[int, int]]]),
        "list_committed_offsets": ("offsets", dict[str, int]),
    },
}
#: Error codes that mean that it certainly was not done.
DEFINITE = {1, 10, 11, 12, 14}
CRASH = 13
#: Seconds: for an answer to `init` (Maelstrom gives 10) and to all else, and between looks whether all agree.
INIT_S, RPC_S, LOOK_S = 30.0, 20.0, 0.25
_LONGEST_LINE = 1 << 24
#: Of nonsense, so much is told.
_MOST_TOLD, _LONGEST_TOLD = 5, 300

Body = dict[str, Any]
Grudge = set[tuple[str, str]]


class Unfit(Exception):
    """A program that cannot be judged: it does not start, or does not come to its first request."""


class Network:
    """The processes and what lies between them. Messages to and from clients are never hit, as in Maelstrom."""

    def __init__(self, workload: str, latency: float, loss: float, random: Random) -> None:
        #: What nodes said that is not of the workload, or not of the protocol.
        self.malformed: list[str] = []
        self._answers = ANSWERS[workload]
        self.nodes: dict[str, asyncio.subprocess.Process] = {}
        #: Who does not hear whom, as (source, destination).
        self.grudge: Grudge = set()
        self.counts = {"passed": 0, "cut": 0, "lost": 0}
        self._latency = latency
        self._loss = loss
        self._random = random
        #: By message number: the node asked, and what will be its answer.
        self._waiting: dict[int, tuple[str, asyncio.Future[Body]]] = {}
        self._ended: set[str] = set()
        self._msg_id = 0
        self._readers: list[asyncio.Task[None]] = []

    async def start(self, program: str, names: list[str]) -> None:
        """Start the processes and initialise them, all at once. Raises Unfit."""
        for name in names:
            try:
                self.nodes[name] = await asyncio.create_subprocess_exec(
                    program,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=_LONGEST_LINE,
                )
            except OSError as error:
                raise Unfit(f"{program} cannot be started: {error.strerror}.") from None
            self._readers.append(asyncio.create_task(self._read(name)))
        inits = [
            self.ask(name, {"type": "init", "node_id": name, "node_ids": names}, INIT_S) for name in names
        ]
        try:
            for answer in await asyncio.gather(*inits):
                check_answer("init", answer)
        except TimeoutError:
            raise Unfit(f"A node did not answer to `init` within {INIT_S:.0f} s.") from None

    async def ask(self, name: str, body: Body, timeout: float = RPC_S) -> Body:
        """A client's request and its answer; of a process that has ended, or talks nonsense, an error.

        Raises TimeoutError.
        """
        if name in self._ended:
            return _has_ended(name)
        self._msg_id += 1
        number = self._msg_id
        answer: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._waiting[number] = name, answer
        self._hand({"src": f"c{number}", "dest": name, "body": body | {"msg_id": number}})
        try:
            async with asyncio.timeout(timeout):
                return self._understood(name, body["type"], await answer)
        finally:
            del self._waiting[number]

    def _understood(self, name: str, asked: str, answer: Body) -> Body:
        field, kind = self._answers.get(asked, ("type", str))
        if answer.get("type") == "error":
            field, kind = "code", int
        try:
            msgspec.convert(answer[field], kind)
            return answer
        except (KeyError, msgspec.ValidationError):
            self._note(f"{name} answered to `{asked}`: {answer}")
            return {"type": "error", "code": CRASH, "text": f"{name} does not speak this workload"}

    def _note(self, text: str) -> None:
        if len(self.malformed) < _MOST_TOLD:
            self.malformed.append(text[:_LONGEST_TOLD])

    async def close(self) -> list[str]:
        """End the processes; the names of those that had ended by themselves, or badly."""
        crashed = [name for name, process in self.nodes.items() if process.returncode is not None]
        for process in self.nodes.values():
            assert process.stdin is not None
            process.stdin.close()
        for name, process in self.nodes.items():
            try:
                async with asyncio.timeout(INIT_S):
                    if await process.wait() != 0 and name not in crashed:
                        crashed.append(name)
            except TimeoutError:
                process.kill()
                crashed.append(name)
        await asyncio.gather(*self._readers)
        return crashed

    async def _read(self, name: str) -> None:
        stdout = self.nodes[name].stdout
        assert stdout is not None
        with suppress(ConnectionError):
            while line := await self._line(name, stdout):
                try:
                    self._take(name, line)
                except (ValueError, KeyError, TypeError, AttributeError):
                    self._note(f"{name} wrote: {line!r}")
        self._ended.add(name)
        for number in [number for number, (asked, _) in self._waiting.items() if asked == name]:
            self._answer(number, _has_ended(name))

    async def _line(self, name: str, stdout: asyncio.StreamReader) -> bytes:
        try:
            return await stdout.readline()
        except ValueError:  # it is longer than any message; what follows is the rest of it
            self._note(f"{name} wrote a line of more than {_LONGEST_LINE} bytes")
            return b"\n"

    def _take(self, name: str, line: bytes) -> None:
        message = json.loads(line)
        if message["src"] != name:
            raise ValueError(message["src"])
        if message["dest"] in self.nodes:
            self._route(message)
        else:
            self._answer(message["body"]["in_reply_to"], dict(message["body"]))

    def _answer(self, number: int, body: Body) -> None:
        _, answer = self._waiting.get(number, ("", None))
        if answer is not None and not answer.done():
            answer.set_result(body)

    def _route(self, message: Body) -> None:
        if self._random.random() < self._loss:
            self.counts["lost"] += 1
            return
        delay = self._random.uniform(0, 2 * self._latency)
        asyncio.get_running_loop().call_later(delay, self._deliver, message)

    def _deliver(self, message: Body) -> None:
        if (message["src"], message["dest"]) in self.grudge:
            self.counts["cut"] += 1
        else:
            self.counts["passed"] += 1
            self._hand(message)

    def _hand(self, message: Body) -> None:
        stdin = self.nodes[message["dest"]].stdin
        assert stdin is not None
        with suppress(ConnectionError):  # the process is away
            stdin.write(json.dumps(message).encode() + b"\n")


def check_answer(asked: str, answer: Body) -> None:
    """That a node does what everything begins with. Raises Unfit."""
    if answer["type"] != f"{asked}_ok":
        raise Unfit(f"A node answered to `{asked}`: {answer}")


def _has_ended(name: str) -> Body:
    return {"type": "error", "code": CRASH, "text": f"{name} has ended"}


def grudges(names: list[str], random: Random) -> Iterator[Grudge]:
    """Partitions without end: halves, one node alone, overlapping majorities, and one way only."""
    while True:
        order = random.sample(names, len(names))
        half = len(order) // 2
        yield _between(order[:half], order[half:]) | _between(order[half:], order[:half])
        yield _between(order[:1], order[1:]) | _between(order[1:], order[:1])
        yield {
            (one, other)
            for n, one in enumerate(order)
            for m, other in enumerate(order)
            if min((n - m) % len(order), (m - n) % len(order)) > max(len(order) // 4, 1)
        }
        yield _between(order[:half], order[half:])


def _between(some: list[str], others: list[str]) -> Grudge:
    return {(one, other) for one in some for other in others}


class Trial:
    """One run: the requests, the faults, and the history."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.names = [f"n{number}" for number in range(options.node_count)]
        self.random = Random(options.seed)
        self.network = Network(options.workload, options.latency / 1_000, options.loss, self.random)
        self.history: list[Op] = []
        self.partitions = 0
        self.recovered: float | None = None

    async def run(self) -> Verdict:
        """Everything from the first process to the verdict. A process that ended early counts as silent.

        Raises Unfit.
        """
        try:
            await self.network.start(str(Path(self.options.bin).resolve()), self.names)
            if self.options.workload == "broadcast":
                await self._tell_topology()
            nemesis = asyncio.create_task(self._partition())
            await self._request()
            nemesis.cancel()
            self.network.grudge = set()
            await self._recover()
            await asyncio.gather(*(self._read(name, final=True) for name in self.names))
        finally:
            crashed = await self.network.close()
        verdict = judge(self.history, self.names)
        verdict.silent += [name for name in crashed if name not in verdict.silent]
        return verdict

    async def _tell_topology(self) -> None:
        topology = {name: [other for other in self.names if other != name] for name in self.names}
        for name in self.names:
            try:
                answer = await self.network.ask(name, {"type": "topology", "topology": topology})
            except TimeoutError:
                raise Unfit(f"{name} did not answer to `topology` within {RPC_S:.0f} s.") from None
            check_answer("topology", answer)

    async def _partition(self) -> None:
        """Cut and heal in turn, as often as there is time for."""
        if self.options.nemesis != "partition":
            return
        for grudge in grudges(self.names, self.random):
            await asyncio.sleep(self.options.nemesis_interval / 2)
            self.network.grudge = grudge
            self.partitions += 1
            await asyncio.sleep(self.options.nemesis_interval)
            self.network.grudge = set()

    async def _request(self) -> None:
        """Writes and reads, as many of one as of the other, at a steady rate, to each node in turn."""
        asked = []
        for number in range(int(self.options.rate * self.options.time_limit)):
            name = self.names[number % len(self.names)]
            request = self._read(name) if self.random.random() < 0.5 else self._write(name, number)
            asked.append(asyncio.create_task(request))
            await asyncio.sleep(1 / self.options.rate)
        await asyncio.gather(*asked)

    async def _recover(self) -> None:
        """Wait until every node reads every acknowledged value, or the time is over."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        wanted = {op.values[0] for op in self.history if op.kind == "write" and op.outcome == "ok"}
        while (spent := loop.time() - start) < self.options.recovery:
            found = await asyncio.gather(*(self._read(name) for name in self.names))
            if all(wanted <= set(values) for values in found):
                self.recovered = spent
                return
            await asyncio.sleep(LOOK_S)

    async def _write(self, name: str, value: int) -> None:
        kind, field = WRITES[self.options.workload]
        await self._ask(Op("write", name, 0, [value]), {"type": kind, field: value})

    async def _read(self, name: str, final: bool = False) -> list[int]:
        op = Op("read", name, 0, [], final=final)
        answer = await self._ask(op, {"type": "read"})
        if op.outcome == "ok":
            op.values = answer[ANSWERS[self.options.workload]["read"][0]]
        return op.values

    async def _ask(self, op: Op, body: Body) -> Body:
        clock = asyncio.get_running_loop().time
        self.history.append(op)
        op.invoked = clock()
        try:
            answer = await self.network.ask(op.node, body)
        except TimeoutError:
            return {}
        op.completed = clock()
        op.outcome = _outcome(answer)
        return answer


def _outcome(answer: Body) -> Outcome:
    if answer["type"] == "error":
        return "fail" if answer["code"] in DEFINITE else "info"
    return "ok"


def summary(trial: Trial, verdict: Verdict) -> dict[str, Any]:
    """For a person, and for programs."""
    answered = sum(op.outcome == "ok" for op in trial.history)
    available = trial.options.availability != "total" or answered == len(trial.history)
    latencies = verdict.latencies or [0.0]
    return {
        "judge": "Quire's stand-in for Maelstrom",
        "workload": trial.options.workload,
        "valid": verdict.valid and available and not trial.network.malformed,
        "malformed": trial.network.malformed,
        "requests": len(trial.history),
        "answered": answered,
        "acknowledged": verdict.acknowledged,
        "stable": verdict.stable,
        "lost": verdict.lost,
        "invented": verdict.invented,
        "vanished": verdict.vanished,
        "repeated": verdict.repeated,
        "silent": verdict.silent,
        "never_read": verdict.never_read,
        "stable_after_s": {"median": statistics.median(latencies), "most": latencies[-1]},
        "partitions": trial.partitions,
        "messages": trial.network.counts,
        "recovered_s": trial.recovered,
    }


def parse(words: list[str]) -> argparse.Namespace:
    """Maelstrom's options, and after them those of the stand-in alone."""
    parser = argparse.ArgumentParser(prog="judge", description=__doc__)
    parser.add_argument("command", choices=["test"])
    parser.add_argument("-w", "--workload", choices=[*sorted(WRITES), "kafka"], required=True)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--node-count", type=int, default=5)
    parser.add_argument("--time-limit", type=float, default=20)
    parser.add_argument("--rate", type=float, default=5)
    parser.add_argument("--latency", type=float, default=0)
    parser.add_argument("--latency-dist", choices=["uniform"], default="uniform")
    parser.add_argument("--nemesis", choices=["partition", "none"], default="none")
    parser.add_argument("--nemesis-interval", type=float, default=10)
    parser.add_argument("--availability", choices=["total"])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--loss", type=float, default=0)
    parser.add_argument("--recovery", type=float, default=10)
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Judge and print; the exit code: 0 for valid, 1 for not, 2 where nothing could be judged."""
    try:
        found = asyncio.run(_found(parse(words)))
    except Unfit as error:
        print(f"judge: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found, indent=2))
    return 0 if found["valid"] else 1


async def _found(options: argparse.Namespace) -> dict[str, Any]:
    if options.workload == "kafka":
        from tests.maelstrom.log_trial import LogTrial  # which is made of parts of this

        return await LogTrial(options).run()
    trial = Trial(options)
    return summary(trial, await trial.run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
