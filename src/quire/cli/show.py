"""How results look: JSON as the API gives it, or tables and lines for people.

Owns: one presentation for each operation that needs its own. Must not know: how results come about.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quire.cli.access import Options, Outcome
from quire.cli.damage import advice
from quire.cli.show_devices import DEVICE_PRESENTATIONS
from quire.cli.show_members import MEMBER_PRESENTATIONS, leads_somewhere
from quire.cli.status_text import status_lines
from quire.cli.tables import Params, Present, console, line, note, table
from quire.cli.text import clean, clean_lines, json_text, local_time, plural

if TYPE_CHECKING:
    from rich.console import Console

_LONGEST_CELL = 60
_ROLES = {"guest": "a guest, who can only read", "member": "a member", "admin": "an admin"}


def outcome(name: str, done: Outcome, options: Options, params: Params) -> None:
    """Show an operation's result."""
    result = done.result
    if options.json:
        print(json_text(result["rows"] if name == "query" else result))
        if name == "query" and result["more"]:
            note(result["note"])
        if done.notice:
            note(done.notice)
        return
    present = _PRESENTATIONS.get(name, _anything)
    present(console(), result, params)
    if not done.online and (name == "sendMessage" or (name == "joinSpace" and result["waiting"])):
        note("No node is running here: it goes out when `quire up` runs.")
    if not done.online and name == "createInvite" and leads_somewhere(result):
        note("No node is running here: nobody gets in by it before `quire up` has run.")
    if done.notice:
        note(done.notice)


def _messages(out: "Console", result: Any, params: Params) -> None:
    from rich.text import Text

    where = params.get("target")
    for message in result:
        channel = "" if where else f" {_place(message)}"
        sender = clean(message["sender_name"] or message["sender"])
        head = (f"{local_time(message['ts'])}{channel}  ", "dim")
        body = clean_lines(message["body_text"]).replace("\n", "\n    ")
        out.print(Text.assemble(head, (sender, "bold"), ": ", body), soft_wrap=True)
    if not result:
        note(f"No messages in {clean(where)} yet." if where else "No message has these words.")


def _place(message: Mapping[str, Any]) -> str:
    return ("@" if message["kind"] == "direct" else "#") + clean(message["channel_name"])


def _sent(out: "Console", result: Any, params: Params) -> None:
    target = clean(params["target"])
    sign = "" if target[:1] in "@#" else "@" if result["kind"] == "direct" else "#"
    line(out, f"Sent to {sign}{target}.")


def _identities(out: "Console", result: Any, _: Params) -> None:
    rows = [[i["name"], i["pubkey"]] for i in _as_list(result)]
    table(out, ["NAME", "PUBLIC KEY"], rows, "No identity yet. Make one with `quire identity create NAME`.")


def _spaces(out: "Console", result: Any, _: Params) -> None:
    rows = [[s["name"], s["kind"], s["space_id"]] for s in _as_list(result)]
    nothing = "No space yet. Make one with `quire space create NAME`, or join one with `quire join LINK`."
    table(out, ["NAME", "KIND", "SPACE ID"], rows, nothing)


def _channels(out: "Console", result: Any, _: Params) -> None:
    rows = [
        [
            ("@" if c["direct"] else "#") + c["name"],
            "private" if c["private"] else "",
            c["unread"] or "",
            local_time(c["last_ts"]) if c["last_ts"] else "",
        ]
        for c in result
    ]
    table(out, ["CHANNEL", "", "UNREAD", "LAST MESSAGE"], rows, "No channels yet.")


def _peers(out: "Console", result: Any, _: Params) -> None:
    rows = [
        [
            p["name"] or "?",
            p["role"],
            p["state"],
            p["address"],
            local_time(p["last_heard_ts"]),
            "?" if p["theirs"] is None and p["pending"] else p["pending"],  # nobody knows what they have
            p["pubkey"],
        ]
        for p in result
    ]
    headings = ["NAME", "ROLE", "STATE", "ADDRESS", "LAST HEARD", "TO SEND", "PUBLIC KEY"]
    table(out, headings, rows, "Nobody is known here yet. `quire invite` makes a link to hand on.")


def _relays(out: "Console", result: Any, _: Params) -> None:
    rows = [[r["host"], r["address"]] for r in _as_list(result)]
    nothing = (
        "This space uses no relay. `quire relay add ADDRESS` lets it use one that `quire relay serve` runs."
    )
    table(out, ["HOST", "ADDRESS"], rows, nothing)


def _relay_added(out: "Console", result: Any, _: Params) -> None:
    line(out, f"This space uses the relay {clean(result['host'])} now, on all its members' devices.")
    if result["replaced"]:
        line(out, f"It is the one that was found at {clean(result['replaced'])} until now, by its key.")
    if state := result.get("state"):
        trouble = f": {clean(result['trouble'])}" if result["trouble"] else ""
        told = {"in-sync": "It answers.", "syncing": "It answers."}
        line(out, told.get(state, f"It does not answer yet{trouble}. `quire status` tells when it does."))
    else:
        line(out, "Whether it answers shows once `quire up` runs, in `quire status`.")


