from quire.handlers import incoming
from quire.limits import INGEST_BATCH
from tests.events.builders import NOW, Author, Space, add_holder, bodies, make_home, rejected


def test_more_than_a_batch_is_taken_in_and_counted_as_a_whole() -> None:
    home, space = make_home(), Space()
    alice, carol = add_holder(home, space, "alice"), Author(space, "carol")
    made = [carol.introduce(), *carol.says(str(number) for number in range(INGEST_BATCH + 10))]
    sealed = [b"", *(one.sealed for one in made), made[0].sealed, b""]
    report = incoming.receive(home, alice, sealed, "peer", NOW)
    assert len(bodies(home, alice)) == INGEST_BATCH + 10
    assert (report.valid, report.known) == (len(made), 1)
    assert report.rejected == rejected(home, alice) == {"cannot-open": 2}
    assert {opened.event_id for opened in report.arrived} == {one.event_id for one in made}
    assert {opened.received_by for opened in report.arrived} == {alice.account_id}
    home.close()


def test_nothing() -> None:
    home = make_home()
    report = incoming.receive(home, add_holder(home, Space(), "alice"), [], "peer", NOW)
    assert (report.valid, report.blocked, report.known, report.rejected) == (0, 0, 0, {})
    home.close()
