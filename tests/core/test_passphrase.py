"""What a passphrase seals: golden bytes, whatever is altered, and what each guess must cost."""

import json
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.pwhash import argon2id

from quire.core.passphrase import (
    SALT_BYTES,
    Cost,
    check_passphrase,
    open_with_passphrase,
    seal_with_passphrase,
    stretch,
)
from quire.errors import Damaged, HomeError, QuireError, Refused, UserError
from quire.limits import (
    MAX_PASSPHRASE_CHARS,
    MAX_PASSPHRASE_KIB,
    MAX_PASSPHRASE_PASSES,
    MAX_PASSPHRASE_SECRET_BYTES,
    MIN_PASSPHRASE_CHARS,
    MIN_PASSPHRASE_KIB,
    MIN_PASSPHRASE_PASSES,
    PASSPHRASE_KIB,
    PASSPHRASE_PASSES,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "passphrase.json").read_text())
LEAST = Cost(MIN_PASSPHRASE_PASSES, MIN_PASSPHRASE_KIB)
SALT, NONCE = bytes(range(16)), bytes(range(24))
WORDS = "correct horse battery"


class Paid(NamedTuple):
    passes: int
    memory: int


@pytest.fixture
def paid(monkeypatch: pytest.MonkeyPatch) -> list[Paid]:
    """What Argon2id was really asked to do."""
    calls: list[Paid] = []
    real = argon2id.kdf

    def counting(size: int, secret: bytes, salt: bytes, passes: int, memory: int) -> bytes:
        calls.append(Paid(passes, memory))
        return real(size, secret, salt, passes, memory)

    monkeypatch.setattr(argon2id, "kdf", counting)
    return calls


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return seal_with_passphrase(WORDS, b"the secret", SALT, NONCE, LEAST, "test")


def with_sum(body: bytes) -> bytes:
    """A file whose sum is right, as whoever alters it on purpose would make it."""
    return body + blake2b(body, digest_size=16, person=b"quire sealed sum").digest()


def with_cost(blob: bytes, passes: int, kib: int) -> bytes:
    return with_sum(blob[:8] + passes.to_bytes(4, "big") + kib.to_bytes(4, "big") + blob[16:-16])


# --- Bytes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_golden_bytes(vector: dict[str, str | int]) -> None:
    cost = Cost(int(vector["passes"]), int(vector["kib"]))
    words, purpose = str(vector["passphrase"]), str(vector["purpose"])
    secret, salt, nonce = (bytes.fromhex(str(vector[name])) for name in ("secret", "salt", "nonce"))
    assert stretch(words, salt, cost).hex() == vector["key"]
    made = seal_with_passphrase(words, secret, salt, nonce, cost, purpose)
    assert made.hex() == vector["sealed"]
    assert open_with_passphrase(words, made, purpose) == secret


@settings(max_examples=8, deadline=None)
@given(
    st.text(min_size=MIN_PASSPHRASE_CHARS, max_size=40),
    st.binary(max_size=200),
    st.binary(min_size=24, max_size=24),
)
def test_what_is_sealed_opens_again(words: str, secret: bytes, nonce: bytes) -> None:
    blob = seal_with_passphrase(words, secret, nonce[:SALT_BYTES], nonce, LEAST, "any purpose")
    assert open_with_passphrase(words, blob, "any purpose") == secret
    if secret[:8]:
        assert secret not in blob or len(secret) < 4


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_plain_words(blob: bytes) -> None:
    for tried in (blob, with_sum(blob), with_sum(b"QUIREPW\x01" + blob)):
        with pytest.raises(QuireError):
            open_with_passphrase(WORDS, tried, "test")


def test_every_flipped_bit_and_every_cut_is_damage_and_costs_no_stretching(
    sealed: bytes, paid: list[Paid]
) -> None:
    for place in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(Damaged, match="damaged or cut short"):
            open_with_passphrase(WORDS, bytes(altered), "test")
    for size in range(len(sealed)):
        with pytest.raises(Damaged):
            open_with_passphrase(WORDS, sealed[:size], "test")
    with pytest.raises(Damaged):
        open_with_passphrase(WORDS, sealed + b"x", "test")
    assert paid == []


#: Salt, purpose, nonce, ciphertext, tag.
@pytest.mark.parametrize("place", [16, 34, 40, 62, -17])
def test_what_is_altered_on_purpose_does_not_open(sealed: bytes, place: int) -> None:
    altered = bytearray(sealed)
    altered[place] ^= 1
    with pytest.raises(UserError):
        open_with_passphrase(WORDS, with_sum(bytes(altered[:-16])), "test")


def test_a_wrong_passphrase_another_purpose_and_a_newer_version_are_told_apart(sealed: bytes) -> None:
    with pytest.raises(UserError, match="passphrase is wrong"):
        open_with_passphrase(WORDS + " ", sealed, "test")
    with pytest.raises(UserError, match="something else: 'test'"):
        open_with_passphrase(WORDS, sealed, "other")
    with pytest.raises(UserError, match="newer version"):
        open_with_passphrase(WORDS, with_sum(sealed[:7] + b"\x02" + sealed[8:-16]), "test")


