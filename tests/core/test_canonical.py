"""Canonical JSON: RFC 8785's own examples, and every other spelling refused."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core import canonical
from quire.errors import BadEvent
from quire.limits import MAX_EVENT_BYTES, MAX_EVENT_DEPTH, MAX_INTEGER

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc8785.json").read_text(encoding="utf-8"))
CASES = VECTORS["cases"]
WITH_FLOATS = [case for case in CASES if "refused" in case]
EXACT = [case for case in CASES if "refused" not in case]
unhurried = settings(deadline=None)

integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
characters = st.characters(codec="utf-8") | st.sampled_from('\x00\x1f"\\/\x7f\x80é€\u2028\ufb33\uffff😀𐀀')
texts = st.text(characters, max_size=8)
scalars = st.none() | st.booleans() | integers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def reason(data: bytes) -> str:
    with pytest.raises(BadEvent) as caught:
        canonical.decode(data)
    return caught.value.reason


def encode_reason(value: Any) -> str:
    with pytest.raises(BadEvent) as caught:
        canonical.encode(value)
    return caught.value.reason


def reference(value: Any) -> str:
    """RFC 8785 for the values taken here, written a second time and plainly."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: [*struct.iter_unpack(">H", name.encode("utf-16-be"))])
        return "{" + ",".join(f"{reference(name)}:{reference(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(reference, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def without_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_floats(item) for name, item in value.items() if type(item) is not float}
    if isinstance(value, list):
        return [without_floats(item) for item in value if type(item) is not float]
    return value


# --- RFC 8785 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", EXACT, ids=lambda case: case["name"])
def test_example_has_its_canonical_bytes(case: dict[str, str]) -> None:
    value, expected = json.loads(case["input"]), case["expected"].encode()
    assert canonical.encode(value) == expected
    assert canonical.decode(expected) == value
    assert reason(case["input"].encode()) == "not-canonical"


@pytest.mark.parametrize("case", WITH_FLOATS, ids=lambda case: case["name"])
def test_example_with_floats_is_refused_and_the_rest_is_exact(case: dict[str, str]) -> None:
    value, expected = json.loads(case["input"]), case["expected_without_floats"].encode()
    assert encode_reason(value) == "float"
    assert reason(case["input"].encode()) == "float"
    assert canonical.encode(without_floats(value)) == expected
    assert canonical.decode(expected) == without_floats(value)


@pytest.mark.parametrize(("spelling", "canonical_spelling"), VECTORS["escapes"])
def test_each_character_has_one_spelling(spelling: str, canonical_spelling: str) -> None:
    loose, strict = f'"{spelling}"'.encode(), f'"{canonical_spelling}"'.encode()
    assert canonical.encode(json.loads(loose)) == strict
    assert canonical.decode(strict) == json.loads(loose)
    if loose != strict:
        assert reason(loose) == "not-canonical"


@pytest.mark.parametrize(("bits", "text"), VECTORS["numbers"])
def test_no_float_is_taken_in_either_direction(bits: str, text: str | None) -> None:
    assert encode_reason(struct.unpack(">d", bytes.fromhex(bits))[0]) == "float"
    if text is None:
        return
    if text == "0":
        assert canonical.decode(b"0") == 0
    else:
        assert reason(text.encode()) in {"float", "integer-range"}


# --- Values ------------------------------------------------------------------------------------------


@given(values)
@settings(unhurried)
def test_round_trip_and_the_reference_agree(value: Any) -> None:
    data = canonical.encode(value)
    assert data == reference(value).encode()
    assert canonical.decode(data) == value
    assert canonical.encode(canonical.decode(data)) == data


@given(st.dictionaries(texts, scalars, min_size=2), st.randoms())
@settings(unhurried)
def test_key_order_is_utf_16_whatever_the_order_given(value: dict[str, Any], random: Any) -> None:
    names = list(value)
    random.shuffle(names)
    shuffled = {name: value[name] for name in names}
    assert canonical.encode(shuffled) == canonical.encode(value)
    loose = json.dumps(shuffled, ensure_ascii=False, separators=(",", ":")).encode()
    if loose != canonical.encode(value):
        assert reason(loose) == "not-canonical"


def test_surrogate_pairs_sort_before_the_end_of_the_basic_plane() -> None:
    data = '{"\U00010000":1,"\ufb33":2}'.encode()
    assert canonical.encode({"\ufb33": 2, "\U00010000": 1}) == data
    assert reason('{"\ufb33":2,"\U00010000":1}'.encode()) == "not-canonical"


@pytest.mark.parametrize("value", [0, 1, -1, MAX_INTEGER, -MAX_INTEGER])
def test_integers_in_range(value: int) -> None:
    assert canonical.decode(canonical.encode(value)) == value


@pytest.mark.parametrize("value", [MAX_INTEGER + 1, -MAX_INTEGER - 1, 2**63 - 1, -(2**63), 2**64 - 1])
def test_integers_out_of_range(value: int) -> None:
    assert encode_reason(value) == "integer-range"
    assert reason(str(value).encode()) == "integer-range"


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**300])
def test_integers_beyond_64_bits_are_refused_too(value: int) -> None:
    assert encode_reason(value) == "integer-range"
    assert reason(str(value).encode()) in {"float", "integer-range"}


@pytest.mark.parametrize(
    "value",
    [b"", (), {1: 2}, {None: 1}, {"a": {1}}, Path(), "\ud800", {"\udfff": 1}, ["a\ud83d"]],
    ids=repr,
)
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    assert encode_reason(value) == "not-json"


# --- Bytes -------------------------------------------------------------------------------------------


