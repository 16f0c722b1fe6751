from pathlib import Path

import pytest

from quire.api.operations import OPERATIONS
from quire.cli.people import NAMES
from quire.events.context import Context
from quire.handlers import peer
from quire.runtime import open_offline
from tests.cli.conftest import Quire


@pytest.fixture
def bobs(alice: Quire, tmp_path: Path) -> list[str]:
    """The public keys of two people called bob, as two homes could have them."""
    link = alice("invite", "--uses", "2").out
    alice("join", link, "--name", "bob")
    alice("join", link, "--name", "robert")
    with open_offline(tmp_path / "home") as host:
        (robert,) = [one for one in host.home.store.memberships.all() if one.identity_name == "robert"]
        peer.create(Context(host.home, host.now(), robert.account, robert), "bob")
        host.committed()
    alice("channel", "create", "plans", "--private", "--as", "alice")
    everyone = alice("member", "list", "--json", "--as", "alice").json()
    return [one["pubkey"] for one in everyone if one["name"] == "bob"]


def test_the_advice_for_two_of_one_name_holds_in_every_command(alice: Quire, bobs: list[str]) -> None:
    def said(*words: str) -> str:
        ran = alice(*words, "--as", "alice")
        assert ran.code == 0, ran.err
        return ran.out

    advice = alice("channel", "add", "plans", "bob", "--as", "alice")
    assert advice.code == 2
    for key in bobs:
        assert f"@{key}" in advice.err
    one, other = bobs
    for form, role in ((f"@{one}", "guest"), (one, "member")):
        said("channel", "add", "plans", form)
        said("channel", "remove", "plans", form)
        said("member", "grant", form, role)
        said("member", "block", form)
        said("member", "unblock", form)
        assert said("send", form, "psst") == f"Sent to @{one}.\n"
        assert "alice: psst" in said("messages", form)
        assert said("read", form) == f"Read: {form}.\n"
    assert "psst" not in said("messages", other)
    said("member", "readmit", f"@{other}", f"@{one}")
    said("member", "ban", f"@{other}")
    said("member", "unban", f"@{other}")


def test_names_may_have_the_sign_that_send_wants(alice: Quire) -> None:
    alice("join", alice("invite", "--approve").out, "--name", "bob")
    assert alice("member", "approve", "@bob", "--as", "alice").out == "bob is let in.\n"
    assert alice("member", "grant", "@bob", "admin", "--as", "alice").out == "bob is an admin now.\n"


def test_a_private_channel_goes_by_its_id_as_before(alice: Quire) -> None:
    made = alice("channel", "create", "plans", "--private", "--json").json()
    assert alice("send", made["channel_id"], "a cake").code == 0
    assert "alice: a cake" in alice("messages", "plans").out


def test_the_arguments_that_name_people_are_there() -> None:
    for operation, names in NAMES.items():
        assert set(names) <= {one.name for one in OPERATIONS[operation].parameters}


def test_a_key_that_begins_with_a_dash_is_no_option(alice: Quire) -> None:
    key = "-" + 42 * "A"
    for words in (
        ("member", "remove", key),
        ("member", "grant", key, "admin"),
        ("member", "readmit", key, key),
    ):
        assert f"Nobody called '{key}' is known here" in alice(*words).err
    assert alice("send", "general", key).code == 0
    assert alice("send", "general", "two", key).code == 0
    assert alice("messages", "general").out.splitlines()[-2].endswith(f"alice: {key}")
    assert alice("messages", "general").out.splitlines()[-1].endswith(f"alice: two {key}")
    assert key in alice("invite", "revoke", key).err
    assert "No such option" in alice("send", "general", "-x").err
