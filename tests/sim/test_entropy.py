from quire.sim.entropy import Stream


def test_the_name_decides_everything() -> None:
    assert Stream("a")(100) == Stream("a")(100)
    assert Stream("a")(100) != Stream("b")(100)
    assert Stream("a")(8).hex() == "b0e80cc47282ddb3"


def test_pieces_make_up_one_stream() -> None:
    whole, pieces = Stream("a"), Stream("a")
    assert whole(200) == b"".join(pieces(size) for size in (0, 1, 63, 64, 65, 7))
    assert whole(16) != whole(16)
