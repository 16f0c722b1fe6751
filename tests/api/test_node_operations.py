from pathlib import Path

from quire.api.host import PeerStatus, RelayStatus
from tests.api.hosts import FakeHost, let_in


def states(host: FakeHost, name: str) -> dict[str, str]:
    return {peer["name"]: peer["state"] for peer in host.ask("getPeers", name)}


def test_peers_of_this_node_and_of_others(host: FakeHost) -> None:
    link = host.ask("createInvite", "alice")["link"]
    host.ask("joinSpace", link=link, name="bob")
    host.tick()
    assert states(host, "alice") == {"alice": "self", "bob": "local"}
    assert states(host, "bob") == {"alice": "local", "bob": "self"}
    host.own = ("127.0.0.1:4000",)
    bob = host.context("bob").member.device
    host.sessions = [
        PeerStatus(
            device=bob, state="syncing", address="127.0.0.1:5000", pending=7, last_heard_ts=5, rtt_ms=1.5
        ),
        PeerStatus(device="a stranger's", state="in-sync"),
    ]
    met = host.ask("getPeers", "alice")
    assert [peer["name"] for peer in met] == ["alice", "bob"]
    assert met[1] == {
        "pubkey": host.context("bob").member.account_id, "name": "bob", "role": "member", "devices": 1,
        "state": "syncing", "address": "127.0.0.1:5000", "last_heard_ts": 5,
        "held": 0, "theirs": None, "pending": 7, "rtt_ms": 1.5, "loss": 0.0,
    }  # fmt: skip


def test_a_peer_elsewhere_is_offline_while_no_node_runs(host: FakeHost, tmp_path: Path) -> None:
    away = FakeHost(tmp_path / "away")
    let_in(host, away, "bob")
    here, device = host.context().member, away.context().member.device
    for address, reached in (("10.0.0.9:4000", 0), ("10.0.0.8:4000", 99)):
        host.home.store.memberships.remember_address(here.account, here.space, device, address, reached)
    met = {peer["name"]: peer for peer in host.ask("getPeers")}
    assert (met["bob"]["state"], met["bob"]["address"]) == ("offline", "10.0.0.8:4000")
    host.own = ("127.0.0.1:4000",)
    assert states(host, "alice")["bob"] == "waiting"
    away.home.close()


def test_who_is_not_reached_is_met_by_relay_while_one_carries(host: FakeHost, tmp_path: Path) -> None:
    away = FakeHost(tmp_path / "away")
    let_in(host, away, "bob")
    host.own = ("127.0.0.1:4000",)
    bob = away.context().member.device

    def by_relay() -> tuple[str, int]:
        space = host.ask("getStatus")["identities"][0]["spaces"][0]
        return states(host, "alice")["bob"], space["by_relay"]

    assert by_relay() == ("waiting", 0)
    for state in ("in-sync", "syncing"):
        host.relaying = [RelayStatus(host="relay.example", address="wss://relay.example/#K", state=state)]
        host.sessions = []
        assert by_relay() == ("by-relay", 1)
        assert host.ask("getStatus")["identities"][0]["spaces"][0]["carried"]
        host.sessions = [PeerStatus(device=bob, state="unreachable")]
        assert by_relay() == ("by-relay", 0), "status has a line for the session"
        host.sessions = [PeerStatus(device=bob, state="syncing")]
        assert by_relay() == ("syncing", 0)
    host.sessions = []
    host.relaying = [RelayStatus(host="relay.example", address="wss://relay.example/#K", state="unreachable")]
    assert by_relay() == ("waiting", 0)
    away.home.close()


def test_who_was_removed_is_no_peer_any_more(host: FakeHost) -> None:
    host.ask("joinSpace", link=host.ask("createInvite")["link"], name="bob")
    host.tick()
    host.ask("grantRole", "alice", name="bob", role="admin")
    assert [peer["role"] for peer in host.ask("getPeers", "alice")] == ["founder", "admin"]
    host.ask("removeMember", "alice", name="bob")
    assert list(states(host, "alice")) == ["alice"]


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
