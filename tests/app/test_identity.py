"""The identity of jobs over nights and versions: nothing that was paid for is ever new again."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.core.errors import ManifestError
from tests.core.test_canonical_input import SIGNATURES
from tests.kit.first_version import as_first_version, first_digest
from tests.kit.world import DAY_S, World

PICTURE = "https://store.example.com/raw/{}.jpg?page=1&"
MODEL = "acme/retouch/image-to-image"
SCHEMA = {
    "model_id": MODEL,
    "input_schema": {
        "type": "object",
        "required": ["prompt"],
        "properties": {
            "prompt": {"type": "string"},
            "image_url": {"type": "string", "format": "image_uri"},
        },
    },
}
Row = tuple[str, str, str]
"""Id, prompt and address."""


@pytest.fixture
def world() -> World:
    """An API in memory, whose jobs take ten seconds."""
    return a_world()


def a_world() -> World:
    world = World()
    world.api.models |= {MODEL}
    return world


def shop(directory: Path, rows: Sequence[Row], more: str = "") -> Path:
    """Write a manifest whose rows a script writes anew each night."""
    (directory / "model.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    lines = [
        json.dumps({"id": id_, "prompt": prompt, "image_url": url}) for id_, prompt, url in rows
    ]
    (directory / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    manifest = directory / "shop.yaml"
    manifest.write_text(
        f"model: {MODEL}\nschema: model.json\nprompts: {{file: rows.jsonl}}\n{more}",
        encoding="utf-8",
    )
    return manifest


def night(world: World, manifest: Path, *words: str) -> list[dict[str, object]]:
    """Run, and return what was submitted."""
    before = len(world.api.created)
    done = world.batchgen("run", manifest, "--no-download", "--model", MODEL, *words)
    assert done.code == 0, done.err
    ledger = manifest.with_name("shop.run") / "ledger.jsonl"
    if ledger.exists():  # an edited row waits until the old output is fetched
        fetched = ledger.read_bytes().replace(b'"state":"completed"', b'"state":"downloaded"')
        ledger.write_bytes(fetched)
    return [dict(values) for _, values in world.api.created[before:]]


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize("query", SIGNATURES.values(), ids=SIGNATURES)
def test_a_picture_that_is_signed_anew_is_bought_once(
    world: World, tmp_path: Path, query: str
) -> None:
    """With an id and without; what is new goes out with tonight's signature."""

    def rows(n: str, count: int) -> list[Row]:
        url = PICTURE + query.replace("{n}", n)
        return [("sku-1", "White", url.format(1)), ("", "White", url.format(2)),
                ("", "Black", url.format(3))][:count]  # fmt: skip

    first = night(world, shop(tmp_path, rows("1", 2)))
    again = night(world, shop(tmp_path, rows("27", 3)))

    assert [one["image_url"] for one in first] == [url for _, _, url in rows("1", 2)]
    assert [one["image_url"] for one in again] == [rows("27", 3)[2][2]]


@pytest.mark.parametrize("change", [
    decomposed, lambda text: f"{text} ", lambda text: f"\ufeff{text}", lambda text: f"\n{text}\t",
], ids=["decomposed", "blank", "mark", "line end"])  # fmt: skip
def test_a_file_that_another_program_saved_is_not_bought_again(
    world: World, tmp_path: Path, change: object
) -> None:
    """Neither with an id nor without; what is sent is the text as it is written."""
    assert callable(change)
    rows: list[Row] = [("", "Ein Frühstückstisch", ""), ("café", "A café at dusk", "")]
    saved = [(change(id_), change(prompt), url) for id_, prompt, url in rows]

    first = night(world, shop(tmp_path, saved))
    again = night(world, shop(tmp_path, rows))
    back = night(world, shop(tmp_path, [*saved, ("", change("Café"), "")]))

    assert [one["prompt"] for one in first] == [prompt for _, prompt, _ in saved]
    assert again == []
    assert back == [{"prompt": change("Café")}]
    states = (tmp_path / "shop.run" / "results.csv").read_text(encoding="utf-8")
    assert states.count("completed") + states.count("downloaded") == 3


def test_two_ids_that_look_alike_are_one(world: World, tmp_path: Path) -> None:
    """So they are an error that names both rows."""
    manifest = shop(tmp_path, [("café", "a", ""), (decomposed("café"), "b", "")])

    with pytest.raises(
        ManifestError, match=r"rows.jsonl:2: id.*'café' is the id of .*rows.jsonl:1"
    ):
        world.batchgen("run", manifest)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("word", ["café", "  café", "\ufeffcafé"])
def test_a_job_is_named_in_any_form(world: World, tmp_path: Path, form: str, word: str) -> None:
    """`--job` and `--select` compare names and cells as rows are compared."""
    rows: list[Row] = [("café", "Frühstück", ""), (decomposed("thé"), "Tee", "")]
    manifest = shop(tmp_path, rows)
    word = unicodedata.normalize(form, word)

    assert len(night(world, manifest, "--job", word)) == 1
    select = unicodedata.normalize(form, 'prompt ~ "FRÜHSTÜCK"')
    assert night(world, manifest, "--select", select) == []
    select = unicodedata.normalize(form, "id = 'thé '")
    assert [one["prompt"] for one in night(world, manifest, "--select", select)] == ["Tee"]


