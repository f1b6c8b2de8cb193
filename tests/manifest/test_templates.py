"""Templates: columns put together, as data that is never run, in bounded time and memory."""

from __future__ import annotations

import pytest

from batchgen.core.schema.values import InvalidValue
from batchgen.manifest.templates import Template
from tests.manifest.conftest import OneSchema, Read, problems_of


def test_row_values_are_data(read: Read) -> None:
    """A cell that looks like a template or an attack is text."""
    evil = "{{ 7*7 }} {% for x in y %} ''.__class__"
    seen = read("m.yaml", "template: '{{ prompt }}!'\nprompts: a.txt", files={"a.txt": evil})
    assert seen.prompts == [evil + "!"]
    assert read("b.txt", evil).prompts == [evil]


def test_limits_count_what_is_rendered(read: Read) -> None:
    """800 characters are counted in the text that is sent, by code points."""
    head = "template: '{{ prompt }}{{ tail }}'\ndefaults: {tail: abc}\nprompts: a.txt\n"
    assert read("m.yaml", head, files={"a.txt": "🦊" * 797}).problems == []
    (problem,) = read("m.yaml", head, files={"a.txt": "🦊" * 798}).problems
    assert problem.startswith("a.txt:1: prompt: has 801 characters, at most 800 are allowed")


def test_columns_are_variables_by_any_spelling(read: Read) -> None:
    """Case does not matter, and all but letters and digits become underscores."""
    seen = read("m.yaml", "template: '{{ Prompt }} {{ photo_style_2 }}'\nprompts: a.csv",
                files={"a.csv": "prompt,Photo Style-2\na,noir\n"})  # fmt: skip
    assert seen.prompts == ["a noir"]


def test_an_empty_cell_is_not_given(read: Read) -> None:
    """It is an error of the row, unless the template has a default for it."""
    files = {"a.csv": "prompt,style\na,\nb,ink\n"}
    seen = read("m.yaml", "template: '{{ prompt }}, {{ style }}'\nprompts: a.csv", files=files)
    assert seen.prompts == ["b, ink"]
    (problem,) = seen.problems
    assert problem.startswith("a.csv:2: prompt (column A): the template needs 'style', which this")
    assert problem.endswith("fill it, or write {{ style | default('') }}")
    head = "template: \"{{ prompt }}, {{ style | default('oil') }}\"\nprompts: a.csv"
    assert read("m.yaml", head, files=files).prompts == ["a, oil", "b, ink"]


def test_an_unknown_variable_is_reported_once(read: Read) -> None:
    """A template that no row can fill is one error, not one per row."""
    problems = problems_of(read, "m.yaml", "template: '{{ promt }}'\nprompts: a.csv",
                           files={"a.csv": "prompt\na\nb\n"})  # fmt: skip
    assert problems == [
        "a.csv:1: a template uses 'promt', which is not a column; did you mean 'prompt'?"
    ]


def test_an_empty_prompt_is_never_sent(read: Read) -> None:
    """A template that gives nothing for a row is an error of that row."""
    head = "template: \"{{ style | default('') }} \"\nprompts: a.csv"
    seen = read("m.yaml", head, files={"a.csv": "prompt,style\na,ink\nb,\n"})
    assert seen.prompts == ["ink "]
    assert seen.problems == [
        "a.csv:3: prompt (column A): the template gives an empty text for this row"
    ]


def test_the_prompt_is_called_prompt_in_templates(read: Read) -> None:
    """The names in the model and in the spreadsheet do not matter."""
    schemas = OneSchema({"tags": {"type": "string"}}, required=["tags"])
    head = "template: '{{ prompt }}!'\nprompts: a.csv"
    seen = read("m.yaml", head, files={"a.csv": "tags\nrock\n"}, schemas=schemas)
    assert seen.jobs[0].input == {"tags": "rock!"}
    seen = read("m.yaml", head, files={"a.csv": "Caption\na\n"}, columns={"prompt": "Caption"})
    assert seen.prompts == ["a!"]


def test_a_matrix_key_must_mean_something(read: Read) -> None:
    """A key that is neither a parameter nor in the template would pay twice for the same."""
    (problem,) = problems_of(read, "m.yaml", "matrix: {stlye: [a, b]}\nprompts: [x]")
    assert "m.yaml:1: matrix.stlye: is not a parameter of" in problem
    assert "and no template uses it" in problem


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10**9 }}", "{{ 9**9**9 }}", "{% for i in x %}{% endfor %}", "{{ range(9) }}",
        "{{ x.__class__ }}", "{{ x.upper() }}", "{{ x['a']() }}", "{% set a = 1 %}",
        "{% include 'x' %}", "{{ x | center(10**9) }}", "{{ '%1000000000d' % 1 }}",
        "{{ '%999999999d' | format(1) }}", "{% macro m() %}{% endmacro %}", "{{ x", "{{ }}",
        "{{ x | nofilter }}", "{{" + "(" * 5000 + "x", "x" * 30_000,
    ],
)  # fmt: skip
def test_a_template_can_only_put_texts_together(source: str) -> None:
    """Anything that could run, loop, reach out or grow is refused before the first row."""
    with pytest.raises(InvalidValue):
        Template(source)


def test_replacing_cannot_be_chained_into_gigabytes() -> None:
    """Growth is stopped at a million characters."""
    chain = "{{ 'a' " + "| replace('a', 'aaaaaaaaaa') " * 12 + "}}"
    with pytest.raises(InvalidValue, match="too long"):
        Template(chain).render({})


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ x | upper }} {{ x[0] }}", "ABC a"),
        ("{% if y is defined %}{{ y }}{% else %}no{% endif %}", "no"),
        ("{{ x ~ '-' ~ x }}", "abc-abc"),
        ("{{ 'yes' if x == 'abc' else 'no' }}", "yes"),
        ("{{ x | replace('b', '') | title }}", "Ac"),
    ],
)
def test_useful_templates_work(source: str, text: str) -> None:
    """Case, defaults, choices and parts of a text."""
    assert Template(source).render({"x": "abc"}) == text
