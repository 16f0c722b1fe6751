"""What the documents say is so: their code runs, and what they name exists."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from quire import limits
from quire.api.operations import OPERATIONS
from quire.core.event import Event
from quire.core.vault import Vault
from quire.errors import QuireError
from quire.events.home import Home
from quire.graph.changes import AnyChange
from quire.handlers import REGISTRY
from quire.net import relay_wire, session, wire
from quire.net.link import LINK_OVERHEAD
from quire.runtime import home_key
from quire.runtime.relay_config import RelayConfig
from quire.sync import STRATEGIES
from tests.docs.other_peer import OtherPeer
from tests.process import harness

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BIN = Path(sys.executable).parent

#: Seconds that a whole tour may take, and that one of its pauses may.
TOUR_S, PAUSE_S = 100, 30
#: Seconds that the chapter after it may take, whose pauses are the written ones, SLOWLY times as long.
COMMUNITY_S, SLOWLY = 240, 3


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The fenced code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(name), re.DOTALL | re.MULTILINE)


def table_rows(name: str, heading: str) -> list[list[str]]:
    """The cells of the rows of the first table after a heading."""
    after = text_of(name).split(f"{heading}\n", 1)[1]
    table = re.search(r"^\|[^\n]*\n\|[-| ]*\n((?:\|[^\n]*\n)*)", after, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()]


# --- Shell: the README's tour and the API's first call, as they are typed. -------------------------------

#: `sleep` becomes: wait until as many nodes run as were started, and all hold the same and know it.
_PAUSE = """
set -eu
sleep() { "$PYTHON" "$SETTLED" "$(jobs -pr | wc -l)"; }
"""

_SETTLED = f"""
import sys
import time
from pathlib import Path

from quire.api.client import NotRunning, call_node
from quire.runtime import running_node

HELD = "SELECT event_id FROM events WHERE space_id IN (SELECT space_id FROM spaces AS s JOIN memberships AS m"
HELD += " ON m.space = s.n WHERE m.kind <> 'home') ORDER BY event_id"
started = int(sys.argv[1])
end = time.monotonic() + {PAUSE_S}
while time.monotonic() < end:
    nodes = [node for home in Path().iterdir() if (node := running_node(home)) is not None]
    try:
        begun = [node for node in nodes if call_node(node.api, node.token, "listIdentities", {{}})]
        held = [call_node(node.api, node.token, "query", {{"statement": HELD}})["rows"] for node in begun]
        peers = [peer for node in begun for peer in call_node(node.api, node.token, "getPeers", {{}})]
    except NotRunning:
        continue
    same = all(one == held[0] for one in held)
    if len(nodes) == started and same and all(peer["state"] in ("self", "in-sync") for peer in peers):
        sys.exit(0)
    time.sleep(0.1)
