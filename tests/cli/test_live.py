from io import StringIO

from rich.console import Console

from quire.cli.live import MOST_LINES, live_display, progress
from quire.sim.witness import Witness


def witness(devices: int, now: int) -> Witness:
    made = Witness()
    made.begin(20_000, 10_000)
    made.now = now
    made.arrived = {f"device{n + 1}": n + 1 for n in range(devices)}
    return made


def shown(seen: Witness) -> str:
    out = StringIO()
    Console(file=out, width=100).print(progress(seen, "community, seed 7"))
    return out.getvalue()


def test_time_and_events_are_told() -> None:
    told = shown(witness(2, 5_000))
    assert "community, seed 7" in told
    assert "5.0 of 20.0 s" in told
    assert "1 events" in told
    assert "2 events" in told
    assert "settling 1.5 s" in shown(witness(2, 21_500))


def test_before_anything_has_happened() -> None:
    assert "0.0 of 0.0 s" in shown(Witness())


def test_of_many_devices_some_are_told() -> None:
    told = shown(witness(MOST_LINES + 5, 5_000))
    assert told.count("device") == MOST_LINES
    assert "and 5 more" in told


def test_it_is_drawn_on_standard_error_only(capsys: object) -> None:
    with live_display(witness(1, 5_000), "x"):
        pass
    assert capsys.readouterr().out == ""  # type: ignore[attr-defined]
