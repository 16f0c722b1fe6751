"""Canonical JSON (RFC 8785), restricted to strings, booleans, null, integers, arrays and objects.

Owns: the one spelling of a JSON value, and the strict decoder that takes no other.
Floats are refused in both directions, so RFC 8785's number formatting is never needed.
"""

from typing import Any

import orjson

from quire.errors import BadEvent
from quire.limits import MAX_EVENT_BYTES, MAX_EVENT_DEPTH, MAX_INTEGER


def encode(value: Any) -> bytes:
    """The canonical bytes of a JSON value.

    Raises BadEvent: `float`, `integer-range`, `too-deep`, or `not-json` for what JSON cannot say.
    """
    _check(value, MAX_EVENT_DEPTH)
    return _dump(value)


def decode(data: bytes) -> Any:
    """The value of canonical bytes, at most MAX_EVENT_BYTES and MAX_EVENT_DEPTH levels.

    Raises BadEvent: `too-large`, `not-json`, `float` (also for integers beyond 64 bits),
    `integer-range`, `too-deep`, or `not-canonical` (white space, key order, duplicate keys,
    escapes, number spelling).
    """
    if len(data) > MAX_EVENT_BYTES:
        raise BadEvent("too-large")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadEvent("too-deep" if "depth limit" in str(error) else "not-json") from None
    _check(value, MAX_EVENT_DEPTH)
    if _dump(value) != data:
        raise BadEvent("not-canonical")
    return value


def _check(value: Any, depth: int) -> None:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise BadEvent("integer-range")
        return
    if kind is float:
        raise BadEvent("float")
    if depth == 0:
        raise BadEvent("too-deep")
    if kind is dict:
        for item in value.values():
            _check(item, depth - 1)
    elif kind is list:
        for item in value:
            _check(item, depth - 1)
    else:
        raise BadEvent("not-json")


def _dump(value: Any) -> bytes:
    try:
        # orjson sorts keys by UTF-8, RFC 8785 by UTF-16: they differ only where a key is not ASCII.
        plain = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return plain if plain.isascii() else orjson.dumps(_sorted(value))
    except TypeError:
        raise BadEvent("not-json") from None


def _sorted(value: Any) -> Any:
    if type(value) is dict:
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return {key: _sorted(value[key]) for key in keys}
    if type(value) is list:
        return [_sorted(item) for item in value]
    return value
