import pytest

from quire.errors import NotFound, UserError
from tests.api.hosts import FakeHost


def test_without_an_identity_it_says_how_to_make_one(empty: FakeHost) -> None:
    with pytest.raises(UserError, match="quire identity create NAME"):
        empty.ask("sendMessage", target="general", text="x")


def test_without_a_space_it_says_how_to_make_one(empty: FakeHost) -> None:
    empty.ask("createIdentity", name="alice")
    with pytest.raises(UserError, match="quire space create NAME"):
        empty.ask("sendMessage", target="general", text="x")


def test_several_identities_must_be_told_apart(host: FakeHost) -> None:
    carol = host.ask("createIdentity", name="carol")
    with pytest.raises(UserError, match=r"'alice', 'carol'.*--as NAME"):
        host.ask("listSpaces")
    assert [s["name"] for s in host.ask("listSpaces", "alice")] == ["garden"]
    assert host.ask("listSpaces", carol["pubkey"]) == []
    with pytest.raises(NotFound, match="no identity called 'dave'"):
        host.ask("listSpaces", "dave")


def test_several_spaces_must_be_told_apart(host: FakeHost) -> None:
    other = host.ask("createSpace", name="kitchen")
    with pytest.raises(UserError, match=r"'garden' \(.*'kitchen' \(.*--space NAME"):
        host.ask("sendMessage", target="general", text="x")
    host.ask("sendMessage", None, "kitchen", target="general", text="soup")
    assert [m["body_text"] for m in host.ask("getMessages", None, other["space_id"], target="general")] == [
        "soup"
    ]
    assert host.ask("getMessages", None, "garden", target="general") == []
    with pytest.raises(NotFound, match="no space called 'attic'"):
        host.ask("getMessages", None, "attic", target="general")


def test_a_name_must_exist_even_where_none_is_needed(host: FakeHost) -> None:
    host.ask("createIdentity", name="carol")
    assert [i["name"] for i in host.ask("getStatus")["identities"]] == ["alice", "carol"]
    assert [i["name"] for i in host.ask("getStatus", "carol")["identities"]] == ["carol"]
    assert host.ask("getStatus", None, "garden")["identities"]
    with pytest.raises(NotFound, match="no identity called 'nobody'"):
        host.ask("getStatus", "nobody")
    with pytest.raises(NotFound, match="no space called 'nowhere'"):
        host.ask("query", None, "nowhere", statement="SELECT 1")
