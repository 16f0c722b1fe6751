"""What an endpoint does not ask has nothing to say: `AskingAll` asks all the same, and looks."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from quire.limits import LETTERS_PER_MINUTE, MALFORMED_PER_MINUTE
from quire.net.endpoint import SessionId
from quire.net.notices import LetterReceived, Misbehaved, Refused
from quire.net.session import Session
from quire.net.standing import Refusal, Standing
from quire.sync import STRATEGIES
from tests.net.asking_all import AskingAll
from tests.net.driver import SPACE, SPACE_KEY, Conditions, Node, World

ACTIONS = ("hold", "push", "letters", "share", "stand", "dial", "streams", "blame", "remove", "wait")


class Trial:
    """Three nodes, to which things happen at random."""

    def __init__(self, seed: int, strategy: str, conditions: Conditions) -> None:
        self.world = World(seed, conditions, AskingAll)
        self.random = Random(seed)
        self.nodes = [self.world.node(name, strategy) for name in ("a", "b", "c")]
        for node in self.nodes[1:]:
            self.world.connect(self.nodes[0], node)

    def act(self, action: str, random: Random) -> None:
        node, other = random.sample(self.nodes, 2)
        now = self.world.now
        session = node.endpoint.session(SessionId(SPACE, node.key.public, other.key.public))
        if action in ("hold", "push"):
            ids = node.hold(random, random.choice((1, 3, 700)), random.choice((100, 900, 3_000)))
            if action == "push":
                node.endpoint.push(SPACE, node.key.public, ids, now)
            else:
                node.endpoint.nudge(SPACE, now)
        elif action == "stand":
            node.sees(other, random.choice(list(Standing)), now)
        elif action == "dial":
            node.standings.pop(other.key.public, None)
            self.world.connect(node, other)
        elif action == "remove":
            node.endpoint.remove(SPACE, node.key.public)
            node.endpoint.add(SPACE, SPACE_KEY, node.key, lambda _: node.index, node.standing)
        elif session is not None:
            _change(session, action, random, now)
        self.world.run(random.choice((0, 1, 60, 400, 3_000)))


def _change(session: Session, action: str, random: Random, now: int) -> None:
    if action == "letters":
        for number in range(random.choice((1, LETTERS_PER_MINUTE))):
            session.send_letter(b"%d" % number)
    elif action == "share":
        session.share([(random.randbytes(32), "10.0.0.1:1")])
    elif action == "streams":
        session.set_streams(random.random() < 0.5, now)
    elif action == "blame":
        session.blame("something", now)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    strategy=st.sampled_from(sorted(STRATEGIES)),
    loss=st.sampled_from((0.0, 0.1, 0.5)),
    actions=st.lists(st.sampled_from(ACTIONS), max_size=15),
)
def test_who_is_not_asked_has_nothing_to_say(
    seed: int, strategy: str, loss: float, actions: list[str]
) -> None:
    trial = Trial(seed, strategy, Conditions(loss=loss, jitter=10))
    for action in actions:
        trial.act(action, trial.random)
    trial.world.run(5_000)


def test_letters_that_were_too_many_go_as_soon_as_they_may() -> None:
    world = World(1, endpoints=AskingAll)
    one, other = world.node("one"), world.node("other")
    world.connect(one, other)
    world.run(1_700)
    begun = world.now
    for number in range(LETTERS_PER_MINUTE // 2 + 10):
        one.session_with(other).send_letter(b"%d" % number)
        world.run(50)
    world.run(begun + 59_990 - world.now)
    assert letters(other) == LETTERS_PER_MINUTE // 2
    world.run(60)
    assert letters(other) == LETTERS_PER_MINUTE // 2 + 10


def test_a_standing_that_changed_is_told_at_once() -> None:
    world = World(1, endpoints=AskingAll)
    one, other = world.node("one"), world.node("other")
    world.connect(one, other)
    world.run(30_000)
    one.sees(other, Standing.UNKNOWN, world.now)
    world.run(60)
    assert Refused(Refusal.NOT_ADMITTED) in other.notices


def test_misconduct_is_told_at_once() -> None:
    world = World(1, endpoints=AskingAll)
    one, other = world.node("one"), world.node("other")
    world.connect(one, other)
    world.run(30_000)
    for _ in range(MALFORMED_PER_MINUTE + 1):
        one.session_with(other).blame("something", world.now)
    found = one.endpoint.next_event()
    assert found is not None
    assert isinstance(found[1], Misbehaved)


def letters(node: Node) -> int:
    return sum(isinstance(notice, LetterReceived) for notice in node.notices)
