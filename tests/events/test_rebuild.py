from pathlib import Path

from quire.events.rebuild import Rebuilt, rebuild
from tests.threats.community import Community, Person


def damaged(person: Person, event_id: str) -> Rebuilt:
    """Its blob rots on the disk, and all views are made anew."""
    person.home.store.db.execute(
        "UPDATE blobs SET sealed = zeroblob(length(sealed)) WHERE event_id = ?", (event_id,)
    )
    return rebuild(person.home, person.ctx.now)


def test_what_builds_on_a_damaged_event_of_the_graph_comes_back_with_it(tmp_path: Path) -> None:
    c = Community("ann", "bob", "carl", folder=tmp_path)
    c.ann.invite()
    hurt = c.ann.ctx.graph.ledger.dag.nodes[-1].event_id
    c.admit("dora", c.ann)
    c.meet()
    whole = c.bob.view()["graph"]
    c.restart(c.bob)  # nothing of it is at hand
    assert damaged(c.bob, hurt).set_aside == 1
    without = c.bob.view()["graph"]
    assert len(without) < len(whole) - 1, "others built on it"
    c.bob.rebuild()
    assert c.bob.view()["graph"] == without
    c.bob.hear_again(c.ann)
    assert c.bob.view()["graph"] == whole
    c.bob.rebuild()
    assert c.bob.view()["graph"] == whole
    c.dora.say("hello from dora")
    c.bob.hear(c.dora)
    assert c.bob.texts() == ["hello from dora"]
