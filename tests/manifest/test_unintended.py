"""Input that nobody can have meant is an error with its row, never a job."""

from __future__ import annotations

import json

import pytest

from tests.manifest.conftest import Read, problems_of
from tests.manifest.workbooks import workbook

MARK = "\ufeff"
AGAIN = "is the header once more; remove it"


@pytest.mark.parametrize(
    "again",
    ["id,prompt,market", "ID, Prompt ,MARKET", f"{MARK}id,prompt,market", "prompt,id,market",
     '"id","prompt","market"', f'"{MARK}id",prompt,market', "id,prompt,client"],
)  # fmt: skip
@pytest.mark.parametrize("head", ["", MARK])
def test_the_header_once_more_is_an_error(read: Read, again: str, head: str) -> None:
    """Wherever two exports were joined, with marks around it or in another order."""
    text = f"{head}id,prompt,market\nx1,one,DE\n{again}\nx2,two,FR\n"
    seen = read("a.csv", text)
    assert seen.problems == [f"a.csv:3: {AGAIN}"]
    assert seen.prompts == ["one", "two"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.xlsx"])
def test_a_header_of_one_column_is_found_again_in_every_format(read: Read, name: str) -> None:
    """Also in a workbook."""
    rows = [["prompt"], ["one"], ["Prompt"], ["two"]]
    content = workbook({"S": rows}) if name == "a.xlsx" else "prompt\none\nPrompt\ntwo\n"  # type: ignore[dict-item]
    seen = read(name, content)
    assert seen.problems == [f"{name}:3: {AGAIN}"]


@pytest.mark.parametrize("row", ["x9,prompt,DE", "x9,prompt,", "id,a fox,DE", ",prompt,"])
def test_a_row_that_only_has_a_word_of_the_header_is_a_job(read: Read, row: str) -> None:
    """`prompt` is a word like any other if the other cells are not the header's."""
    seen = read("a.csv", f"id,prompt,market\nx1,one,DE\n{row}\n")
    assert seen.problems == []
    assert len(seen.jobs) == 2


WORDS = ["#REF!", "#NAME?", "#N/A", "#VALUE!", "#DIV/0!", "Loading...", "nan", "NaN", " #ref! "]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.xlsx"])
def test_a_lone_error_word_is_no_prompt_of_a_table(read: Read, word: str, name: str) -> None:
    """A program wrote it; with its row and column."""
    rows = [["prompt", "n"], ["one", "1"], [word, "2"]]
    delimiter = "\t" if name == "a.tsv" else ","
    text = "".join(delimiter.join(row) + "\n" for row in rows)
    content = workbook({"S": rows}) if name == "a.xlsx" else text  # type: ignore[dict-item]
    seen = read(name, content)
    (problem,) = seen.problems
    assert problem.startswith(f"{name}:3: prompt (column A): ")
    assert seen.prompts == ["one"]


def test_error_words_decide_nothing_else_either(read: Read) -> None:
    """Not an id, not a part of a template; in a text around them they are words."""
    text = "id,prompt,style\n#REF!,a,b\nx,nan bread and #REF! signs,c\ny,d,#N/A\n"
    seen = read(
        "m.yaml", "prompts: a.csv\ntemplate: '{{ prompt }}, {{ style }}'\n", files={"a.csv": text}
    )
    assert [problem.split(": ")[1] for problem in seen.problems] == [
        "id (column A)",
        "style (column C)",
    ]
    assert seen.prompts == ["nan bread and #REF! signs, c"]
    assert read("b.csv", "prompt,note\na,#N/A\n").problems == []
    assert read("b.txt", "nan\n").prompts == ["nan"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.jsonl", "a.json", "a.yaml"])
@pytest.mark.parametrize("head", ["", MARK, "\n\n  "])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("<!DOCTYPE html>\n<html><body>Sign in</body></html>", "is a web page"),
        ("<html>\n<head></head></html>", "is a web page"),
        ('<?xml version="1.0"?>\n<x/>', "is an XML document"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n", "Git LFS pointer"),
        ("/annex/objects/SHA256E-s12--4d7a.csv\n", "git-annex pointer"),
    ],
)  # fmt: skip
def test_what_comes_in_place_of_a_list_is_named(
    read: Read, name: str, head: str, content: str, what: str
) -> None:
    """Nothing of it is a prompt."""
    (problem,) = problems_of(read, name, head + content)
    assert what in problem


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.jsonl", "a.json", "a.yaml"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_unresolved_merge_is_named_with_its_line(read: Read, name: str, end: str) -> None:
    """Both versions stand there; nobody decided which is meant."""
    lines = ["prompt", "one", "<<<<<<< HEAD", "two", "=======", "three", ">>>>>>> spring"]
    assert problems_of(read, name, end.join(lines)) == [
        f"{name}:3: an unresolved merge (<<<<<<<); resolve it and save the file"
    ]
    far = end.join(["prompt", *["x" * 99] * 30_000, ">>>>>>> spring", ""])
    assert problems_of(read, name, far)[0].startswith(f"{name}:30002: an unresolved merge")


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("m.yaml", "prompts:\n  - one\n  - heroes.csv\n", "m.yaml:3: prompt"),
        ("m.yaml", "prompts:\n  - {prompt: lists/heroes.CSV}\n", "m.yaml:2: prompt"),
        ("a.txt", "one\nheroes.csv\n", "a.txt:2: prompt"),
        ("a.jsonl", '"heroes.csv"\n', "a.jsonl:1: prompt"),
        ("a.csv", "prompt,n\nheroes.csv,1\n", "a.csv:2: prompt (column A)"),
    ],
)
def test_the_name_of_an_existing_prompt_file_is_no_prompt(
    read: Read, name: str, content: str, where: str
) -> None:
    """The message says how a file is named."""
    files = {"heroes.csv": "prompt\na\n", "lists/heroes.CSV": "prompt\na\n"}
    (problem,) = problems_of(read, name, content, files=files)
    assert problem.startswith(f"{where}: '")
    assert "is the name of a file; write `file: " in problem


