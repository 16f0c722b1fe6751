from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quire.core import cells
from quire.core.cells import CELL_BYTES, CELLS, PARTS, Cells

KEY = b"k" * 32
names = st.sets(st.integers(0, 2**64 - 1), max_size=25)


def whole_of(*held: int, key: bytes = KEY) -> Cells:
    return cells.whole(cells.parts_of(key, held))


@settings(deadline=None)
@given(both=names, ours=names, theirs=names)
@example(both=set(), ours=set(), theirs=set())
def test_a_difference_is_read_or_not_but_never_wrong(
    both: set[int], ours: set[int], theirs: set[int]
) -> None:
    read = cells.difference(KEY, whole_of(*both, *ours - both), whole_of(*both, *theirs - both))
    assert read in (None, sorted((ours - both) ^ (theirs - both)))


@pytest.mark.parametrize(("count", "least"), [(1, 100), (10, 99), (40, 97)])
def test_forty_are_read_nearly_always(count: int, least: int) -> None:
    random = Random(count)
    read = sum(
        cells.difference(KEY, whole_of(*(random.getrandbits(64) for _ in range(count))), cells.empty())
        is not None
        for _ in range(100)
    )
    assert read >= least


def test_more_than_there_is_room_for_are_not_read() -> None:
    random = Random(1)
    many = whole_of(*(random.getrandbits(64) for _ in range(2 * CELLS)))
    assert cells.difference(KEY, many, cells.empty()) is None


def test_parts_tell_what_lies_in_them_and_together_everything() -> None:
    random = Random(2)
    held = [random.getrandbits(64) for _ in range(400)]
    parts = cells.parts_of(KEY, held)
    read = [cells.difference(KEY, part, cells.empty()) for part in parts]
    assert sorted(name for part in read for name in part or ()) == sorted(held)
    assert all(cells.part_of(name) == place for place, part in enumerate(read) for name in part or ())
    assert cells.part_of(0) == 0
    assert cells.part_of(2**64 - 1) == PARTS - 1


def test_counting_again_takes_out() -> None:
    parts = cells.parts_of(KEY, [1, 2, 2**63])
    cells.add(KEY, parts, [2, 2**63])
    assert parts == cells.parts_of(KEY, [1])


def test_another_key_means_other_cells() -> None:
    held = whole_of(5, key=b"x" * 32)
    assert held != whole_of(5)
    assert cells.difference(KEY, held, cells.empty()) is None


@settings(deadline=None)
@given(st.lists(st.integers(0, 2 ** (8 * CELL_BYTES) - 1), min_size=CELLS, max_size=CELLS))
def test_cells_that_were_made_up_are_read_or_not(made_up: Cells) -> None:
    """Within bounds: each name found is one that the cells really come to."""
    read = cells.difference(KEY, made_up, cells.empty())
    assert read is None or whole_of(*read) == made_up
    assert cells.unpack(cells.pack(made_up)) == made_up


@pytest.mark.parametrize("size", [0, CELLS * CELL_BYTES - 1, CELLS * CELL_BYTES + 1])
def test_other_sizes_are_no_sketch(size: int) -> None:
    with pytest.raises(ValueError, match="size"):
        cells.unpack(bytes(size))


def test_golden() -> None:
    """Other programs have to count an id in the same cells (docs/protocol.md)."""
    assert cells.name_of(bytes(range(32))) == 0x0001020304050607
    held = {at: f"{cell:024x}" for at, cell in enumerate(whole_of(0x0001020304050607)) if cell}
    assert held == dict.fromkeys((8, 41, 56, 67), "0001020304050607b6b0666f")
