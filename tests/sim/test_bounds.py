import json
from collections.abc import Callable
from pathlib import Path

from quire.events.append import make_event
from quire.events.context import Context
from quire.handlers import REGISTRY, identity, message, space
from quire.sim.bounds import memory, too_much_memory, too_much_traffic
from quire.sim.device import Device
from quire.sim.entitled import Truth


def device(folder: Path) -> Device:
    on = Device("d", folder / "d", "10.0.0.1", 1, "sketch")
    on.start(0)
    identity.create(Context(on.home, on.wall(0)), "ada")
    space.create(Context(on.home, on.wall(0), 1), "commons")
    on.pump(1_000)
    return on


def test_what_a_node_keeps_is_measured_whoever_keeps_it(tmp_path: Path) -> None:
    on = device(tmp_path)
    before = memory(on.node)
    assert 50_000 < before < 250_000
    on.home.noted["x",] = [bytes(1_000) for _ in range(100)]
    assert 100_000 < memory(on.node) - before < 110_000
    on.stop()


def test_what_the_collector_does_not_follow_is_measured_too(tmp_path: Path) -> None:
    on = device(tmp_path)
    before = memory(on.node)
    fields = {"body": "x" * 100_000, "channel": "general"}
    on.home.noted["event",] = make_event(REGISTRY.get("message"), 1, "a" * 43, 1, None, fields)
    assert 100_000 < memory(on.node) - before < 110_000
    on.home.noted["closure",] = _closing_over(bytes(200_000))
    on.home.noted["default",] = lambda data=bytes(300_000): data
    assert 600_000 < memory(on.node) - before < 620_000
    on.home.noted["function",] = json.dumps
    assert memory(on.node) - before < 620_000, "what a module holds is nobody's"
    on.stop()


def _closing_over(data: bytes) -> Callable[[], bytes]:
    return lambda: data


def test_what_is_held_and_who_is_met_raises_what_a_node_may_cost(tmp_path: Path) -> None:
    on = device(tmp_path)
    alone = Truth(devices={"ada": "d"}, members={"s": ["ada"]})
    met = Truth(
        devices={"ada": "d", "ben": "e", "cai": "f"},
        members={"s": ["ada", "ben", "cai"], "t": ["ada", "ben"]},
    )
    on.home.noted["x",] = bytes(250_000)
    assert "keeps" in too_much_memory(alone, on, sending=True)
    assert too_much_memory(met, on, sending=False) == ""
    on.datagrams_sent = 150
    assert "150 datagrams" in too_much_traffic(alone, on)
    assert too_much_traffic(met, on) == ""
    on.datagrams_sent, on.bytes_sent = 1, 50_000
    assert "50,000 bytes" in too_much_traffic(alone, on)
    assert too_much_traffic(met, on) == ""
    on.stop()


def test_what_is_held_may_be_on_its_way_to_everyone_while_a_run_goes_on(tmp_path: Path) -> None:
    on = device(tmp_path)
    met = Truth(devices={"ada": "d", "ben": "e", "cai": "f"}, members={"s": ["ada", "ben", "cai"]})
    message.create_many(
        Context(on.home, on.wall(0), 1, on.home.store.memberships.all()[0]), "#general", ["x" * 9_000] * 10
    )
    kept = memory(on.node)
    on.home.noted["x",] = bytes(350_000 - kept)
    assert too_much_memory(met, on, sending=False) == ""
    on.home.noted["x",] = bytes(450_000 - kept)
    assert "keeps" in too_much_memory(met, on, sending=False)
    assert too_much_memory(met, on, sending=True) == ""
    on.home.noted["x",] = bytes(750_000 - kept)
    assert "keeps" in too_much_memory(met, on, sending=True)
    on.stop()