def test_a_text_that_only_looks_like_a_name_is_a_prompt(read: Read) -> None:
    """There is no such file, or it is no prompt file."""
    seen = read("m.yaml", "prompts: [heroes.csv, logo.png, a fox]\n", files={"logo.png": b"x"})
    assert seen.prompts == ["heroes.csv", "logo.png", "a fox"]


def test_a_list_of_prompts_has_no_header(read: Read) -> None:
    """A lone `prompt` above a list was meant as one."""
    assert problems_of(read, "a.txt", "prompt\na fox\n") == [
        "a.txt:1: reads like a header, which a list of prompts does not have; remove it"
    ]


@pytest.mark.parametrize(
    ("where", "text", "cut"),
    [
        ("prompts:\n  - {}\n", "A badge in brand red #C8102E on white", "#C8102E on white"),
        ("prompts:\n  - prompt: {}\n", "A mural #summer", "#summer"),
        ("prompts: [x]\ntemplate: {}\n", "a wall #summer", "#summer"),
        ("prompts: [x]\ntemplate: '{{{{ style }}}}'\nmatrix:\n  style:\n    - {}\n",
         "red #C8102E", "#C8102E"),
        ("prompts: [x]\ndefaults:\n  negative_prompt: {}\n", "blur #noise", "#noise"),
        ("prompts:\n  - A long text that\n    {}\n", "goes on with #tags here", "#tags here"),
        ("- {}\n", "a list alone #summer", "#summer"),
    ],
)  # fmt: skip
def test_a_text_that_yaml_cuts_at_a_number_sign_is_named(
    read: Read, where: str, text: str, cut: str
) -> None:
    """An error if the sign begins a word; a note if it begins a comment."""
    content = where.format(text)
    line = next(n for n, one in enumerate(content.split("\n"), 1) if "#" in one)
    problems = problems_of(read, "m.yaml", content)
    assert problems[0].startswith(f"m.yaml:{line}: YAML takes {cut!r} as a comment and drops it")

    problems = problems_of(read, "m.yaml", content.replace("#", "# "))
    assert not any("YAML takes" in problem for problem in problems)


