"""Hostile and broken files: a message in bounded time and memory, never a crash."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.core.errors import BatchgenError, ManifestError
from tests.manifest.conftest import OneSchema, Read, problems_of
from tests.manifest.workbooks import workbook

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.txt", "a.yaml"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (PNG, "looks like a PNG picture"),
        (b"PK\x03\x04" + b"\0" * 50, "--format xlsx"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 50, "save it as .xlsx or CSV"),
        (bytes(range(32)) * 50, "is not a text file"),
        (b"\0" * 5000, "is not a text file"),
        ("füße; größer, ".encode() * 20 + b"\xff" + "é".encode() * 9, "save it as UTF-8 again"),
        (b"prompt\n\x81\x8d\n", "not valid text in UTF-8 or Windows-1252"),
        (b"\xff\xfep\0r\0o", "not valid text in UTF-16"),
    ],
)
def test_a_file_that_is_not_text_is_named(read: Read, name: str, content: bytes, what: str) -> None:
    """A picture, an archive, a damaged file: the message says what it looks like."""
    assert what in problems_of(read, name, content)[0]


def test_control_characters_are_named(read: Read) -> None:
    """With their code and place, in the row that has them."""
    assert problems_of(read, "a.csv", b"prompt\nfo\0x\na\x1bb and more words\n") == [
        "a.csv:2: prompt (column A): has the control character U+0000 at place 3; remove it",
        "a.csv:3: prompt (column A): has the control character U+001B at place 2; remove it",
    ]


@pytest.mark.parametrize("code", [*range(9), *range(14, 32), 127, 0x80, 0x85, 0x9F])
def test_a_control_character_is_an_error_in_a_prompt_and_kept_in_a_carried_column(
    read: Read, code: int
) -> None:
    """It cannot be meant in a prompt; what is only carried comes out as it went in."""
    assert f"U+{code:04X}" in problems_of(read, "a.csv", f"prompt,n\na{chr(code)}b,c\n")[0]
    seen = read("b.csv", f"prompt,n\na,b{chr(code)}c\n")
    assert [job.columns["n"] for job in seen.jobs] == [f"b{chr(code)}c"]


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.jsonl"])
@pytest.mark.parametrize("sign", ["\x0b", "\x0c"])
def test_soft_line_breaks_are_line_breaks(read: Read, name: str, sign: str) -> None:
    """Office programs write vertical tabs and form feeds; they are the same job as a line feed."""
    text = f"one{sign}two"
    content = {"a.csv": f"prompt\n{text}\n", "a.txt": text}.get(name) or json.dumps(text)
    seen = read(name, content)
    assert seen.prompts == ["one\ntwo"]
    assert seen.ids == read("b.csv", 'prompt\n"one\ntwo"\n').ids


def test_an_open_quote_is_named(read: Read) -> None:
    """A quote that swallows the rest of a file is an error of that row."""
    problems = problems_of(read, "a.csv", 'prompt,note\na,b\n"open,c\nd,e\n')
    assert problems == [
        'a.csv:3: a quote is opened and never closed; close it, or write "" for a literal quote'
    ]


def test_text_after_a_quote_is_named(read: Read) -> None:
    """Quotes are not dropped silently."""
    seen = read("a.csv", 'prompt,note\n"G I G" art,x\nb,y\n')
    assert seen.prompts == ["b"]
    assert "a.csv:2: text after a closing quote" in seen.problems[0]


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.jsonl", "a.json"])
def test_a_cell_of_a_hundred_megabytes_is_a_message(read: Read, name: str) -> None:
    """It is not read into memory."""
    head = {"a.csv": b"prompt,note\n", "a.jsonl": b'{"prompt": "', "a.json": b'["'}.get(name, b"")
    Path(name).write_bytes(head + b"x" * 100_000_000)
    tracemalloc.start()
    problems = problems_of(read, name, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "000,000 characters" in problems[0] or "is not valid JSON" in problems[0]
    assert peak < 80_000_000


def test_ten_thousand_columns_are_a_message(read: Read) -> None:
    """Such a file has another delimiter than it seems."""
    text = ",".join(f"c{n}" for n in range(10_000)) + "\n"
    assert problems_of(read, "a.csv", text) == [
        "a.csv:1: has 10,000 columns; at most 2,000 are allowed"
    ]
    row = "{" + ",".join(f'"k{n}": 1' for n in range(10_000)) + "}"
    assert "at most 2,000 are allowed" in problems_of(read, "a.jsonl", row)[0]


def test_a_workbook_that_unpacks_to_gigabytes_is_refused(read: Read) -> None:
    """Its size is known before it is unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"xl/{number}.xml", b"\0" * (1 << 20))
    content = bytearray(buffer.getvalue())
    for place in range(len(content) - 4):
        if content[place : place + 4] == b"PK\x01\x02":
            content[place + 24 : place + 28] = (0x7FFFFFFF).to_bytes(4, "little")
    assert "unpacks to" in problems_of(read, "a.xlsx", bytes(content))[0]


