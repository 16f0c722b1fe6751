import sqlite3
from pathlib import Path

import apsw

from tests.cli.conftest import Quire

MESSAGE = {
    "event_id",
    "channel_id",
    "sender",
    "sender_name",
    "ts",
    "body_text",
    "position",
    "kind",
    "channel_name",
}


def test_a_conversation_of_several_words(alice: Quire) -> None:
    sent = alice("send", "general", "hello", "out", "there")
    assert (sent.code, sent.out) == (0, "Sent to #general.\n")
    assert "goes out when `quire up` runs" in sent.err
    [message] = alice("messages", "general", "--json").json()
    assert set(message) == MESSAGE
    assert (message["sender_name"], message["body_text"]) == ("alice", "hello out there")
    assert "alice: hello out there" in alice("messages", "#general").out
    assert [m["body_text"] for m in alice("search", "out", "hel*", "--json").json()] == ["hello out there"]
    assert "nothing to search for" in alice("search", "!!").err
    assert "No message has these words." in alice("search", "nowhere").err


def test_texts_and_targets_that_look_like_options(alice: Quire) -> None:
    assert alice("send", "general", "--", "-5", "degrees").code == 0
    assert alice("send", "--", "-odd", "--json").code == 0
    assert [m["body_text"] for m in alice("messages", "general", "--json").json()] == ["-5 degrees"]
    assert [m["body_text"] for m in alice("messages", "--json", "--", "-odd").json()] == ["--json"]


def test_pages(alice: Quire) -> None:
    for word in ("one", "two", "three"):
        alice("send", "general", word)
    last = alice("messages", "general", "--limit", "1", "--json").json()
    assert [m["body_text"] for m in last] == ["three"]
    before = alice("messages", "general", "--limit", "1", "--before", last[0]["position"], "--json").json()
    assert [m["body_text"] for m in before] == ["two"]


def test_invite_prints_the_link_alone_and_join_takes_it(alice: Quire) -> None:
    link = alice("invite").out
    assert link.startswith("quire://join#")
    assert link.count("\n") == 1
    joined = alice("join", link.strip(), "--name", "bob")
    assert joined.out == "bob is in the space 'garden' now.\n"
    refused = alice("join", link.strip(), "--name", "alice")
    assert (refused.code, refused.out) == (2, "")
    assert "This is your own invite link" in refused.err
    again = alice("join", alice("invite", "--as", "alice").out.strip(), "--name", "bob")
    assert "bob is in the space 'garden' already" in again.out


def test_an_invite_tells_its_limits_beside_the_link(alice: Quire) -> None:
    told = alice("invite", "--uses", "3", "--expires", "2w", "--role", "guest")
    assert told.out.count("\n") == 1
    assert "For 3 people, until 20" in told.err
    assert "no address in it" in told.err
    assert alice("relay", "add", f"ws://127.0.0.1:7750/#{'A' * 43}").code == 0
    told = alice("invite")
    assert "no address in it" not in told.err  # whoever joins is found by way of the relay
    assert "nobody gets in by it before `quire up` has run" in told.err
    for words, text in (
        (("--uses", "0"), "An invite is for 1 to"),
        (("--expires", "soon"), "no length of time"),
        (("--role", "king"), "not 'king'"),
    ):
        refused = alice("invite", *words)
        assert (refused.code, refused.out) == (2, "")
        assert text in refused.err


def test_join_without_a_node_is_kept(alice: Quire, tmp_path: Path) -> None:
    bob = ("--home", str(tmp_path / "bob"))
    joined = alice("join", alice("invite").out, "--name", "bob", *bob)
    assert joined.code == 0
    assert joined.out == "bob is waiting for a member of 'garden' to let them in: `quire status` tells.\n"
    assert "goes out when `quire up` runs" in joined.err
    assert "joining: waiting for a member to let you in" in alice("status", *bob).out
    early = alice("send", "general", "hello", *bob)
    assert (early.code, early.out) == (2, "")
    assert "a member has to let it in first" in early.err
    assert alice("messages", "general", *bob).code == 0


