"""What `check` says about a manifest that is wrong: each cause once, and a way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from batchgen.cli import main
from tests.kit import MODEL

Check = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """Write a manifest, check it, and return the exit code and the lines on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, text: str, *words: str) -> tuple[int, list[str]]:
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
