"""How the devices of an identity, its recovery and its place in a space look to people.

Owns: one presentation for each of those operations. Must not know: how results come about.
"""

from typing import TYPE_CHECKING, Any

from quire.cli.tables import Params, Present, line, note, table
from quire.cli.text import clean, local_time, plural
from quire.errors import Refused

if TYPE_CHECKING:
    from rich.console import Console


def _devices(out: "Console", result: Any, _: Params) -> None:
    rows = [
        [
            d["name"] + (" (this one)" if d["here"] else ""),
            "revoked" if d["revoked"] else "",
            local_time(d["since"]),
            d["key"],
        ]
        for d in result
    ]
    table(out, ["NAME", "STATE", "SINCE", "KEY"], rows, "No devices.")


def _revoked(out: "Console", result: Any, _: Params) -> None:
    spaces = plural(result["spaces"], "space")
    line(
        out, f"{clean(result['name'])} is revoked in {spaces}. What it writes from now on is shown to nobody."
    )


_STATES = {
    "none": "No device is being linked.",
    "waiting": "Waiting for the other device.",
    "confirmed": "Confirmed; the new device takes it over.",
    "done": "Linked.",
}


def _pairing(out: "Console", result: Any, _: Params) -> None:
    if result["state"] == "compare":
        line(out, f"Digits: {result['code']}")
        note(
            "If both devices show the same: `quire device confirm CODE` on the old one. If not: `quire device cancel`."
        )
    elif result["state"] == "void":
        line(out, f"Nothing was linked. {clean(result['reason'])}")
    else:
        line(out, _STATES[result["state"]])


def _confirmed(out: "Console", result: Any, params: Params) -> None:
    if result["state"] == "void":
        raise Refused(result["reason"])
    _pairing(out, result, params)


def _rotated(out: "Console", result: Any, _: Params) -> None:
    line(out, result["phrase"])
    note(
        "This is the new phrase: write it on paper. The old one, and old key files, recover nothing any more."
    )


def _recovered(out: "Console", result: Any, _: Params) -> None:
    name, space = clean(result["identity"]), clean(result["name"])
    if result["waiting"]:
        line(out, f"{name} asks the members of {space!r} for its place; `quire status` tells how it stands.")
    else:
        line(out, f"{name} is in {space!r}.")


def _readmitted(out: "Console", result: Any, _: Params) -> None:
    new, old = clean(result["name"] or result["new"]), clean(result["old_name"] or result["old"])
    line(out, f"{new} stands in the place of {old} now, as {result['role']}. Everyone sees this.")


#: Operation → how its result looks.
DEVICE_PRESENTATIONS: dict[str, Present] = {
    "listDevices": _devices,
    "revokeDevice": _revoked,
    "getPairing": _pairing,
    "confirmDevice": _confirmed,
    "cancelPairing": _pairing,
    "rotateIdentity": _rotated,
    "recoverIdentity": _recovered,
    "readmitMember": _readmitted,
}
