"""The meaning of columns: ours, parameters, carried, secret, mistyped, mapped."""

from __future__ import annotations

import pytest

from batchgen.core.suggest import nearest
from tests.kit import MODEL
from tests.manifest.conftest import NoSchemas, OneSchema, Read, problems_of


def test_names_match_in_any_case_and_with_blanks(read: Read) -> None:
    """` PROMPT ` is the prompt, and `Width×Height` the size."""
    seen = read("a.csv", " PROMPT ,Width×Height,SCALE\na,2048 x 2048,1\n")
    assert seen.jobs[0].input == {"prompt": "a", "width×height": "2048x2048(1:1)", "scale": 1}


@pytest.mark.parametrize("alias", ["size", "resolution", "width_height", "WidthxHeight"])
def test_the_size_has_friendlier_names(read: Read, alias: str) -> None:
    """They all become the API's own key, with U+00D7."""
    seen = read("a.csv", f"prompt,{alias}\na,1024×1024\n")
    assert seen.jobs[0].input["width×height"] == "1024x1024(1:1)"


def test_a_parameter_of_that_name_comes_first(read: Read) -> None:
    """If a model has its own `resolution`, that is meant."""
    schemas = OneSchema(
        {
            "prompt": {"type": "string"}, "width×height": {"type": "string"},
            "resolution": {"type": "string", "enum": ["720p", "1080p"]},
        }
    )  # fmt: skip
    seen = read("a.csv", "prompt,resolution\na,720P\n", schemas=schemas)
    assert seen.jobs[0].input == {"prompt": "a", "resolution": "720p"}


def test_two_columns_for_one_parameter_clash(read: Read) -> None:
    """Both given is an error that names both; one given is used."""
    seen = read("a.csv", "prompt,size,resolution\na,1024x1024,\nb,1024x1024,2048x2048\n")
    assert len(seen.jobs) == 1
    (problem,) = seen.problems
    assert problem.startswith("a.csv:3: resolution (column C): means 'width×height'")
    assert problem.endswith("and so does size (column B); keep one")


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        ("promt", "prompt"), ("prompts", "prompt"), ("scal", "scale"), ("sclae", "scale"),
        ("repaet", "repeat"), ("enable", "enabled"), ("modell", "model"), ("scake", "scale"),
        ("force single", "force_single"), ("sizes", "size"), ("resolutoin", "resolution"),
    ],
)  # fmt: skip
def test_a_column_one_typo_away_is_an_error_that_names_it(
    read: Read, column: str, meant: str
) -> None:
    """A mistyped parameter would silently not be sent."""
    text = f"prompt,{column}\na,1\n" if meant != "prompt" else f"{column}\na\n"
    assert any(
        f"did you mean {meant!r}?" in problem for problem in problems_of(read, "a.csv", text)
    )


def test_a_mistyped_column_makes_no_jobs(read: Read) -> None:
    """A fault of the header cannot be avoided by leaving out rows."""
    seen = read("a.csv", "prompt,scal\na,1\nb,7\n")
    assert seen.jobs == []
    assert [bad.fatal for bad in seen.bad] == [True]


def test_a_mistyped_key_is_its_rows_fault(read: Read) -> None:
    """In JSON lines and YAML every row has its own keys, so each is named and may be left out."""
    seen = read("a.jsonl", '{"prompt": "a"}\n{"prompt": "b", "scal": 1}\n')
    assert seen.prompts == ["a"]
    assert seen.problems[0].startswith("a.jsonl:2: scal: is not a parameter of")
    assert not seen.bad[0].fatal


@pytest.mark.parametrize("column", ["style", "category", "n", "idx", "note", "side", "prompt2"])
def test_other_columns_are_carried_and_never_sent(read: Read, column: str) -> None:
    """All other columns go to the results unchanged."""
    seen = read("a.csv", f"prompt,{column}\na, kept \n")
    assert seen.jobs[0].input == {"prompt": "a"}
    assert seen.jobs[0].columns[column] == " kept "


def test_a_typo_is_one_letter() -> None:
    """More, less, other, swapped; two letters off is another word."""
    for typo in ("scael", "scalee", "scal", "scule", "S-cale"):
        assert nearest(typo, ["style", "scale"]) == "scale"
    assert nearest("sacel", ["scale"]) is None
    assert nearest("id", ["ids"]) is None
    assert nearest("side", ["size"], other_letter=False) is None


