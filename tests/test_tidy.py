"""The project's taste, enforced. Every rule is a function, and is shown to fail on a small bad example."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 500
VAGUE_NAMES = {"util", "utils", "helper", "helpers", "misc"}

#: Modules that the interpreter or a person starts, so that no other module need import them.
ENTRY_POINTS = {"quire", "quire.__main__"}

#: Where `print` is the point.
MAY_PRINT = ("src/quire/cli.py", "src/quire/cli/*", "src/quire/__main__.py")

#: Test files that mirror no single module, and why.
TEST_EXCEPTIONS = {
    "tests/test_tidy.py": "rules over the whole tree",
    "tests/test_scaffold.py": "the project's own files",
    "tests/docs/*": "what the documents say is so, and their code runs",
    "tests/core/test_wycheproof.py": "published vectors for keys, sealing and wrapping",
    "tests/test_end_to_end*.py": "whole nodes",
    "tests/end_to_end/*": "whole nodes",
    "tests/threats/*": "adversaries: what each may try goes through many modules",
    "tests/maelstrom/*": "whole nodes behind Maelstrom's protocol, judged from outside",
    "tests/process/*": "whole nodes in processes of their own, on real sockets and disks",
    "tests/web/*": "the web app, in a browser",
    "tests/bench/*": "the measurements",
    "tests/**/conformance*.py": "one suite for every implementation of a contract",
}

# Written in pieces so that this file does not break its own rule.
MACHINE_PATH = re.compile(r"(?<![\w.\-/])/(?:" + "|".join(("work", "root", "tmp/" + "lab")) + r")(?![\w-])")
REGISTRY_HOST = re.compile("|".join(re.escape(f"{a}.{b}") for a, b in [
    ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("yarnpkg", "com"),
    ("deb.debian", "org"), ("archive.ubuntu", "com"), ("crates", "io"),
]))  # fmt: skip
WORD = re.compile(r"\w+")
LEFT_UNDONE = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")

Sources = dict[str, str]
Checker = Callable[[Sources], Iterator[str]]


# --- Rules over Python files: each takes {path: text} and yields one line for each breach. ---------------


def long_functions(sources: Sources) -> Iterator[str]:
    for path, node in _nodes(sources):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines >= MAX_FUNCTION_LINES:
                yield f"{path}:{node.lineno} {node.name} has {lines} lines"


def long_files(sources: Sources) -> Iterator[str]:
    for path, text in sources.items():
        lines = len(text.splitlines())
        if lines >= MAX_FILE_LINES:
            yield f"{path} has {lines} lines"


def modules_without_docstring(sources: Sources) -> Iterator[str]:
    for path, text in sources.items():
        if path.startswith("src/") and not ast.get_docstring(ast.parse(text)):
            yield f"{path} has no docstring"


def vague_names(sources: Sources) -> Iterator[str]:
    for path in sources:
        if VAGUE_NAMES & set(Path(path).with_suffix("").parts):
            yield f"{path} is named for nothing"


def global_statements(sources: Sources) -> Iterator[str]:
    for path, node in _nodes(sources):
        if isinstance(node, ast.Global):
            yield f"{path}:{node.lineno} global {', '.join(node.names)}"


def prints(sources: Sources) -> Iterator[str]:
    for path, node in _nodes({path: text for path, text in sources.items() if _may_not_print(path)}):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{path}:{node.lineno} print"


def left_undone(sources: Sources) -> Iterator[str]:
    yield from _lines_with(LEFT_UNDONE, sources)


def machine_paths(sources: Sources) -> Iterator[str]:
    yield from _lines_with(MACHINE_PATH, sources)


def registry_hosts(sources: Sources) -> Iterator[str]:
    yield from _lines_with(REGISTRY_HOST, sources)


def dead_modules(sources: Sources) -> Iterator[str]:
    modules = {_module_name(path): text for path, text in sources.items() if path.startswith("src/")}
    alive = ENTRY_POINTS | _console_scripts(sources)
    for name, text in modules.items():
        # Importing a.b.c runs a and a.b too; a module does not keep itself alive, nor its own package.
        for imported in _imports(text):
            alive |= {part for part in _with_parents(imported) if not _within(name, part)}
    for name in sorted(modules.keys() - alive):
        yield f"{name} is imported by no other module"


def limits_without_use(sources: Sources) -> Iterator[str]:
    text = sources.get("src/quire/limits.py", "")
    used = _names(
        text for path, text in sources.items() if path.startswith("src/") and path != "src/quire/limits.py"
    )
    # A limit may serve another limit: MAX_BLOB_BYTES = MAX_EVENT_BYTES + BLOB_OVERHEAD.
    used |= {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name) and _is_read(node)}
    tested = {
        word for path, text in sources.items() if path.startswith("tests/") for word in WORD.findall(text)
    }
    for name in _constants(text):
        if name not in used:
            yield f"{name} limits nothing in src"
        if name not in tested:
            yield f"{name} is hit by no test"


def stray_tests(sources: Sources) -> Iterator[str]:
    for path in sources:
        if not path.startswith("tests/") or not Path(path).name.startswith("test_"):
            continue
        if not any(fnmatch(path, pattern) for pattern in TEST_EXCEPTIONS) and not _mirrored(path, sources):
            yield f"{path} mirrors no module of src/quire: move it, or name it in TEST_EXCEPTIONS"


def circles(sources: Sources) -> Iterator[str]:
    """Modules that import each other, as they begin: which of them can be imported hangs on who comes first."""
    texts = {_module_name(path): text for path, text in sources.items() if path.startswith("src/")}
    needs = {
        name: {other for other in _first_imports(text, texts) if other != name}
        for name, text in texts.items()
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        yield f"import each other: {' <- '.join(error.args[1])}"


def _first_imports(text: str, modules: Sources) -> Iterator[str]:
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from [inner] if inner in modules else {node.module} & modules.keys()


# --- What the rules stand on. ------------------------------------------------------------------------


def _may_not_print(path: str) -> bool:
    return path.startswith("src/") and not any(fnmatch(path, pattern) for pattern in MAY_PRINT)


def _nodes(sources: Sources) -> Iterator[tuple[str, ast.AST]]:
    for path, text in sources.items():
        for node in _walk(text):
            yield path, node


@cache
def _walk(text: str) -> list[ast.AST]:
    """Every rule walks the same trees."""
    return list(ast.walk(ast.parse(text)))


def _lines_with(pattern: re.Pattern[str], sources: Sources) -> Iterator[str]:
    for path, text in sources.items():
        for number, line in enumerate(text.splitlines(), 1):
            if found := pattern.search(line):
                yield f"{path}:{number} {found.group()}"


def _module_name(path: str) -> str:
    parts = list(Path(path).with_suffix("").parts[1:])
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(text: str) -> Iterator[str]:
    for node in _walk(text):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _console_scripts(sources: Sources) -> set[str]:
    project = tomllib.loads(sources.get("pyproject.toml", "")).get("project", {})
    return {target.partition(":")[0] for target in project.get("scripts", {}).values()}


def _constants(text: str) -> Iterator[str]:
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (t.id for t in targets if isinstance(t, ast.Name) and t.id.isupper())


def _names(texts: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for node in (node for text in texts for node in _walk(text)):
        if isinstance(node, ast.Name) and _is_read(node):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


def _is_read(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _mirrored(path: str, sources: Sources) -> bool:
    """Whether tests/a/test_b.py, or tests/a/test_b_more.py, has its src/quire/a/b.py or src/quire/a/b/."""
    parent = Path(path).parent.relative_to("tests")
    words = Path(path).stem.removeprefix("test_").split("_")
    for length in range(len(words), 0, -1):
        module = f"src/quire/{(parent / '_'.join(words[:length])).as_posix()}"
        if f"{module}.py" in sources or f"{module}/__init__.py" in sources:
            return True
    return False


# --- The tree. ---------------------------------------------------------------------------------------


def _tracked() -> list[str]:
    """Files that git tracks or would track; every file where git is missing (an unpacked archive)."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split(
            "\0"
        )
    except (OSError, subprocess.CalledProcessError):
        found = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")]
        found = [
            path for path in found if not re.search(r"(^|/)(\.(?!ci|git[ai])|__pycache__|node_modules)", path)
        ]
    return sorted(path for path in found if path and (ROOT / path).is_file())


