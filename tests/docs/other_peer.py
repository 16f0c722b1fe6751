"""A peer written from docs/protocol.md alone: nothing of quire is imported here.

It asks to be let in by the secret of an invite link, introduces itself, says one thing, and answers what it is
asked until both sides hold the same. It holds few events, so what is lost is simply said again when it is asked for.
"""

import json
import os
import socket
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b, sha256
from ipaddress import ip_address
from typing import Any

import msgspec
from nacl import bindings
from nacl.exceptions import CryptoError

HELLO, ACK, SYNC, EVENTS, FRAGMENT, ADDRESSES, PING, LETTER, REFUSED = range(1, 10)


def text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def raw(value: str) -> bytes:
    return urlsafe_b64decode(value + "=" * (-len(value) % 4))


def derive(key: bytes, purpose: str, context: bytes, size: int = 32) -> bytes:
    person = purpose.encode().ljust(16, b"\0")
    return blake2b(context, key=key, person=person, digest_size=size).digest()


def canonical(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def leb(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


class OtherPeer:
    """See the module. `held` maps ids (32 bytes) to the events as objects."""

    def __init__(self, link: str, name: str, said: str) -> None:
        body = raw(link.strip().removeprefix("quire://join#"))
        assert sha256(body[:-4]).digest()[:4] == body[-4:]
        assert body[0] == 2
        _, keys, _, self.addresses, _ = msgspec.msgpack.decode(body[1:-4])
        self.space, link_key, self.invite, self.inviter = (keys[at : at + 32] for at in (0, 32, 64, 96))
        self.name, self.said = name, said
        self.root, self.root_secret = bindings.crypto_sign_seed_keypair(os.urandom(32))
        seed = os.urandom(32)
        self.public, self.secret = bindings.crypto_sign_seed_keypair(seed)
        self.wrap_secret = derive(seed, "quire wrap key", b"")
        self.wrap = bindings.crypto_scalarmult_base(self.wrap_secret)
        self.header_key = derive(link_key, "quire header", self.space)
        self.sync_key = derive(link_key, "quire sync key", self.space)
        agreed = bindings.crypto_scalarmult(
            bindings.crypto_sign_ed25519_sk_to_curve25519(self.secret),
            bindings.crypto_sign_ed25519_pk_to_curve25519(self.inviter),
        )
        self.pair_key = derive(agreed, "quire link key", link_key + self.space)
        self.held: dict[bytes, dict[str, Any]] = {}
        self.pieces: dict[bytes, dict[int, bytes]] = {}
        self.cid, self.echo, self.counter = os.urandom(8), bytes(8), 0
        self.seen: set[int] = set()
        self.in_sync = False
        #: Key id → key; none before a member lets us in.
        self.keys: dict[bytes, bytes] = {}
        self.records: list[bytes] = []

    # --- joining

    def sign(self, secret: bytes, tag: str, *values: bytes) -> bytes:
        return bindings.crypto_sign(tag.encode() + b"\0" + b"".join(values), secret)[:64]

    def request(self) -> tuple[int, bytes]:
        """The letter that asks to be let in."""
        invite, invite_secret = bindings.crypto_sign_seed_keypair(
            derive(self.invite, "quire invite key", b"")
        )
        chained = self.sign(self.root_secret, "quire device 1", self.root, self.public, self.wrap)
        said = sha256(bytes(8) + self.name.encode()).digest()
        consent = self.sign(self.secret, "quire request 1", self.space, self.root, self.wrap, invite, said)
        proof = self.sign(invite_secret, "quire invite 2", self.space, self.public, said)
        keys = [self.root, self.public, self.wrap, consent, invite, proof]
        asked = [self.name, 0, keys, [[self.public, self.wrap, chained]]]
        return LETTER, b"J" + msgspec.msgpack.encode(asked)

    def enter(self, sealed: bytes) -> None:
        """Take the space's key from a welcome, and write."""
        ephemeral = sealed[:32]
        shared = bindings.crypto_scalarmult(self.wrap_secret, ephemeral)
        context = ephemeral + self.wrap + b"quire welcome 1" + self.space + self.public
        key = derive(shared, "quire sealed to", context)
        welcome = self.open(key, bytes(24) + sealed[32:], b"")
        _, content, _, _ = msgspec.msgpack.decode(welcome)
        control = derive(content, "quire control", b"")
        for one in (content, control[:-1] + bytes([control[-1] | 1])):
            self.keys[derive(one, "quire key id", b"", 8)] = one
        self.records = self.write()

    # --- events

    def write(self) -> list[bytes]:
        """Two events under one signature, the last one's."""
        header = {"v": 1, "ts": time.time_ns() // 1_000_000, "author": text(self.public)}
        hello = {**header, "type": "peer", "seq": 1, "prev": None}
        hello |= {"pubkey": text(self.root), "name": self.name}
        first = canonical(hello)
        message = {**header, "type": "message", "seq": 2, "prev": text(sha256(first).digest())}
        message |= {"body": self.said, "channel": "general"}
        signed = bindings.crypto_sign(b"quire event 1\0" + self.space + canonical(message), self.secret)
        second = canonical({**message, "sig": text(signed[:64])})
        name, key = next(iter(self.keys.items()))
        context = b"quire blob 1" + self.space + name
        records = [name + self.seal(key, os.urandom(24), data, context) for data in (first, second)]
        for record in records:
            self.take(record)
        return records

    def take(self, record: bytes) -> dict[str, Any]:
        name = record[:8]
        data = self.open(self.keys[name], record[8:], b"quire blob 1" + self.space + name)
        event = json.loads(data)
        assert canonical(event) == data
        self.held[sha256(data).digest()] = event
        return dict(event)

    @staticmethod
    def seal(key: bytes, nonce: bytes, data: bytes, context: bytes) -> bytes:
        return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(data, context, nonce, key)

    @staticmethod
    def open(key: bytes, sealed: bytes, context: bytes) -> bytes:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed[24:], context, sealed[:24], key)

    # --- datagrams

    def mask(self, nonce: bytes, header: bytes) -> bytes:
        stream = blake2b(nonce, key=self.header_key, digest_size=40).digest()
        return bytes(a ^ b for a, b in zip(header, stream, strict=True))

    def tag(self, public: bytes) -> bytes:
        return derive(self.header_key, "quire to tag", public, 8)

    def datagram(self, *frames: tuple[int, bytes]) -> bytes:
        packet = b"\x01" + self.cid + self.echo + struct.pack(">Q", self.counter)
        packet += b"".join(struct.pack(">BH", kind, len(body)) + body for kind, body in frames)
        self.counter += 1
        nonce, context = os.urandom(24), b"quire link 1" + self.space + self.public + self.inviter
        sealed = self.seal(self.pair_key, nonce, packet, context)
        return nonce + self.mask(nonce, self.tag(self.inviter) + self.public) + sealed[24:]

    def packet(self, datagram: bytes) -> bytes:
        assert len(datagram) <= 1_200
        header = self.mask(datagram[:24], datagram[24:64])
        assert header == self.tag(self.public) + self.inviter
        context = b"quire link 1" + self.space + self.inviter + self.public
        return self.open(self.pair_key, datagram[:24] + datagram[64:], context)

    # --- the conversation

    def hello(self) -> bytes:
        return self.datagram((HELLO, b"sketch".ljust(16, b"\0")))

    def receive(self, datagram: bytes) -> list[bytes]:
        """What is to be sent because of a datagram."""
        packet = self.packet(datagram)
        version, cid, echo, counter = struct.unpack(">B8s8sQ", packet[:25])
        assert version == 1
        if echo != self.cid:
            self.echo = cid  # a greeting of the other side: answer it
            answer = self.hello()
            self.echo = bytes(8)
            return [answer]
        first = self.echo == bytes(8)
        self.echo = cid
        if counter in self.seen:
            return []
        self.seen.add(counter)
        frames: list[tuple[int, bytes]] = []
        at, asked = 25, False
        while at < len(packet):
            kind, length = struct.unpack_from(">BH", packet, at)
            frames += self.frame(kind, packet[at + 3 : at + 3 + length])
            asked |= kind in (EVENTS, FRAGMENT, ADDRESSES, PING, LETTER, REFUSED)
            at += 3 + length
        if first:
            frames += [self.request()] if not self.keys else [self.own(), (SYNC, self.print_of_all())]
        if asked:
            highest = max(self.seen)
            bits = sum(1 << i for i in range(256) if highest - 1 - i in self.seen)
            frames.append((ACK, struct.pack(">Q", highest) + bits.to_bytes(32, "big")))
        return [self.datagram(frame) for frame in frames]

    def frame(self, kind: int, body: bytes) -> list[tuple[int, bytes]]:
        if kind == HELLO:
            assert body.rstrip(b"\0") == b"sketch"
        elif kind == LETTER and body[:1] == b"W" and not self.keys:
            self.enter(body[1:])
            return [self.own(), (SYNC, self.print_of_all())]
        elif kind == LETTER:
            assert body[:1] in (b"W", b"P"), body
        elif kind == REFUSED:
            assert body != b"\1", "removed from the space"
        elif not self.keys:
            return []  # nothing is held, and nothing can be opened yet
        elif kind == EVENTS:
            at = 0
            while at < len(body):
                (length,) = struct.unpack_from(">H", body, at)
                self.take(body[at + 2 : at + 2 + length])
                at += 2 + length
        elif kind == FRAGMENT:
            pieces = self.pieces.setdefault(body[:8], {})
            pieces[body[8]] = body[10:]
            if len(pieces) == body[9]:
                record = b"".join(pieces[place] for place in range(body[9]))
                assert sha256(record).digest()[:8] == body[:8]
                self.take(record)
        elif kind == SYNC and body[0] == 0x13:
            return [
                self.own()
            ]  # a filter: push what the other side lacks, and these are all that it can lack
        elif kind == SYNC and body[0] == 0x11:
            salt, told = body[2:10], body[10:18]
            self.in_sync = told == self.print(salt)
            return [] if self.in_sync else [(SYNC, self.filter()), (SYNC, self.print_of_all())]
        return []

    def own(self) -> tuple[int, bytes]:
        return EVENTS, b"".join(struct.pack(">H", len(record)) + record for record in self.records)

    def print(self, salt: bytes) -> bytes:
        total = sum(int.from_bytes(event_id, "big") for event_id in self.held) % 2**256
        data = salt + total.to_bytes(32, "big") + len(self.held).to_bytes(8, "big")
        return blake2b(data, key=self.sync_key, digest_size=8, person=b"quire sync print").digest()

    def print_of_all(self) -> bytes:
        salt = os.urandom(8)
        return b"\x11\0" + salt + self.print(salt) + leb(len(self.held))

    def filter(self) -> bytes:
        """Everything held, of all time."""
        salt = os.urandom(8)
        bits = bytearray(2 * len(self.held))
        for event_id in self.held:
            digest = blake2b(
                event_id, key=self.sync_key, salt=salt + bytes(8), person=b"quire sync bloom", digest_size=16
            ).digest()
            for probe in struct.unpack(">8H", digest):
                probe %= len(bits) * 8
                bits[probe >> 3] |= 1 << (probe & 7)
        bounds = leb(0) + b"\0" + leb(2**53) + b"\0"
        return b"\x13\x08" + salt + bounds + leb(len(self.held)) + bytes(bits)

    def talk(self, seconds: float) -> None:
        """Speak with the inviter until both hold the same."""
        host, port = str(ip_address(self.addresses[0][:-2])), int.from_bytes(self.addresses[0][-2:], "big")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(0.5)
            end = time.monotonic() + seconds
            address = host, port
            while not (self.in_sync and self.echo != bytes(8)):
                assert time.monotonic() < end, "not in sync"
                try:
                    datagram, address = udp.recvfrom(2_000)
                except TimeoutError:
                    answers = [self.hello()]
                else:
                    try:
                        answers = self.receive(datagram)
                    except CryptoError:
                        continue
                for answer in answers:
                    udp.sendto(answer, address)
            udp.sendto(self.datagram((SYNC, self.print_of_all())), address)