PLACES = {
    "a column": ("a.csv", "prompt,{}\na,1\n"),
    "a key of a row": ("a.jsonl", '{{"prompt": "a", "{}": 1}}\n'),
    "defaults": ("m.yaml", "prompts: [a]\ndefaults: {{{}: 1}}\n"),
    "matrix": ("m.yaml", "prompts: [a]\nmatrix: {{{}: [1]}}\n"),
    "columns": ("m.yaml", "prompts: [a]\ncolumns: {{{}: steps}}\n"),
    "a variable of a template": ("m.yaml", "prompts: t.csv\ntemplate: '{{{{ {} }}}}'\n"),
    "a value of an enum": ("a.csv", "prompt,mode\na,{}\n"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "typo",
    ["num_inference_step", "num_inferense_steps", "num_inferecne_steps", "numInferenceSteps"],
)
def test_a_typo_is_caught_wherever_the_name_is_written(read: Read, place: str, typo: str) -> None:
    """The same mistake is a hint in one place and not silently carried in another."""
    name, content = PLACES[place]
    schemas = OneSchema(
        {
            "prompt": {"type": "string"}, "num_inference_steps": {"type": "integer"},
            "mode": {"type": "string", "enum": ["fast", "num_inference_steps"]},
        }
    )  # fmt: skip
    files = {"t.csv": "prompt,num_inference_steps\na,1\n"}
    problems = problems_of(read, name, content.format(typo), schemas=schemas, files=files)
    assert any("did you mean 'num_inference_steps'?" in problem for problem in problems)


def test_columns_can_be_mapped(read: Read) -> None:
    """Our words, parameters and templates over columns; the flag comes before the manifest."""
    seen = read(
        "m.yaml",
        "columns: {prompt: Bad, id: '{{ Category }}-{{ no }}', enabled: Active, scale: CFG}\n"
        "prompts: a.csv\n",
        files={"a.csv": "Caption,category,NO,active,cfg\na,Tulip,007,WAHR,0.5\nb,Rose,8,nein,\n"
               .replace("nein", "FALSCH")},
        columns={"prompt": "Caption"},
    )  # fmt: skip
    assert seen.problems == []
    assert [(job.id, job.input) for job in seen.jobs] == [
        ("Tulip-007", {"prompt": "a", "scale": 0.5})
    ]


def test_a_prompt_can_be_made_of_columns(read: Read) -> None:
    """`--column prompt=` takes a template too."""
    columns = {"prompt": "{{ subject }} by {{ artist }}"}
    seen = read("a.csv", "artist,subject\nGoya,a dog\n", columns=columns)
    assert seen.prompts == ["a dog by Goya"]


def test_a_mapped_column_that_does_not_exist_is_named(read: Read) -> None:
    """With the columns that exist, or the one that was meant."""
    problems = problems_of(read, "a.csv", "Caption,x\na,b\n", columns={"prompt": "Captoin"})
    assert problems[0] == "--column prompt: a.csv has no column 'Captoin'; did you mean 'caption'?"


def test_a_switch_takes_words_and_numbers(read: Read) -> None:
    """Rows are off if their cell says so in any of the usual ways; empty is on."""
    cells = ["TRUE", "yes", "1", "9", "x", "", "FALSE", "no", "0", "off"]
    text = "prompt,enabled\n" + "".join(f"p{n},{cell}\n" for n, cell in enumerate(cells))
    assert read("a.csv", text).prompts == [f"p{n}" for n in range(6)]
    assert problems_of(read, "a.csv", "prompt,enabled\na,perhaps\n") == [
        "a.csv:2: enabled (column B): expected true or false, got 'perhaps'"
    ]


@pytest.mark.parametrize("name", ["api_key", "Token", "PASSWORD", "secret", "authorization"])
def test_credentials_are_neither_sent_nor_shown(read: Read, name: str) -> None:
    """With one note; and no message or template shows them either."""
    seen = read("a.csv", f"prompt,{name},scale\na,s3cret,9\nb,s3cret,\nc,s3cret\n")
    assert all(name not in row.columns for row in [*seen.jobs, *seen.bad])
    assert "s3cret" not in repr(seen.bad) + repr(seen.jobs)
    assert seen.manifest.notes == (f"column {name!r} is neither sent nor shown",)
    assert name not in seen.manifest.columns


def test_a_template_cannot_reach_a_credential(read: Read) -> None:
    """Neither a template nor a mapping puts one into a prompt."""
    for how in ({"prompt": "{{ subject }} {{ token }}"}, {"prompt": "token"}):
        problems = problems_of(read, "a.csv", "subject,token\na,s3cret\n", columns=how)
        assert "which is not a column" in problems[0] or "has no column 'token'" in problems[0]
        assert "s3cret" not in str(problems)


def test_rows_may_name_their_models(read: Read) -> None:
    """Each row is read by its own model's schema; the flag is for rows that name none."""
    seen = read("a.csv", f"prompt,model,scale\na,,0.5\nb,x/y,0.5\nc,{MODEL},7\nd,nonsense,\n")
    assert [(job.model, job.input) for job in seen.jobs] == [
        (MODEL, {"prompt": "a", "scale": 0.5}),
        ("x/y", {"prompt": "b"}),
    ]
    assert seen.problems[0] == "a.csv:4: scale (column C): 7 is above the maximum 1; allowed 0 to 1"
    assert seen.problems[1].startswith("a.csv:5: model (column B): 'nonsense' is not a valid model")
    assert seen.manifest.notes == ("no schema is known for x/y: nothing of its rows was validated",)


def test_no_model_at_all_is_an_error(read: Read) -> None:
    """Nothing is guessed about what to pay for."""
    assert "no model; name one" in problems_of(read, "a.csv", "prompt\na\n", model=None)[0]


def test_without_a_schema_only_the_prompt_is_a_column_to_send(read: Read) -> None:
    """Settings, and rows in the manifest itself, are sent as parameters all the same."""
    seen = read("a.csv", "prompt,seed\na,5\n", schemas=NoSchemas(), params={"steps": "20"})
    assert seen.jobs[0].input == {"prompt": "a", "steps": 20}
    seen = read("m.yaml", "prompts: [{prompt: a, seed: 5, id: x}]", schemas=NoSchemas())
    assert seen.jobs[0].input == {"prompt": "a", "seed": 5}
    assert problems_of(read, "a.csv", "prompt,x\n,b\n", schemas=NoSchemas()) == [
        f"a.csv:2: prompt (column A): is empty; {MODEL} needs it"
    ]


def test_the_prompt_has_the_models_own_name(read: Read) -> None:
    """If there is no `prompt`, it is the required text parameter."""
    schemas = OneSchema(
        {"tags": {"type": "string"}, "lyrics": {"type": "string"}}, required=["tags"]
    )
    for header in ("prompt", "tags"):
        seen = read("a.csv", f"{header},lyrics\nrock,la\n", schemas=schemas)
        assert seen.jobs[0].input == {"tags": "rock", "lyrics": "la"}


def test_a_model_without_a_prompt_says_so(read: Read) -> None:
    """A prompt that would silently not be sent is an error that lists the parameters."""
    schemas = OneSchema({"image": {"type": "string"}, "text": {"type": "string"}})
    (problem,) = problems_of(read, "a.csv", "prompt,image\na,b\n", schemas=schemas)
    assert "has no prompt; its parameters are image, text; say which one is meant" in problem
    columns = {"text": "prompt"}
    seen = read("a.csv", "prompt,image\na,b\n", schemas=schemas, columns=columns)
    assert seen.jobs[0].input == {"text": "a", "image": "b"}


@pytest.mark.parametrize(
    ("schema", "cell", "value"),
    [
        ({"type": "array", "format": "image_uris"}, "https://a.b/1.png\nhttps://a.b/2.png",
         ["https://a.b/1.png", "https://a.b/2.png"]),
        ({"type": "array", "items": {"type": "object"}}, '[{"path": "x", "scale": 1}]',
         [{"path": "x", "scale": 1}]),
        ({"type": "object"}, '{"path": "x"}', {"path": "x"}),
        ({"type": "string", "enum": ["auto", "5", "10"]}, "5", "5"),
        ({"type": "integer", "enum": [5, 10]}, "5.0", 5),
        ({"type": "integer"}, "5.0", 5),
        ({"type": "string", "enum": ["16:9", "1:1"]}, "16:09:00", "16:9"),
    ],
)  # fmt: skip
def test_cells_become_what_the_schema_wants(
    read: Read, schema: dict[str, object], cell: str, value: object
) -> None:
    """Lists, objects, texts that look like numbers, and what Excel makes of ratios."""
    schemas = OneSchema({"prompt": {"type": "string"}, "extra": schema})
    quoted = cell.replace('"', '""')
    seen = read("a.csv", f'prompt,extra\na,"{quoted}"\n', schemas=schemas)
    assert seen.jobs[0].input["extra"] == value
