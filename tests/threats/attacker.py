"""What somebody can do who has changed their program: anything, with the keys that they really hold."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec
from nacl.exceptions import CryptoError

from quire.core import canonical
from quire.core.certificate import certify
from quire.core.encoding import to_text
from quire.core.event import event_id
from quire.core.keys import DeviceKey
from quire.core.phrase import root_key
from quire.core.sealing import blob_context, key_id, open_sealed, seal
from quire.core.ticket import decode_link
from quire.core.wrapping import WrapKey, unwrap
from quire.errors import BadEvent
from quire.events import keyring
from quire.handlers import admit_letter, identity, joining, key_share
from quire.handlers.admit import Request, signed
from quire.store.memberships import Membership
from tests.events.builders import Made, digest
from tests.threats.community import Person

_nonces = count()
#: Stands for a header field that the event is to be without.
ABSENT = object()


def sealed_under(key: bytes, space_id: bytes, data: bytes) -> bytes:
    """`key_id ‖ blob` of any bytes under any key."""
    name = key_id(key)
    nonce = digest(f"attacker {next(_nonces)}", 24)
    return name + seal(key, nonce, data, blob_context(space_id, name))


def made_up(member: Membership, author: str, seq: int, ts: int) -> bytes:
    """What any member can put into a place of somebody else's log: it is not signed, and nobody vouches for it."""
    draft = {"type": "message", "v": 1, "ts": ts, "author": author, "seq": seq, "prev": "A" * 43}
    data = canonical.encode({**draft, "body": f"never said {seq}", "channel": "general"})
    return sealed_under(member.epochs[member.content][0], member.raw_space_id, data)


class Attacker:
    """Writes with a person's device key; what is chosen here is what the event says."""

    def __init__(self, person: Person, key: DeviceKey | None = None, root: bytes | None = None) -> None:
        self.person = person
        # A linked device has no root: what it certifies is for a root that is made up.
        held = person.home.store.memberships.root(person.member.account) or digest("made up")
        self.root = root_key(root or held)
        self.key = key or person.member.device_key
        number = person.home.store.names.known_device(person.member.space, self.key.text)
        self.seq, self.prev = person.home.store.blobs.head(number) if number is not None else (0, None)

    def write(
        self,
        type_: str,
        body: Mapping[str, Any],
        *,
        under: bytes | None = None,
        space_id: bytes | None = None,
        signer: DeviceKey | None = None,
        **header: Any,
    ) -> Made:
        """An event with any header, signed by the device and sealed under the present content key (`under`)."""
        fork = "seq" in header
        draft = {
            "type": type_,
            "v": 1,
            "ts": self.person.community.later() + self.person.skew,
            "author": self.key.text,
            "seq": self.seq + 1,
            "prev": self.prev,
            **body,
            **header,
        }
        draft = {name: value for name, value in draft.items() if value is not ABSENT}
        member = self.person.member
        statement = b"quire event 1\0" + (space_id or member.raw_space_id) + canonical.encode(draft)
        data = canonical.encode({**draft, "sig": to_text((signer or self.key).sign(statement))})
        made = event_id(data)
        if not fork:
            self.seq, self.prev = draft["seq"], made
        key = under or member.epochs[member.content][0]
        return Made(made, data, sealed_under(key, member.raw_space_id, data))

    def change(
        self, type_: str, body: Mapping[str, Any], after: Iterable[str] | None = None, **how: Any
    ) -> Made:
        """An event of the graph that builds on `after`, or on all that the attacker knows."""
        return self.write(type_, {**body, "after": list(self.heads() if after is None else after)}, **how)

    def heads(self) -> list[str]:
        """What there is that nothing builds on yet."""
        dag = self.person.ctx.graph.ledger.dag
        return [node.event_id for node in dag.latest((1 << len(dag.nodes)) - 1)]

    def say(self, text: str, **how: Any) -> Made:
        return self.write("message", {"body": text, "channel": "general"}, **how)

    def set_role(self, member: str, role: str, after: Iterable[str] | None = None, **how: Any) -> Made:
        marks = how.pop("marks", {})
        return self.change("role", {"member": member, "role": role, "marks": marks}, after, **how)

    def resealed(self, data: bytes, key: bytes) -> bytes:
        """Anybody's event, sealed under a key of this space."""
        return sealed_under(key, self.person.member.raw_space_id, data)

    def introduction(self) -> dict[str, Any]:
        """The certificates that the attacker's device really has."""
        return dict(msgspec.to_builtins(identity.introduction(self.person.ctx)))

    def request(self, link: str, **lies: Any) -> Request:
        """A true request by a link, some of its fields replaced."""
        root, ticket = self.root, decode_link(link)
        chain = [certify(root, root.text, self.key.text, identity.wrap_text(self.key))]
        space_id = to_text(ticket.space_id)
        asked = signed(self.key, chain, root.text, space_id, ticket.secret, self.person.name, 0)
        return msgspec.structs.replace(asked, **lies)

    @staticmethod
    def made_up(person: Person, name: str) -> "Attacker":
        """Somebody whom a person makes up, with keys of its own."""
        return Attacker(person, DeviceKey(digest(f"device {name}")), digest(f"root {name}"))

    @staticmethod
    def newcomer(person: Person, link: str) -> Request:
        """The request of somebody who has a link and asks nobody."""
        joining.join(person.ctx, link, person.name)
        return Attacker(person).request(link)

    def asked(self, link: str, **lies: Any) -> Any:
        """Such a request as it stands in an event."""
        return msgspec.to_builtins(self.request(link, **lies))

    def letter(self, link: str, **lies: Any) -> bytes:
        """The letter with such a request."""
        return admit_letter.REQUEST + admit_letter.pack_request(self.request(link, **lies))


