"""Roles, from the least to the most that a member may do. Where concurrent changes differ, the least counts."""

from enum import IntEnum


class Role(IntEnum):
    """What an identity is in a space; the numbers go into events."""

    BANNED = 0
    NONE = 1
    GUEST = 2
    MEMBER = 3
    ADMIN = 4
    FOUNDER = 5
