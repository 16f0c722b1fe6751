import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core import canonical
from quire.core.encoding import from_text, to_text
from quire.core.event import Event, SealedEvent
from quire.core.sealed_body import AudienceKey, open_body, padded_size, randomness_size, seal_body
from quire.core.sealing import key_id
from quire.errors import BadEvent
from quire.limits import MAX_EVENT_BYTES, MIN_SEALED_BODY

SPACE = bytes(range(32, 64))
AUTHOR = to_text(bytes(range(32)))
VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "sealed_body.json").read_text())


def header(**fields: object) -> Event:
    whole = {"type": "message", "v": 1, "ts": 1_700_000_000_002, "author": AUTHOR, "seq": 1, "prev": None}
    return Event(**{**whole, **fields})  # type: ignore[arg-type]


def audience_key(seed: int) -> AudienceKey:
    key = bytes([seed]) * 32
    return AudienceKey(bytes([seed + 1]) * 32, to_text(key_id(key)), key)


def sealed(data: bytes, *keys: AudienceKey, **fields: object) -> SealedEvent:
    return seal_body(data, SPACE, header(**fields), keys, bytes(range(randomness_size(len(keys)))))


@given(
    st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=5),
    st.lists(st.integers(0, 200), min_size=1, max_size=8, unique=True),
)
def test_each_audience_opens_what_was_sealed(fields: dict[str, str], seeds: list[int]) -> None:
    data = canonical.encode(fields)
    keys = [audience_key(seed) for seed in seeds]
    event = sealed(data, *keys)
    for key in keys:
        assert open_body(event, SPACE, key) == data


def test_what_is_bound() -> None:
    key = audience_key(1)
    event = sealed(b'{"body":"x"}', key)
    others = [
        (event, bytes(32), key),
        (event, SPACE, key._replace(audience=bytes(32))),
        (event, SPACE, key._replace(key=bytes(32))),
        (event, SPACE, key._replace(name="AAAAAAAAAAA")),
    ]
    for field, value in (("author", to_text(bytes(32))), ("type", "channel"), ("v", 2)):
        moved = sealed(b"{}", key, **{field: value})
        moved.sealed, moved.keys = event.sealed, event.keys
        others.append((moved, SPACE, key))
    for other, space, other_key in others:
        with pytest.raises(BadEvent, match="cannot-open"):
            open_body(other, space, other_key)


@pytest.mark.parametrize("text", ["", "!", "AA", "A" * 200, "=" * 4, "é"])
def test_junk_does_not_open(text: str) -> None:
    key = audience_key(1)
    for field, value in (("sealed", text), ("keys", {key.name: text}), ("author", text)):
        event = sealed(b"{}", key)
        setattr(event, field, value)
        with pytest.raises(BadEvent, match="cannot-open"):
            open_body(event, SPACE, key)


@given(st.integers(0, MAX_EVENT_BYTES))
def test_padding_tells_little_and_costs_little(size: int) -> None:
    padded = padded_size(size)
    assert padded >= max(size, MIN_SEALED_BODY)
    assert padded <= max(size * 1.12 + 1, MIN_SEALED_BODY)
    assert padded_size(padded) == padded


def test_few_sizes_remain() -> None:
    assert {padded_size(size) for size in range(MIN_SEALED_BODY + 1)} == {MIN_SEALED_BODY}
    assert len({padded_size(size) for size in range(MAX_EVENT_BYTES)}) < 150


def test_randomness_is_asked_for_whole() -> None:
    with pytest.raises(ValueError, match="random bytes"):
        seal_body(b"{}", SPACE, header(), [audience_key(1)], bytes(79))


def test_golden_bytes() -> None:
    key = AudienceKey(
        from_text(VECTOR["audience"], 32), VECTOR["key_name"], bytes.fromhex(VECTOR["audience_key"])
    )
    assert to_text(key_id(key.key)) == key.name
    made = seal_body(
        VECTOR["body"].encode(),
        bytes.fromhex(VECTOR["space_id"]),
        header(author=VECTOR["author"]),
        [key],
        bytes.fromhex(VECTOR["randomness"]),
    )
    assert (made.sealed, made.keys) == (VECTOR["sealed"], VECTOR["keys"])
    assert open_body(made, bytes.fromhex(VECTOR["space_id"]), key) == VECTOR["body"].encode()