@given(st.binary(max_size=64) | st.text('[]{}",:\\u0d8-+.eE1tfn \n', max_size=24).map(str.encode))
@settings(unhurried, max_examples=400)
def test_arbitrary_bytes_raise_nothing_but_bad_event(data: bytes) -> None:
    try:
        value = canonical.decode(data)
    except BadEvent:
        return
    assert canonical.encode(value) == data


REFUSED = [
    (
        "not-json",
        [b"", b" ", b"nul", b"True", b"'a'", b"[1,]", b'{"a":1,}', b"{1:2}", b'{"a"}', b"//\n1", b"\x00"],
    ),
    (
        "not-json",
        [b"NaN", b"Infinity", b"-Infinity", b"01", b"-01", b"00", b"+1", b".5", b"1.", b"0x10", b"1e", b"-"],
    ),
    (
        "not-json",
        [b"1 2", b"nullnull", b"{}{}", b"1\x00", b'"a"b', b"[]]", b'"a\nb"', b'"\\x41"', b'"\\u41"', b'"a'],
    ),
    ("not-json", [b'"\\ud800"', b'"\\udc00"', b'"\\udc00\\ud800"', b'"\\ud800a"', b'{"\\ud800":1}']),
    (
        "not-json",
        [b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'{"\xc3":1}', b'"\xe2\x82"'],
    ),
    ("not-json", [b"\xef\xbb\xbf1", b"\xff\xfe1\x00", b"\xef\xbb\xbf{}"]),
    (
        "not-canonical",
        [b" 1", b"1 ", b"1\n", b"\t1", b"[1, 2]", b'{"a": 1}', b'{"a" :1}', b"[ ]", b"{ }", b"[\r]"],
    ),
    ("not-canonical", [b'{"a":1,"a":1}', b'{"a":1,"a":2}', b'{"a":1,"\\u0061":1}', b'[{"":0,"":0}]']),
    ("not-canonical", [b'{"b":1,"a":2}', b'{"a":{"c":1,"b":2}}', b'{"aa":1,"a":2}', b'{"a":1,"A":2}']),
    (
        "not-canonical",
        [b'"\\u0041"', b'"\\/"', b'"\\u000a"', b'"\\u001F"', b'"\\u20ac"', b'"\\ud83d\\ude00"'],
    ),
    ("not-canonical", [b"-0", b"[-0]"]),
    (
        "float",
        [
            b"1.0",
            b"0.0",
            b"-0.0",
            b"1e2",
            b"1E2",
            b"1e+2",
            b"1e-2",
            b"1.5",
            b"[0.1]",
            b'{"a":1e0}',
            b"5e-324",
        ],
    ),
]


@pytest.mark.parametrize(("why", "data"), [(why, data) for why, row in REFUSED for data in row])
def test_other_spellings_are_refused(why: str, data: bytes) -> None:
    assert reason(data) == why


@given(values, st.data())
@settings(unhurried)
def test_every_looser_spelling_of_a_value_is_refused(value: Any, data: st.DataObject) -> None:
    strict = canonical.encode(value)
    spellings = [
        json.dumps(value, ensure_ascii=False, indent=1).encode(),
        json.dumps(value, ensure_ascii=False).encode(),
        json.dumps(value, separators=(",", ":")).encode(),
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(),
        *(mark + strict for mark in (b" ", b"\n", b"\xef\xbb\xbf", b"\x00")),
        *(strict + mark for mark in (b" ", b"\n", b"0.", b"\x00", b",", b"]", b"null", strict)),
    ]
    loose = data.draw(st.sampled_from(spellings))
    if loose != strict and not (type(value) is int and loose == strict + strict):
        assert reason(loose)


@given(values, st.data())
@settings(unhurried, max_examples=300)
def test_changed_bytes_are_another_value_or_refused(value: Any, data: st.DataObject) -> None:
    strict = canonical.encode(value)
    at = data.draw(st.integers(0, len(strict)))
    cut = data.draw(st.integers(0, 3))
    token = data.draw(
        st.sampled_from([b"", b" ", b"0", b"-", b".0", b"e1", b'"', b"\\", b"\\u0041", b",", b"[", b"\xff"])
    )
    changed = strict[:at] + token + strict[at + cut :]
    try:
        decoded = canonical.decode(changed)
    except BadEvent:
        return
    assert canonical.encode(decoded) == changed


# --- Bounds ------------------------------------------------------------------------------------------


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * levels + closing * levels


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded(opening: bytes, closing: bytes) -> None:
    inner = b"null" if opening != b"[" else b""
    deepest = opening * MAX_EVENT_DEPTH + inner + closing * MAX_EVENT_DEPTH
    value = canonical.decode(deepest)
    assert canonical.encode(value) == deepest
    assert encode_reason([value]) == "too-deep"
    assert reason(opening + deepest + closing) == "too-deep"


@pytest.mark.parametrize("levels", [MAX_EVENT_DEPTH + 1, 1_000, 1_100, MAX_EVENT_BYTES // 2])
def test_nesting_that_fits_in_an_event_is_refused(levels: int) -> None:
    assert reason(nested(levels)) == "too-deep"


@pytest.mark.parametrize("levels", [100_000, 1_000_000])
def test_nesting_without_end_is_refused_by_its_size(levels: int) -> None:
    assert reason(nested(levels)) == "too-large"
    assert reason(b"[" * levels) == "too-large"


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    assert encode_reason(value) == "too-deep"


def test_size_is_bounded_before_parsing() -> None:
    largest = b'"' + b"a" * (MAX_EVENT_BYTES - 2) + b'"'
    assert canonical.decode(largest) == "a" * (MAX_EVENT_BYTES - 2)
    assert reason(largest + b" ") == "too-large"
    assert reason(b"\xff" * (MAX_EVENT_BYTES + 1)) == "too-large"
