"""What an event of the membership graph says: one struct for each kind of change.

Owns: the meaning that handlers give to the graph. Proofs (signatures, certificates) have been checked by
whoever makes these. Members are named by the public root key that they first came with, devices by their
public keys, invites and keys by the id of the event that made them; all as 43 characters.
"""

import msgspec

from quire.graph.roles import Role

#: device → (seq, event id) of its last event that the author of a change held: what counts of its log.
Marks = dict[str, tuple[int, str]]


class Change(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of all changes."""


class Void(Change, frozen=True):
    """An event that says nothing valid; it stays in the graph, since others may build on it."""


class Found(Change, frozen=True):
    """The author's device founds the space for `member`; `from_join`: newcomers do not get the content's past."""

    member: str
    wrap: str
    from_join: bool = False


class Invite(Change, frozen=True):
    """Up to `uses` people may join until `expires` (ms); with `approve`, when a member confirms each."""

    public: str
    role: Role
    uses: int
    expires: int
    approve: bool


class RevokeInvite(Change, frozen=True):
    """The invite made by event `invite` admits nobody any more."""

    invite: str


class Admit(Change, frozen=True):
    """`member` comes in with `device`, having proved to hold `invite`'s secret.

    The newcomer's signed request is part of the event; `seq` is how far its device's log in this space had
    come when it asked (0, but for who was removed and comes again): what is after it counts.
    """

    member: str
    device: str
    wrap: str
    invite: str
    seq: int
    #: The public key that the newcomer proved to hold: it has to be the invite's.
    public: str
    #: The root key that the device's certificates end with: "" for `member`, which it is until it is rotated.
    root: str = ""


class SetRole(Change, frozen=True):
    """`member` has `role` from now on; of its devices' logs so far, what `marks` names counts."""

    member: str
    role: Role
    marks: Marks


class Link(Change, frozen=True):
    """The author's identity has another device, which has agreed to it."""

    device: str
    wrap: str
    #: Whose the device has agreed to be: it has to be the author.
    member: str = ""


class Revoke(Change, frozen=True):
    """A device of the author's identity is no more; of its log, what is up to `seq` counts."""

    device: str
    seq: int
    last: str


class Recover(Change, frozen=True):
    """The author's device has been certified by `root`, the present root key of `member`."""

    member: str
    root: str
    wrap: str


class Rotate(Change, frozen=True):
    """The author's identity has root key `root` instead of `old`; each has signed the other."""

    old: str
    root: str


class Readmit(Change, frozen=True):
    """`new` takes the place of member `old`, who lost every key."""

    old: str
    new: str
    marks: Marks


class OpenAudience(Change, frozen=True):
    """The author makes an audience of `members` (itself among them); `fixed`: it never changes (two people)."""

    members: tuple[str, ...]
    fixed: bool


class SetAudience(Change, frozen=True):
    """`member` is in the audience made by event `audience` from now on, or is not; of its logs, `marks` counts."""

    audience: str
    member: str
    inside: bool
    marks: Marks = {}


class NewKey(Change, frozen=True):
    """A new key of `scope` (the space: "", or an audience), wrapped to devices."""

    scope: str
    generation: int
    parents: tuple[str, ...]
    recipients: tuple[str, ...]
    #: The key's public name, by which blobs say what they are sealed under.
    name: str = ""


class ShareKey(Change, frozen=True):
    """The key made by event `key`, wrapped to devices that lacked it."""

    key: str
    recipients: tuple[str, ...]


class Rename(Change, frozen=True):
    """The space is called `name` from now on."""

    name: str


class Merge(Change, frozen=True):
    """The author knows all that this builds on: nothing else."""


AnyChange = (
    Void
    | Found
    | Invite
    | RevokeInvite
    | Admit
    | SetRole
    | Link
    | Revoke
    | Recover
    | Rotate
    | Readmit
    | OpenAudience
    | SetAudience
    | NewKey
    | ShareKey
    | Rename
    | Merge
)