def _read(paths: Iterable[str]) -> Sources:
    texts = {}
    for path in paths:
        try:
            texts[path] = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
    return texts


@pytest.fixture(scope="module")
def tree() -> Sources:
    return _read(_tracked())


@pytest.fixture(scope="module")
def python(tree: Sources) -> Sources:
    return {path: text for path, text in tree.items() if re.match(r"(src|tests|bench)/.*\.py$", path)}


RULES: list[Checker] = [
    long_functions,
    long_files,
    modules_without_docstring,
    vague_names,
    global_statements,
    prints,
    left_undone,
    limits_without_use,
    stray_tests,
    circles,
]
RULES_FOR_EVERY_FILE: list[Checker] = [machine_paths, registry_hosts]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_python_files_are_tidy(rule: Checker, python: Sources) -> None:
    breaches = list(rule(python))
    assert not breaches, "\n".join(breaches)


@pytest.mark.parametrize("rule", RULES_FOR_EVERY_FILE, ids=lambda rule: rule.__name__)
def test_every_file_speaks_of_the_product_alone(rule: Checker, tree: Sources) -> None:
    breaches = list(rule(tree))
    assert not breaches, "\n".join(breaches)


def test_no_module_is_dead(tree: Sources, python: Sources) -> None:
    breaches = list(dead_modules(python | {"pyproject.toml": tree["pyproject.toml"]}))
    assert not breaches, "\n".join(breaches)


def test_the_tree_was_found(python: Sources) -> None:
    assert {"src/quire/limits.py", "src/quire/core/event.py", "tests/test_tidy.py"} <= python.keys()


