from quire.sim.raised import raised


def test_kind_text_and_place_are_told() -> None:
    def explode() -> None:
        raise KeyError("boom")

    try:
        explode()
    except KeyError as error:
        told = raised(error)
    assert told.startswith("KeyError: 'boom' (in explode, test_raised.py line ")


def test_one_that_was_raised_nowhere() -> None:
    assert raised(ValueError("x")) == "ValueError: x"