ids = st.sampled_from(["", "", "id {}", "café {}", decomposed("café {}"), "\ufeffmark {}"])
prompts = st.builds(
    lambda form, before, text, after: unicodedata.normalize(form, before + text + after),
    st.sampled_from(["NFC", "NFD"]), st.sampled_from(["", " ", "\ufeff", "\n"]),
    st.sampled_from(["a fox", "Füchse", "a \ufefffox", "Ångström Ω", "0"]),
    st.sampled_from(["", " ", "\n", "\u00a0"]),
)  # fmt: skip
queries = st.sampled_from(["", *SIGNATURES.values()])


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    kinds=st.lists(st.tuples(ids, prompts, queries), min_size=1, max_size=6),
    copies=st.integers(1, 2),
    with_inputs=st.booleans(),
    data=st.data(),
)
def test_what_the_first_versions_made_stays_made(
    kinds: list[tuple[str, str, str]], copies: int, with_inputs: bool, data: st.DataObject
) -> None:
    """By rows as they were, and, as far as the ledger says what was sent, in other bytes too.

    Whether downloaded, in flight when the update came, or going back to an earlier input.
    """

    def rows(n: str) -> list[Row]:
        return [
            (id_.format(place), prompt, f"{PICTURE}{query.replace('{n}', n)}".format(place))
            for place, (id_, prompt, query) in enumerate(kinds)
        ]

    more = f"repeat: {copies}\n"
    with TemporaryDirectory() as name:
        directory, world = Path(name), a_world()
        manifest = shop(directory, rows("1"), more)
        assert len(night(world, manifest)) == copies * len(kinds)
        ledger = directory / "shop.run" / "ledger.jsonl"
        spelled = {
            unicodedata.normalize("NFC", id_.replace("\ufeff", "")) + copy: id_ + copy
            for id_, _, _ in rows("1") if id_ for copy in ("", "~2")
        }  # fmt: skip
        if data.draw(st.booleans(), "interrupted"):
            lines = ledger.read_bytes().splitlines(keepends=True)
            accepted = [line for line in lines if b'"downloaded"' not in line]
            ledger.write_bytes(b"".join(accepted))
        as_first_version(ledger, spelled, with_inputs=with_inputs)

        assert night(world, manifest) == []
        assert night(world, manifest) == []
        if with_inputs:
            assert night(world, shop(directory, rows("27"), more)) == []
            changed = [(id_, prompt.swapcase(), url) for id_, prompt, url in rows("4")]
            night(world, shop(directory, changed, more))
            bought = len(world.api.created)
            assert night(world, shop(directory, rows("5"), more)) == []
            assert len(world.api.created) == bought


@pytest.mark.parametrize("with_inputs", [True, False])
def test_an_earlier_input_of_the_first_versions_is_gone_back_to(
    world: World, tmp_path: Path, *, with_inputs: bool
) -> None:
    """What was made for it is used, also if both inputs were made before the update."""
    before: Row = ("a", decomposed("Füchse "), "")
    after: Row = ("a", decomposed("Häschen "), "")
    night(world, shop(tmp_path, [before]))
    night(world, shop(tmp_path, [after]))
    as_first_version(tmp_path / "shop.run" / "ledger.jsonl", with_inputs=with_inputs)

    assert night(world, shop(tmp_path, [after])) == []
    assert night(world, shop(tmp_path, [before])) == []
    assert night(world, shop(tmp_path, [after])) == []


@pytest.mark.parametrize("state", ["failed", "in_doubt", "submitting", "cancelled"])
@pytest.mark.parametrize("with_inputs", [True, False])
def test_attempts_of_the_first_versions_count(
    world: World, tmp_path: Path, state: str, *, with_inputs: bool
) -> None:
    """What failed for good, is in doubt or was cancelled is not submitted by itself either."""
    manifest = shop(tmp_path, [("", decomposed("Füchse "), ""), ("é", decomposed("Häschen"), "")])
    night(world, manifest)
    ledger = tmp_path / "shop.run" / "ledger.jsonl"
    lines = [msgspec.json.decode(line) for line in ledger.read_bytes().splitlines()]
    intents = [line for line in lines if "input" in line]
    ends = [{**line, "state": state, "error": {"kind": "refused", "message": "no"}}
            for line in intents]  # fmt: skip
    kept = [lines[0], *intents, *ends]
    ledger.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in kept))
    as_first_version(ledger, {"é": decomposed("é")}, with_inputs=with_inputs)

    done = world.batchgen("run", manifest, "--no-download", "--model", MODEL)

    assert done.code == 1, done.err
    assert len(world.api.created) == 2


@pytest.mark.parametrize("with_inputs", [True, False])
def test_a_dated_directory_of_the_first_versions_is_continued(
    world: World, tmp_path: Path, *, with_inputs: bool
) -> None:
    """Rows that were not yet submitted there are, although they have another name now."""
    rows: list[Row] = [("", decomposed(f"Füchse {n}"), "") for n in range(3)]
    manifest = shop(tmp_path, rows, "run_dir: runs/{{ date }}\n")
    night(world, manifest, "--limit", "1")
    (directory,) = (tmp_path / "runs").iterdir()
    as_first_version(directory / "ledger.jsonl", with_inputs=with_inputs)
    names = [first_digest(MODEL, {"prompt": prompt}) for _, prompt, _ in rows]
    (directory / "jobs.jsonl").write_text("".join(f'"{name}"\n' for name in names))

    world.sleep(DAY_S)
    night(world, manifest)

    assert sorted(world.api.posts.values()) == [2, 2, 2]
