import pytest

from quire.sim.raised import raised


def test_kind_text_and_place_are_told() -> None:
    def explode() -> None:
        raise KeyError("boom")

    with pytest.raises(KeyError) as caught:
        explode()
    assert raised(caught.value).startswith("KeyError: 'boom' (in explode, test_raised.py line ")


def test_one_that_was_raised_nowhere() -> None:
    assert raised(ValueError("x")) == "ValueError: x"