sys.exit("the nodes did not settle")
"""


def run_shell(script: str, folder: Path, seconds: int = TOUR_S) -> str:
    """Run a document's commands; every process that they start ends with them."""
    settled = folder / "settled.py"
    settled.write_text(_SETTLED)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUIRE", "XDG"))}
    variables = {
        **kept,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHON": sys.executable,
        "SETTLED": str(settled),
    }
    where = folder / "tour"
    where.mkdir()
    process = subprocess.Popen(
        ["bash", "-c", _PAUSE + script],
        cwd=where,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    return said


@pytest.mark.slow
def test_the_tour_of_the_readme(tmp_path: Path) -> None:
    said = run_shell("\n".join(blocks("README.md", "sh")), tmp_path)
    assert "bob is in the space 'Garden club' now." in said
    assert "No node is running here: it goes out when `quire up` runs." in said
    equal = said.split("equal:\n", 1)[1].split("\n")
    texts = [line.split("  ", 1)[1] for line in equal[:4]]
    assert texts == [
        "alice: The tulips are out",
        "bob: Then I bring the spade on Saturday",
        "bob: Written on the train, without a network",
        "alice: Written at home, meanwhile",
    ]
    assert said.count("Shall we bake a cake for Carol?") == 2  # alice's list, and the rows of the SQL
    assert "#general  alice: The tulips are out" in said
    assert "alice: in-sync at 127.0.0.1:" in said
    assert "All is well" in said
    assert "Page:    http://127.0.0.1:" in said


@pytest.mark.slow
@pytest.mark.timeout(COMMUNITY_S + 60)
def test_the_community_of_the_readme(tmp_path: Path) -> None:
    """It goes on where the tour ended, and nodes no longer hold the same: pauses are pauses."""
    slowly = f"sleep() {{ command sleep $(($1 * {SLOWLY})); }}"
    script = "\n".join([*blocks("README.md", "sh"), slowly, *blocks("README.md", "bash")])
    said = run_shell(script, tmp_path, COMMUNITY_S).split("All is well", 1)[1]
    assert "carol is in the space 'Garden club' now." in said
    assert said.count("alice: A cake for Carol, then") == 3  # bob's device, his phone, and the one recovered
    assert "#plans" not in said.split("alice: A cake for Carol, then", 2)[1]
    assert re.search(r"bob \(you\) +admin", said)
    assert re.search(r"^phone +20", said, re.MULTILINE)  # in the list of devices
    assert "phone is revoked" in said
    assert "carol is removed" in said
    assert re.search(r"^carol +no member", said, re.MULTILINE)
    assert re.search(r"^bob +admin +.* 2 ", said, re.MULTILINE)
    assert "Carol has moved to the coast" not in said


@pytest.mark.slow
def test_the_relay_of_the_readme(tmp_path: Path) -> None:
    """Nodes are never up together, so that there is nothing to wait for but the pauses."""
    slowly = f"sleep() {{ command sleep $(($1 * {SLOWLY})); }}"
    said = run_shell("\n".join([slowly, *blocks("README.md", "shell")]), tmp_path, COMMUNITY_S)
    assert "ben is in the space 'Orchard' now." in said
    assert said.count("ada: The apples are ripe") == 2
    assert said.count("ben: I bring the baskets") == 1
    assert re.search(r"relay 127\.0\.0\.1:\d+: in-sync, 0 to hand over", said)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_first_call_of_the_api(tmp_path: Path) -> None:
    script = "\n".join(blocks("docs/api.md", "sh")).replace("127.0.0.1:7701", f"127.0.0.1:{free_port()}")
    said = run_shell(script, tmp_path)
    answers = [json.loads(line) for line in re.findall(r'\{"result".*?\}(?=\{"result"|\s|$)', said)]
    assert answers[0]["result"]["body_text"] == "Hello from curl"
    assert [m["body_text"] for m in answers[1]["result"]] == ["Hello from curl"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- Python: docs/sdk.md from top to bottom. --------------------------------------------------------------


def test_the_code_of_the_sdk_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "sdk"}
    found = blocks("docs/sdk.md", "python")
    assert len(found) >= 5
    for place, code in enumerate(found):
        exec(compile(code, f"docs/sdk.md, block {place + 1}", "exec"), names)


# --- Names. -----------------------------------------------------------------------------------------------


def test_every_operation_is_told_of_with_its_parameters() -> None:
    rows = {row[0].strip("`"): row for row in table_rows("docs/api.md", "## Operations")}
    assert rows.keys() == OPERATIONS.keys()
    for name, entry in OPERATIONS.items():
        told = re.findall(r"`(\w+)`", rows[name][1])
        assert told == [parameter.name for parameter in entry.parameters], name
        for parameter in entry.parameters:
            if parameter.default is not parameter.empty:
                assert f"`{parameter.name}` = {json.dumps(parameter.default)}" in rows[name][1]
        assert rows[name][2] == entry.operation.scope
        assert rows[name][3].strip("`").startswith(" ".join(entry.operation.cli))


def test_every_field_of_an_answer_is_told_of() -> None:
    told = set(re.findall(r"`(\w+)`", text_of("docs/api.md")))
    for name, entry in OPERATIONS.items():
        kind = get_args(entry.result)[0] if get_origin(entry.result) is list else entry.result
        assert set(getattr(kind, "__struct_fields__", ())) <= told, name


def test_every_command_is_told_of() -> None:
    told = text_of("docs/operators.md") + text_of("docs/api.md") + text_of("README.md")
    for words in [e.operation.cli for e in OPERATIONS.values() if e.operation.cli] + [
        ("up",),
        ("doctor",),
        ("home", "protect"),
    ]:
        assert " ".join(words) in told
    assert "`sim`" in text_of("CHANGELOG.md")


def test_every_setting_of_a_relay_is_told_of_with_its_default() -> None:
    rows = table_rows("docs/operators.md", "### Settings")
    told = {name: row[1] for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert [*told] == [field.name for field in msgspec.structs.fields(RelayConfig)]
    for field in msgspec.structs.fields(RelayConfig):
        default = f"{field.default:,.0f}" if isinstance(field.default, int | float) else str(field.default)
        assert default in told[field.name], field.name


def test_every_reason_of_a_relay_is_told_of() -> None:
    told = {row[0].strip("`") for row in table_rows("docs/operators.md", "### Shares and paces")}
    assert told | {"version"} == set(get_args(relay_wire.Reason))  # that one is said by later versions alone


def test_every_error_code_is_told_of() -> None:
    def below(kind: type[QuireError]) -> set[type[QuireError]]:
        return {kind}.union(*(below(sub) for sub in kind.__subclasses__()))

    told = text_of("docs/api.md")
    inner = {"error", "bad-event", "not-running"}  # never an answer of the API
    for kind in below(QuireError):
        if kind.__module__.startswith("quire.") and kind.code not in inner:
            assert f"`{kind.code}`" in told


def test_the_local_api_s_bounds() -> None:
    told = text_of("docs/api.md")
    assert f"{limits.MAX_REQUEST_BYTES // 2**20} MiB" in told
    assert f"At most {limits.MAX_SUBSCRIBERS} streams" in told
    assert f"{limits.STREAM_HEARTBEAT_S:.0f} seconds of silence" in told
    assert f"{limits.MAX_SQL_ROWS:,} rows and {limits.MAX_SQL_S:.0f} seconds" in told
    assert f"`limit` = {limits.DEFAULT_PAGE}" in told
    assert f"1 to {limits.MAX_PAGE:,}" in told
    assert f"at most {limits.MAX_BATCH:,}" in told


def test_the_bounds_of_protection() -> None:
    told = " ".join(text_of("docs/operators.md").split())
    assert (
        f"{limits.PASSPHRASE_PASSES} passes over {limits.PASSPHRASE_KIB // 1024} MiB for each guess" in told
    )
    assert (
        f"less than {limits.MIN_PASSPHRASE_PASSES} passes over {limits.MIN_PASSPHRASE_KIB // 1024} MiB"
        in told
    )
    assert f"{limits.MIN_PASSPHRASE_CHARS} to {limits.MAX_PASSPHRASE_CHARS:,} characters" in told
    assert f"tried for {limits.KEYRING_TRIAL_S:.0f} seconds" in told
    assert f"waited for {limits.KEYRING_WAIT_S:.0f} seconds" in told
    for kind in home_key.KINDS:
        assert f"| `{kind}` |" in told
    for name in (home_key.PASSPHRASE, home_key.NEW_PASSPHRASE, home_key.FILE):
        assert f"`{name}`" in told


def test_every_event_type_and_its_fields() -> None:
    rows = {row[0].strip("`"): row[1] for row in table_rows("docs/protocol.md", "### Event types")}
    kinds = {handler.type: handler.event for handler in REGISTRY.handlers if handler.event is not None}
    assert rows.keys() == kinds.keys()
    for name, kind in kinds.items():
        own = set(kind.__struct_fields__) - set(Event.__struct_fields__)
        assert set(re.findall(r"`(\w+)`", rows[name])) == own
    header = [row[0].strip("`") for row in table_rows("docs/protocol.md", "## 1. Events")]
    assert header == list(Event.__struct_fields__)


def test_every_limit_of_the_protocol() -> None:
    rows = table_rows("docs/protocol.md", "## 9. Limits")
    assert len(rows) > 40
    for name, value, _ in rows:
        assert int(value.replace(",", "")) == getattr(limits, name.strip("`")), name


def test_the_numbers_of_the_protocol() -> None:
    told = " ".join(text_of("docs/protocol.md").split())
    assert f"{LINK_OVERHEAD} bytes beside the packet" in told
    assert f"Records longer than {wire.MAX_INLINE:,} bytes" in told
    assert f"pieces of {limits.FRAGMENT_BYTES:,} bytes" in told
    assert f"2 to {wire.MAX_FRAGMENTS} in all" in told
    assert f"A record is {wire.MIN_RECORD} to {wire.MAX_RECORD:,} bytes" in told
    assert f"({session._HELLO_DATAGRAM} bytes)" in told
    frames = {row[1]: int(row[0]) for row in table_rows("docs/protocol.md", "## 5. Packets and frames")}
    assert frames == {name: getattr(wire, name) for name in frames}
    assert len(frames) == len(wire._KINDS)
    asking = {row[1] for row in table_rows("docs/protocol.md", "## 5. Packets and frames") if row[3] == "yes"}
    assert {getattr(wire, name) for name in asking} == set(wire._ACKNOWLEDGED)
    for name in STRATEGIES:
        assert f"### `{name}`" in text_of("docs/protocol.md")


def test_the_golden_bytes_of_the_protocol() -> None:
    told = text_of("docs/protocol.md")
    event = json.loads((VECTORS / "event.json").read_text())["events"][1]
    for value in (event["bytes"], event["id"], event["blob"]):
        assert f"\n{value}\n" in told
    wanted = {
        "net_link.json": ("datagram", {"frames"}),
        "net_wire.json": ("hex", {"hello", "ack", "refused, without a session"}),
        "sync_messages.json": ("hex", {"root", "empty filter"}),
    }
    for file, (field, names) in wanted.items():
        vectors = {vector["name"]: vector[field] for vector in json.loads((VECTORS / file).read_text())}
        for name in names:
            assert f"\n{vectors[name]}\n" in told, (file, name)


def test_reasons_of_refusal_are_explained() -> None:
    refusal = re.compile(r'(?:Bad\w+|\.reject|\.blame|\.drop|_conduct\.note)\("([a-z-]+)"')
    code = [p.read_text(encoding="utf-8") for p in (ROOT / "src" / "quire").rglob("*.py")]
    reasons = {reason for text in code for reason in refusal.findall(text)}
    rows = table_rows(
        "docs/operators.md", 'Why something was refused (`status`, "rejected", "refused" and "dropped"):'
    )
    assert {told for row in rows for told in re.findall(r"`([a-z-]+)`", row[0])} == reasons


# --- Links and names of files and functions. --------------------------------------------------------------


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file, _, place = target.partition("#")
        found = (path.parent / file) if file else path
        assert found.is_file(), target
        if place:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in map(anchor, headings), target


def test_the_architecture_names_what_exists() -> None:
    told = text_of("ARCHITECTURE.md")
    assert len(told.splitlines()) <= 150
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    for name in re.findall(r"`(?:\w+\.)?(\w+)\(\)`", told):
        assert re.search(rf"def {name}\(", sources), name
    for name in re.findall(r"`((?:src|tests|bench)/[\w/.]*)`", told):
        assert (ROOT / name).exists(), name
    layers = " ".join(row[0] for row in table_rows("ARCHITECTURE.md", "## Layers"))
    named = {name.partition(".")[0] for name in re.findall(r"`([\w.]+)/?`", layers)}
    assert named == {p.stem for p in (ROOT / "src" / "quire").iterdir() if p.name[:2] not in ("__", "py")}


def test_the_architecture_names_every_table() -> None:
    home = Home(":memory:", REGISTRY, os.urandom, Vault(os.urandom(32)))
    tables = home.store.db.all("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
    home.close()
    told = set(re.findall(r"`(\w+)`", text_of("ARCHITECTURE.md")))
    assert {name for (name,) in tables if not re.match(r"sqlite_|search_", name)} <= told


def test_the_picture_is_small() -> None:
    picture = ROOT / "docs" / "images" / "page.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 300_000


# --- Another implementation, written from the document. ---------------------------------------------------


@pytest.mark.slow
def test_a_peer_written_from_the_protocol(tmp_path: Path) -> None:
    lab = harness.Lab(tmp_path)
    try:
        alice = lab.founder("alice")
        alice.up()
        long = "long " * 1_000
        for body in ("first", long, "Grüße 😀"):
            alice.ask("sendMessage", target="general", text=body)
        other = OtherPeer(alice.ask("createInvite")["link"], "other", "said by another program")
        other.talk(PAUSE_S)
        alice.sees({"first", long, "Grüße 😀", "said by another program"})
        shown = {event["body"] for event in other.held.values() if event["type"] == "message"}
        assert shown == {"first", long, "Grüße 😀", "said by another program"}
        harness.wait_until(lambda: alice.peer("other")["state"] == "in-sync", "being in sync", PAUSE_S)
        assert alice.ask("getStatus")["identities"][0]["rejected"] == []
    finally:
        lab.close()


def test_the_actions_of_the_graph_are_those_there_are() -> None:
    rows = table_rows("docs/api.md", "`subject` says of whom or what:\n")
    told = [action for row in rows for action in re.findall(r"`(\w+)`", row[0])]
    assert sorted(told) == sorted(change.__name__.lower() for change in get_args(AnyChange))
