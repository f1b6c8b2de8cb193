"""The ruler of tests/structure.py: that it measures, and the limits that the package keeps."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests import structure
from tests.structure import Structure

PACKAGE = Path(__file__).resolve().parent.parent / "batchgen"

SMALL = {
    "__init__.py": "",
    "ledger/__init__.py": "",
    "ledger/reader.py": "import small.ledger.writer\n",
    "ledger/writer.py": "from small.ledger import reader\nfrom small.lines import Line\n",
    "commands/ledger.py": "def handle():\n    import small.ledger.reader\n",
    "lines.py": '"""Where lines are."""\n\n\nclass Line:\n    end = 0\n',
    "api/lines.py": "class Line:\n    pass\n",
}
"""A package with one circle, one name for two modules, one for two classes."""


@pytest.fixture
def small(tmp_path: Path) -> Structure:
    package = tmp_path / "small"
    for name, text in SMALL.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Structure(package)


def test_a_chain_takes_a_circle_as_one_step(small: Structure) -> None:
    """Both modules of the circle count, and an import within a function belongs to the chain."""
    chain = structure.longest_chain(small.imports(in_functions=True))
    at_import = structure.longest_chain(small.imports(in_functions=False))

    circle = ["small.ledger.reader", "small.ledger.writer"]
    assert chain == ["small.commands.ledger", *circle, "small.lines"]
    assert at_import == chain[1:]
    assert structure.circular(small.imports(in_functions=True)) == circle
    assert small.wiring() == [(1, "small.commands.ledger")]


def test_names_that_occur_twice_are_found(small: Structure) -> None:
    """A package counts as a module only if that is asked for."""
    both = {"lines", "api/lines"}

    assert set(small.shared_names(packages=False)) == both
    assert set(small.shared_names(packages=True)) == both | {"ledger", "commands/ledger"}
    assert small.class_names_used_twice() == ["Line"]


@pytest.mark.slow
def test_the_table_of_this_package_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a line for each figure, and what is behind it follows."""
    structure.main([])

    printed = capsys.readouterr().out
    assert "modules that share a name with another" in printed
    assert "imports of the composition root" in printed


CHAIN_LIMIT = 12
"""Modules on the longest import chain."""
WIRING_LIMIT = 18
"""Modules that the composition root imports."""


PUBLIC_NAMES = {"Batch", "Job", "Plan", "Summary"}
"""What Python users read is named by the contract, and what it is made from by the same noun."""


def test_the_package_keeps_its_limits() -> None:
    """No import circle, no name twice, short functions, docstrings that say what a thing is."""
    package = Structure(PACKAGE)

    assert structure.circular(package.imports(in_functions=True)) == []
    assert package.shared_names(packages=False) == []
    assert set(package.class_names_used_twice()) == PUBLIC_NAMES
    assert structure.p90(package.function_lines) <= 15


def test_the_ways_through_the_package_stay_short() -> None:
    """Neither the longest import chain nor the composition root grows; a shorter one lowers it."""
    package = Structure(PACKAGE)

    assert len(structure.longest_chain(package.imports(in_functions=True))) <= CHAIN_LIMIT
    assert package.wiring()[0][0] <= WIRING_LIMIT


def test_docstrings_state_facts() -> None:
    """Few docstrings begin with a question word, and `where` is used for places only."""
    docstrings = Structure(PACKAGE).docstrings(
        ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    )

    assert structure.share_of_questions(docstrings, structure.QUESTION_WORDS) <= 3
    assert structure.per_thousand("where", docstrings) <= 3