# --- What a guess costs -----------------------------------------------------------------------------------


def test_each_guess_pays_what_the_file_says(sealed: bytes, paid: list[Paid]) -> None:
    """Brute force is bounded: there is no cheaper way to know that a guess is wrong."""
    for guess in ("wrong guess 1", "wrong guess 2", "wrong guess 3"):
        with pytest.raises(UserError, match="wrong"):
            open_with_passphrase(guess, sealed, "test")
    assert paid == [Paid(MIN_PASSPHRASE_PASSES, MIN_PASSPHRASE_KIB * 1024)] * 3
    assert open_with_passphrase(WORDS, sealed, "test") == b"the secret"
    assert len(paid) == 4


def test_the_default_cost_is_within_what_is_accepted_and_is_paid(paid: list[Paid]) -> None:
    assert MIN_PASSPHRASE_PASSES <= PASSPHRASE_PASSES <= MAX_PASSPHRASE_PASSES
    assert MIN_PASSPHRASE_KIB <= PASSPHRASE_KIB <= MAX_PASSPHRASE_KIB
    blob = seal_with_passphrase(WORDS, b"x", SALT, NONCE, Cost(), "test")
    assert open_with_passphrase(WORDS, blob, "test") == b"x"
    assert paid == [Paid(PASSPHRASE_PASSES, PASSPHRASE_KIB * 1024)] * 2


@pytest.mark.parametrize(
    "cost",
    [
        (MIN_PASSPHRASE_PASSES - 1, MIN_PASSPHRASE_KIB),
        (MIN_PASSPHRASE_PASSES, MIN_PASSPHRASE_KIB - 1),
        (0, 0),
        (MAX_PASSPHRASE_PASSES + 1, MIN_PASSPHRASE_KIB),
        (MIN_PASSPHRASE_PASSES, MAX_PASSPHRASE_KIB + 1),
        (2**32 - 1, 2**32 - 1),
    ],
)
def test_a_cost_that_is_too_cheap_or_too_dear_is_refused_unpaid(
    sealed: bytes, paid: list[Paid], cost: tuple[int, int]
) -> None:
    with pytest.raises(Refused, match="Somebody has changed it"):
        open_with_passphrase(WORDS, with_cost(sealed, *cost), "test")
    with pytest.raises(ValueError, match="cost"):
        seal_with_passphrase(WORDS, b"x", SALT, NONCE, Cost(*cost), "test")
    assert paid == []


def test_a_cost_within_the_limits_that_is_not_the_files_own_does_not_open_it(sealed: bytes) -> None:
    with pytest.raises(UserError, match="wrong"):
        open_with_passphrase(WORDS, with_cost(sealed, MIN_PASSPHRASE_PASSES + 1, MIN_PASSPHRASE_KIB), "test")


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch, sealed: bytes) -> None:
    def failing(*_: object) -> bytes:
        raise RuntimeError("libsodium has no memory")

    monkeypatch.setattr(argon2id, "kdf", failing)
    with pytest.raises(HomeError, match=r"not enough memory .* 64 MiB"):
        open_with_passphrase(WORDS, sealed, "test")


# --- Passphrases --------------------------------------------------------------------------------------------


def test_one_passphrase_however_it_is_typed() -> None:
    """NFKC: composed or not, with ligatures or full-width letters."""
    assert stretch("Gärten im März", SALT, LEAST) == stretch("Ga\u0308rten im Ma\u0308rz", SALT, LEAST)
    assert stretch("ﬁsh and ｃhips", SALT, LEAST) == stretch("fish and chips", SALT, LEAST)
    assert stretch("fish and chips", SALT, LEAST) != stretch("Fish and chips", SALT, LEAST)


def test_lengths() -> None:
    check_passphrase("x" * MIN_PASSPHRASE_CHARS)
    check_passphrase("x" * MAX_PASSPHRASE_CHARS)
    for size in (0, MIN_PASSPHRASE_CHARS - 1, MAX_PASSPHRASE_CHARS + 1):
        with pytest.raises(UserError, match="characters"):
            seal_with_passphrase("x" * size, b"", SALT, NONCE, LEAST, "test")
    with pytest.raises(UserError, match="at most"):
        stretch("x" * (MAX_PASSPHRASE_CHARS + 1), SALT, LEAST)
    with pytest.raises(UserError, match="no character"):
        stretch("\ud800 is half of one", SALT, LEAST)


def test_sizes_of_what_is_sealed(sealed: bytes) -> None:
    largest = bytes(MAX_PASSPHRASE_SECRET_BYTES)
    assert (
        open_with_passphrase(WORDS, seal_with_passphrase(WORDS, largest, SALT, NONCE, LEAST, "t"), "t")
        == largest
    )
    for secret, salt, nonce in (
        (largest + b"x", SALT, NONCE),
        (b"", SALT[1:], NONCE),
        (b"", SALT, NONCE[1:]),
    ):
        with pytest.raises(ValueError, match="wanted"):
            seal_with_passphrase(WORDS, secret, salt, nonce, LEAST, "test")
    with pytest.raises(Damaged):
        open_with_passphrase(WORDS, with_sum(sealed[:-16] + largest + bytes(256)), "test")
