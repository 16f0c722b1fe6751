from pathlib import Path

import apsw

from tests.cli.conftest import Quire

MESSAGE = {"event_id", "channel_id", "sender", "sender_name", "ts", "body_text", "position"}


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
    assert again.out == "bob is in the space 'garden' now.\n"


def test_as_and_space_choose(alice: Quire) -> None:
    alice("identity", "create", "bob")
    assert "Say which one with `--as NAME`" in alice("send", "general", "x").err
    alice("space", "create", "attic", "--as", "alice")
    assert "Say which one with `--space NAME`" in alice("send", "general", "x", "--as", "alice").err
    assert alice("--as", "alice", "send", "general", "x", "--space", "attic").code == 0
    assert alice("messages", "general", "--as", "alice", "--space", "garden", "--json").json() == []
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
    assert "(direct)  bob: psst" in alice("search", "psst", "--as", "bob").out


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
    assert status["identities"][0]["spaces"][0]["held"] == 3
    assert "garden: 3 events held, 3 valid" in alice("status").out
    assert alice("peers", "--json").json()[0]["state"] == "self"
    assert alice("peers").out.split()[:2] == ["NAME", "STATE"]
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
