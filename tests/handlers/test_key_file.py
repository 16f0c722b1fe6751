import pytest

from quire.core.encoding import from_text, to_text
from quire.core.passphrase import Cost, seal_with_passphrase
from quire.errors import Damaged, UserError
from quire.handlers import key_file
from quire.limits import MIN_PASSPHRASE_KIB, MIN_PASSPHRASE_PASSES

PASSPHRASE = "correct horse battery"


def sealed(secret: bytes, purpose: str = "quire identity") -> str:
    cost = Cost(MIN_PASSPHRASE_PASSES, MIN_PASSPHRASE_KIB)
    return to_text(seal_with_passphrase(PASSPHRASE, secret, bytes(16), bytes(24), cost, purpose))


@pytest.mark.parametrize("secret", [b"", b"\xc0", b"\x92\xc4\x01x\xa1y", b"\x92\xc4\x01x\xc4\x01y"])
def test_what_is_no_key_inside_is_damaged(secret: bytes) -> None:
    with pytest.raises(Damaged, match="key file"):
        key_file.read(sealed(secret), PASSPHRASE)


def test_a_file_of_another_purpose_or_cut_short_is_refused() -> None:
    with pytest.raises(UserError, match="something else"):
        key_file.read(sealed(b"x", "other"), PASSPHRASE)
    whole = from_text(sealed(b"x"))
    with pytest.raises(Damaged):
        key_file.read(to_text(whole[:-1]), PASSPHRASE)
    with pytest.raises(Damaged):
        key_file.read("not base64url!", PASSPHRASE)
