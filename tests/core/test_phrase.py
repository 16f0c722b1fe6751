"""Recovery phrases: BIP-39's own vectors, what people may do to a phrase, and errors that name the word."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mnemonic import Mnemonic

from quire.core.keys import DeviceKey, derive
from quire.core.phrase import PHRASE_WORDS, entropy_of, phrase_of, root_key
from quire.errors import UserError
from quire.limits import MAX_PHRASE_CHARS

unhurried = settings(deadline=None)
entropies = st.binary(min_size=32, max_size=32)
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "bip39.json").read_text())
OFFICIAL = [(bytes.fromhex(case["entropy"]), case["phrase"], case["seed"]) for case in VECTORS["cases"]]
WHOLE = [case for case in OFFICIAL if len(case[0]) == 32]
ENTROPY = bytes(range(32))
PHRASE = phrase_of(ENTROPY)
WORDS = PHRASE.split()
#: A word of BIP-39's list that has three letters and begins other words too.
SHORT = "act"


def refusal(phrase: str) -> str:
    with pytest.raises(UserError) as caught:
        entropy_of(phrase)
    return str(caught.value)


def test_every_official_vector_is_there() -> None:
    assert len(OFFICIAL) == 24
    assert len(WHOLE) == 8


@pytest.mark.parametrize(("entropy", "phrase"), [case[:2] for case in WHOLE])
def test_official_vectors(entropy: bytes, phrase: str) -> None:
    assert phrase_of(entropy) == phrase
    assert entropy_of(phrase) == entropy


@pytest.mark.parametrize(("entropy", "phrase", "seed"), OFFICIAL)
def test_official_vectors_of_every_length_in_the_library(entropy: bytes, phrase: str, seed: str) -> None:
    library = Mnemonic("english")
    assert library.to_mnemonic(entropy) == phrase
    assert bytes(library.to_entropy(phrase)) == entropy
    assert library.to_seed(phrase, VECTORS["passphrase"]).hex() == seed


@given(entropies)
@unhurried
def test_round_trip(entropy: bytes) -> None:
    phrase = phrase_of(entropy)
    assert len(phrase.split(" ")) == PHRASE_WORDS
    assert entropy_of(phrase) == entropy


@given(st.data(), entropies)
@unhurried
def test_what_people_do_to_a_phrase(data: st.DataObject, entropy: bytes) -> None:
    typed = ""
    for number, word in enumerate(phrase_of(entropy).split(), 1):
        typed += data.draw(
            st.sampled_from(["", "{}. ", "{}) ", "{}.", "({}) ", "#{} ", "{}: ", "{} ", "{}- ", "- ", "• "])
        ).format(number)
        typed += data.draw(st.sampled_from([str.lower, str.upper, str.capitalize]))(
            word[: data.draw(st.integers(4, 8))]
        )
        typed += data.draw(st.sampled_from([" ", "  ", "\n", "\r\n", "\t", ", ", " \u00a0", ",\n"]))
    assert entropy_of(typed) == entropy


def test_first_four_letters_tell_all_words_apart() -> None:
    words = Mnemonic("english").wordlist
    assert len({word[:4] for word in words}) == len(words) == 2048
    assert all(3 <= len(word) <= 8 for word in words)
    assert all(entropy_of(phrase) for phrase in [" ".join(word[:4] for word in WORDS)])


def test_three_letters_stand_for_a_word_of_three_letters_only() -> None:
    assert {"act", "action", "actor"} <= set(Mnemonic("english").wordlist)
    entropy = next(e for n in range(4_000) if SHORT in phrase_of(e := n.to_bytes(2) * 16).split())
    assert entropy_of(phrase_of(entropy)) == entropy
    assert "'aba'" in refusal(" ".join(["aba", *WORDS[1:]]))


@pytest.mark.parametrize("place", [1, 7, 24])
@pytest.mark.parametrize(
    "wrong", ["abandom", "abandons", "abc", "a", "élan", "aban-don", "aband0n", "<b>", "字"]
)
def test_a_word_that_is_not_in_the_list_is_named(place: int, wrong: str) -> None:
    text = refusal(" ".join([*WORDS[: place - 1], wrong, *WORDS[place:]]))
    assert f"Word {place}, {wrong!r}," in text
    assert "Check its spelling" in text


@pytest.mark.parametrize("count", [*range(24), 25, 26, 48])
def test_another_number_of_words(count: int) -> None:
    text = refusal(" ".join((WORDS * 2)[:count]))
    assert "has 24 words" in text
    assert f"has {count}." in text


def test_words_that_do_not_belong_together() -> None:
    swapped = [WORDS[1], WORDS[0], *WORDS[2:]]
    other = ["zoo", *WORDS[1:]]
    for words in (swapped, other, ["abandon"] * 24):
        assert "do not belong together" in refusal(" ".join(words))


@given(st.text())
@unhurried
def test_anything_else_raises_user_error(text: str) -> None:
    assert refusal(text)


def test_length_is_bounded() -> None:
    padded = PHRASE + " " * (MAX_PHRASE_CHARS - len(PHRASE))
    assert entropy_of(padded) == ENTROPY
    assert "too long" in refusal(padded + " ")


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_entropy_of_another_size(size: int) -> None:
    for use in (phrase_of, root_key):
        with pytest.raises(ValueError, match="32 bytes"):
            use(bytes(size))


def test_root_key_is_derived() -> None:
    assert root_key(ENTROPY) == DeviceKey(derive(ENTROPY, "quire root key"))
    assert root_key(ENTROPY).text == "vlxHT72dTjz2pwumugTt1Z_PdEqiCVGYng3OzGGIDfQ"
    assert root_key(ENTROPY).public != DeviceKey(ENTROPY).public
