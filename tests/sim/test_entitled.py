from typing import Any

import pytest

from quire.sim.entitled import EXPIRED, Write, work_out
from quire.sim.ground import CRASHED, DONE, GroundTruth

ADA: dict[str, Any] = {"device": "device1", "space": "commons"}


def test_a_power_cut_may_take_what_the_disk_had_not_yet_and_nothing_else() -> None:
    ground = GroundTruth()
    n = ground.add(0, "ada", "found", ADA)
    ground.add(0, "x", DONE, {"of": n, "pubkey": "A", "space_id": "S", "device_key": "D"})
    for at in (10, 20, 30):
        n = ground.add(at, "ada", "write", ADA | {"to": "#general", "texts": [str(at)]})
        ground.add(at, "x", DONE, {"of": n, "event_ids": [str(at)]})
    n = ground.add(25, "device1", "power", {"after_statements": 0})
    ground.add(25, "device1", CRASHED, {"of": n, "kept_ms": 15})
    truth = work_out(ground)
    assert [truth.may_be_gone(write) for write in truth.writes] == [False, True, False]


@pytest.mark.parametrize(
    ("held", "left"),
    [("", ""), ("abc", "abc"), ("c", "c"), ("bc", "bc"), ("ac", "c"), ("ab", ""), ("b", "")],
)
def test_what_comes_before_a_gap_in_what_was_written_at_once_is_shown_to_nobody(held: str, left: str) -> None:
    write = Write(0, "ada", "device1", ["A", "B", "C"], {"ben": "general"}, "S", ["a", "b", "c"], True)
    assert write.left_of(set(held)).event_ids == list(left)
    assert [shown.body_text for shown in write.left_of(set(held)).shown_to("ben")] == list(left.upper())


def test_of_what_the_removed_wrote_that_counts_which_was_there_when_they_were_removed() -> None:
    ground = GroundTruth()
    n = ground.add(0, "ada", "found", ADA)
    ground.add(0, "x", DONE, {"of": n, "pubkey": "A", "space_id": "S", "device_key": "D"})
    ben = ADA | {"device": "device2"}
    ground.add(0, "ada", "invite", ADA | {"guest": "ben"})
    ground.add(0, "x", DONE, {"of": 3, "link": "l"})
    n = ground.add(1, "ben", "join", ben)
    ground.add(1, "x", DONE, {"of": n, "pubkey": "B", "space_id": "S", "device_key": "E"})
    for at, texts in ((10, "ab"), (20, "cd"), (40, "e")):
        n = ground.add(at, "ben", "write", ben | {"to": "#general", "texts": list(texts)})
        ground.add(at, "x", DONE, {"of": n, "event_ids": list(texts)})
    n = ground.add(30, "ada", "remove", ADA | {"who": "ben"})
    ground.add(30, "x", DONE, {"of": n, "pubkey": "B", "keys": [], "held": ["a", "b", "c"]})
    truth = work_out(ground)
    assert [(write.doubtful, sorted(write.seen_by)) for write in truth.writes] == [
        (False, ["A", "B"]),
        (True, ["A", "B"]),
        (False, ["B"]),
    ]


def test_until_when_an_invite_holds_is_what_was_planned_and_not_what_the_product_says() -> None:
    ground = GroundTruth()
    n = ground.add(0, "ada", "found", ADA)
    ground.add(0, "x", DONE, {"of": n, "pubkey": "A", "space_id": "S", "device_key": "D"})
    for place, (guest, lasts) in enumerate((("ben", 60_000), ("cai", 62_000))):
        n = ground.add(10, "ada", "invite", ADA | {"guest": guest, "expires": "1m", "lasts_ms": lasts})
        ground.add(10, "x", DONE, {"of": n, "link": "l", "expires_ms": 1_000_000})
        n = ground.add(61_000, guest, "join", ADA | {"device": f"device{place + 2}"})
        detail = {"pubkey": guest, "space_id": "S", "device_key": f"key of {guest}"}
        ground.add(61_000, "x", DONE, {"of": n, **detail})
    assert {who: gone.why for who, gone in work_out(ground).removed.items()} == {"ben": EXPIRED}
