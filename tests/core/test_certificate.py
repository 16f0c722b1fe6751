"""Certificates: chains that hold, and every way of making one that does not; consent, transition, invite proofs."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core import certificate
from quire.core.certificate import (
    Certificate,
    ask,
    ask_holds,
    certify,
    chain_holds,
    consent,
    consent_holds,
    invite_key,
    invite_wrap_key,
    inviter_holds,
    proof_holds,
    prove,
    prove_inviter,
    transition,
    transition_holds,
    words,
)
from quire.core.encoding import to_text
from quire.core.keys import DeviceKey, agreement_public, derive, is_usable, verify
from quire.core.wrapping import WrapKey, open_from, seal_to
from quire.limits import MAX_CHAIN, MAX_INTEGER
from tests.core.mixed_order import MixedOrderKey

unhurried = settings(deadline=None, max_examples=50)
texts = st.one_of(st.text(max_size=50), st.binary(min_size=32, max_size=32).map(to_text))
some_links = st.builds(Certificate, device=texts, wrap=texts, signer=texts, sig=texts)

ROOT, FOREIGN_ROOT = DeviceKey(b"r" * 32), DeviceKey(b"f" * 32)
DEVICES = [DeviceKey(bytes([n]) * 32) for n in range(1, MAX_CHAIN + 3)]
WRAPS = [to_text(WrapKey(device.seed).public) for device in DEVICES]
STATEMENTS = ("_DEVICE", "_CONSENT", "_TRANSITION", "_REQUEST", "_INVITE", "_INVITER")
#: X25519 keys of small order.
UNUSABLE = [to_text(bytes(32)), to_text(b"\x01" + bytes(31)), to_text(b"\xec" + b"\xff" * 30 + b"\x7f")]

# Computed apart, by PyNaCl's SigningKey over the bytes that the statements are documented to be.
ROOT_SIG = "4XRp37r9O94kQC4L_YBu9CosKqzqBHlWON3XKfqK9P61Ziafkd2SteeDlvseqHrX85Qzw75774STIBCHJtM3Aw"
CONSENT_SIG = "28SPn6_56_aE5N22KGoEe3ZmmfTQ52Nz51LR7blwZXEJheg9ZhOPjW2LTYkPMCnTtkvUqfPxqnHdqLHD6_3WAw"
WORDS = "PNmQqXvKEzZ88GEGE94MSyi_UpH4lmllDxNVkDapaXU"
REQUEST_SIG = "LJm10qw_YpmsmO3nixFQ5NooY1XBagcNMCIXG1w8cerMR_m1tSLipobqc3MQVFcB70l1JtjbqXgEq4K47B3jDQ"
PROOF_SIG = "4LPTJNQQrX5Sb5KCieXFsvHGWYgfTjuXcxXI9fovOc2c4LYRBXmOYUgaj5FCPkpQFQsYAUImRJnc1cSaPV6sCQ"
INVITER_SIG = "vom1xyb_3IQeBWmyN8QkHbmkwy0yimWqSfyNTk9grt57i0jJvBDaRuw_qTPAbvmDJdkTpJoN6YEfgY-TSKw0CQ"
OLD_SIG = "hlxsvjnfkOAc-YTYglJhQmGNK3-G_-2fx5Ve9vhuzOVXzsUHuHMXDf-WwDozJWl_ieRI6q6mEBgTzU2mU50-Dw"
NEW_SIG = "BkdP8ODL98jRTCozBZ4yR8MC58otBLdZABdOYFY26bUQ1-Ad8b0CuPZHKvzT3rS0t0V0086UNCCSW3Ir5szdDg"


def chain_of(length: int, root: DeviceKey = ROOT) -> list[Certificate]:
    signers = [root, *DEVICES]
    return [certify(signers[n], root.text, DEVICES[n].text, WRAPS[n]) for n in range(length)]


def holds(chain: list[Certificate], root: DeviceKey = ROOT) -> bool:
    """Whether a chain holds for what its last link says."""
    last = chain[-1] if chain else Certificate(DEVICES[0].text, WRAPS[0], "", "")
    return chain_holds(root.text, last.device, last.wrap, chain)


def altered(text: str, place: int) -> str:
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]


@pytest.mark.parametrize("length", range(1, MAX_CHAIN + 1))
def test_chains_hold(length: int) -> None:
    assert holds(chain_of(length))


def test_golden_signatures() -> None:
    assert chain_of(1)[0] == Certificate(DEVICES[0].text, WRAPS[0], ROOT.text, ROOT_SIG)
    assert consent(DEVICES[0], ROOT.text, WRAPS[0]) == CONSENT_SIG
    space_id, said = to_text(b"s" * 32), words("Zoë", 258)
    asked = ask(DEVICES[0], space_id, ROOT.text, WRAPS[0], invite_key(b"i" * 32).text, said)
    assert (said, asked) == (WORDS, REQUEST_SIG)
    assert prove(b"i" * 32, space_id, DEVICES[0].text, said) == PROOF_SIG
    assert prove_inviter(b"i" * 32, to_text(b"s" * 32), DEVICES[0].text) == INVITER_SIG
    assert transition(ROOT, FOREIGN_ROOT) == (OLD_SIG, NEW_SIG)


def test_a_certificate_survives_json() -> None:
    link = chain_of(1)[0]
    assert msgspec.json.decode(msgspec.json.encode(link), type=Certificate) == link


def test_too_short_and_too_long_chains() -> None:
    assert not holds([])
    assert not holds(chain_of(MAX_CHAIN + 1))


@given(st.integers(2, MAX_CHAIN), st.data())
@unhurried
def test_swapped_reordered_foreign_cut_and_doubled_links(length: int, data: st.DataObject) -> None:
    chain = chain_of(length)
    at = data.draw(st.integers(0, length - 1))
    order = data.draw(st.permutations(chain))
    assert holds(order) == (order == chain)
    assert not chain_holds(ROOT.text, chain[-1].device, chain[-1].wrap, chain[:at] + chain[at + 1 :])
    assert not holds([*chain[:at], chain_of(length, FOREIGN_ROOT)[at], *chain[at + 1 :]])
    assert not holds([*chain[: at + 1], *chain[at:]])
    assert not holds(chain, FOREIGN_ROOT)


@given(st.integers(1, 4), st.data())
@unhurried
def test_any_change_of_a_link_is_noticed(length: int, data: st.DataObject) -> None:
    chain = chain_of(length)
    at, name = (
        data.draw(st.integers(0, length - 1)),
        data.draw(st.sampled_from(Certificate.__struct_fields__)),
    )
    value = getattr(chain[at], name)
    other = data.draw(st.integers(0, len(value) - 1).map(lambda place: altered(value, place)))
    link = msgspec.structs.replace(chain[at], **{name: other})
    assert not holds([*chain[:at], link, *chain[at + 1 :]])


def test_the_last_link_must_be_for_this_device_and_wrap_key() -> None:
    chain = chain_of(3)
    assert not chain_holds(ROOT.text, DEVICES[1].text, WRAPS[1], chain)
    assert not chain_holds(ROOT.text, DEVICES[2].text, WRAPS[1], chain)
    assert not chain_holds(ROOT.text, DEVICES[3].text, WRAPS[2], chain)
    assert not chain_holds(ROOT.text, ROOT.text, WRAPS[2], chain)


def test_a_device_cannot_begin_a_chain_or_certify_for_another_identity() -> None:
    begun = certify(DEVICES[0], ROOT.text, DEVICES[1].text, WRAPS[1])
    assert not holds([begun])
    assert not holds([msgspec.structs.replace(begun, signer=ROOT.text)])
    elsewhere = certify(DEVICES[0], FOREIGN_ROOT.text, DEVICES[1].text, WRAPS[1])
    assert not holds([*chain_of(1), elsewhere])


def test_no_device_comes_twice_and_none_is_the_root() -> None:
    back = certify(DEVICES[1], ROOT.text, DEVICES[0].text, WRAPS[0])
    assert not holds([*chain_of(2), back])
    assert not holds([certify(DEVICES[0], ROOT.text, DEVICES[0].text, WRAPS[0])])
    assert not holds([certify(ROOT, ROOT.text, ROOT.text, WRAPS[0])])
    assert not holds([*chain_of(1), certify(DEVICES[0], ROOT.text, DEVICES[0].text, WRAPS[0])])


@pytest.mark.parametrize("wrap", UNUSABLE)
def test_a_key_that_nothing_can_be_wrapped_to_is_not_certified(wrap: str) -> None:
    assert not holds([certify(ROOT, ROOT.text, DEVICES[0].text, wrap)])


@given(
    texts, texts, texts, st.lists(st.one_of(some_links, st.sampled_from(chain_of(3))), max_size=MAX_CHAIN + 2)
)
@unhurried
def test_chain_holds_never_raises(identity: str, device: str, wrap: str, chain: list[Certificate]) -> None:
    assert chain_holds(identity, device, wrap, chain) is False
    last = chain[-1] if chain else Certificate(device, wrap, "", "")
    honest = chain in [chain_of(n) for n in (1, 2, 3)]
    assert chain_holds(ROOT.text, last.device, last.wrap, chain) is honest


@pytest.mark.parametrize("bad", ["", "A" * 42, "A" * 44, "ä" * 43, to_text(bytes(31))])
def test_only_keys_can_be_certified(bad: str) -> None:
    for values in ((bad, ROOT.text, WRAPS[0]), (ROOT.text, bad, WRAPS[0]), (ROOT.text, ROOT.text, bad)):
        with pytest.raises(ValueError):
            certify(ROOT, *values)


def test_consent() -> None:
    device, wrap = DEVICES[0], WRAPS[0]
    sig = consent(device, ROOT.text, wrap)
    assert consent_holds(ROOT.text, device.text, wrap, sig)
    assert not consent_holds(FOREIGN_ROOT.text, device.text, wrap, sig)
    assert not consent_holds(ROOT.text, DEVICES[1].text, wrap, sig)
    assert not consent_holds(ROOT.text, device.text, WRAPS[1], sig)
    assert not consent_holds(ROOT.text, device.text, wrap, consent(DEVICES[1], ROOT.text, wrap))


def test_a_request_is_the_devices_own_word_in_all() -> None:
    device, other, space_id = DEVICES[0], DEVICES[1], to_text(b"s" * 32)
    said, public = words("dora", 0), invite_key(b"i" * 32).text
    true = (device.text, space_id, ROOT.text, WRAPS[0], public, said)
    sig = ask(device, *true[1:])
    assert ask_holds(*true, sig)
    lies = other.text, to_text(b"t" * 32), FOREIGN_ROOT.text, WRAPS[1], invite_key(b"j" * 32).text
    for place, lie in enumerate((*lies, words("dora", 1))):
        assert not ask_holds(*true[:place], lie, *true[place + 1 :], sig)  # type: ignore[call-arg]
    assert not ask_holds(*true, ask(other, *true[1:]))


def test_words_are_as_many_as_there_are_names_and_places() -> None:
    said = [words(name, seq) for name in ("dora", "dor", "") for seq in (0, 1, 97, 256, MAX_INTEGER)]
    assert len(set(said)) == len(said)
    for name, seq in (("dora", -1), ("dora", MAX_INTEGER + 1), ("\ud800", 0)):
        with pytest.raises(ValueError):
            words(name, seq)


def test_a_device_that_nothing_can_be_agreed_with_is_nobodys() -> None:
    """What it signed holds; but whoever wrote to it could not seal a letter."""
    odd = MixedOrderKey(b"o" * 32)
    said = to_text(b"s" * 32), ROOT.text, WRAPS[0], DEVICES[1].text, words("odd", 0)
    asked = odd.sign(certificate._statement(certificate._REQUEST, *said))
    assert not ask_holds(odd.text, *said, to_text(asked))
    statement = certificate._statement(certificate._CONSENT, ROOT.text, WRAPS[0])
    sig = odd.sign(statement)
    assert verify(odd.public, statement, sig)
    assert not is_usable(odd.public)
    assert not consent_holds(ROOT.text, odd.text, WRAPS[0], to_text(sig))


def test_transition() -> None:
    old, new, third = ROOT, FOREIGN_ROOT, DEVICES[0]
    by_old, by_new = transition(old, new)
    assert transition_holds(old.text, new.text, by_old, by_new)
    assert not transition_holds(new.text, old.text, by_new, by_old)
    assert not transition_holds(old.text, new.text, by_new, by_old)
    assert not transition_holds(old.text, new.text, by_old, by_old)
    assert not transition_holds(old.text, new.text, by_new, by_new)
    assert not transition_holds(old.text, third.text, by_old, transition(old, third)[1])
    assert not transition_holds(old.text, new.text, transition(old, third)[0], by_new)
    with pytest.raises(ValueError, match="own place"):
        transition(old, old)


def test_a_root_cannot_follow_itself_even_when_it_signs_so() -> None:
    sig = certificate._sign(ROOT, certificate._TRANSITION, ROOT.text, ROOT.text)
    assert not transition_holds(ROOT.text, ROOT.text, sig, sig)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
@unhurried
def test_invite_proof(secret: bytes, space: bytes) -> None:
    public, space_id, device = invite_key(secret).text, to_text(space), DEVICES[0].text
    said, other = words("dora", 7), derive(secret, "other")
    sig = prove(secret, space_id, device, said)
    assert proof_holds(public, space_id, device, said, sig)
    assert not proof_holds(public, space_id, DEVICES[1].text, said, sig)
    assert not proof_holds(public, to_text(derive(space, "other")), device, said, sig)
    assert not proof_holds(ROOT.text, space_id, device, said, sig)
    assert not proof_holds(public, space_id, device, said, prove(other, space_id, device, said))
    for otherwise in (words("dora", 8), words("doris", 7)):
        assert not proof_holds(public, space_id, device, otherwise, sig)
    inviter = prove_inviter(secret, space_id, device)
    assert inviter_holds(public, space_id, device, inviter)
    assert not inviter_holds(public, space_id, DEVICES[1].text, inviter)
    assert not inviter_holds(public, space_id, device, sig)


def test_the_keys_of_an_invite_are_two() -> None:
    secret = b"i" * 32
    assert invite_key(secret).seed != secret
    assert len({invite_wrap_key(secret).public, WrapKey(secret).public, invite_key(secret).public}) == 3
    # Whoever reads the log can seal to it.
    assert invite_wrap_key(secret).public == agreement_public(invite_key(secret).public)
    sealed = seal_to(agreement_public(invite_key(secret).public), b"welcome", b"e" * 32, b"")
    assert open_from(sealed, invite_wrap_key(secret), b"") == b"welcome"
    for size in (0, 31, 33):
        for make in (invite_key, invite_wrap_key):
            with pytest.raises(ValueError, match="32 bytes"):
                make(bytes(size))


@given(texts, texts, texts, texts)
@unhurried
def test_no_check_raises(one: str, two: str, three: str, sig: str) -> None:
    assert consent_holds(one, two, three, sig) is False
    assert proof_holds(one, two, three, one, sig) is False
    assert ask_holds(one, two, three, one, two, three, sig) is False
    assert inviter_holds(one, two, three, sig) is False
    assert transition_holds(one, two, three, sig) is False


@pytest.mark.parametrize("made_for", STATEMENTS)
def test_a_signature_serves_for_one_purpose(made_for: str) -> None:
    tag, key, one, two = getattr(certificate, made_for), DEVICES[0], ROOT.text, WRAPS[1]
    sig = certificate._sign(key, tag, one, two)
    assert consent_holds(one, key.text, two, sig) is (made_for == "_CONSENT")
    three = certificate._sign(key, tag, one, two, one)
    assert proof_holds(key.text, one, two, one, three) is (made_for == "_INVITE")
    five = certificate._sign(key, tag, one, two, one, two, one)
    assert ask_holds(key.text, one, two, one, two, one, five) is (made_for == "_REQUEST")
    assert inviter_holds(key.text, one, two, sig) is (made_for == "_INVITER")
    by_old, by_new = (certificate._sign(root, tag, key.text, one) for root in (key, ROOT))
    assert transition_holds(key.text, one, by_old, by_new) is (made_for == "_TRANSITION")
    link = Certificate(one, two, key.text, certificate._sign(key, tag, key.text, one, two))
    assert holds([link], key) is (made_for == "_DEVICE")
