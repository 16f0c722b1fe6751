"""The errors a person can meet. Each says what happened, whose fault it is and what to do next.

Owns: the exception types that cross layers, and what the system's own errors mean. Must not know: any layer.
"""

from errno import EDQUOT, ENOSPC


class QuireError(Exception):
    """Base of every error that is shown to a person; `str(error)` is the text they read."""

    #: Short stable name for programs (API field `error`, CLI tests).
    code = "error"


class UserError(QuireError):
    """The request cannot be done as asked: the caller's to mend (HTTP 400, exit code 2)."""

    code = "bad-request"


class NotFound(UserError):
    """The named thing does not exist here (HTTP 404)."""

    code = "not-found"


class Refused(UserError):
    """A rule forbids it; the text names the rule (HTTP 403)."""

    code = "refused"


class NotIn(Refused):
    """A member has to let this device into the space first."""

    code = "not-in"


class NoKeyYet(Refused):
    """The key that it takes has not come yet: the same can be done in a while."""

    code = "no-key-yet"


class HomeError(QuireError):
    """The home folder cannot be used: held by another process, no rights, disk full, damaged."""

    code = "home"


class Damaged(HomeError):
    """Stored bytes are not what was written."""

    code = "damaged"


class BadEvent(QuireError):
    """Bytes that are not a valid event. `reason` is a short stable slug, counted per peer."""

    code = "bad-event"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def is_disk_full(error: OSError) -> bool:
    """Whether the system refused for want of room."""
    return error.errno in (ENOSPC, EDQUOT)


def why(error: OSError) -> str:
    """The reason for which the system refused, to be part of a sentence."""
    if is_disk_full(error):
        return "the disk is full"
    told = error.strerror or str(error)
    return told[:1].lower() + told[1:]
