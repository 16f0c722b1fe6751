import pytest

from quire.errors import NotFound, Refused
from tests.handlers.devices import LONG, Town, ask, counts, force, graph, heads, member, texts


def test_somebody_who_lost_every_key_comes_back_in_their_place(town: Town) -> None:
    bob, again, carol = town.friend("bob"), town.friend("robert"), town.friend("carol")
    ask(town.ann, "grantRole", name="bob", role="admin")
    town.says(bob, "from the phone I lose")
    town.seen("from the phone I lose", town.ann, carol)
    said = ask(town.ann, "readmitMember", old="bob", new="robert")
    assert (said["old_name"], said["name"], said["role"]) == ("bob", "robert", "admin")
    town.run(LONG)
    for station in (town.ann, carol, again):
        found = {one["name"]: one for one in ask(station, "listMembers")}
        assert set(found) == {"ann", "robert", "carol"}
        assert (found["robert"]["in_place_of"], found["robert"]["role"]) == ("bob", "admin")
        assert texts(station) == ["from the phone I lose"]
    shown = ask(
        carol, "query", statement="SELECT subject, action FROM auth_graph WHERE action = 'readmit' AND counts"
    )
    assert [row["subject"] for row in shown["rows"]] == [member(bob).account_id]
    # The lost phone, found by a stranger: nothing that it writes is shown, and it reads nothing new.
    town.says(town.ann, "a new key")
    force(bob, "message", {"body": "from the finder", "channel": "general"})
    town.run(LONG)
    assert "from the finder" not in texts(carol)
    assert "a new key" not in texts(bob)


def test_it_takes_an_admin_and_two_members(town: Town) -> None:
    bob, carol = town.friend("bob"), town.friend("carol")
    with pytest.raises(Refused, match="admin"):
        ask(bob, "readmitMember", old="carol", new="bob")
    with pytest.raises(Refused, match="founder"):
        ask(town.ann, "readmitMember", old="ann", new="bob")
    with pytest.raises(Refused, match="not in the space"):
        ask(town.ann, "readmitMember", old="bob", new="bob")
    with pytest.raises(NotFound):
        ask(town.ann, "readmitMember", old="bob", new="nobody")
    body = {"old": member(carol).account_id, "new": member(bob).account_id, "marks": {}, "after": heads(bob)}
    forged = force(bob, "readmission", body)
    town.run(LONG)
    assert not any(counts(station, forged) for station in (bob, carol, town.ann))
    nonsense = force(town.ann, "readmission", {**body, "old": "x", "after": heads(town.ann)})
    assert not graph(town.ann).counts(nonsense)
