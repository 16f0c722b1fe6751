"""What to do about a damaged home, told by `quire verify`: every other command sends people there.

Owns: the words. Must not know: what is damaged.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from quire.errors import Damaged

WAYS_OUT = """\
Keep the folder as it is, and begin another one (--home DIR) by whichever of these you have:
  - a backup: put its quire.db and home.key there, then run `quire up`;
  - another device of yours: `quire device link` there, `quire device join LINK` here;
  - your 24 words (--phrase) or an exported key file (--file FILE): `quire identity recover LINK`, with a link to one
    of your spaces;
  - none of these: a new invite. You come as somebody new, and a member can say `quire member readmit OLD NEW`.
What other devices, members or relays hold comes back by sync. What they had not received yet is lost, unless
`sqlite3 quire.db .recover`, on a copy, still finds it. Then revoke the old device (`quire device revoke`)."""

#: The advice to run what was run just now.
_CIRCLE = " Copy the home folder as it is, then run `quire verify`"
_SET_ASIDE = "`quire rebuild` sets damaged events aside: they come back by sync from whoever has them whole."


@contextmanager
def with_ways_out() -> Iterator[None]:
    """Where the database itself is damaged, the error says what can be done."""
    try:
        yield
    except Damaged as error:
        said = str(error)
        if "quire.db" not in said:
            raise
        found = said.partition(_CIRCLE)[0]
        raise Damaged(f"{found}\nSo nothing in it can be checked. {WAYS_OUT}") from error


def advice(kinds: set[str]) -> str:
    """What to do about damage of these kinds in a database that opens."""
    return f"If `quire rebuild` does not mend it: {WAYS_OUT}" if "database" in kinds else _SET_ASIDE
