import pytest

from quire.errors import NotFound, Refused
from quire.events.rebuild import rebuild
from quire.handlers import own_link, request, role
from quire.handlers.admit_letter import WAIT, WELCOME
from tests.handlers.letters import Apart, apart, refused


def waiting(there: Apart, name: str) -> list[str]:
    return [one.name for one in request.list_(there[name].ctx(name))]


def test_any_member_confirms_wherever_the_newcomer_knocked() -> None:
    with apart() as there:
        there.join("bob")
        there.knock("carol", there["ann"].link("ann", approve=True))
        there.settle("ann", "bob")
        assert there.ask("carol", "bob") == [WAIT]
        assert "a member has been asked" in own_link.state(there["carol"].ctx("carol"))
        assert waiting(there, "ann") == []
        there.settle("ann", "bob")
        assert waiting(there, "ann") == waiting(there, "bob") == ["carol"]
        approved = request.approve(there["ann"].ctx("ann"), "carol")
        assert approved.pubkey == there.person("carol")
        assert waiting(there, "ann") == []
        assert there["ann"].knows("ann") == ["ann", "bob", "carol"]
        assert there.ask("carol", "ann")[0][:1] == WELCOME
        there.settle()
        there.say("carol", "thank you")
        there.settle()
        assert there.texts("bob") == ["thank you"]


def test_asking_again_writes_nothing_more() -> None:
    with apart() as there:
        there.knock("carol", there["ann"].link("ann", approve=True))
        for _ in range(3):
            assert there.ask("carol", "ann") == [WAIT]
        assert there["ann"].rows("SELECT count(*) FROM request_rows") == [(1,)]


def test_who_waits_survives_a_rebuild() -> None:
    with apart() as there:
        there.knock("carol", there["ann"].link("ann", approve=True))
        there.ask("carol", "ann")
        rebuild(there["ann"].home, there["ann"].now)
        assert waiting(there, "ann") == ["carol"]
        assert request.approve(there["ann"].ctx("ann"), there.person("carol")).name == "carol"


def test_limits_hold_when_it_is_confirmed() -> None:
    with apart() as there:
        link = there["ann"].link("ann", approve=True)
        for name in ("bob", "carol"):
            there.knock(name, link)
            assert there.ask(name, "ann") == [WAIT]
        request.approve(there["ann"].ctx("ann"), "bob")
        before = there["ann"].sizes()
        with pytest.raises(Refused, match="rule `invite-used`"):
            request.approve(there["ann"].ctx("ann"), "carol")
        assert there["ann"].sizes() == before
        assert refused(there.ask("carol", "ann")) == ["invite-used"]


def test_several_of_one_name_are_told_apart_by_their_keys() -> None:
    with apart() as there:
        link = there["ann"].link("ann", approve=True, uses=5)
        for name in ("carol", "dora"):
            there.knock(name, link)
            net = there[name]
            own = net.home.store.memberships.home(net.ctx(name).account)
            net.home.store.memberships.set_kind(own, own.kind, "sam")
            there.ask(name, "ann")
        assert waiting(there, "ann") == ["sam", "sam"]
        with pytest.raises(NotFound, match="Several people") as error:
            request.approve(there["ann"].ctx("ann"), "sam")
        assert there.person("carol") in str(error.value)
        assert request.approve(there["ann"].ctx("ann"), there.person("dora")).pubkey == there.person("dora")
        with pytest.raises(NotFound, match="Nobody called 'x'"):
            request.approve(there["ann"].ctx("ann"), "x")


def test_a_guest_cannot_confirm() -> None:
    with apart() as there:
        there.join("bob", role="guest")
        there.knock("carol", there["ann"].link("ann", approve=True))
        there.ask("carol", "ann")
        there.settle("ann", "bob")
        with pytest.raises(Refused, match="rule `guest`"):
            request.approve(there["bob"].ctx("bob"), "carol")


def test_who_was_removed_waits_again_with_a_fresh_request() -> None:
    with apart() as there:
        there.join("bob")
        role.remove(there["ann"].ctx("ann"), "bob")
        there.settle()
        there.knock("bob", there["ann"].link("ann", approve=True))
        assert there.ask("bob", "ann") == [WAIT]
        assert waiting(there, "ann") == ["bob"]
        request.approve(there["ann"].ctx("ann"), "bob")
        assert there["ann"].knows("ann") == ["ann", "bob"]
