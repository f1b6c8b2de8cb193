"""The other formats: text, JSON lines, JSON, workbooks, standard input."""

from __future__ import annotations

import json

import pytest

from batchgen.core.errors import ManifestError, UsageError
from batchgen.core.jobs import Job
from tests.manifest.conftest import Read, problems_of
from tests.manifest.workbooks import workbook


def test_text_is_one_prompt_per_line(read: Read) -> None:
    """Blank lines are skipped and counted; a comma or a quote means nothing."""
    seen = read("a.txt", 'a fox, red\r\n\n"quoted\nlast')
    assert seen.prompts == ["a fox, red", '"quoted', "last"]
    assert [job.where.row for job in seen.jobs] == [1, 3, 4]


def test_json_lines_are_rows(read: Read) -> None:
    """Objects and bare texts; values have the schema's types and are carried as JSON."""
    lines = [
        {"prompt": "a", "scale": "0.5", "tags": ["x", 1], "id": "007"},
        {"prompt": "b", "scale": 0, "force_single": False, "none": None},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + '\n\n"c"\n'
    seen = read("a.jsonl", text)
    assert seen.problems == []
    assert [job.input for job in seen.jobs] == [
        {"prompt": "a", "scale": 0.5},
        {"prompt": "b", "scale": 0, "force_single": False},
        {"prompt": "c"},
    ]
    assert seen.jobs[0].columns["tags"] == '["x",1]'
    assert seen.jobs[2].where.row == 4
    assert seen.manifest.columns == (
        "prompt", "scale", "tags", "id", "force_single", "none",
    )  # fmt: skip


def test_a_bad_json_line_is_named_and_the_rest_is_read(read: Read) -> None:
    """One torn line costs one row."""
    seen = read("a.jsonl", '{"prompt": "a"}\n{"prompt": \n[1]\n{"prompt": "d"}\n')
    assert seen.prompts == ["a", "d"]
    assert [problem.split(":")[1] for problem in seen.problems] == ["2", "3"]


def test_a_json_list_is_rows(read: Read) -> None:
    """Texts and objects; the number of a row is its line."""
    text = '[\n "a, b",\n {"prompt": "c",\n  "scale": 5},\n {"prompt": "\\ud83e\\udd8a"}\n]\n'
    seen = read("a.json", text)
    assert [job.where.row for job in seen.jobs] == [2, 5]
    assert seen.prompts == ["a, b", "🦊"]
    assert seen.problems == ["a.json:3: scale: 5 is above the maximum 1; allowed 0 to 1"]


def test_a_long_json_list_is_read_in_pieces(read: Read) -> None:
    """Elements that lie across the blocks of the file come out whole."""
    prompts = [f"fox {n} " + "é" * (n % 500) for n in range(2000)]
    seen = read("a.json", json.dumps(prompts, ensure_ascii=False, indent=1))
    assert seen.prompts == prompts
    assert seen.jobs[-1].where.row == 2001


def test_a_json_object_is_a_manifest_with_settings(read: Read) -> None:
    """JSON can say everything that YAML can."""
    seen = read("m.json", json.dumps({"defaults": {"scale": 0.5}, "prompts": ["a"], "repeat": 2}))
    assert [job.input["scale"] for job in seen.jobs] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('["a", ', "not valid JSON"),
        ('["a" "b"]', "expected ','"),
        ('["a"] x', "after the end of the list"),
        ('["a",]', "not valid JSON"),
        ("[NaN]", "NaN is not a JSON number"),
        ('["\\ud800"]', "surrogate"),
        ("[" * 10_000, "not valid JSON"),
        ('["a", nonsense' + ', "b"' * 2_000_000, "Expecting value"),
        ('["' + "x" * 5_000_000, "more than 4,000,000 characters"),
        ("12", "not a JSON list or object"),
        ("", "is empty"),
        ('{"prompts": ["a"]', "not valid JSON"),
    ],
)
def test_bad_json_is_a_message(read: Read, text: str, what: str) -> None:
    """The message says what is wrong with the JSON."""
    assert any(what in problem for problem in problems_of(read, "a.json", text))


def test_a_workbook_is_read_as_excel_exports_it(read: Read) -> None:
    """Numbers, switches and texts with zeros; rows are Excel's own numbers."""
    content = workbook(
        {
            "Notes": [["nothing here"]],
            "Spring": [
                [], ["id", "prompt", "scale", "force_single", "n"],
                ["007", "A fox", 0.5, True, 5.0], [], ["8", "two\nlines", 3, None, 0.1],
            ],
        }
    )  # fmt: skip
    seen = read("a.xlsx", content, sheet="spring")
    (job,) = seen.jobs
    assert job.id == "007"
    assert job.input == {"prompt": "A fox", "scale": 0.5, "force_single": True}
    assert job.columns["n"] == "5"
    assert seen.problems == ["a.xlsx:5: scale (column C): 3 is above the maximum 1; allowed 0 to 1"]
    assert seen.bad[0].columns["n"] == "0.1"


def test_a_hidden_sheet_is_not_the_first(read: Read) -> None:
    """Without `--sheet` it is the first visible sheet."""
    content = workbook({"~Lists": [["prompt"], ["wrong"]], "Spring": [["prompt"], ["right"]]})
    assert read("a.xlsx", content).prompts == ["right"]


def test_a_sheet_that_does_not_exist_is_named(read: Read) -> None:
    """The sheets that exist are listed."""
    content = workbook({"Sommer": [["prompt"], ["a"]]})
    with pytest.raises(ManifestError, match="no sheet 'Sommr'; did you mean 'Sommer'"):
        read("a.xlsx", content, sheet="Sommr")


def test_the_header_may_be_further_down(read: Read) -> None:
    """`header_row:` names it if a title comes first."""
    content = workbook({"S": [["Campaign"], [], ["prompt"], ["a"]]})
    seen = read("m.yaml", "prompts: a.xlsx\nheader_row: 3\n", files={"a.xlsx": content})
    assert seen.prompts == ["a"]
    assert seen.jobs[0].where.row == 4


def test_standard_input_is_read_again_and_again(read: Read) -> None:
    """A pipe can be read once; its rows as often as one likes."""
    seen = read("-", stdin=b"prompt,scale\na,0.5\n", format="csv")
    assert seen.prompts == ["a"]
    assert seen.manifest.stem == "stdin"
    assert [job.id for job in seen.manifest.rows() if isinstance(job, Job)] == seen.ids
    assert str(seen.jobs[0].where) == "stdin:2"


def test_standard_input_needs_a_format(read: Read) -> None:
    """Nothing is guessed about a pipe."""
    with pytest.raises(UsageError, match="needs --format"):
        read("-", stdin=b"a\n")


def test_a_format_may_be_named(read: Read) -> None:
    """`--format` comes before the name, and an unknown one is an error with a hint."""
    assert read("a.dat", "prompt\na\n", format="csv").prompts == ["a"]
    with pytest.raises(ManifestError, match="did you mean 'csv'"):
        read("a.dat", format="cvs")
    with pytest.raises(ManifestError, match=r"unknown kind '\.dat'"):
        read("a.dat")