def test_a_broken_workbook_is_a_message(read: Read) -> None:
    """Cut short, or not a workbook at all."""
    whole = workbook({"S": [["prompt"], ["a"]]})
    for content in (whole[: len(whole) // 2], b"prompt\na\n", b""):
        assert "cannot be read as an Excel workbook" in problems_of(read, "a.xlsx", content)[0]


def test_a_formula_that_failed_is_an_error(read: Read) -> None:
    """`#REF!` cannot be meant as a prompt."""
    content = workbook({"S": [["prompt"], ["#REF!"]]})
    assert problems_of(read, "a.xlsx", content) == [
        "a.xlsx:2: prompt (column A): the formula gives #REF!"
    ]


def test_columns_twice_are_an_error(read: Read) -> None:
    """Nothing is guessed about which of the two is meant."""
    assert problems_of(read, "a.csv", "prompt,scale,Scale\na,1,0\n") == [
        "a.csv:1: 'Scale' names columns B and C; rename one"
    ]


def test_too_many_jobs_of_one_row_are_refused(read: Read) -> None:
    """A matrix that explodes is an error of the row, not a run."""
    values = list(range(400))
    text = (
        f"matrix: {{a: {values}, b: {values}}}\ntemplate: '{{{{ a }}}} {{{{ b }}}}'\nprompts: [x]"
    )
    assert "more than 100,000 jobs" in problems_of(read, "m.yaml", text)[0]
    assert "allowed 1 to 10,000" in problems_of(read, "a.csv", "prompt,repeat\na,99999999\n")[0]


@pytest.mark.parametrize(
    "number", ["1e999", "9" * 400, "NaN", "inf", "-Infinity", "1_000", "٣", "0x10", "1,2,3", "--1"]
)
def test_strange_numbers_are_errors(read: Read, number: str) -> None:
    """Only plain decimal numbers count as numbers."""
    (problem,) = problems_of(read, "a.csv", f'prompt,scale\na,"{number}"\n')
    assert "scale (column B)" in problem


FORMATS = st.sampled_from(["csv", "tsv", "jsonl", "json", "txt", "yaml", "xlsx"])
WORDS = (
    b"""prompt id , ; \t \n \r " { } [ ] a \xff \0 \xc3\xa9 scale prompts: - &a *a {{ ' << !!x"""
)

LIKELY = st.lists(st.sampled_from([*WORDS.split(b" "), b": ", b" ", b"\n"])).map(b"".join)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.one_of(st.binary(max_size=300), LIKELY), format_=FORMATS)
def test_any_bytes_are_rows_or_a_message(read: Read, content: bytes, format_: str) -> None:
    """Nothing but this program's own errors comes out of any file."""
    try:
        seen = read("any", content, format=format_)
    except BatchgenError:
        return
    assert all(str(problem) for problem in seen.problems)
    assert all(job.fingerprint for job in seen.jobs)


def test_an_unreadable_file_is_exit_66(read: Read, tmp_path: Path) -> None:
    """A file that cannot be opened is not found; one that is wrong is exit 65."""
    with pytest.raises(BatchgenError) as caught:
        read("a" * 300 + ".csv")
    assert caught.value.exit_code == 66
    with pytest.raises(ManifestError) as wrong:
        read("a.csv", "")
    assert wrong.value.exit_code == 65


@pytest.mark.parametrize("char", ["\\0", "\\n", "\\e", "\\x7F", "\\x9B"])
@pytest.mark.parametrize("setting", ['run_dir: "a{}b"', 'output: {{dir: "a{}b"}}'])
def test_a_path_with_a_control_character_is_refused(read: Read, setting: str, char: str) -> None:
    """No file system call ever sees it."""
    text = setting.format(char) + "\nmodel: bytedance/dreamina-4-0/text-to-image\nprompts: [a]\n"
    assert "control character" in problems_of(read, "a.yaml", text)[0]


@pytest.mark.parametrize("digits", [400, 4_000, 5_000, 20_000])
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", "defaults: {{scale: {}}}\nprompts: [a]\n"),
     ("a.json", '[{{"prompt": "a", "scale": {}}}]'), ("a.jsonl", '{{"prompt": "a", "scale": {}}}'),
     ("b.json", '{{"defaults": {{"scale": {}}}, "prompts": ["a"]}}'),
     ("a.csv", "prompt,scale\na,{}\n"),
     ("c.yaml", "repeat: {}\nprompts: [a]\n"),
     ("d.yaml", "matrix: {{scale: [{}]}}\nprompts: [a]\n"),
     ("e.yaml", "header_row: {}\nprompts: [a]\n"), ("f.yaml", "run: {{rate: {}}}\nprompts: [a]\n")],
)  # fmt: skip
def test_a_number_of_thousands_of_digits_is_a_message(
    read: Read, name: str, text: str, digits: int
) -> None:
    """Wherever it stands in a manifest."""
    assert problems_of(read, name, text.format("9" * digits))


