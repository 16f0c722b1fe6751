from random import Random

from quire.net.pairing import Pairing, Verdict
from quire.net.wire import NO_CID


def pairing(seed: int) -> Pairing:
    return Pairing(Random(seed).randbytes)


def meet(one: Pairing, other: Pairing) -> None:
    """`one` greets, `other` answers, `one` speaks."""
    assert other.judge(*one.ids()) is Verdict.GREET
    assert one.judge(*other.ids_for(one.ids()[0])) is Verdict.ADOPT
    assert other.judge(*one.ids()) is Verdict.ADOPT


def test_first_contact_takes_one_round_trip() -> None:
    one, other = pairing(1), pairing(2)
    assert not one.adopted
    meet(one, other)
    assert one.adopted
    assert one.judge(*other.ids()) is other.judge(*one.ids()) is Verdict.ACCEPT


def test_greeting_each_other_at_once() -> None:
    one, other = pairing(1), pairing(2)
    greetings = one.ids(), other.ids()
    assert one.judge(*greetings[1]) is other.judge(*greetings[0]) is Verdict.GREET
    answers = one.ids_for(greetings[1][0]), other.ids_for(greetings[0][0])
    assert other.judge(*answers[0]) is one.judge(*answers[1]) is Verdict.ADOPT
    assert one.judge(*other.ids()) is other.judge(*one.ids()) is Verdict.ACCEPT


def test_restart_of_the_peer_is_noticed_and_adopted() -> None:
    one, other = pairing(1), pairing(2)
    meet(one, other)
    again = pairing(3)
    meet(again, one)
    assert one.judge(*again.ids()) is Verdict.ACCEPT
    assert one.judge(*other.ids()) is Verdict.GREET


def test_what_an_earlier_run_said_is_never_adopted_again() -> None:
    one, other = pairing(1), pairing(2)
    meet(one, other)
    recorded = [other.ids(), (other.ids()[0], NO_CID)]
    meet(pairing(3), one)
    assert [one.judge(*ids) for ids in recorded] == [Verdict.GREET] * 2


def test_recorded_adoption_cannot_be_played_twice() -> None:
    one, other = pairing(1), pairing(2)
    assert one.judge(*other.ids()) is Verdict.GREET
    answer = one.ids_for(other.ids()[0])
    assert other.judge(*answer) is Verdict.ADOPT
    speech = other.ids()
    assert one.judge(*speech) is Verdict.ADOPT
    assert one.judge(*speech) is Verdict.ACCEPT  # the replay window sees to this one
    meet(pairing(3), one)
    assert one.judge(*speech) is Verdict.GREET


def test_no_cid_is_no_run() -> None:
    one = pairing(1)
    assert one.judge(NO_CID, NO_CID) is one.judge(NO_CID, b"whatever") is Verdict.GREET


def test_without_a_cid_only_an_answer_to_this_run_counts() -> None:
    one, other = pairing(1), pairing(2)
    assert one.judge(NO_CID, one.ids()[0]) is Verdict.SESSIONLESS
    offered = one.ids()[0]
    meet(one, other)
    assert one.ids()[0] == offered
    assert one.judge(NO_CID, offered) is Verdict.SESSIONLESS
    meet(pairing(3), one)
    assert one.judge(NO_CID, offered) is Verdict.GREET


def test_a_lost_adoption_is_repaired_with_the_same_ids() -> None:
    one, other = pairing(1), pairing(2)
    meet(one, other)
    assert one.ids_for(other.ids()[0]) == one.ids()