def _relay_removed(out: "Console", result: Any, _: Params) -> None:
    line(
        out,
        f"This space does not use the relay {clean(result['host'])} any more. What it keeps stays there, sealed.",
    )


def _joined(out: "Console", result: Any, _: Params) -> None:
    who, where = clean(result["identity"]), repr(clean(result["name"]))
    if result["already"]:
        line(
            out,
            f"{who} is in the space {where} already, as far as this device knows: the link gives no other role.",
        )
        if result["waiting"]:
            line(out, "It is shown to the next member that is reached, should that have changed.")
    elif result["waiting"]:
        line(out, f"{who} is waiting for a member of {where} to let them in: `quire status` tells.")
    else:
        line(out, f"{who} is in the space {where} now.")
    if result.get("unconfirmed"):
        line(
            out,
            "You have its key. What lets you in comes as soon as a member is online: until then you cannot invite, nor "
            "write to one of them alone.",
        )


def _granted(out: "Console", result: Any, _: Params) -> None:
    line(out, f"{_who(result)} is {_ROLES[result['role']]} now.")


def _removed(out: "Console", result: Any, _: Params) -> None:
    line(out, f"{_who(result)} is removed. What is written from now on is sealed with a new key.")


def _banned(out: "Console", result: Any, _: Params) -> None:
    line(out, f"{_who(result)} is removed, and no invite lets them in again, until `quire member unban`.")


def _unbanned(out: "Console", result: Any, _: Params) -> None:
    line(out, f"{_who(result)} can be invited again.")


def _left(out: "Console", _: Any, __: Params) -> None:
    line(out, "You have left this space. What was synced so far stays readable here.")


def _requests(out: "Console", result: Any, _: Params) -> None:
    rows = [[r["name"], local_time(r["ts"]), r["pubkey"]] for r in result]
    table(out, ["NAME", "ASKED", "PUBLIC KEY"], rows, "Nobody waits to be let in.")


def _approved(out: "Console", result: Any, _: Params) -> None:
    line(out, f"{_who(result)} is let in.")


def _phrase(out: "Console", result: Any, _: Params) -> None:
    line(out, result["phrase"])
    note(
        "Whoever has these words is you, for ever and on every device. Write them on paper, and show them to nobody."
    )


def _who(result: Any) -> str:
    return clean(result["name"] or result.get("member") or result.get("pubkey"))


def _status(out: "Console", result: Any, _: Params) -> None:
    for text in status_lines(result, int(1000 * time.time())):
        line(out, text)


def _sql(out: "Console", result: Any, _: Params) -> None:
    rows = [[_short(value) for value in row.values()] for row in result["rows"]]
    table(out, [clean(c) for c in result["columns"]], rows, "No rows.")
    if result["more"]:
        note(result["note"])


def _short(value: Any) -> Any:
    """Blobs are cut short in tables; `--json` has them whole."""
    is_long_blob = isinstance(value, str) and value.startswith("x'") and len(value) > _LONGEST_CELL
    return f"{value[:_LONGEST_CELL]}…" if is_long_blob else value


def _verified(out: "Console", result: Any, _: Params) -> None:
    damage = result["damage"]
    if not damage:
        line(out, f"All is well: {plural(result['events'], 'event')} checked, nothing is damaged.")
        return
    line(out, f"{plural(result['damaged'], 'fault')} in {plural(result['events'], 'event')}:")
    table(out, ["WHAT", "EVENT", "DETAIL"], [[d["what"], d["event_id"], d["detail"]] for d in damage], "")
    note(advice({d["what"] for d in damage}))


def _rebuilt(out: "Console", result: Any, _: Params) -> None:
    line(out, f"All views were made anew from {plural(result['events'], 'event')}.")
    if result["set_aside"]:
        count = plural(result["set_aside"], "damaged event")
        note(f"{count} set aside: they come back from any peer that has them whole.")


def _anything(out: "Console", result: Any, _: Params) -> None:
    rows = _as_list(result)
    if rows and isinstance(rows[0], dict):
        table(out, [key.upper() for key in rows[0]], [list(row.values()) for row in rows], "")
    else:
        line(out, clean(result))


def _as_list(result: Any) -> list[Any]:
    return result if isinstance(result, list) else [result]


_PRESENTATIONS: dict[str, Present] = {
    "sendMessage": _sent,
    "getMessages": _messages,
    "searchMessages": _messages,
    "listChannels": _channels,
    "createIdentity": _identities,
    "listIdentities": _identities,
    "renameIdentity": _identities,
    "createSpace": _spaces,
    "listSpaces": _spaces,
    "renameSpace": _spaces,
    "joinSpace": _joined,
    "grantRole": _granted,
    "removeMember": _removed,
    "banMember": _banned,
    "unbanMember": _unbanned,
    "leaveSpace": _left,
    "listRequests": _requests,
    "listRelays": _relays,
    "addRelay": _relay_added,
    "removeRelay": _relay_removed,
    "approveRequest": _approved,
    "showPhrase": _phrase,
    "getPeers": _peers,
    "getStatus": _status,
    "query": _sql,
    "verify": _verified,
    "rebuild": _rebuilt,
    **MEMBER_PRESENTATIONS,
    **DEVICE_PRESENTATIONS,
}
