"""`matrix: {model: [...]}`: the same prompts by several models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batchgen.app.result_files import encoded_card
from batchgen.core.jobs import Job
from batchgen.core.json_reader import decode_json
from batchgen.core.schema.inputs import Schema
from batchgen.manifest.header import BadRow
from batchgen.manifest.manifest import open_manifest
from batchgen.manifest.row_options import RowOptions
from batchgen.reports.results_csv import ResultRow

PROMPT: Mapping[str, Any] = {"prompt": {"type": "string"}}
SIZE: Mapping[str, Any] = {"size": {"type": "string"}}
A, B = "maker/a/text-to-image", "maker/b/text-to-image"


class Schemas:
    """Two models, of which one knows `size`."""

    def schema_for(self, model_id: str) -> Schema | None:
        more = SIZE if model_id == A else {}
        return Schema({"properties": {**PROMPT, **more}, "required": ["prompt"]})

    def origin_of(self, model_id: str) -> str:
        return "here"


def rows(path: Path, text: str, sheet: str = "") -> list[Job | BadRow]:
    (path / "rows.csv").write_text(sheet)
    manifest = path / "m.yaml"
    manifest.write_text(text)
    return list(open_manifest(manifest, RowOptions(), Schemas()).rows())


def test_every_prompt_is_made_by_every_model(tmp_path: Path) -> None:
    text = (
        f"matrix: {{style: [ink, oil], model: [{A}, {B}]}}\n"
        "template: '{{ prompt }} {{ style }} {{ model }}'\n"
        "prompts: [{id: fox, prompt: a fox}, a boat]\nrepeat: 2\n"
    )
    jobs = [row for row in rows(tmp_path, text) if isinstance(row, Job)]
    assert len(jobs) == len({job.id for job in jobs}) == 2 * 2 * 2 * 2
    assert {job.model for job in jobs} == {A, B}
    assert all(str(job.input["prompt"]).endswith(job.model) for job in jobs)
    own = [job.id for job in jobs if job.id.startswith("fox")]
    assert own[0].startswith("fox~style=ink~model=maker-a-text-to-image-")


def test_the_keys_of_the_matrix_are_columns_of_the_page(tmp_path: Path) -> None:
    text = f"matrix: {{model: [{A}, {B}], style: [ink]}}\nprompts: [a boat]\n"
    text += "template: '{{ prompt }}, {{ style }}'\n"
    [first, _] = [row for row in rows(tmp_path, text) if isinstance(row, Job)]
    row = ResultRow(job=first.id, columns=first.columns, record=None, model=first.model)
    card: Any = decode_json(encoded_card(row))
    assert card["columns"] | {"prompt": ""} == {"prompt": "", "model": A, "style": "ink"}
    assert card["model"] == A


@pytest.mark.parametrize(
    ("text", "sheet", "expected"),
    [
        ("defaults: {size: 1x1}\nprompts: [a]", "", f"defaults.size: is not a parameter of {B}"),
        (
            "prompts: {file: rows.csv}",
            "prompt,size\na,1x1\n",
            f"size (column B): is a parameter of {A}, and {B} does not know it",
        ),
        ("prompts: [{prompt: a, model: c/d}]", "", "the row gives it and "),
        ("prompts: [{id: x, prompt: a}, {id: x, prompt: b}]", "", "'x' is the id of"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, sheet: str, expected: str) -> None:
    found = rows(tmp_path, f"matrix: {{model: [{A}, {B}]}}\n{text}\n", sheet)
    said = [str(one) for row in found if isinstance(row, BadRow) for one in row.problems]
    assert len(said) == 1, said
    assert expected in said[0]


def test_a_model_that_is_not_valid(tmp_path: Path) -> None:
    found = rows(tmp_path, "matrix: {model: [maker]}\nprompts: [a]\n")
    said = [str(one) for row in found if isinstance(row, BadRow) for one in row.problems]
    assert "matrix.model: 'maker' is not a valid model" in said[0]


def test_two_rows_of_one_line_cannot_have_one_id(tmp_path: Path) -> None:
    """Both would be one job, and each would be submitted in the place of the other."""
    found = rows(tmp_path, f"model: {A}\nprompts: [{{id: x, prompt: a}}, {{id: x, prompt: b}}]\n")
    said = [str(one) for row in found if isinstance(row, BadRow) for one in row.problems]
    assert len(said) == 1
    assert "'x' is the id of" in said[0]
