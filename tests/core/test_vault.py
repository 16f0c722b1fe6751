import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.vault import Vault
from quire.errors import HomeError

KEY, NONCE = bytes(range(32)), bytes(24)
keys = st.binary(min_size=32, max_size=32)


@given(keys, st.binary(max_size=100), st.binary(max_size=100), st.binary(min_size=24, max_size=24))
def test_what_is_sealed_opens_with_the_same_key_and_context(
    key: bytes, secret: bytes, context: bytes, nonce: bytes
) -> None:
    sealed = Vault(key).seal(nonce, secret, context)
    assert Vault(key, encrypted=True).open(sealed, context) == secret
    with pytest.raises(HomeError, match="cannot be opened"):
        Vault(key).open(sealed, context + b"x")


@given(keys, st.integers(0, (24 + 32 + 16) * 8 - 1))
def test_another_key_or_an_altered_bit_opens_nothing(key: bytes, place: int) -> None:
    sealed = Vault(KEY).seal(NONCE, bytes(32), b"")
    altered = bytearray(sealed)
    altered[place // 8] ^= 1 << place % 8
    with pytest.raises(HomeError):
        Vault(KEY).open(bytes(altered), b"")
    if key != KEY:
        with pytest.raises(HomeError):
            Vault(key).open(sealed, b"")


def test_golden_bytes() -> None:
    vault = Vault(KEY, encrypted=True)
    assert (
        vault.seal(NONCE, b"seed", b"context").hex()
        == "0000000000000000000000000000000000000000000000002dbc1866d18700254363c19cc8896dc843ba0daa"
    )
    assert vault.database_key is not None
    assert vault.database_key.hex() == "4971f66ba9eea7cfaa873d4c90d2e086893206e3f40b56a3806310d2beaf4d40"
    assert Vault(KEY).database_key is None


def test_the_key_does_not_show() -> None:
    assert repr(KEY) not in repr(Vault(KEY))
