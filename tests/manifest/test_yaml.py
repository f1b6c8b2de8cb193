"""YAML manifests: settings, the entries of `prompts:`, and plain words as YAML reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.core.errors import ManifestError, ManifestNotFound
from batchgen.core.run_limits import Allowance, Period
from tests.kit import MODEL
from tests.manifest.conftest import OneSchema, Read, problems_of


def test_the_documented_manifest_reads(read: Read) -> None:
    """Strings, mappings and files, defaults, template, matrix and repeat work together."""
    seen = read(
        "m.yaml",
        f"""
model: {MODEL}
defaults: {{size: 2048x2048, scale: 0.6}}
prompts:
  - A lighthouse at dusk, oil painting
  - {{id: fox-hero, prompt: A red fox in snow, scale: 0.8}}
  - file: spring.csv
template: "{{{{ prompt }}}}, {{{{ style }}}}"
matrix: {{style: [watercolour, linocut], size: [1024x1024, 2560x1440]}}
repeat: 2
run: {{concurrency: 8, max_cost: 20}}
columns: {{prompt: Caption, id: "{{{{ category }}}}-{{{{ no }}}}", enabled: active}}
output: {{dir: outputs, name: "{{{{ id }}}}-{{{{ index }}}}"}}
run_dir: runs/{{{{ date }}}}
""",
        files={
            "spring.csv": "category;no;Caption;scale;active\nTulip;007;A tulip;0,5;ja\n"
            "Rose;8;A rose;;no\n".replace("ja", "yes")
        },
        model=None,
    )
    assert seen.problems == []
    assert len(seen.jobs) == 3 * 2 * 2 * 2
    fox = next(job for job in seen.jobs if job.id == "fox-hero~style=linocut~size=2560x1440~2")
    assert fox.input == {
        "prompt": "A red fox in snow, linocut", "width×height": "2560x1440(16:9)", "scale": 0.8,
    }  # fmt: skip
    tulip = next(job for job in seen.jobs if job.id.startswith("Tulip-007~style=watercolour"))
    assert tulip.input["scale"] == 0.5
    assert str(tulip.where) == "spring.csv:2"
    settings = seen.manifest.settings
    assert settings.run == {"concurrency": 8, "max_cost": (Allowance(20, Period.RUN),)}
    assert (settings.output.dir, settings.output.name) == ("outputs", "{{ id }}-{{ index }}")
    assert settings.run_dir == "runs/{{ date }}"


@pytest.mark.parametrize("word", ["no", "2024-01-01", "007", "1.0", "16:9", "0x1F", "on", "1e3"])
def test_a_prompt_is_what_is_written(read: Read, word: str) -> None:
    """A word that YAML reads as a switch, a date or a number is still the prompt's text."""
    seen = read("m.yaml", f"prompts:\n  - {word}\n  - {{prompt: {word}, id: {word}x}}\n")
    assert seen.prompts == [word, word]


def test_ids_keep_their_zeros(read: Read) -> None:
    """`id: 007` is the id 007."""
    assert read("m.yaml", "prompts: [{id: 007, prompt: a}]").ids == ["007"]


def test_values_become_the_schemas_types(read: Read) -> None:
    """Plain and quoted YAML values are read by the schema, not by YAML."""
    seen = read("m.yaml", "prompts: [{prompt: a, scale: '0.5', force_single: yes}]")
    assert seen.jobs[0].input == {"prompt": "a", "scale": 0.5, "force_single": True}


def test_problems_name_the_line_of_the_row(read: Read) -> None:
    """A mapping is found again by the line on which it begins."""
    seen = read("m.yaml", "prompts:\n  - a\n  - prompt: b\n    scale: 3\n")
    assert seen.problems == ["m.yaml:3: scale: 3 is above the maximum 1; allowed 0 to 1"]


