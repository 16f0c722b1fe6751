"""Links that members refuse, by the command line, between real processes."""

import pytest

from tests.process.harness import Lab, wait_until


@pytest.mark.slow
def test_a_refused_link_is_refused_in_the_same_words_each_time(lab: Lab) -> None:
    """Also where the space stays, for it was somebody's once."""
    ann, bob = (lab.person(name) for name in ("ann", "bob"))
    ann.cli("identity", "create", "ann")
    ann.cli("space", "create", "garden")
    ann.up()
    bob.up()
    link = ann.cli("invite", "--uses", "9").strip()
    bob.cli("join", link, "--name", "bob")
    wait_until(lambda: "bob" in ann.cli("member", "list"), "ann letting bob in")
    ann.cli("member", "remove", "bob")
    wait_until(lambda: "you were removed" in bob.cli("status"), "bob being told")
    for _ in range(2):
        refused = bob.cli("join", link, "--name", "bob", code=2)
        assert "who was removed comes back by a newer invite alone (rule `removed`)" in refused
        assert [space["kind"] for space in bob.json("space", "list")] == ["removed"]