def test_a_comment_behind_a_text_is_a_note(read: Read) -> None:
    """It may be a comment, so nothing stops; the plan shows the words."""
    seen = read("m.yaml", "prompts:\n  - A fox  # the hero\n  - B\n")
    assert seen.prompts == ["A fox", "B"]
    assert (
        "m.yaml:2: '# the hero' is a comment and is not sent; put the text in quotes if it belongs "
        "to it" in seen.manifest.notes
    )


def test_comments_elsewhere_are_comments(read: Read) -> None:
    """On lines of their own, behind quoted texts, lists, numbers, files and other settings."""
    text = """# a list
model: bytedance/dreamina-4-0/text-to-image  #model
defaults: {size: 2048x2048, scale: 0.6}   #every job starts from these
prompts:                                 #a file, or a list
  #heroes
  - "A lighthouse #7"   #quoted
  - {id: fox, prompt: 'A red fox', scale: 0.8}  #one line
  - file: spring.csv   #from the agency
  - |  #block
    A text with #tags
  - prompt: "b"
    scale: 0.5   #strong
template: "{{ prompt }}, {{ style }}"   #optional
matrix: {style: [watercolour, linocut]}  #every combination
repeat: 2   #copies of each
run: {concurrency: 8}   #jobs
"""
    seen = read("m.yaml", text, files={"spring.csv": "prompt\nx\n"})
    assert seen.problems == []
    assert not any("comment" in note for note in seen.manifest.notes)
    assert seen.prompts[0] == "A lighthouse #7, watercolour"


def test_a_number_sign_in_a_one_line_mapping_is_named_beside_the_error(read: Read) -> None:
    """The error is on the next line, its cause on this one."""
    text = "prompts:\n  - {id: mural, prompt: A mural that reads #summer, wide shot}\n  - x\n"
    first, second = problems_of(read, "m.yaml", text)
    assert first.startswith("m.yaml:2: YAML takes '#summer, wide shot}' as a comment")
    assert "is not valid YAML" in second


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", 'prompt,repeat\na,"1,5"\n',
         "a.csv:2: repeat (column B): expected a whole number, got '1,5'"),
        ("a.csv", "prompt;repeat\na;1,5\n",
         "a.csv:2: repeat (column B): expected a whole number, got '1,5'"),
        ("m.yaml", "prompts: [a]\nrepeat: 1,5\n",
         "m.yaml:2: repeat: expected a whole number from 1 to 10,000, got '1,5'"),
        ("m.yaml", "prompts:\n  - {prompt: a, repeat: '1,5'}\n",
         "m.yaml:2: repeat: expected a whole number, got '1,5'"),
        ("a.jsonl", "null\n", "a.jsonl:1: expected an object or a text, got null"),
        ("a.json", '["a", null]', "a.json:1: expected an object or a text, got null"),
        ("a.json", "null", "a.json: is not a JSON list or object"),
        ("m.json", json.dumps({"prompts": ["a", None]}), "m.json:1: an empty entry"),
        ("m.json", json.dumps({"prompts": None}),
         "m.json: prompts: is missing; name a file or list the prompts"),
        ("m.yaml", "prompts: [a]\ntemplate: '{{ body.prompt }}'\n",
         ("m.yaml:2: template: 'body.prompt' is not the name of a column; write {{ prompt }}, or "
          "{{ body_prompt }} if the column is called so")),
    ],
)  # fmt: skip
def test_common_slips_have_a_clear_message(
    read: Read, name: str, content: str, message: str
) -> None:
    """What is wrong, and what would be right."""
    assert message in problems_of(read, name, content)


def test_errors_after_an_error_of_the_reader_have_the_right_rows(read: Read) -> None:
    """However many rows cannot be read, the next ones keep their numbers."""
    bad = '"G I G" art,x\n'
    text = f"prompt,n\none,1\n{bad}{bad}two\n{bad}three,3\nfour\n"
    problems = problems_of(read, "a.csv", text)
    assert [problem.split(":")[1] for problem in problems] == ["3", "4", "5", "6", "8"]
