"""What connections of a relay share: the signed end of a mailbox."""

import pytest

from quire.core.keys import DeviceKey
from quire.net.relay_wire import Head, head_holds, sign_head
from quire.relay import shared
from quire.relay.log_store import Tip
from quire.relay.shared import Mailbox
from tests.relay.conformance import BOX
from tests.relay.parties import key_of


def test_a_head_that_was_signed_ahead_serves_its_end_and_no_other() -> None:
    key = key_of("relay")
    mailbox = Mailbox(BOX, key)
    soon, other = Tip(3, bytes([3] * 32)), Tip(3, bytes([4] * 32))
    mailbox.growing(soon)
    for tip in (other, soon, Tip(), soon):
        head = mailbox.head(tip)
        assert head[:2] == tip
        assert head_holds(key.public, BOX, head)


def test_it_is_not_signed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    signed: list[int] = []

    def sign(key: DeviceKey, mailbox: bytes, length: int, chain: bytes) -> Head:
        signed.append(length)
        return sign_head(key, mailbox, length, chain)

    monkeypatch.setattr(shared, "sign_head", sign)
    mailbox = Mailbox(BOX, key_of("relay"))
    mailbox.growing(Tip(3, bytes(32)))
    for length in (3, 3, 4):
        mailbox.head(Tip(length, bytes(32)))
    assert signed == [3, 4]
