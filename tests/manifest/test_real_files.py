"""Prompt files that others wrote: every row comes out as their authors see it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from batchgen.core.errors import ManifestError
from batchgen.core.jobs import Job
from batchgen.manifest.header import BadRow
from batchgen.manifest.manifest import Manifest, open_manifest
from batchgen.manifest.row_options import RowOptions
from batchgen.models.bundled import packaged_models
from batchgen.models.registry import ModelRegistry
from tests.kit import MODEL

ROWS = {
    "appydave-image-gen/examples_prompts.csv": 20,
    "appydave-image-gen/video-1_prompts.csv": 80,
    "awesome-chatgpt-prompts-2023/prompts.csv": 152,
    "drawbench-dreambench/dalle_mega.json": 194,
    "dsg/tifa160-dev-anns.csv": 920,
    "geneval/evaluation_metadata.jsonl": 553,
    "geneval/generation_prompts.txt": 553,
    "imageinwords/DOCCI_Test_data.jsonl": 100,
    "modal-sana/prompts.csv": 3,
    "modal-sana/prompts.json": 3,
    "modal-sana/prompts.jsonl": 4,
    "modal-sana/prompts.txt": 5,
    "oren-midjourney/prompts.csv": 5,
    "partiprompts/PartiPrompts.tsv": 1632,
    "styles-krea2/version_1_descriptive_styles.csv": 170,
    "styles-sd3/styles.csv": 275,
    "styles-zh/styles.csv": 308,
    "t2i-compbench/complex_train_action.txt": 504,
    "unigenbench/test_prompts_en.csv": 600,
    "unigenbench/test_prompts_zh.csv": 600,
    "fixtures-csvkit/dummy.tsv": 1,
    "fixtures-csvkit/dummy.xlsx": 1,
    "fixtures-csvkit/mac_newlines.csv": 2,
    "fixtures-csvkit/optional_quote_characters.csv": 1,
    "fixtures-csvkit/test.xlsx": 5,
    "fixtures-csvkit/test_header_newline.csv": 1,
    "fixtures-csvkit/test_latin1.csv": 2,
    "fixtures-csvkit/test_locale.csv": 1,
    "fixtures-csvkit/test_skip_lines.xlsx": 5,
    "fixtures-csvkit/test_utf16_big.csv": 2,
    "fixtures-csvkit/test_utf16_little.csv": 2,
    "fixtures-csvkit/test_utf8_bom.csv": 2,
    "fixtures-csv-spectrum/comma_in_quotes.csv": 1,
    "fixtures-csv-spectrum/empty.csv": 2,
    "fixtures-csv-spectrum/escaped_quotes.csv": 2,
    "fixtures-csv-spectrum/json.csv": 1,
    "fixtures-csv-spectrum/newlines.csv": 3,
    "fixtures-csv-spectrum/quotes_and_newlines.csv": 2,
    "fixtures-csv-spectrum/simple.csv": 1,
    "fixtures-csv-spectrum/utf8.csv": 2,
}
PROMPTS = {
    "dsg": "text", "unigenbench/test_prompts_en.csv": "prompt_en",
    "unigenbench/test_prompts_zh.csv": "prompt_zh", "imageinwords": "IIW",
    "fixtures-csvkit/test.xlsx": "text", "fixtures-csvkit/test_skip_lines.xlsx": "text",
    "fixtures-csvkit/test_utf8_bom.csv": "foo", "fixtures-csvkit/test_header_newline.csv": "b",
    "fixtures-csv-spectrum/comma_in_quotes.csv": "address",
    "fixtures-csv-spectrum/json.csv": "key", "fixtures": "a",
}  # fmt: skip


def opened(path: Path, name: str) -> Manifest:
    """Open the file, with its prompt column mapped if it has another name."""
    column = next((column for key, column in PROMPTS.items() if name.startswith(key)), None)
    columns = {"prompt": column} if column else {}
    return open_manifest(
        path, RowOptions(model=MODEL, columns=columns), ModelRegistry(packaged=packaged_models())
    )


def test_every_row_is_there(shared: Path) -> None:
    """Right rows and wrong ones together are all rows, and ids are unique."""
    for name, count in ROWS.items():
        rows = list(opened(shared / "data" / name, name).rows())
        assert len(rows) == count, name
        ids = [row.id for row in rows if isinstance(row, Job)]
        assert len(set(ids)) == len(ids), name


@pytest.mark.parametrize(
    ("name", "count", "what"),
    [
        ("appydave-image-gen/examples_prompts.csv", 11, "'1792x1024' is not allowed"),
        ("awesome-chatgpt-prompts-2023/prompts.csv", 7, "at most 800 are allowed"),
        ("imageinwords/DOCCI_Test_data.jsonl", 73, "at most 800 are allowed"),
        ("styles-krea2/version_1_descriptive_styles.csv", 1, "prompt (column B): is empty"),
        ("styles-sd3/styles.csv", 2, "prompt (column B): is empty"),
        ("styles-zh/styles.csv", 2, "prompt (column B): is empty"),
        ("fixtures-csvkit/bad.csv", 2, "the header has 3"),
        ("fixtures-csvkit/bad_skip_lines.csv", 2, "the header has 3"),
        ("fixtures-csvkit/test_extra_header.csv", 1, "has 3 cells, the header has 4"),
        ("fixtures-csvkit/null_byte.csv", 1, "U+0000"),
    ],
)
def test_what_is_wrong_is_found(shared: Path, name: str, count: int, what: str) -> None:
    """Long prompts, section rows, ragged rows: each is one bad row that says so."""
    column = {"prompt": "column_b"} if "bad" in name else {}
    column = {"prompt": "a"} if "null" in name or "extra" in name else column
    column = {"prompt": "IIW"} if "DOCCI" in name else column
    manifest = open_manifest(
        shared / "data" / name,
        RowOptions(model=MODEL, columns=column),
        ModelRegistry(packaged=packaged_models()),
    )
    bad = [row for row in manifest.rows() if isinstance(row, BadRow) and not row.fatal]
    assert len(bad) == count
    assert all(any(what in str(problem) for problem in row.problems) for row in bad[:1])


def test_prompts_are_those_of_the_file(shared: Path) -> None:
    """Not a quote, a blank or an accent is lost on the way."""
    data = shared / "data"
    name = "partiprompts/PartiPrompts.tsv"
    lines = (data / name).read_text(encoding="utf-8").splitlines()[1:]
    jobs = [row for row in opened(data / name, name).rows() if isinstance(row, Job)]
    assert [job.input["prompt"] for job in jobs] == [line.split("\t")[0] for line in lines]

    name = "unigenbench/test_prompts_zh.csv"
    with (data / name).open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    jobs = [row for row in opened(data / name, name).rows() if isinstance(row, Job)]
    assert [job.input["prompt"] for job in jobs] == [row["prompt_zh"] for row in expected]
    assert [dict(job.columns) for job in jobs] == expected

    name = "drawbench-dreambench/dalle_mega.json"
    jobs = [row for row in opened(data / name, name).rows() if isinstance(row, Job)]
    assert [job.input["prompt"] for job in jobs] == json.loads((data / name).read_text())


def test_repeated_prompts_are_jobs_of_their_own(shared: Path) -> None:
    """760 of these 920 rows repeat a prompt; every one has a name."""
    name = "dsg/tifa160-dev-anns.csv"
    jobs = [row for row in opened(shared / "data" / name, name).rows() if isinstance(row, Job)]
    assert len({job.fingerprint for job in jobs}) == 160
    assert len({job.id for job in jobs}) == 920


def test_yaml_of_other_programs_is_refused_with_its_keys(shared: Path) -> None:
    """A file that is not a manifest of ours is not misread as one."""
    for path in sorted((shared / "data").rglob("*.y*ml")):
        with pytest.raises(ManifestError, match="unknown key"):
            open_manifest(path, RowOptions(model=MODEL), ModelRegistry(packaged=packaged_models()))
