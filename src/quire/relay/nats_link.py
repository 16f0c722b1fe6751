"""What is asked of NATS servers, as a log of pages needs it: publish after what one knows, get, follow, purge.

Owns: the two streams and the words of JetStream (https://docs.nats.io/reference/reference-protocols/nats_api_reference;
direct and batched gets are ADR-31, batched publishing is ADR-50). Must not know: what pages mean, how
servers are reached.
"""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from email.parser import BytesHeaderParser
from typing import Any, Final, NamedTuple, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg

from quire.errors import UserError
from quire.limits import NATS_HEARTBEAT_S, NATS_PATIENCE_S, NATS_REQUEST_S, NATS_SILENT_S, PAGES_PER_QUESTION
from quire.relay.log_store import StoreGone, StoreUnavailable
from quire.relay.nats_access import NatsAccess
from quire.relay.nats_client import PAYLOAD_BYTES, Servers, Unsure, reach, unreachable

_Read = TypeVar("_Read")
LOG: Final = "QUIRE_LOG"
SYNCED: Final = "QUIRE_SYNCED"
LOG_SUBJECT: Final = "quire.log."
SYNCED_SUBJECT: Final = "quire.synced."
#: The public key of the relay that all processes are, in its last message.
KEY_SUBJECT: Final = "quire.relay.key"
_SUMMARY = "Quire-Page"
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_REPLICAS = 3
_TRIES = 20
_STREAMS: dict[str, dict[str, Any]] = {
    LOG: {"subjects": [LOG_SUBJECT + "*", KEY_SUBJECT], "allow_atomic": True},
    SYNCED: {"subjects": [SYNCED_SUBJECT + "*"], "max_msgs_per_subject": 1},
}
#: JetStream's error codes: for a sequence that is not what was expected; for no room, which may come with "busy".
_CONFLICTS = (10071, 10164)
_FULL = (10023, 10047, 10077)
_NOT_FOUND = 404
_NO_STREAM = 10059
_BUSY = 503
#: What may be asked for at once: subjects of a stream, by the server's own bound.
_SUBJECTS_PER_PAGE = 100_000


class Conflict(Exception):
    """Somebody else wrote to the subject first."""


class Stored(NamedTuple):
    """A message of a stream: its sequence, the summary from its header, and its bytes (b"" when headers were asked)."""

    subject: str
    seq: int
    summary: bytes
    data: bytes


