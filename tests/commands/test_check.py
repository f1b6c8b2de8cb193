"""What `check` says about a manifest that is wrong: each cause once, and a way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from batchgen.cli import main
from tests.kit import MODEL
from tests.manifest.workbooks import workbook

Check = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """Write a manifest, check it, and return the exit code and the lines on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, text: str, *words: str) -> tuple[int, list[str]]:
        if text:
            Path(name).write_text(text, encoding="utf-8")
        code = main(["check", name, *words])
        return code, capsys.readouterr().err.splitlines()

    return run


def sheet(rows: list[str], header: str = "id,category,prompt") -> str:
    """Return the text of a spreadsheet."""
    return "\n".join([header, *rows]) + "\n"


def test_repeated_ids_are_one_line_with_their_number_and_a_way_out(check: Check) -> None:
    """Two columns that are unique together are found, and the flag works."""
    text = sheet([f"{n % 10},{'abcdefghij'[n // 10]},fox {n}" for n in range(100)])

    code, (line, end) = check("m.csv", text, "--model", MODEL)

    flag = "id={{ category }}-{{ id }}"
    assert code == 65
    assert line.startswith("m.csv:12: id (column A): '0' is the id of m.csv:2 too; ")
    assert f"--column '{flag}'" in line
    assert "in 90 rows: 12 to 101" in line
    assert end.endswith("10 good rows: run --skip-invalid leaves out the wrong rows")
    assert check("m.csv", text, "--model", MODEL, "--column", flag)[0] == 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_repeated_ids_name_both_rows_each(check: Check, count: int) -> None:
    """No columns are unique together here, so there is no hint."""
    code, lines = check("m.csv", sheet(["1,a,fox"] * (count + 1)), "--model", MODEL)

    assert code == 65
    assert lines[:-1] == [
        f"m.csv:{row}: id (column A): '1' is the id of m.csv:2 too; every row needs its own"
        for row in range(3, 3 + count)
    ]


@pytest.mark.parametrize("rows", [1, 2, 500])
def test_rows_without_a_model_are_one_line(check: Check, rows: int) -> None:
    """Whatever their number is."""
    code, lines = check("m.csv", sheet(["1,a,fox"] * rows))

    assert code == 65
    assert len(lines) == 2
    assert lines[0].startswith("m.csv:2: model: no model")


def test_errors_that_stop_everything_come_without_a_note_about_equal_rows(check: Check) -> None:
    """It is about what will be generated, and nothing will be."""
    text = sheet(["a fox", "a fox", '""', "a dog"], "prompt").replace('""', '"x",')

    _, lines = check("m.csv", text, "--model", MODEL)
    _, fine = check("m.csv", sheet(["a fox", "a fox"], "prompt"), "--model", MODEL)

    assert not any("repeat" in line for line in lines)
    assert any("repeat" in line for line in fine)


def test_the_way_out_is_only_named_where_it_is_one(check: Check) -> None:
    """Not if no row is good, and not if the file is wrong as a whole."""
    for text in (sheet([",a,"]), sheet(["1,a,fox"], "id,category,promt")):
        code, lines = check("m.csv", text, "--model", MODEL)
        assert code == 65
        assert not any("--skip-invalid" in line for line in lines)


@pytest.mark.parametrize("text", ["id,prompt\n1,fox\n", "id,prompt\n1,\n2,dog\n", "id\n1\n", ""])
def test_json_is_printed_whatever_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """Each problem with file, row, column and message."""
    path = tmp_path / "m.csv"
    path.write_text(text)

    code = main(["check", str(path), "--model", MODEL, "--json"])

    found = json.loads(capsys.readouterr().out)
    assert (code == 0) == (found["problems"] == [])
    for problem in found["problems"]:
        assert problem.keys() == {"file", "row", "column", "message"}
        assert problem["file"] == str(path)


