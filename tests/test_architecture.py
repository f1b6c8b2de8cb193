"""The arrows of ARCHITECTURE.md: imports go down only, and heavy libraries stay in their rooms."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "batchgen"

_ROW = re.compile(r"\| `([a-z_]+)(?:/|\.py)` \|[^|]*\|([^|]*)\|")


def _table() -> dict[str, set[str]]:
    """Room -> rooms that it may import besides itself, as ARCHITECTURE.md has it."""
    page = (PACKAGE / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = dict(_ROW.findall(page))
    return {name: set(re.findall(r"[a-z_]+", allowed)) for name, allowed in rooms.items()}


ALLOWED = _table() | {"version": {"core", "python"}, "__main__": {"cli"}}
"""`version` is batchgen/__init__.py, which names the public classes for type checkers."""

LIBRARIES: dict[str, set[str]] = {
    "aiohttp": {"net", "api", "outputs", "sandbox", "serving", "news"},
    "aiofiles": {"outputs"},
    "obstore": {"outputs"},
    "jinja2": {"manifest"},
    "jsonschema_rs": {"core", "sandbox"},
    "shtab": {"commands"},
    "tqdm": {"reports"},
    "yaml": {"manifest"},
    "python_calamine": {"manifest"},
}
"""Library -> the only rooms that know it."""

IMPURE = {
    "aiofiles", "aiohttp", "asyncio", "io", "logging", "os", "pathlib", "random",
    "shutil", "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request",
}  # fmt: skip
"""What no module of the core may import: it decides, it does not do."""

READS_THE_TIME = re.compile(
    r"(?:.*\.)?(?:datetime\.(?:now|today|utcnow)|date\.today"
    r"|time\.(?:localtime|monotonic(?:_ns)?|perf_counter(?:_ns)?|time(?:_ns)?))"
)
"""Calls that ask the machine for the time. An import does not show it: `datetime` has both."""

DRAWS_AT_RANDOM = re.compile(r"(?:random|secrets)\..+|uuid\.uuid[14]|os\.urandom")


def _room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "version" if first == "__init__" else first


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(path: Path) -> list[str]:
    """Return the dotted names that a module imports anywhere, functions included."""
    names: list[str] = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names += [f"{module}.{alias.name}" for alias in node.names]
    return names


def _calls(tree: ast.Module, pattern: re.Pattern[str]) -> list[str]:
    """Return the functions that a module calls and whose dotted name matches the pattern."""
    names = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [name for name in names if pattern.fullmatch(name)]


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    """A room imports only rooms below it; rooms of the shell do not know each other."""
    room = _room(path)
    allowed = ALLOWED[room] | {room}

    for name in _imports(path):
        parts = name.split(".")
        if parts[0] != "batchgen":
            continue
        target = "version" if parts[1] == "__version__" else parts[1]
        assert target in allowed, f"{room} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    """A library with a reason to be somewhere is nowhere else."""
    for name in _imports(path):
        rooms = LIBRARIES.get(name.split(".")[0])
        assert rooms is None or _room(path) in rooms, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda p: p.name)
def test_core_is_pure(path: Path) -> None:
    """No file, socket, clock, loop, randomness or logging in the core."""
    for name in _imports(path):
        assert name not in IMPURE, name
        assert name.split(".")[0] not in IMPURE, name
    assert _calls(_tree(path), READS_THE_TIME) == []
    assert _calls(_tree(path), DRAWS_AT_RANDOM) == []


@pytest.mark.parametrize(
    ("pattern", "code", "found"),
    [
        (READS_THE_TIME, "from datetime import datetime, UTC\nx = datetime.now(UTC)", True),
        (READS_THE_TIME, "import datetime\ndef f():\n  return datetime.datetime.now()", True),
        (READS_THE_TIME, "datetime.today().year", True),
        (READS_THE_TIME, "f'{date.today()}'", True),
        (READS_THE_TIME, "ages = [n - time.time() for n in moments]", True),
        (READS_THE_TIME, "time.monotonic()", True),
        (READS_THE_TIME, "datetime.fromtimestamp(now_s, UTC)", False),
        (READS_THE_TIME, "clock.now()", False),
        (READS_THE_TIME, "uptime.time()", False),
        (DRAWS_AT_RANDOM, "random.random()", True),
        (DRAWS_AT_RANDOM, "random.Random(7).choice(states)", True),
        (DRAWS_AT_RANDOM, "jitter()", False),
    ],
)
def test_an_impure_call_is_found(pattern: re.Pattern[str], code: str, *, found: bool) -> None:
    """However it is imported and wherever it occurs; a call that is given the time is not one."""
    assert bool(_calls(ast.parse(code), pattern)) == found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_clock_reads_the_time(path: Path) -> None:
    """Time comes in as an argument everywhere else; the sandbox plays another machine."""
    if path == PACKAGE / "system/clock.py" or _room(path) == "sandbox":
        return
    for name in _imports(path):
        assert name.split(".")[0] != "time", f"{path}: imports {name}"
    assert _calls(_tree(path), READS_THE_TIME) == []


def test_no_two_modules_share_a_file_name() -> None:
    """A name leads to one file; a command may be called like its room, which is a directory."""
    names = Counter(path.name for path in MODULES)
    del names["__init__.py"]

    assert [name for name, count in names.items() if count > 1] == []


def test_every_room_has_its_arrows() -> None:
    """The table of ARCHITECTURE.md lists the rooms that exist, and no others."""
    assert {_room(path) for path in MODULES} == set(ALLOWED)


def test_the_command_line_loads_no_heavy_library() -> None:
    """`batchgen -h` and every typo are answered at once; a command loads what it needs."""
    heavy = {"aiohttp", "asyncio", "jinja2", "yaml", "jsonschema_rs", "tqdm", "shtab", "obstore"}
    code = (
        "import sys, batchgen.cli\n"
        "batchgen.cli.build_parser([]).parse_args(['status', 'm.csv'])\n"
        f"print(*sorted({heavy!r} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "\n"