def test_rows_in_the_manifest_use_our_words_whatever_the_spreadsheet_calls_them(read: Read) -> None:
    """`columns:` says how a file names our columns; rows written here need no such names."""
    seen = read(
        "m.yaml",
        "columns: {prompt: Caption, id: '{{ nr }}'}\n"
        "prompts: [plain, {prompt: own, id: x}, {file: a.csv}]\n",
        files={"a.csv": "Caption,nr\nfiled,7\n"},
    )
    assert seen.problems == []
    assert seen.prompts == ["plain", "own", "filed"]
    assert seen.ids[1:] == ["x", "7"]


def test_a_file_may_be_named_alone(read: Read) -> None:
    """`prompts: spring.txt` is the file's rows."""
    assert read("m.yaml", "prompts: a.txt", files={"a.txt": "one\n\ntwo\n"}).prompts == [
        "one",
        "two",
    ]


def test_a_row_comes_before_the_command_line_and_that_before_defaults(read: Read) -> None:
    """The order is defaults, --param, row, matrix."""
    manifest = (
        "defaults: {scale: 0.1, size: 1024x1024, force_single: false}\n"
        "matrix: {force_single: [true]}\nprompts: [{prompt: a, scale: 0.3}, b]\n"
    )
    seen = read("m.yaml", manifest, params={"scale": "0.2", "size": "2048x2048"})
    assert [job.input["scale"] for job in seen.jobs] == [0.3, 0.2]
    assert {job.input["width×height"] for job in seen.jobs} == {"2048x2048(1:1)"}
    assert {job.input["force_single"] for job in seen.jobs} == {True}


def test_a_row_that_gives_a_matrix_key_is_an_error(read: Read) -> None:
    """Neither of the two can win silently; both places are named."""
    text = "matrix: {size: [1024x1024]}\nprompts:\n- {prompt: a, resolution: 1024x1024}\n"
    assert read("m.yaml", text).problems == [
        "m.yaml:3: resolution: the row gives it and m.yaml:1: matrix.size too; keep one"
    ]


def test_every_problem_is_reported_at_once(read: Read) -> None:
    """Faults of the settings and of the rows come together."""
    text = "promts: []\nrun: {max_cots: 3, base_url: http://x}\nprompts: [{prompt: a, scale: 2}]\n"
    assert problems_of(read, "m.yaml", text) == [
        "m.yaml:1: promts: unknown key; did you mean 'prompts'?",
        "m.yaml:2: run.max_cots: unknown key; did you mean 'max_cost'?",
        "m.yaml:2: run.base_url: cannot be set in a manifest; use the flag or the environment",
        "m.yaml:3: scale: 2 is above the maximum 1; allowed 0 to 1",
    ]


@pytest.mark.parametrize("key", ["base_url", "log_file", "ping", "notify", "metrics", "sandbox"])
def test_a_manifest_cannot_say_where_things_go(read: Read, key: str) -> None:
    """A colleague's manifest sets no address, log or news target."""
    (problem,) = problems_of(read, "m.yaml", f"run: {{{key}: x}}\nprompts: [a]\n")
    assert f"run.{key}: cannot be set in a manifest" in problem


def test_a_key_that_is_given_twice_is_an_error(read: Read) -> None:
    """The second would silently win."""
    text = "prompts: [a]\nrepeat: 2\nrepeat: 20\n"
    assert problems_of(read, "m.yaml", text) == [
        "m.yaml:3: 'repeat' is given twice; the first is on line 2"
    ]


def test_files_stay_beside_the_manifest(read: Read, tmp_path: Path) -> None:
    """Neither dots nor links lead out of the manifest's directory, unless that is allowed."""
    (tmp_path / "secret.txt").write_text("secret\n")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "link.txt").symlink_to(tmp_path / "secret.txt")
    for name in ("../secret.txt", "link.txt", str(tmp_path / "secret.txt")):
        text = f"prompts: [{{file: {name}}}]"
        (problem,) = problems_of(read, "jobs/m.yaml", text)
        assert "outside of the manifest's directory" in problem
        assert read("jobs/m.yaml", text, allow_outside=True).prompts == ["secret"]