ROWS = ["1,a fox in the snow,red", "2,a dog,blue", "3,a cat,green"]
ABOVE = {
    "a title": ["Spring campaign"],
    "a title that is nearly a name": ["Prompts"],
    "a title with a comma": ["Spring, 2026"],
    "a title in a wide sheet": ["Spring campaign,,"],
    "comments and a blank line": ["# made by the shop", "# do not edit", ""],
    "many lines": [f"line {n}" for n in range(19)],
}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("above", ABOVE)
@pytest.mark.parametrize("words", [(), ("--column", "prompt=Caption")])
def test_a_title_above_the_header_is_one_error_that_names_its_row(
    check: Check, above: str, delimiter: str, words: tuple[str, ...]
) -> None:
    """Whatever the rows below it look like, and whatever the header calls the prompt."""
    header = f"id,{'Caption' if words else 'prompt'},colour"
    text = sheet([*ABOVE[above][1:], header, *ROWS], ABOVE[above][0])
    row = len(ABOVE[above]) + 1

    code, lines = check("m.csv", text.replace(",", delimiter), "--model", MODEL, *words)

    assert code == 65
    assert len(lines) == 2, lines
    assert f"but row {row} does: say --header-row {row}, or remove" in lines[0]


def test_a_title_in_a_workbook_is_answered_in_the_same_way(check: Check) -> None:
    """Its rows are as wide as the widest, so none of them is ragged."""
    rows: list[list[str]] = [["Spring campaign"], [], ["id", "prompt"], ["1", "a fox"]]
    Path("m.xlsx").write_bytes(workbook({"Spring": rows}))

    code, lines = check("m.xlsx", "", "--model", MODEL)

    (problem,) = (line for line in lines if line.startswith("m.xlsx:"))
    assert code == 65
    assert "but row 3 does: say --header-row 3" in problem


@pytest.mark.parametrize(
    "rows",
    [["a fox in the snow", "a dog"], ["1,a fox in the snow,red", "2,a dog,blue"], ["x" * 300]],
)
def test_a_file_without_a_header_is_told_so(check: Check, rows: list[str]) -> None:
    """Its first row is not a prompt to anybody, and a cell is no name of a column."""
    code, lines = check("m.csv", sheet(rows[1:], rows[0]), "--model", MODEL)

    assert code == 65
    assert len(lines) == 2, lines
    assert "if the file has no header, add a first row that names its columns" in lines[0]


@pytest.mark.parametrize("name", ["m.jsonl", "m.json"])
@pytest.mark.parametrize("count", [1, 2, 300])
@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        (("caption",), "the keys are 'caption': say which one holds the prompt with --column prom"),
        (("id", "caption", "tone"), "the keys are 'id', 'caption', 'tone': say which one holds"),
    ],
)  # fmt: skip
def test_json_without_a_prompt_names_its_keys_once(
    check: Check, name: str, count: int, keys: tuple[str, ...], hint: str
) -> None:
    """With the flag that helps, and it does help."""
    rows = [json.dumps({key: f"{key} {n}" for key in keys}) for n in range(count)]
    text = "\n".join(rows) if name == "m.jsonl" else "[" + ",\n".join(rows) + "]"

    code, lines = check(name, text, "--model", MODEL)

    assert code == 65
    assert len(lines) == 2, lines
    assert hint in lines[0]
    assert f"--column prompt={'KEY' if len(keys) > 1 else 'caption'}" in lines[0]
    assert check(name, text, "--model", MODEL, "--column", "prompt=caption")[0] == 0


WRONG_NAMES = [
    ("m.yaml", "prompts: {file: r.jsonl}\ncolumns: {prompt: captoin}\n", (), "m.yaml:2: columns"),
    ("m.csv", "id,caption\n1,a fox\n2,a dog\n", ("--column", "prompt=captoin"), "'caption'"),
    ("m.csv", "id,caption\n1,a fox\n2,a dog\n", ("--column", "prompt=Text"), "'caption'"),
    ("m.csv", "id,promt\n1,a fox\n2,a dog\n", (), "did you mean 'prompt'"),
    ("m.csv", "id,prompt\n1,a fox\n", ("--column", "scale=Skala"), "'prompt'"),
    ("m.jsonl", '{"caption": "a fox"}\n', ("--column", "prompt=captoin"), "'caption'"),
    ("m.jsonl", '{"promt": "a fox"}\n', (), "did you mean 'prompt'"),
    ("m.yaml", "prompts: [{promt: a fox}]\n", (), "did you mean 'prompt'"),
    ("m.yaml", "prompts: {file: r.csv}\ntemplate: '{{ nmae }} x'\n", (), "did you mean 'name'"),
    ("m.yaml", "prompts: {file: r.csv}\ntemplate: '{{ subject }}'\n", (), "'name'"),
    ("m.yaml", "prompts: {file: r.csv}\ncolumns: {prompt: '{{ nmae }} x'}\n", (), "'name'"),
    ("m.yaml", "prompts: {file: r.csv}\ncolumns: {prompt: name, id: '{{ n }}'}\n", (), "'name'"),
]


