"""A community from its founding to a recovered identity, by the command line alone, between real processes."""

import sqlite3
from contextlib import closing

import pytest
from nacl.exceptions import CryptoError

from quire.core.encoding import from_text
from quire.core.sealing import blob_context, open_sealed
from tests.process.harness import Lab, Person, run_quire, wait_until


def _says(person: Person, channel: str, *texts: str, name: str = "") -> None:
    """Wait until a channel's messages end like this."""
    as_ = ("--as", name) if name else ()

    def shown() -> bool:
        lines = person.cli(*as_, "messages", channel).splitlines()
        return [line.split(": ", 1)[1] for line in lines] == list(texts)

    wait_until(shown, f"{person.name} {name} seeing {texts} in {channel}")


def _member(person: Person, member: str, name: str = "") -> bool:
    as_ = ("--as", name) if name else ()
    return any(one["name"] == member for one in person.json(*as_, "member", "list"))


def _blobs(person: Person) -> dict[str, tuple[bytes, bytes, bytes]]:
    """Event id → space id, key id and sealed bytes of everything in a home."""
    with closing(sqlite3.connect(f"file:{person.home / 'quire.db'}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT b.event_id, s.space_id, e.key_id, b.sealed FROM blobs AS b"
            " JOIN spaces AS s ON s.n = b.space JOIN epochs AS e ON e.n = b.epoch"
        ).fetchall()
    return {event_id: (from_text(space), key_id, sealed) for event_id, space, key_id, sealed in rows}


def _keys(person: Person) -> list[bytes]:
    """Every key of a space that a home holds."""
    with closing(sqlite3.connect(f"file:{person.home / 'quire.db'}?mode=ro", uri=True)) as db:
        return [bytes(key) for (key,) in db.execute("SELECT key FROM space_keys")]


def _opens_just(person: Person, other: Person, texts: set[str]) -> None:
    """Of the messages in another's home, a person's keys open these, and none of the rest."""
    keys, blobs = _keys(person), _blobs(other)
    messages = other.json("--as", other.name, "messages", "general")
    opened = {m["body_text"] for m in messages if _opens(keys, *blobs[m["event_id"]])}
    assert opened == texts < {m["body_text"] for m in messages}


def _opens(keys: list[bytes], space_id: bytes, key_id: bytes, sealed: bytes) -> bool:
    for key in keys:
        try:
            open_sealed(key, sealed, blob_context(space_id, key_id))
        except CryptoError:
            continue
        return True
    return False


def _with_phrase(person: Person, phrase: str, *words: str) -> None:
    """A command that reads a recovery phrase."""
    variables = person.environment | {"QUIRE_PHRASE": phrase}
    done = run_quire(["--home", str(person.home), *words], variables)
    assert done.returncode == 0, done.stderr


#: What is said in the channel `general`, in order.
SAID = ["welcome", "hello", "from my phone", "without cai", "phone lost", "back again"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_community_from_its_founding_to_a_recovered_identity(lab: Lab) -> None:
    """Five identities, four devices and one that is recovered; each step is a command of the README."""
    ann, bob, cai, phone, fresh = (lab.person(name) for name in ("ann", "bob", "cai", "phone", "fresh"))
    _found_and_invite(ann, bob)
    _join_while_the_inviter_sleeps(ann, cai)
    _talk_in_private(ann, bob, cai)
    _link_a_device(ann, bob, phone)
    _says(cai, "general", *SAID[:3])
    _remove(ann, bob, cai)
    _read_history_as_a_newcomer(ann, bob)
    _lose_the_phone(ann, bob, phone)
    phrase = bob.json("--as", "bob", "identity", "phrase")["phrase"]
    bob.stop()
    _come_back(ann, fresh, phrase)
    _opens_just(cai, ann, set(SAID[:3]))


def _found_and_invite(ann: Person, bob: Person) -> None:
    """Two identities in one home, and one in another process."""
    ann.cli("identity", "create", "ann")
    ann.cli("space", "create", "garden")
    ann.cli("join", ann.cli("--as", "ann", "invite").strip(), "--name", "abe")
    ann.up()
    bob.up()
    bob.cli("join", ann.cli("--as", "ann", "invite").strip(), "--name", "bob")
    ann.cli("--as", "ann", "send", "general", SAID[0])
    _says(bob, "general", *SAID[:1])
    bob.cli("send", "general", SAID[1])
    _says(ann, "general", *SAID[:2], name="abe")


def _join_while_the_inviter_sleeps(ann: Person, cai: Person) -> None:
    """Another member's device lets in."""
    link = ann.cli("--as", "ann", "invite").strip()
    ann.stop()
    cai.up()
    cai.cli("join", link, "--name", "cai")
    _says(cai, "general", *SAID[:2])
    ann.up()
    wait_until(lambda: _member(ann, "cai", "ann"), "ann hearing of cai")


def _talk_in_private(ann: Person, bob: Person, cai: Person) -> None:
    """A private channel and a direct message: cai carries what it cannot read."""
    ann.cli("--as", "ann", "channel", "create", "plans", "--private")
    ann.cli("--as", "ann", "channel", "add", "plans", "bob")
    ann.cli("--as", "ann", "send", "plans", "a surprise for cai")
    ann.cli("--as", "ann", "send", "@bob", "are you in?")
    _says(bob, "plans", "a surprise for cai")
    _says(bob, "@ann", "are you in?")
    told = "SELECT count(*) AS n FROM message_index WHERE body_text LIKE '%surprise%'"
    assert cai.json("sql", told) == [{"n": 0}]


def _link_a_device(ann: Person, bob: Person, phone: Person) -> None:
    """A further device of bob's, confirmed by digits that both show: it reads and writes as bob."""
    phone.up()
    ticket = bob.json("device", "link", "--no-wait")["link"]
    phone.cli("device", "join", ticket, "--name", "phone", "--no-wait")
    digits = wait_until(lambda: bob.json("device", "pairing")["code"], "the digits on bob's old device")
    assert wait_until(lambda: phone.json("device", "pairing")["code"], "those on the phone") == digits
    bob.cli("device", "confirm", digits)
    wait_until(lambda: phone.json("identity", "list"), "the phone taking over")
    wait_until(lambda: phone.json("space", "list"), "the phone coming into bob's space")
    _says(phone, "plans", "a surprise for cai")
    phone.cli("send", "general", SAID[2])
    _says(ann, "general", *SAID[:3], name="ann")
    assert ann.json("--as", "ann", "messages", "general")[-1]["sender_name"] == "bob"


def _remove(ann: Person, bob: Person, cai: Person) -> None:
    """What cai's device holds opens nothing that comes after."""
    ann.cli("--as", "ann", "member", "remove", "cai")
    ann.cli("--as", "ann", "send", "general", SAID[3])
    _says(bob, "general", *SAID[:4])
    wait_until(lambda: "removed" in cai.cli("status"), "cai being told")
    cai.cli("send", "general", "am I still here?")
    _opens_just(cai, ann, set(SAID[:3]))


def _read_history_as_a_newcomer(ann: Person, bob: Person) -> None:
    """From before and after the new key."""
    bob.cli("--as", "bob", "join", ann.cli("--as", "ann", "invite").strip(), "--name", "nia")
    _says(bob, "general", *SAID[:4], name="nia")


def _lose_the_phone(ann: Person, bob: Person, phone: Person) -> None:
    """What a revoked device writes is shown to nobody."""
    phone.stop()
    bob.cli("--as", "bob", "device", "revoke", "phone")
    phone.cli("send", "general", "a thief writes")  # it has not heard, and nobody takes it
    phone.up()
    wait_until(lambda: "revoked" in phone.cli("status"), "the phone being told")
    phone.cli("send", "general", "a thief writes again", code=2)
    bob.cli("--as", "bob", "send", "general", SAID[4])
    _says(ann, "general", *SAID[:5], name="ann")
    phone.stop()


def _come_back(ann: Person, fresh: Person, phrase: str) -> None:
    """All devices are lost: the phrase brings bob back on a new one, with the conversations."""
    link = ann.cli("--as", "ann", "invite").strip()
    fresh.up()
    _with_phrase(fresh, phrase, "identity", "recover", "--phrase", link, "--name", "bob")
    wait_until(lambda: fresh.json("member", "list"), "the members letting bob back in")
    _says(fresh, "@ann", "are you in?")
    _says(fresh, "plans", "a surprise for cai")
    fresh.cli("send", "general", SAID[5])
    _says(ann, "general", *SAID, name="abe")
    assert [one["name"] for one in ann.json("--as", "ann", "member", "list")].count("bob") == 1
