"""The pages about Python: the notebook runs and gives what it shows, the examples fit the API."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import batchgen
from batchgen import Batch, Job, Plan, Summary
from batchgen.python.keywords import GivenKeywords
from tests.conftest import REPO

NOTEBOOK = REPO / "docs/python.ipynb"
EXAMPLES = sorted((REPO / "docs/examples").glob("*.py"))
SCHEDULERS = {
    "airflow_dag.py": "airflow",
    "prefect_flow.py": "prefect",
    "dagster_job.py": "dagster",
}


def shown(notebook: Any) -> list[tuple[str, list[str]]]:
    """Source and output of each cell of code."""
    return [
        (cell.source, [one.get("text") or one["data"]["text/plain"] for one in cell.outputs])
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.slow
def test_the_notebook_gives_what_it_shows(tmp_path: Path) -> None:
    """In a new kernel and an empty directory, against the sandbox."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    written = shown(notebook)

    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()

    assert shown(notebook) == written
    assert len(written) > 5


def _calls(tree: ast.Module, name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_uses_what_there_is(path: Path) -> None:
    """Every name that is imported, every keyword, every attribute of what is returned."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = [
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    ours = [name for module, name in imported if module == "batchgen"]
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    known = {name for kind in (Batch, Job, Plan, Summary) for name in dir(kind)}

    assert "Batch" in ours
    assert set(ours) <= set(batchgen.__all__)
    assert any((module or "").startswith(SCHEDULERS[path.name]) for module, _ in imported)
    for name in ("Batch", "run", "stream"):
        for call in _calls(tree, name):
            given = {one.arg: ast.literal_eval(one.value) for one in call.keywords
                     if one.arg and isinstance(one.value, ast.Constant)}  # fmt: skip
            GivenKeywords.of(given)
    assert {"exit_code", "jobs", "cost_usd", "reasons"} & attributes <= known
    assert "exit_code" in attributes  # a run that is not done is not called done


def test_there_is_an_example_for_each_scheduler() -> None:
    """And no file that nothing tests."""
    assert {path.name for path in EXAMPLES} == set(SCHEDULERS)


@pytest.mark.parametrize("page", ["docs/python.md", "README.md"])
def test_the_python_on_a_page_is_python(page: str) -> None:
    """Each block parses, its keywords exist, and `batch` has what is called on it."""
    text = (REPO / page).read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    if page == "docs/python.md":
        assert blocks
    for block in blocks:
        lines = "\n".join(f"    {line}" for line in block.splitlines())
        tree = ast.parse(f"async def page():\n{lines}\n")
        for node in ast.walk(tree):
            is_on_batch = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "batch"
            if is_on_batch:
                assert hasattr(Batch, node.attr), node.attr


def test_every_public_method_is_documented() -> None:
    """Docstrings and types, and a place on the page."""
    page = (REPO / "docs/python.md").read_text(encoding="utf-8")
    for name, member in vars(Batch).items():
        if not name.startswith("_"):
            assert inspect.getdoc(member)
            assert f".{name}" in page or f"`{name}" in page