@pytest.mark.parametrize(("name", "text", "words", "hint"), WRONG_NAMES)
def test_one_wrong_name_is_one_error(
    check: Check, name: str, text: str, words: tuple[str, ...], hint: str
) -> None:
    """A column, a key or a template's name: what follows from it is not reported again."""
    Path("r.csv").write_text("name,x\na fox,1\na dog,2\n")
    Path("r.jsonl").write_text('{"caption": "a fox"}\n{"caption": "a dog"}\n')

    code, lines = check(name, text, "--model", MODEL, *words)

    assert code == 65
    assert len(lines) == 2, lines
    assert hint in lines[0]


def test_columns_that_are_only_carried_are_named(check: Check) -> None:
    """Those that are sent, mapped, used in a template or ours are not among them."""
    header = "id,Caption,scale,tone,campaign,,owner,token"
    words = ("--column", "prompt={{ caption }}, {{ tone }}", "--model", MODEL)

    code, lines = check("m.csv", sheet(["1,a fox,0.5,warm,spring,x,Ann,s"], header), *words)

    assert code == 0
    (note,) = (line for line in lines if "not sent" in line)
    assert "carried to the results and not sent: 'campaign', 'owner'; --drop" in note


def test_a_name_that_several_columns_have_is_an_error_only_where_it_is_used(check: Check) -> None:
    """Columns that are only carried may be called as they like."""
    text = sheet(["a fox,one,two,0.5,three"], "prompt,note,Note,scale,note")
    model = ("--model", MODEL)

    assert check("m.csv", text, *model)[0] == 0
    for words in (
        ("--column", "prompt=note"), ("--column", "id={{ note }}"), ("--select", "note = one"),
    ):  # fmt: skip
        code, lines = check("m.csv", text, *model, *words)
        assert (code, len(lines)) == (65, 2), lines
        assert "rename one" in lines[0]
    code, lines = check("m.csv", text.replace("note", "scale", 1), *model)
    assert (code, "'scale' names columns B and D; rename one" in lines[0]) == (65, True)


@pytest.mark.parametrize("source", ["B", "b", "column B", "{{ b }}", "{{ column_b }}"])
def test_a_column_without_a_name_can_be_named_by_its_letter(check: Check, source: str) -> None:
    """If there is no other column with that name."""
    text = sheet(["1,a fox,x", "2,a dog,y"], "id,,tone")
    words = ("--model", MODEL, "--column", f"prompt={source}")

    assert check("m.csv", text, *words)[0] == 0
    code, lines = check("m.csv", text.replace("tone", "b"), *words)
    assert code == 0
    _, lines = check("m.csv", text, "--model", MODEL)
    assert "the columns are 'id', 'tone', B (without a name)" in lines[0]


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
@pytest.mark.parametrize("cell", ['"a fox"', '"a fox, red; or | brown"', '"a ""red"" fox"'])
@pytest.mark.parametrize("blank", [" ", "   "])
def test_a_blank_before_a_quote_is_named(
    check: Check, delimiter: str, cell: str, blank: str
) -> None:
    """The quotes would be a part of the prompt, and what is between them would be split."""
    rows = [["1", "a dog"], ["2", blank + cell], ["3", "a cat"]]
    text = sheet([delimiter.join(row) for row in rows], f"id{delimiter}prompt")

    code, lines = check("m.csv", text, "--model", MODEL)

    assert (code, len(lines)) == (65, 2), lines
    assert lines[0].startswith("m.csv:3: a blank before the quote in column B")
    assert "2 good rows" in lines[1]
    assert check("m.csv", text.replace(blank + '"', '"'), "--model", MODEL)[0] == 0


@pytest.mark.parametrize("cell", [' "Hello" said the fox', " a fox", ' 5" pipe, 2"', '"" "x"'])
def test_quotes_elsewhere_in_a_text_are_text(check: Check, cell: str) -> None:
    """A blank at the start is no mistake either."""
    text = sheet([f"1;{cell}"], "id;prompt") if "," in cell else sheet([f"1,{cell}"], "id,prompt")

    code, lines = check("m.csv", text, "--model", MODEL)

    assert not any("a blank before" in line for line in lines)
    assert code == 0 or '"" "x"' in text
