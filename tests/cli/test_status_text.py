from typing import Any

from quire.api.status import BLOCKED_REASONS
from quire.cli.status_text import status_lines
from quire.cli.text import near_time

NOW = 1_790_000_000_000 - 70_000
STATUS: dict[str, Any] = {
    "running": True, "addresses": ["127.0.0.1:1", "10.0.0.1:1"], "search_backlog": 1,
        "health": {"trouble": "", "dropped": {}, "unsent": 0}, "stale_views": True,
    "identities": [
        {
            "name": "alice", "pubkey": "KEY",
            "rejected": [
                {
                    "source": "MALLORY", "source_name": "", "reason": "bad-signature", "meaning": "forged",
                    "count": 3, "last_ts": 1_790_000_000_000,
                }
            ],
            "spaces": [
                {
                    "name": "gar\x1bden", "held": 1_234, "valid": 1_200, "unsupported": 4, "outgoing_waiting": 2,
                    "revoked": True, "joining": "not let in: the invite has expired",
                    "refused": "invite-expired", "locked": 5, "unconfirmed": True, "by_relay": 2,
                    "carried": False, "requests": [{"pubkey": "K", "name": "da\x1bn", "ts": 0}],
                    "blocked": [{"count": 30, "reason": "unknown-peer"}],
                    "forks": [{"device": "D", "device_name": "", "seq": 9, "own": True}],
                    "relays": [
                        {
                            "host": "relay.example", "address": "wss://relay.example/#K", "state": "refused",
                            "unposted": 100, "last_heard_ts": 0, "trouble": "There is no room.", "missed": 2,
                            "retry_ts": 1_790_000_000_000,
                            "faults": [{"misdeed": "rolled-back", "meaning": "it lost records", "ts": 0}],
                        },
                        {
                            "host": "two.example", "address": "", "state": "offline", "unposted": 3,
                            "last_heard_ts": 0, "trouble": "", "faults": [], "missed": 0, "retry_ts": 0,
                        },
                    ],
                    "peers": [
                        {
                            "pubkey": "B", "name": "bob", "state": "syncing", "address": "10.0.0.2:5", "theirs": None,
                            "pending": 7, "last_heard_ts": 0, "rejected": {"bad-frame": 2},
                            "standing": "does not know this device yet",
                        }
                    ],
                }
            ],
        }
    ],
}  # fmt: skip


def test_everything_that_is_known_is_told() -> None:
    told = "\n".join(status_lines(STATUS, NOW))
    for text in (
        "running at 127.0.0.1:1 and 10.0.0.1:1",
        "1 message not indexed yet",
        "run `quire rebuild`",
        "alice  KEY",
        "gar\\x1bden: 1,234 events held, 1,200 valid",
        "revoked: this device was taken away",
        "joining: not let in: the invite has expired",
        "    asks to be let in: da\\x1bn, since never (`quire member approve NAME`)",
        "locked: 5 events under a key that has not come yet",
        "unconfirmed: what lets you in has not come yet",
        "waiting: 30 events, unknown-peer",
        "unsupported: 4 events",
        "fork of this device: a copy of this home is used somewhere else, or an old backup of it was started",
        "fork: D wrote two different events at place 9",
        "outgoing: 2 events",
        "bob: syncing at 10.0.0.2:5, what they hold is unknown, last heard never,"
        " does not know this device yet, refused: bad-frame × 2",
        "    by relay alone: 2 other members (`quire peers` names them)\n",
        "relay relay.example: refused, 100 or more to hand over, last heard never, There is no room, "
        f"tried again at {near_time(1_790_000_000_000, NOW)}\n",
        "2 old records had been removed there before this device read them",
        "fault at never: it lost records (rolled-back). Nothing of yours is lost",
        "relay two.example: offline\n",
        "rejected: 3 events from MALLORY, forged (bad-signature), last 2026-09-2",
    ):
        assert text in told


def with_peer(peer: dict[str, Any], **space: Any) -> str:
    """The status with a space that has one peer."""
    identity = STATUS["identities"][0]
    here = {**identity["spaces"][0], **space, "peers": [peer]}
    return "\n".join(status_lines({**STATUS, "identities": [{**identity, "spaces": [here]}]}, NOW))


def test_a_peer_that_nobody_knows_is_named_by_its_key() -> None:
    stranger = {
        "pubkey": "", "name": "", "device": "hbheup_vEIk6eYKg", "state": "syncing", "address": "", "theirs": 0,
        "pending": 0, "last_heard_ts": 0, "rejected": {}, "standing": "",
    }  # fmt: skip
    assert "    a device unknown here (hbheup_v…): syncing, they hold 0" in with_peer(stranger)


def test_who_is_not_reached_may_have_all_by_a_relay_that_carries() -> None:
    away = {**STATUS["identities"][0]["spaces"][0]["peers"][0], "state": "unreachable"}
    assert "bob: unreachable at" in with_peer(away, carried=False)
    assert "bob: unreachable directly (relays carry what is new) at" in with_peer(away, carried=True)


def test_who_has_not_heard_of_its_admission_is_told_what_it_waits_for() -> None:
    bob = STATUS["identities"][0]["spaces"][0]["peers"][0]
    assert "unconfirmed: no member was online" in with_peer({**bob, "state": "unreachable"})
    assert "unconfirmed: what lets you in has not come yet" in with_peer(bob)
    late = [{"count": 1, "reason": BLOCKED_REASONS["time"]}]
    assert "ahead of this device's clock: is its clock right?" in with_peer(bob, blocked=late)


def test_a_home_at_rest() -> None:
    rest = {
        "running": False,
        "addresses": [],
        "search_backlog": 0,
        "health": {"trouble": "", "dropped": {}, "unsent": 0},
        "stale_views": False,
        "identities": [],
    }
    assert list(status_lines(rest, NOW)) == [
        "Node: not running (start it with `quire up`)",
        "No identity yet: `quire identity create NAME`",
    ]


def test_what_the_node_lives_through_is_told() -> None:
    health = {"trouble": "The disk is full.\x1b[2J", "dropped": {"unopened": 1_200}, "unsent": 1}
    status = {
        "running": True,
        "addresses": ["127.0.0.1:7"],
        "health": health,
        "search_backlog": 0,
        "stale_views": False,
        "identities": [],
    }
    lines = list(status_lines(status, NOW))
    assert "\x1b" not in lines[1]
    assert lines[1].startswith("Trouble: The disk is full.")
    assert lines[2:4] == [
        "Dropped datagrams that belong to nobody here: unopened × 1,200",
        "Unsent: 1 datagram that the system did not take (sent again later)",
    ]