@pytest.mark.parametrize("depth", [65, 300, 900, 5_000, 100_000])
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", '[{{"prompt": {}}}]'), ("a.jsonl", '{{"prompt": {}}}'),
     ("b.json", '{{"defaults": {{"x": {}}}, "prompts": ["a"]}}'),
     ("a.yaml", "defaults: {{x: {}}}\nprompts: [a]\n"), ("a.tsv", "prompt\tstops\na\t{}\n")],
)  # fmt: skip
def test_json_of_many_levels_is_a_message(read: Read, name: str, text: str, depth: int) -> None:
    """In every format, and in a cell that is read as JSON."""
    schema = OneSchema({"prompt": {"type": "string"}, "stops": {"type": "array"}})
    nested = text.format("[" * depth + "1" + "]" * depth)
    assert problems_of(read, name, nested, schemas=schema)


@pytest.mark.parametrize(
    "id_", ["👨\u200d👩\u200d👧", "क्\u200dष", "می\u200cخواهم", "a\u200db", "a\u00adb", "\u200ea"]
)
@pytest.mark.parametrize("column", ["id", "می\u200cخواهم"])
def test_an_id_and_a_column_may_have_joiners_in_them(read: Read, id_: str, column: str) -> None:
    """Emoji, Hindi and Persian are written with them; they are no control characters."""
    seen = read("a.csv", f"prompt,{column}\na,{id_}\n")
    assert not seen.problems
    assert seen.jobs[0].id == id_ or column != "id"


@pytest.mark.parametrize("char", ["\n", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\t"])
def test_an_id_with_a_line_break_or_a_control_character_is_refused(read: Read, char: str) -> None:
    """It would be two lines, or none, wherever it is printed."""
    problems = problems_of(read, "a.jsonl", json.dumps({"prompt": "a", "id": f"a{char}b"}))
    assert "line break or control character" in problems[0]
