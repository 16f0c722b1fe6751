"""Recovery phrases: 24 English words that are 32 bytes of entropy (BIP-39), and the root key made from them.

Owns: how people may write a phrase down and type it again. Must not know: where the entropy comes from or is kept.
BIP-39's own seed (PBKDF2 with a passphrase) is not used: 256 random bits gain nothing from stretching.
"""

import re
from functools import cache

from mnemonic import Mnemonic

from quire.core.keys import KEY_BYTES, DeviceKey, derive
from quire.errors import UserError
from quire.limits import MAX_PHRASE_CHARS

PHRASE_WORDS = 24
#: BIP-39: the first four letters tell the words of a list apart.
_PREFIX_CHARS = 4
_NUMBERING = re.compile(r"^[(#]*\d+[.):-]*")
_AROUND_WORDS = ".,;-*•"


def phrase_of(entropy: bytes) -> str:
    """The 24 words, divided by single spaces, of 32 bytes of entropy. Raises ValueError for another size."""
    return _bip39().to_mnemonic(_checked(entropy))


def entropy_of(phrase: str) -> bytes:
    """The 32 bytes of entropy in a recovery phrase.

    Case, white space, line breaks, numbers before the words ("1. abandon"), commas between them and all
    but the first four letters of a word may differ. Raises UserError, which tells the word to look at.
    """
    if len(phrase) > MAX_PHRASE_CHARS:
        raise UserError(
            f"That is too long for a recovery phrase: one has {PHRASE_WORDS} words and nothing more."
        )
    typed = [
        word for token in phrase.split() if (word := _NUMBERING.sub("", token).strip(_AROUND_WORDS).lower())
    ]
    words = [_whole_word(word, place) for place, word in enumerate(typed, 1)]
    if len(words) != PHRASE_WORDS:
        raise UserError(
            f"A recovery phrase has {PHRASE_WORDS} words, and this one has {len(words)}. "
            "Compare it with what you wrote down: words may be missing, doubled or divided."
        )
    try:
        return bytes(_bip39().to_entropy(words))
    except ValueError:
        raise UserError(
            "All words are in the list, but they do not belong together: at least one is another than you "
            "wrote down, or some changed places. Compare each word with what you wrote down."
        ) from None


def root_key(entropy: bytes) -> DeviceKey:
    """The signing key at the root of an identity, from the 32 bytes of its phrase (ValueError for another size)."""
    return DeviceKey(derive(_checked(entropy), "quire root key"))


def _checked(entropy: bytes) -> bytes:
    if len(entropy) != KEY_BYTES:
        raise ValueError(f"entropy of {KEY_BYTES} bytes wanted")
    return entropy


def _whole_word(typed: str, place: int) -> str:
    word = _by_prefix().get(typed[:_PREFIX_CHARS], "")
    # Fewer letters than tell words apart are found only where they are the whole of a word ("act").
    if word.startswith(typed):
        return word
    raise UserError(
        f"Word {place}, {typed[:20]!r}, is not one of the words that recovery phrases are made of. "
        "Check its spelling; the first four letters are enough."
    )


@cache
def _bip39() -> Mnemonic:
    return Mnemonic("english")


@cache
def _by_prefix() -> dict[str, str]:
    return {word[:_PREFIX_CHARS]: word for word in _bip39().wordlist}
