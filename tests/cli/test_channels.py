import pytest

from tests.cli.conftest import Quire


@pytest.fixture
def alice(alice: Quire) -> Quire:
    assert alice("channel", "create", "plans", "--private").code == 0
    return alice


@pytest.mark.parametrize("slip", ["plan", "#plan", "Plans", "plnas", "plans2", "pl"])
def test_a_slip_does_not_publish_what_is_meant_for_few(alice: Quire, slip: str) -> None:
    refused = alice("send", slip, "a secret")
    assert (refused.code, refused.out) == (2, "")
    name = slip.removeprefix("#")
    assert f"there is no channel #{name}, but a private one called #plans" in refused.err
    assert "`quire send plans TEXT`" in refused.err
    assert alice("search", "secret", "--json").json() == []
    assert f"`quire channel create {name}`" in refused.err
    assert alice("channel", "create", name).code == 0  # as it says
    assert alice("send", slip, "for all").out == f"Sent to #{name}.\n"


def test_a_new_public_channel_is_told_of_once(alice: Quire) -> None:
    assert "is new" not in alice("send", "general", "hello").err
    assert "is new" not in alice("send", "plans", "a cake").err
    assert "is new" not in alice("send", "@me", "a thought").err
    for words in ((), ("--json",)):
        slip = f"genera{len(words)}"
        sent = alice("send", slip, "hello", *words)
        assert sent.code == 0
        assert f"#{slip} is new, and open to every member of the space. Near in name: #general" in sent.err
    assert "is new" not in alice("send", "genera0", "again").err
    assert "#tools is new, and open to every member of the space.\n" in alice("send", "tools", "x").err


def test_who_reads_where_nobody_wrote_is_told_of_near_names(alice: Quire) -> None:
    for words in ((), ("--json",)):
        read = alice("messages", "plan", *words)
        assert (read.code, read.out) == (0, "[]\n" if words else "")
        assert "Nobody here has heard of a channel #plan. Near in name: #plans." in read.err
    assert alice("messages", "plans").err == "No messages in plans yet.\n"
    assert alice("messages", "general").err == "No messages in general yet.\n"
    assert alice("messages", "@me").err == "No messages in @me yet.\n"
