from collections.abc import Iterator

import pytest

from quire.events.append import append
from quire.events.home import Home
from quire.store.memberships import Membership
from tests.events.builders import NOW, Author, Space, add_holder, give, make_home


@pytest.fixture
def home() -> Iterator[Home]:
    home = make_home()
    yield home
    home.close()


@pytest.fixture
def alice(home: Home) -> Membership:
    member = add_holder(home, Space(), "alice")
    append(home, member, "peer", [{"pubkey": member.account_id, "name": "alice"}], NOW)
    return member


@pytest.fixture
def carol(home: Home, alice: Membership) -> Author:
    author = Author(Space(), "carol")
    give(home, alice, author.introduce(), author.is_called())
    return author
