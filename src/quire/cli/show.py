"""How results look: JSON as the API gives it, or tables and lines for people.

Owns: one presentation for each operation that needs its own. Must not know: how results come about.
"""

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from quire.cli.access import Options, Outcome
from quire.cli.status_text import status_lines
from quire.cli.text import clean, clean_lines, json_text, local_time, plural
from quire.core.encoding import is_key

if TYPE_CHECKING:
    from rich.console import Console

Params = Mapping[str, Any]
#: Columns of a pipe, where nobody's terminal limits a line.
_PIPE_WIDTH = 100_000
_LONGEST_CELL = 60


def console() -> "Console":
    """Standard output; without colours and with lines of any length when it is not a terminal."""
    from rich.console import Console  # 20 ms that `--json` need not wait for

    is_terminal = sys.stdout.isatty()
    return Console(highlight=False, emoji=False, width=None if is_terminal else _PIPE_WIDTH)


def note(text: str) -> None:
    """Something beside the result, on standard error."""
    print(text, file=sys.stderr)


def outcome(name: str, done: Outcome, options: Options, params: Params) -> None:
    """Show an operation's result."""
    result = done.result
    if options.json:
        print(json_text(result["rows"] if name == "query" else result))
        if name == "query" and result["more"]:
            note(result["note"])
        return
    present = _PRESENTATIONS.get(name, _anything)
    present(console(), result, params)
    if name in ("sendMessage", "joinSpace") and not done.online:
        note("No node is running here: it goes out when `quire up` runs.")


def _line(out: "Console", text: str) -> None:
    from rich.text import Text

    out.print(Text(text), soft_wrap=True)


def table(out: "Console", headings: list[str], rows: list[list[Any]], nothing: str) -> None:
    """A plain table, or `nothing` on standard error."""
    if not rows:
        note(nothing)
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(clean("" if cell is None else cell)) for cell in row))
    out.print(grid)


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
    channel = clean(message["channel_id"])
    return "(direct)" if is_key(channel) else f"#{channel}"


def _sent(out: "Console", result: Any, params: Params) -> None:
    target = clean(params["target"])
    _line(out, f"Sent to {target if target[:1] in '@#' else '#' + target}.")


def _identities(out: "Console", result: Any, _: Params) -> None:
    rows = [[i["name"], i["pubkey"]] for i in _as_list(result)]
    table(out, ["NAME", "PUBLIC KEY"], rows, "No identity yet. Make one with `quire identity create NAME`.")


def _spaces(out: "Console", result: Any, _: Params) -> None:
    rows = [[s["name"], s["kind"], s["space_id"]] for s in _as_list(result)]
    nothing = "No space yet. Make one with `quire space create NAME`, or join one with `quire join LINK`."
    table(out, ["NAME", "KIND", "SPACE ID"], rows, nothing)


def _channels(out: "Console", result: Any, _: Params) -> None:
    rows = [[("@" if c["direct"] else "#") + c["name"], local_time(c["last_ts"])] for c in result]
    table(out, ["CHANNEL", "LAST MESSAGE"], rows, "No messages yet.")


def _peers(out: "Console", result: Any, _: Params) -> None:
    rows = [
        [
            p["name"] or "?",
            p["state"],
            p["address"],
            local_time(p["last_heard_ts"]),
            p["pending"],
            p["pubkey"],
        ]
        for p in result
    ]
    headings = ["NAME", "STATE", "ADDRESS", "LAST HEARD", "TO SEND", "PUBLIC KEY"]
    table(out, headings, rows, "Nobody is known here yet. `quire invite` makes a link to hand on.")


def _link(_: "Console", result: Any, __: Params) -> None:
    print(result["link"])
    if not result["addresses"]:
        note(
            "No node has run here yet, so the link has no address in it: whoever joins cannot find you. "
            "Start `quire up`, then invite again."
        )


def _joined(out: "Console", result: Any, _: Params) -> None:
    _line(out, f"{clean(result['identity'])} is in the space {clean(result['name'])!r} now.")


def _status(out: "Console", result: Any, _: Params) -> None:
    for line in status_lines(result):
        _line(out, line)


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
        _line(out, f"All is well: {plural(result['events'], 'event')} checked, nothing is damaged.")
        return
    _line(out, f"{plural(result['damaged'], 'fault')} in {plural(result['events'], 'event')}:")
    table(out, ["WHAT", "EVENT", "DETAIL"], [[d["what"], d["event_id"], d["detail"]] for d in damage], "")


def _rebuilt(out: "Console", result: Any, _: Params) -> None:
    _line(out, f"All views were made anew from {plural(result['events'], 'event')}.")
    if result["set_aside"]:
        count = plural(result["set_aside"], "damaged event")
        note(f"{count} set aside: they come back from any peer that has them whole.")


def _anything(out: "Console", result: Any, _: Params) -> None:
    rows = _as_list(result)
    if rows and isinstance(rows[0], dict):
        table(out, [key.upper() for key in rows[0]], [list(row.values()) for row in rows], "")
    else:
        _line(out, clean(result))


def _as_list(result: Any) -> list[Any]:
    return result if isinstance(result, list) else [result]


_PRESENTATIONS: dict[str, Callable[["Console", Any, Params], None]] = {
    "sendMessage": _sent,
    "getMessages": _messages,
    "searchMessages": _messages,
    "listChannels": _channels,
    "createIdentity": _identities,
    "listIdentities": _identities,
    "createSpace": _spaces,
    "listSpaces": _spaces,
    "createInvite": _link,
    "joinSpace": _joined,
    "getPeers": _peers,
    "getStatus": _status,
    "query": _sql,
    "verify": _verified,
    "rebuild": _rebuilt,
}