def test_roles_and_removal(alice: Quire) -> None:
    alice("join", alice("invite").out, "--name", "bob")
    boss = ("--as", "alice")
    assert alice("member", "grant", "bob", "guest", *boss).out == "bob is a guest, who can only read now.\n"
    assert [p["role"] for p in alice("peers", "--json", *boss).json()] == ["founder", "guest"]
    assert alice("member", "grant", "bob", "admin", *boss).out == "bob is an admin now.\n"
    refused = alice("member", "remove", "alice", "--as", "bob")
    assert (refused.code, refused.out) == (2, "")
    assert "(rule `founder-stays`)" in refused.err  # bob has heard that he is an admin
    removed = alice("member", "remove", "bob", *boss)
    assert removed.out == "bob is removed. What is written from now on is sealed with a new key.\n"
    assert [p["name"] for p in alice("peers", "--json", *boss).json()] == ["alice"]
    assert "no invite lets them in again" in alice("member", "ban", "bob", *boss).out
    assert alice("member", "unban", "bob", *boss).out == "bob can be invited again.\n"
    assert "use `quire space leave`" in alice("member", "remove", "alice", *boss).err
    key = alice("space", "rekey", *boss).out
    assert key == "Key 3 of this space is in use now, on 1 device.\n"


def test_requests_wait_for_a_word(alice: Quire) -> None:
    assert "Nobody waits to be let in." in alice("member", "requests").err
    waiting = alice("join", alice("invite", "--approve").out, "--name", "bob")
    assert waiting.out == "bob is waiting for a member of 'garden' to let them in: `quire status` tells.\n"
    boss = ("--as", "alice")
    assert alice("member", "requests", *boss).out.split()[:4] == ["NAME", "ASKED", "PUBLIC", "KEY"]
    assert [r["name"] for r in alice("member", "requests", "--json", *boss).json()] == ["bob"]
    assert "    asks to be let in: bob, since " in alice("status").out
    assert alice("member", "approve", "bob", *boss).out == "bob is let in.\n"
    assert "asks to be let in" not in alice("status").out
    assert "Nobody called 'bob' waits" in alice("member", "approve", "bob", *boss).err
    assert [p["name"] for p in alice("peers", "--json", *boss).json()] == ["alice", "bob"]


def test_leaving(alice: Quire) -> None:
    alice("join", alice("invite").out, "--name", "bob")
    left = alice("space", "leave", "--as", "bob")
    assert left.out == "You have left this space. What was synced so far stays readable here.\n"
    assert [one["kind"] for one in alice("space", "list", "--json", "--as", "bob").json()] == ["left"]
    refused = alice("send", "general", "x", "--as", "bob")
    assert (refused.code, refused.out) == (2, "")
    assert "you are no member of this space any more (rule `device`)" in refused.err


def test_who_members_say_is_out_is_warned_beside_json_too(alice: Quire, tmp_path: Path) -> None:
    """One member's word refuses nothing, or a liar could silence others."""
    alice("join", alice("invite").out, "--name", "bob")
    with sqlite3.connect(tmp_path / "home" / "quire.db") as db:
        db.execute("UPDATE joining SET told = 'removed'")
    db.close()
    sent = alice("send", "general", "x", "--as", "bob", "--json")
    assert (sent.code, sent.json()["body_text"]) == (0, "x")
    assert "No member any more, a member says: you were removed. Others may not see" in sent.err


def test_a_phrase_is_shown_with_a_warning(alice: Quire) -> None:
    shown = alice("identity", "phrase")
    assert len(shown.out.split()) == 24
    assert "show them to nobody" in shown.err
    assert alice("identity", "phrase", "--json").json() == {"phrase": shown.out.strip()}


def test_as_and_space_choose(alice: Quire) -> None:
    alice("identity", "create", "bob")
    assert alice("send", "general", "from her who is in a space").code == 0
    alice("space", "create", "shed", "--as", "bob")
    assert "Say which one with `--as NAME`" in alice("send", "general", "x").err
    assert alice("send", "general", "in bob's", "--space", "shed").code == 0
    assert [m["sender_name"] for m in alice("messages", "general", "--space", "shed", "--json").json()] == [
        "bob"
    ]
    alice("space", "create", "attic", "--as", "alice")
    assert "Say which one with `--space NAME`" in alice("send", "general", "x", "--as", "alice").err
    assert alice("--as", "alice", "send", "general", "x", "--space", "attic").code == 0
    told = alice("messages", "general", "--as", "alice", "--space", "garden", "--json").json()
    assert [message["body_text"] for message in told] == ["from her who is in a space"]
    assert [s["name"] for s in alice("space", "list", "--as", "alice", "--json").json()] == [
        "garden",
        "attic",
    ]


