from random import Random

from quire.limits import GREETING_GAP_MS, MAX_ADDRESSES
from quire.net.greetings import Greetings
from quire.net.notices import Address
from quire.net.pairing import Pairing, Verdict

HOME: Address = ("home", 1)
AWAY: Address = ("away", 2)
RUN, NEXT = b"a run...", b"the next"


def greetings() -> tuple[Greetings, Pairing]:
    pairing = Pairing(Random(1).randbytes)
    return Greetings(pairing, 124), pairing


def test_they_are_no_larger_than_what_they_answer_and_not_too_many() -> None:
    greeting, _ = greetings()
    assert not greeting.answer(RUN, AWAY, False, 123, 0)
    assert greeting.answer(RUN, AWAY, False, 124, 0)
    assert not greeting.answer(RUN, ("other", 3), False, 124, GREETING_GAP_MS - 1)
    assert greeting.answer(RUN, HOME, True, 124, GREETING_GAP_MS - 1)
    assert greeting.answer(RUN, AWAY, False, 124, GREETING_GAP_MS)
    assert [address for _, _, address in greeting.take()] == [AWAY, HOME, AWAY]
    assert greeting.take() == []


def test_so_many_wait() -> None:
    greeting, _ = greetings()
    greeting.dial([("dialled", number) for number in range(MAX_ADDRESSES)])
    greeting.dial([AWAY])
    assert greeting.answer(RUN, HOME, True, 124, 0)
    assert not greeting.answer(RUN, HOME, True, 124, GREETING_GAP_MS)
    assert len(greeting.take()) == MAX_ADDRESSES + 1


def test_an_echo_proves_the_address_to_which_alone_the_cid_went() -> None:
    greeting, pairing = greetings()
    greeting.dial([HOME])
    ((offer, _, _),) = greeting.take()
    assert pairing.judge(RUN, offer) is Verdict.ADOPT
    assert greeting.adopted(HOME)
    assert not greeting.adopted(HOME), "the next cid has gone nowhere"


def test_an_echo_from_where_the_cid_never_went_proves_nothing() -> None:
    greeting, _ = greetings()
    greeting.dial([HOME])
    assert not greeting.adopted(AWAY)


def test_an_echo_of_what_went_to_several_proves_none_of_them() -> None:
    for address in (HOME, AWAY):
        greeting, _ = greetings()
        greeting.dial([HOME, AWAY])
        assert not greeting.adopted(address)
        greeting, _ = greetings()
        greeting.answer(RUN, HOME, False, 124, 0)
        greeting.answer(RUN, AWAY, False, 124, GREETING_GAP_MS)
        greeting.answer(RUN, AWAY, False, 124, 2 * GREETING_GAP_MS)
        assert not greeting.adopted(address)


def test_greetings_with_a_cid_in_use_do_not_count() -> None:
    greeting, pairing = greetings()
    assert pairing.judge(RUN, pairing.ids()[0]) is Verdict.ADOPT
    greeting.dial([HOME, AWAY])
    greeting.take()
    greeting.answer(RUN, AWAY, False, 124, 0)
    greeting.answer(NEXT, HOME, True, 124, 0)
    assert greeting.adopted(HOME)
