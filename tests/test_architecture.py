"""The arrows of ARCHITECTURE.md: imports go down only, and heavy libraries stay in their rooms."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "batchgen"

_ROW = re.compile(r"\| `([a-z_]+)(?:/|\.py)` \|[^|]*\|([^|]*)\|")


def _table() -> dict[str, set[str]]:
    """Room -> rooms that it may import besides itself, as ARCHITECTURE.md has it."""
    page = (PACKAGE / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = dict(_ROW.findall(page))
    return {name: set(re.findall(r"[a-z_]+", allowed)) for name, allowed in rooms.items()}


ALLOWED = _table() | {"version": set(), "__main__": {"cli"}}

LIBRARIES: dict[str, set[str]] = {
    "aiohttp": {"net", "api", "outputs", "sandbox"},
    "aiofiles": {"outputs"},
    "obstore": {"outputs"},
    "jinja2": {"manifest", "reports"},
    "jsonschema_rs": {"core", "sandbox"},
    "shtab": {"commands"},
    "tqdm": {"reports"},
    "yaml": {"manifest"},
    "python_calamine": {"manifest"},
}
"""Library -> the only rooms that know it."""

IMPURE = {
    "aiofiles", "aiohttp", "asyncio", "datetime.now", "io", "logging", "os", "pathlib", "random",
    "shutil", "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request",
}  # fmt: skip
"""What no module of the core may import: it decides, it does not do."""


def _room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "version" if first == "__init__" else first


def _imports(path: Path) -> list[str]:
    """Dotted names that a module imports anywhere, functions included."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names += [f"{module}.{alias.name}" for alias in node.names]
    return names


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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_clock_reads_the_time(path: Path) -> None:
    """Time comes in as an argument everywhere else; the stand-in is another machine's program."""
    if path == PACKAGE / "system/clock.py" or _room(path) == "sandbox":
        return
    for name in _imports(path):
        assert name.split(".")[0] != "time", f"{path}: imports {name}"


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
