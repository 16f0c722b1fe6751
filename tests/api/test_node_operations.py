from pathlib import Path

from quire.api.host import PeerStatus
from quire.handlers import incoming
from tests.api.hosts import NOW, FakeHost


def states(host: FakeHost, name: str) -> dict[str, str]:
    return {peer["name"]: peer["state"] for peer in host.ask("getPeers", name)}


def test_peers_of_this_node_and_of_others(host: FakeHost) -> None:
    link = host.ask("createInvite", "alice")["link"]
    host.ask("joinSpace", link=link, name="bob")
    host.tick()
    assert states(host, "alice") == {"alice": "self", "bob": "local"}
    assert states(host, "bob") == {"alice": "local", "bob": "self"}
    host.own = ("127.0.0.1:4000",)
    host.sessions = [
        PeerStatus(
            pubkey="Zed", state="syncing", address="127.0.0.1:5000", pending=7, last_heard_ts=5, rtt_ms=1.5
        )
    ]
    stranger = host.ask("getPeers", "alice")[-1]
    assert stranger == {
        "pubkey": "Zed", "name": "", "state": "syncing", "address": "127.0.0.1:5000", "last_heard_ts": 5,
        "held": 0, "theirs": None, "pending": 7, "rtt_ms": 1.5, "loss": 0.0,
    }  # fmt: skip


def test_a_peer_elsewhere_is_offline_while_no_node_runs(host: FakeHost, tmp_path: Path) -> None:
    away = FakeHost(tmp_path / "away")
    away.ask("joinSpace", link=host.ask("createInvite")["link"], name="bob")
    [here], [bob] = host.home.store.memberships.all(), away.home.store.memberships.all()
    index = away.home.store.index(bob.account, bob.space)
    events = index.blobs([event_id for _, event_id in index.page((0, b""), (1 << 60, b""), 10)])
    incoming.receive(host.home, here, events, bob.account_id, NOW)
    for address, reached in (("10.0.0.9:4000", 0), ("10.0.0.8:4000", 99)):
        host.home.store.memberships.remember_address(
            here.account, here.space, bob.account_id, address, reached
        )
    met = {peer["name"]: peer for peer in host.ask("getPeers")}
    assert (met["bob"]["state"], met["bob"]["address"]) == ("offline", "10.0.0.8:4000")
    host.own = ("127.0.0.1:4000",)
    assert states(host, "alice")["bob"] == "waiting"
    away.home.close()


def test_rebuild_gives_the_same_views(host: FakeHost) -> None:
    host.ask("sendMessage", target="general", text="x")
    before = host.ask("getMessages", target="general")
    assert host.ask("rebuild")["events"] == 5
    assert host.ask("getMessages", target="general") == before


def test_channels_and_conversations(host: FakeHost) -> None:
    link = host.ask("createInvite")["link"]
    host.ask("joinSpace", link=link, name="bob")
    host.tick()
    host.ask("sendMessage", "alice", target="tools", text="spade")
    host.ask("sendMessage", "alice", target="general", text="hi")
    last = host.ask("sendMessage", "alice", target="@bob", text="psst")
    channels = host.ask("listChannels", "alice")
    assert [(c["name"], c["direct"]) for c in channels] == [
        ("general", False),
        ("tools", False),
        ("bob", True),
    ]
    assert channels[-1]["last_ts"] == last["ts"]