# --- Each rule must really fail. -----------------------------------------------------------------------

_LIMITS = {"src/quire/limits.py": "MAX = 1\n"}
_USES = {"src/quire/a.py": "from quire import limits\nx = limits.MAX\n"}

BAD: list[tuple[Checker, Sources]] = [
    (long_functions, {"src/quire/a.py": "def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 1)}),
    (long_functions, {"tests/test_a.py": "async def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 1)}),
    (long_files, {"bench/a.py": "x = 1\n" * MAX_FILE_LINES}),
    (modules_without_docstring, {"src/quire/a.py": "x = 1\n"}),
    (modules_without_docstring, {"src/quire/a/__init__.py": ""}),
    (vague_names, {"src/quire/utils.py": ""}),
    (vague_names, {"src/quire/helpers/a.py": ""}),
    (vague_names, {"tests/misc.py": ""}),
    (global_statements, {"src/quire/a.py": "def f():\n    global x\n    x = 1\n"}),
    (prints, {"src/quire/a.py": "print('x')\n"}),
    (left_undone, {"src/quire/a.py": "# TO" + "DO: later\n"}),
    (left_undone, {"tests/a.py": "# FIX" + "ME\n"}),
    (machine_paths, {"README.md": "see /" + "work/main\n"}),
    (machine_paths, {"Makefile": "X='/" + "root'\n"}),
    (machine_paths, {"a.sh": "PATH=/usr/bin:/" + "root/bin\n"}),
    (machine_paths, {"a.json": '{"x":"/tmp/' + 'lab/v/bin"}'}),
    (registry_hosts, {"a.toml": "index = 'https://pypi." + "org/simple'\n"}),
    (registry_hosts, {"a.json": "registry.npmjs." + "org"}),
    (dead_modules, {"src/quire/a.py": "", "src/quire/b.py": "import quire.b\n"}),
    (dead_modules, {"src/quire/a/__init__.py": "", "src/quire/a/b.py": "from quire.a import c\n"}),
    (limits_without_use, _LIMITS | {"tests/test_a.py": "MAX"}),
    (limits_without_use, _LIMITS | _USES | {"tests/test_a.py": "MAXIMUM"}),
    (stray_tests, {"tests/test_a.py": "", "src/quire/b.py": ""}),
    (stray_tests, {"tests/core/test_a.py": "", "src/quire/a.py": ""}),
    (circles, {"src/quire/a.py": "from quire.b import x\n", "src/quire/b.py": "from quire import a\n"}),
]

GOOD: list[tuple[Checker, Sources]] = [
    (long_functions, {"src/quire/a.py": "def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 2)}),
    (long_files, {"src/quire/a.py": "x = 1\n" * (MAX_FILE_LINES - 1)}),
    (modules_without_docstring, {"src/quire/a.py": '"""Says."""\n', "tests/test_a.py": ""}),
    (vague_names, {"src/quire/useful.py": ""}),
    (
        prints,
        {"src/quire/cli.py": "print('x')\n", "src/quire/b.py": "'print(1)'\n", "bench/a.py": "print(1)\n"},
    ),
    (left_undone, {"src/quire/a.py": "'a todo list'\n"}),
    (machine_paths, {"a.md": "https://host/" + "work and ./" + "root and /workspace\n"}),
    (registry_hosts, {"a.md": "https://sqlite.org/wal.html\n"}),
    (
        dead_modules,
        {
            "pyproject.toml": "[project.scripts]\nquire = 'quire.cli:main'\n",
            "src/quire/__init__.py": "",
            "src/quire/cli.py": "from quire.a import b\n",
            "src/quire/a/__init__.py": "",
            "src/quire/a/b.py": "from quire.c import name\n",
            "src/quire/c.py": "name = 1\n",
        },
    ),
    (limits_without_use, _LIMITS | _USES | {"tests/test_a.py": "limits.MAX\n"}),
    (stray_tests, {"tests/a/test_b_more.py": "", "src/quire/a/b.py": "", "tests/a/builders.py": ""}),
    (stray_tests, {"tests/a/test_b.py": "", "src/quire/a/b/__init__.py": ""}),
    (
        circles,
        {"src/quire/a.py": "from quire.b import x\n", "src/quire/b.py": "def f():\n    import quire.a\n"},
    ),
]


@pytest.mark.parametrize(("rule", "sources"), BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_rule_fails_on_a_breach(rule: Checker, sources: Sources) -> None:
    assert list(rule(sources))


@pytest.mark.parametrize(("rule", "sources"), GOOD, ids=lambda value: getattr(value, "__name__", ""))
def test_rule_passes_what_is_allowed(rule: Checker, sources: Sources) -> None:
    assert list(rule(sources)) == []


def test_every_rule_has_a_bad_example() -> None:
    assert {rule for rule, _ in BAD} == {*RULES, *RULES_FOR_EVERY_FILE, dead_modules}