def test_a_missing_file_names_its_path(read: Read) -> None:
    """A missing file, the manifest or one that it names, is exit 66 with its name."""
    with pytest.raises(ManifestNotFound, match=r"m\.yaml:1: file: gone\.csv: no such file"):
        read("m.yaml", "prompts: [{file: gone.csv}]")
    with pytest.raises(ManifestNotFound, match=r"gone\.yaml: no such file"):
        read("gone.yaml")
    with pytest.raises(ManifestNotFound, match="is a directory"):
        read(".")


def test_merge_keys_and_aliases_work(read: Read) -> None:
    """Ordinary YAML reuse is not taken for a bomb."""
    text = "prompts:\n  - &a {prompt: a, scale: 0.5}\n  - {<<: *a, prompt: b}\n  - *a\n"
    seen = read("m.yaml", text)
    assert seen.prompts == ["a", "b", "a"]
    assert {job.input["scale"] for job in seen.jobs} == {0.5}
    assert seen.ids[2] == f"{seen.ids[0]}~2"


def test_a_bomb_of_aliases_is_refused(read: Read) -> None:
    """A few lines cannot grow into gigabytes."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ManifestError, match="aliases repeat more than"):
        read("m.yaml", "\n".join(lines))


@pytest.mark.parametrize("nest", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000])
def test_deep_nesting_is_refused(read: Read, nest: str) -> None:
    """Depth is a message, not a crash."""
    with pytest.raises(ManifestError, match=r"nested more than|not valid YAML"):
        read("m.yaml", nest)


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:os.system [ls]", "prompts: [!!python/name:os.system x]", "&a [*a]"],
)
def test_yaml_makes_no_objects(read: Read, text: str) -> None:
    """Tags that would run code, and structures that contain themselves, are refused."""
    with pytest.raises(ManifestError, match=r"not allowed|is not known here"):
        read("m.yaml", text)


def test_a_schema_beside_the_manifest_is_used(read: Read) -> None:
    """`schema:` comes before any other source, and may be a whole catalogue entry."""
    schema = '{"properties": {"text": {"type": "str", "maxLength": 3}}, "required": ["text"]}'
    for body in (schema, f'{{"model_id": "a/b", "input_schema": {schema}}}'):
        text = "schema: s.json\nprompts: [abc, abcd]"
        seen = read("m.yaml", text, files={"s.json": body}, model="a/b")
        assert [job.input for job in seen.jobs] == [{"text": "abc"}]
        assert seen.problems == [
            "m.yaml:2: prompt: has 4 characters, at most 3 are allowed: 'abcd'"
        ]
        assert seen.manifest.origins == {"a/b": "s.json, which the manifest names"}


def test_the_schema_that_a_batch_began_with_comes_first(read: Read) -> None:
    """The schema of an earlier run comes before even the manifest's own `schema:`."""
    pinned = OneSchema({"prompt": {"type": "string", "maxLength": 1}})
    files = {"s.json": '{"properties": {"prompt": {"type": "string"}}}'}
    seen = read("m.yaml", "schema: s.json\nprompts: [ab]", files=files, pinned=pinned)
    assert seen.problems == ["m.yaml:2: prompt: has 2 characters, at most 1 are allowed: 'ab'"]
    assert seen.manifest.schemas == {MODEL: pinned.schema}


def test_a_manifest_without_rows_is_an_error(read: Read) -> None:
    """Nothing to do is a mistake, not a success."""
    assert problems_of(read, "m.yaml", "prompts: []") == ["m.yaml: has no rows"]
    assert problems_of(read, "m.yaml", "run: {}") == [
        "m.yaml: prompts: is missing; name a file or list the prompts"
    ]
    assert problems_of(read, "a.csv", "prompt\n\n") == ["a.csv: has no rows"]
    assert problems_of(read, "a.csv", "prompt,enabled\na,no\nb,0\n") == [
        "a.csv: all 2 rows are switched off by their `enabled` column"
    ]


def test_a_list_alone_is_a_manifest(read: Read) -> None:
    """A file that is only a list of prompts needs no settings."""
    assert read("m.yaml", "- a\n- {prompt: b}\n").prompts == ["a", "b"]