class Link:
    """Made by `open_link()`. What it raises: Conflict and Unsure from what writes, Unsure from what reads."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        #: Looked at beside every cancellation: the client waits by asyncio.wait_for(), which loses one now and then.
        self._closing = False

    # --- writing

    async def publish(self, subject: str, data: bytes, expected: int, summary: bytes = b"") -> int:
        """Add a message if the subject's last one has the sequence `expected` (0: none); its sequence.

        Raises Conflict when it has another, StoreUnavailable when the servers refuse for good.
        """
        answer = await self._request(subject, data, _told, _headers(summary) | {_EXPECTED: str(expected)})
        return int(answer["seq"])

    async def publish_all(self, subject: str, pages: list[tuple[bytes, bytes]], expected: int) -> int:
        """Add messages (summary, bytes) all or none, as publish() does; the last one's sequence, no gap before it."""
        async with self._servers.asking() as client:
            batch = client.new_inbox()[-22:]
        answer: dict[str, Any] = {}
        for number, (summary, data) in enumerate(pages, 1):
            headers = _headers(summary) | {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if number == 1:
                headers[_EXPECTED] = str(expected)
            if number == len(pages):
                headers["Nats-Batch-Commit"] = "1"
            answer = await self._request(subject, data, _told_if_any, headers)  # also refused before its end
        if not answer:
            raise Unsure("an answer that cannot be read")
        return int(answer["seq"])

    async def purge(self, subject: str, below: int) -> None:
        """Remove the subject's messages below a sequence."""
        await self._ask(f"STREAM.PURGE.{LOG}", {"filter": subject, "seq": below})

    # --- reading

    async def last(self, stream: str, subject: str) -> Stored | None:
        """The subject's last message, from the stream's leader."""
        return await self._from_leader(stream, {"last_by_subj": subject})

    async def following(self, subject: str, seq: int) -> Stored | None:
        """The log's first message of the subject from a sequence on, from the stream's leader."""
        return await self._from_leader(LOG, {"next_by_subj": subject, "seq": seq})

    async def pages(
        self, subject: str, seq: int, most_bytes: int, most: int = PAGES_PER_QUESTION
    ) -> list[Stored]:
        """The log's messages of a subject from a sequence on, up to about as many bytes, from any replica.

        A replica may lag: then the last ones are missing.
        """
        asked = {"next_by_subj": subject, "seq": seq, "batch": most, "max_bytes": most_bytes}
        found: list[Stored] = []
        async with self._servers.asking() as client:
            inbox = client.new_inbox()
            heard = await client.subscribe(inbox)
            try:
                await client.publish(f"$JS.API.DIRECT.GET.{LOG}", json.dumps(asked).encode(), reply=inbox)
                while message := _part(await heard.next_msg(timeout=NATS_REQUEST_S)):
                    found.append(message)
            finally:
                await heard.unsubscribe()
        return found

    async def mailboxes(self) -> AsyncIterator[str]:
        """The subject of every mailbox in the log."""
        offset = 0
        while True:
            info = await self._ask(
                f"STREAM.INFO.{LOG}", {"subjects_filter": LOG_SUBJECT + "*", "offset": offset}
            )
            found = info["state"].get("subjects") or {}
            for subject in found:
                yield subject
            offset += len(found)
            if len(found) < _SUBJECTS_PER_PAGE:
                return

    async def stream(self) -> dict[str, Any]:
        """The log's state as the servers tell it: `bytes`, `last_seq` and others."""
        state: dict[str, Any] = (await self._ask(f"STREAM.INFO.{LOG}", {}))["state"]
        return state

    async def servers(self) -> tuple[int, int]:
        """How many servers that keep the log are up, as its leader sees it, and how many there are.

        Raises Unsure where none leads: any of them may then answer for itself.
        """
        cluster = (await self._ask(f"STREAM.INFO.{LOG}", {})).get("cluster") or {}
        if not cluster.get("leader"):
            raise Unsure("none of them leads")
        others = cluster.get("replicas") or []
        return 1 + sum(one["active"] < NATS_SILENT_S * 1e9 for one in others), 1 + len(others)

    async def follow(self, seq: int, told: Callable[[Stored], None]) -> None:
        """Call this for each message of a mailbox after a sequence, in order and without its data, for ever.

        A consumer lives on one server: when that goes, another is made that goes on after what was told.
        """
        while not self._closing:
            try:
                async for message in self._consume(seq):
                    told(message)
                    seq = message.seq
            except (Unsure, StoreUnavailable):
                await asyncio.sleep(NATS_REQUEST_S / 4)

    def leave(self) -> None:
        """Let follow() come to its end."""
        self._closing = True

    async def close(self) -> None:
        """Close the connection, as well as it can be."""
        await self._servers.close()

    async def _consume(self, seq: int) -> AsyncIterator[Stored]:
        """Messages until one is missing or the server is silent."""
        async with self._servers.asking() as client:
            inbox = client.new_inbox()
            heard = await client.subscribe(inbox)
            try:
                await self._ask(
                    f"CONSUMER.CREATE.{LOG}", {"stream_name": LOG, "config": _consumer(inbox, seq)}
                )
                number = 0
                while not self._closing:
                    message = await heard.next_msg(timeout=2.5 * NATS_HEARTBEAT_S)
                    headers = message.headers or {}
                    if headers.get("Status"):
                        if headers.get("Nats-Last-Consumer", str(number)) != str(number):
                            return
                        continue
                    # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<number>.<time>.<pending>
                    parts = message.reply.split(".")
                    number += 1
                    if int(parts[6]) != number:
                        return
                    yield Stored(message.subject, int(parts[5]), _summary(headers), b"")
            finally:
                await heard.unsubscribe()

    # --- asking

    async def _request(
        self, subject: str, data: bytes, read: Callable[[bytes], _Read], headers: dict[str, str] | None = None
    ) -> _Read:
        async with self._servers.asking() as client:
            answer = await client.request(subject, data, timeout=NATS_REQUEST_S, headers=headers)
            return read(answer.data)

    async def _ask(self, verb: str, asked: dict[str, Any]) -> dict[str, Any]:
        return await self._request(f"$JS.API.{verb}", json.dumps(asked).encode(), _told)

    async def _from_leader(self, stream: str, asked: dict[str, Any]) -> Stored | None:
        verb = f"$JS.API.STREAM.MSG.GET.{stream}"
        answer = await self._request(verb, json.dumps(asked).encode(), _told_if_found)
        if answer is None:
            return None
        message = answer["message"]
        lines = b64decode(message.get("hdrs", "")).partition(b"\r\n")[2]
        headers = dict(BytesHeaderParser().parsebytes(lines))
        return Stored(
            message["subject"], message["seq"], _summary(headers), b64decode(message.get("data", ""))
        )


def _part(message: Msg) -> Stored | None:
    headers = message.headers or {}
    status = headers.get("Status")
    if status == str(_BUSY):
        raise Unsure("no server answers")
    if status:
        return None
    return Stored(headers["Nats-Subject"], int(headers["Nats-Sequence"]), _summary(headers), message.data)


def _headers(summary: bytes) -> dict[str, str]:
    return {_SUMMARY: b64encode(summary).decode()} if summary else {}


def _summary(headers: dict[str, str]) -> bytes:
    return b64decode(headers.get(_SUMMARY, ""))


def _consumer(inbox: str, seq: int) -> dict[str, Any]:
    return {
        "deliver_subject": inbox,
        "filter_subject": LOG_SUBJECT + "*",
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": seq + 1,
        "ack_policy": "none",
        "headers_only": True,
        "mem_storage": True,
        "num_replicas": 1,
        "idle_heartbeat": int(NATS_HEARTBEAT_S * 1e9),
        "inactive_threshold": int(10 * NATS_HEARTBEAT_S * 1e9),
    }


def _told(answer: bytes) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise Unsure("an answer that cannot be read") from None
    return _checked(said)


def _told_if_any(answer: bytes) -> dict[str, Any]:
    return _told(answer) if answer else {}


def _told_if_found(answer: bytes) -> dict[str, Any] | None:
    said: dict[str, Any] = json.loads(answer)
    error = said.get("error", {})
    is_lacking = error.get("code") == _NOT_FOUND and error.get("err_code") != _NO_STREAM
    return None if is_lacking else _checked(said)


def _checked(said: dict[str, Any]) -> dict[str, Any]:
    error = said.get("error")
    if error is None:
        return said
    if error.get("err_code") in _CONFLICTS:
        raise Conflict
    if error.get("err_code") == _NO_STREAM:
        raise StoreGone(
            f"The streams {LOG} and {SYNCED} are gone from the NATS servers, and nothing more is kept. Bring them back "
            "(`nats stream restore`), or start the relay's processes again: they make new ones, and devices hand over "
            "again what these lack."
        )
    text = f"{error.get('description', 'refused')} ({error.get('err_code', 0)})"
    if error.get("code") == _BUSY and error.get("err_code") not in _FULL:
        raise Unsure(text)
    raise StoreUnavailable(f"JetStream refused: {text}.")


# --- opening


async def open_link(servers: list[str], access: NatsAccess) -> Link:
    """Connect, and make the streams where they are missing: three replicas each.

    Raises UserError for servers that are too old or take too little at once, and for files that cannot be used;
    StoreUnavailable when none answers.
    """
    found = await reach(servers, access)
    try:
        async with asyncio.timeout(NATS_PATIENCE_S):
            async with found.asking() as client:
                _check(client)
            link = Link(found)
            for name, config in _STREAMS.items():
                await _make(link, name, config)
            return link
    except (TimeoutError, Unsure) as error:
        await found.close()
        raise unreachable(servers, error) from error
    except BaseException:
        await found.close()
        raise


def _check(client: Client) -> None:
    version = client.connected_server_version
    if (version.major, version.minor) < (2, 12):
        raise UserError(f"NATS servers from 2.12 on are needed; this one is {version.major}.{version.minor}.")
    if client.max_payload < PAYLOAD_BYTES:
        raise UserError(
            f"The NATS servers take {client.max_payload} bytes at once; max_payload must be 1MB at least."
        )


async def _make(link: Link, name: str, config: dict[str, Any]) -> None:
    """Servers that have just started have no leader, and do not know of all others, for some seconds."""
    wanted = {
        "name": name,
        "num_replicas": _REPLICAS,
        "storage": "file",
        "allow_direct": True,
        "discard": "new",
    }
    for _ in range(_TRIES - 1):
        try:
            return await _make_once(link, name, wanted | config)
        except (Unsure, StoreUnavailable):
            await asyncio.sleep(NATS_PATIENCE_S / 4 / _TRIES)
    await _make_once(link, name, wanted | config)


async def _make_once(link: Link, name: str, config: dict[str, Any]) -> None:
    try:
        await link._ask(f"STREAM.INFO.{name}", {})
    except StoreUnavailable:  # not found; where it is something else, making it says so
        await link._ask(f"STREAM.CREATE.{name}", config)
