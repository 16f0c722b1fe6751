from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.api.operations import call
from quire.errors import HomeError
from quire.runtime import open_offline
from quire.runtime.host import OfflineHost


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OfflineHost]:
    with open_offline(tmp_path / "home") as opened:
        call(opened, "createIdentity", {"name": "ann"})
        call(opened, "createSpace", {"name": "garden"}, "ann")
        _join(opened, "ben")
        yield opened


def _join(host: OfflineHost, name: str) -> None:
    call(host, "joinSpace", {"link": call(host, "createInvite", {}, "ann").link, "name": name})


def _texts(host: OfflineHost, identity: str, target: str = "general") -> list[str]:
    return [one.body_text for one in call(host, "getMessages", {"target": target}, identity)]


def test_identities_of_one_home_read_each_other_without_a_node(host: OfflineHost) -> None:
    call(host, "sendMessage", {"target": "general", "text": "hello"}, "ann")
    assert _texts(host, "ben") == ["hello"]
    call(host, "sendMessage", {"target": "@ann", "text": "psst"}, "ben")
    assert _texts(host, "ann", "@ben") == ["psst"]
    _join(host, "cara")
    assert _texts(host, "cara") == ["hello"]
    assert _texts(host, "cara", "@ben") == []


def test_changes_of_members_channels_and_keys_come_too(host: OfflineHost) -> None:
    _join(host, "cara")
    call(host, "createChannel", {"name": "plans", "private": True}, "ann")
    call(host, "addToChannel", {"channel": "plans", "name": "ben"}, "ann")
    call(host, "sendMessage", {"target": "plans", "text": "a cake"}, "ben")
    assert _texts(host, "ann", "plans") == ["a cake"]
    assert "plans" not in [one.name for one in call(host, "listChannels", {}, "cara")]
    call(host, "removeMember", {"name": "cara"}, "ann")
    call(host, "sendMessage", {"target": "general", "text": "without her"}, "ben")
    assert _texts(host, "ann") == ["without her"]
    assert "without her" not in _texts(host, "cara")
    assert [one.name for one in call(host, "listMembers", {}, "ben")] == ["ann", "ben"]


def test_where_newcomers_do_not_read_the_past_they_do_not(host: OfflineHost) -> None:
    call(host, "createSpace", {"name": "yard", "history": "from-join"}, "ann")
    call(host, "sendMessage", {"target": "general", "text": "before"}, "ann", "yard")
    link = call(host, "createInvite", {}, "ann", "yard").link
    call(host, "joinSpace", {"link": link, "name": "ben"})
    call(host, "sendMessage", {"target": "general", "text": "after"}, "ann", "yard")
    found = call(host, "getMessages", {"target": "general"}, "ben", "yard")
    assert [one.body_text for one in found] == ["after"]


def test_what_is_committed_is_done_though_it_cannot_be_brought(
    host: OfflineHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise HomeError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("quire.runtime.exchange.index_for", full)
        call(host, "sendMessage", {"target": "general", "text": "hello"}, "ann")
    assert "The disk is full." in caplog.text
    assert _texts(host, "ben") == []
    call(host, "sendMessage", {"target": "general", "text": "again"}, "ann")
    assert _texts(host, "ben") == ["hello", "again"]
