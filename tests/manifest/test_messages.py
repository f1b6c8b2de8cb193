"""Messages about a manifest: file, row, column, what is wrong, and what would be right."""

from __future__ import annotations

import pytest

from tests.manifest.conftest import Read, problems_of

TABLE = [
    ("a.csv", "prompt,scale\na,1.5\n",
     "a.csv:2: scale (column B): 1.5 is above the maximum 1; allowed 0 to 1"),
    ("a.csv", "prompt,force_single\na,maybe\n",
     "a.csv:2: force_single (column B): expected true or false, got 'maybe'"),
    ("a.csv", "prompt,size\na,16:9\n",
     ("a.csv:2: size (column B): '16:9' could be any of 2560x1440(16:9), 5404x3040(16:9); write "
     "one of them")),
    ("a.csv", "prompt,x\n,b\n",
     "a.csv:2: prompt (column A): is empty; bytedance/dreamina-4-0/text-to-image needs it"),
    ("a.csv", "prompt,scael\na,1\n",
     ("a.csv:1: scael (column B): is not a parameter of bytedance/dreamina-4-0/text-to-image; did "
     "you mean 'scale'? rename it, or say --column scale='scael'")),
    ("a.csv", "Caption,x\na,1\n",
     ("a.csv:1: no column 'prompt'; the columns are 'Caption', 'x'; say which one holds the prompt "
     "with --column prompt=NAME or under `columns:`; if the file has no header, add a first row "
     "that names its columns, such as prompt")),
    ("a.csv", "id,prompt\n1,a\n1,b\n",
     "a.csv:3: id (column A): '1' is the id of a.csv:2 too; every row needs its own"),
    ("a.csv", "prompt,repeat\na,many\n",
     "a.csv:2: repeat (column B): expected a whole number, got 'many'"),
    ("a.csv", "prompt\na,b\n",
     "a.csv:2: has 2 cells, the header has 1; put a text that has a comma in it in quotes"),
    ("a.csv", "", "a.csv: is empty"),
    ("m.yaml", "prompts: [{prompt: a, scale: big}]",
     "m.yaml:1: scale: expected a number, got 'big'"),
    ("m.yaml", "prompts: [a]\ndefaults: {scale: 2}",
     "m.yaml:2: defaults.scale: 2 is above the maximum 1; allowed 0 to 1"),
    ("m.yaml", "prompts: [a]\ndefaults: {sclae: 1}",
     ("m.yaml:2: defaults.sclae: is not a parameter of bytedance/dreamina-4-0/text-to-image and no "
     "template uses it; did you mean 'scale'?")),
    ("m.yaml", "prompts: [a]\nmatrix: {scale: [0.5, 7]}",
     "m.yaml:2: matrix.scale: 7 is above the maximum 1; allowed 0 to 1"),
    ("m.yaml", "prompts: [a]\nrepeat: 0",
     "m.yaml:2: repeat: expected a whole number from 1 to 10,000, got '0'"),
    ("m.yaml", "prompts: [a]\nrun: {max-cost: 3}",
     "m.yaml:2: run.max-cost: unknown key; did you mean 'max_cost'?"),
    ("m.yaml", "prompts: [a]\ncolumns: {promt: Caption}",
     ("m.yaml:2: columns.promt: 'promt' is neither one of our words nor a parameter of "
     "bytedance/dreamina-4-0/text-to-image; did you mean 'prompt'?")),
    ("m.yaml", "prompts: [a]\ntemplate: '{{ prompt'",
     ("m.yaml:2: template: is not a valid template: unexpected end of template, expected 'end of "
     "print statement'.")),
    ("m.yaml", "prompts:\n  - a: b: c",
     ("m.yaml:2: is not valid YAML: mapping values are not allowed in this context; quote a text "
     "that has ': ' in it")),
    ("m.yaml", "prompts: [[a]]", "m.yaml:1: expected a prompt or a mapping, got '[\"a\"]'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), TABLE)
def test_a_message_says_where_what_and_what_would_be_right(
    read: Read, name: str, content: str, message: str
) -> None:
    """One line per problem, in the words of the spreadsheet's user."""
    assert problems_of(read, name, content) == [message]


def test_everything_wrong_in_a_row_is_reported(read: Read) -> None:
    """All faults of a row are reported at once."""
    text = f"prompt,scale,force_single,size\n{'x' * 801},2,maybe,huge\n"
    problems = problems_of(read, "a.csv", text)
    assert {problem.split(" ")[1] for problem in problems} == {
        "prompt", "scale", "force_single", "size",
    }  # fmt: skip


def test_values_in_messages_are_cut(read: Read) -> None:
    """A prompt of a thousand words does not help to find the row."""
    (problem,) = problems_of(read, "a.csv", f"prompt,scale\na,{'9' * 5000}\n")
    assert len(problem) < 150


def test_the_first_fifty_problems_of_broken_settings_are_shown(read: Read) -> None:
    """The rest is counted."""
    rows = "".join(f"  - {{prompt: a, scale: {n}}}\n" for n in range(2, 80))
    problems = problems_of(read, "m.yaml", f"promts: x\nprompts:\n{rows}")
    assert len(problems) == 51
    assert problems[-1] == "... and 29 more problems"