def opened(keys: Iterable[bytes], space_id: bytes, sealed: bytes) -> bytes | None:
    """What any of these keys opens of `key_id ‖ blob`, whatever it says it is sealed under."""
    for key in keys:
        for name in {sealed[:8], key_id(key)}:
            try:
                return open_sealed(key, sealed[8:], blob_context(space_id, name))
            except CryptoError:
                continue
    return None


def reach(person: Person, blobs: Iterable[bytes]) -> tuple[set[bytes], dict[bytes, bytes]]:
    """All keys that somebody can come by from what they hold and these blobs, and blob → what is in it.

    Every key is tried on every blob, box and older key, derived keys too, until nothing more opens.
    """
    member = person.member
    keys = {key for key, _ in member.epochs.values()}
    found: dict[bytes, bytes] = {}
    while True:
        before = len(keys), len(found)
        tried = keys | {keyring.control_key(key) for key in keys}
        for sealed in blobs:
            data = found.get(sealed) or opened(tried, member.raw_space_id, sealed)
            if data is not None:
                found[sealed] = data
                keys |= set(_keys_in(member, tried, canonical.decode(data)))
        if before == (len(keys), len(found)):
            return tried, found


def _keys_in(member: Membership, keys: Iterable[bytes], event: Any) -> Iterator[bytes]:
    """The keys that an event hands to this device, or hides under one of these keys."""
    wrap_key = WrapKey(member.device_key.seed)
    for box in event.get("boxes", {}).values():
        try:
            context = keyring.wrap_context(member.raw_space_id, event["name"])
            yield unwrap(key_share.raw(box), key_share.raw(event["ephemeral"]), wrap_key, context)
        except (BadEvent, ValueError):
            continue
    for older in event.get("older", ()):
        for key in list(keys):
            with suppress(CryptoError, ValueError):
                context = keyring.wrap_context(member.raw_space_id, older["name"])
                yield open_sealed(key, key_share.raw(older["sealed"]), context)


def reads(person: Person, *others: Person) -> list[str]:
    """The texts of messages to everybody that a person can come by from all that these others hold."""
    blobs = [sealed for other in (person, *others) for sealed in other.blobs()]
    events: list[Any] = [canonical.decode(data) for data in reach(person, blobs)[1].values()]
    return sorted({event["body"] for event in events if event["type"] == "message" and "body" in event})