def test_direct_messages(alice: Quire) -> None:
    alice("join", alice("invite").out, "--name", "bob")
    unknown = alice("send", "@dave", "hi", "--as", "alice")
    assert (unknown.code, unknown.out) == (2, "")
    assert "Nobody called 'dave' is known here" in unknown.err
    assert alice("send", "@alice", "psst", "--as", "bob").out == "Sent to @alice.\n"
    assert "@alice  bob: psst" in alice("search", "psst", "--as", "bob").out


def test_sql(alice: Quire) -> None:
    alice("send", "general", "hello")
    words = ("sql", "SELECT", "body_text", "FROM", "message_index")
    assert alice(*words, "--json").json() == [{"body_text": "hello"}]
    assert alice(*words).out.split() == ["body_text", "hello"]
    cut = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 10001) SELECT x FROM n"
    ran = alice("sql", cut, "--json")
    assert len(ran.json()) == 10_000
    assert "Only the first 10,000 rows" in ran.err


def test_status_peers_channels_and_rebuild(alice: Quire) -> None:
    alice("send", "tools", "spade")
    status = alice("status", "--json").json()
    assert status["identities"][0]["spaces"][0]["held"] == 4
    assert "garden: 4 events held, 4 valid" in alice("status").out
    assert alice("peers", "--json").json()[0]["state"] == "self"
    assert alice("peers").out.split()[:2] == ["NAME", "ROLE"]
    assert "#tools" in alice("channels").out
    assert alice("rebuild").out == "All views were made anew from 5 events.\n"
    assert alice("rebuild", "--json").json() == {"events": 5, "set_aside": 0}


def test_verify_of_a_sound_home(alice: Quire) -> None:
    alice("send", "general", "x")
    well = alice("verify")
    assert (well.code, well.out) == (0, "All is well: 5 events checked, nothing is damaged.\n")
    assert alice("verify", "--json").json()["damage"] == []


def test_verify_with_damage_exits_1(alice: Quire, tmp_path: Path) -> None:
    alice("send", "general", "x")
    database = apsw.Connection(str(tmp_path / "home" / "quire.db"))
    database.execute("UPDATE blobs SET sealed = zeroblob(length(sealed)) WHERE n = 5")
    database.close()
    ran = alice("verify")
    assert ran.code == 1
    assert "1 fault in 5 events" in ran.out
    as_json = alice("verify", "--json")
    assert as_json.code == 1
    assert len(as_json.json()["damage"]) == 1


def test_channels_and_blocks_are_told_of_in_words(alice: Quire) -> None:
    alice("join", alice("invite").out.strip(), "--name", "bob")

    def said(*words: str) -> str:
        ran = alice(*words, "--as", "alice")
        assert ran.code == 0
        return ran.out + ran.err

    assert said("channel", "create", "all").startswith("The channel #all is there, for everybody")
    assert said("channel", "create", "plans", "--private").startswith("The private channel #plans is there")
    for words in (("add", "plans", "bob"), ("members", "plans"), ("remove", "plans", "bob")):
        assert said("channel", *words).split()[:4] == ["NAME", "ROLE", "SINCE", "PUBLIC"]
    assert said("channel", "leave", "plans").startswith("You have left #plans.")
    assert said("member", "blocked") == "Nobody is blocked.\n"
    assert said("member", "block", "bob").startswith("bob is blocked")
    assert "bob" in said("member", "blocked")
    assert said("member", "unblock", "bob") == "bob is not blocked now: what they write is shown.\n"
    said("send", "all", "hello")
    assert said("read", "all") == "Read: #all.\n"
    assert said("identity", "rename", "ann").split()[:2] == ["NAME", "PUBLIC"]
    ran = alice("space", "rename", "yard", "--as", "ann")
    assert ran.out.split()[:3] == ["NAME", "KIND", "SPACE"]


def test_relays_of_a_space(alice: Quire) -> None:
    assert "uses no relay" in alice("relay", "list").err
    address = f"wss://relay.example/#{'S' * 42}A"
    added = alice("relay", "add", address).out
    assert "uses the relay relay.example now" in added
    assert "shows once `quire up` runs" in added
    moved = f"wss://other.example/#{'S' * 42}A"
    assert f"found at {address} until now" in alice("relay", "add", moved).out
    assert f"found at {moved} until now" in alice("relay", "add", address).out
    assert address in alice("relay", "list").out
    assert "relay relay.example: offline" in alice("status").out
    assert "does not use the relay relay.example any more" in alice("relay", "remove", "relay.example").out
    assert "`quire relay list`" in alice("relay", "remove", "relay.example").err
    assert "its public key" in alice("relay", "add", "wss://relay.example/").err
