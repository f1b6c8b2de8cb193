"""Picks by chance: wildcards in prompts, a sample of a matrix, and that both stay as they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.jobs import Job
from batchgen.core.schema.values import InvalidValue
from batchgen.manifest.header import BadRow
from batchgen.manifest.manifest import open_manifest
from batchgen.manifest.row_options import RowOptions
from batchgen.manifest.sampling import MAX_PICKED_FROM, Wildcards, picked, sampled
from tests.manifest.conftest import NoSchemas

HEAD = "model: a/b\nwildcards: true\n"
OPTIONS = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=6, unique=True)


def jobs(path: Path, text: str, seed: int = 7) -> dict[str, str]:
    manifest = path / "m.yaml"
    manifest.write_text(text)
    rows = list(open_manifest(manifest, RowOptions(seed=seed), NoSchemas()).rows())
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert not bad, bad
    return {row.id: str(row.input["prompt"]) for row in rows if isinstance(row, Job)}


def faults(path: Path, text: str) -> str:
    manifest = path / "m.yaml"
    manifest.write_text(text)
    rows = open_manifest(manifest, RowOptions(seed=7), NoSchemas()).rows()
    return "\n".join(str(one) for row in rows if isinstance(row, BadRow) for one in row.problems)


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    (tmp_path / "style.txt").write_text("# styles\nink\n\noil\nwatercolour\n", encoding="utf-8-sig")
    (tmp_path / "deep.txt").write_text("a {red|blue} one in __style__\n")
    (tmp_path / "circle.txt").write_text("again __circle__\n")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    return tmp_path


def test_every_wildcard_is_picked(lists: Path) -> None:
    found = jobs(lists, HEAD + 'repeat: 40\nprompts: ["__deep__, {x|y|{z|w}}, {as it is} __ _a_"]')
    colours = Counter(text.split()[1] for text in found.values())
    styles = Counter(text.split()[4].strip(",") for text in found.values())
    assert set(colours) == {"red", "blue"}
    assert set(styles) == {"ink", "oil", "watercolour"}
    assert all(text.endswith("{as it is} __ _a_") for text in found.values())
    assert {text.split(", ")[1][0] for text in found.values()} == set("xyzw")


def test_without_the_switch_nothing_is_picked(lists: Path) -> None:
    assert list(jobs(lists, 'model: a/b\nprompts: ["__style__ {a|b}"]').values()) == [
        "__style__ {a|b}"
    ]


def test_the_same_seed_gives_the_same_jobs_in_any_order(lists: Path) -> None:
    rows = [f"  - {{id: r{n}, prompt: 'a __style__ {{boat|car}} {n}'}}\n" for n in range(20)]
    rows += [f"  - 'no id {n} __style__'\n" for n in range(20)]
    head = HEAD + "repeat: 2\nprompts:\n"
    first = jobs(lists, head + "".join(rows))
    assert jobs(lists, head + "".join(reversed(rows))) == first
    assert jobs(lists, head + "".join(rows[5:])).items() <= first.items()
    assert jobs(lists, head + "".join(rows), seed=8) != first


def test_equal_rows_have_picks_of_their_own(lists: Path) -> None:
    found = jobs(lists, HEAD + "prompts:\n" + "  - a {a|b|c|d|e|f|g|h} boat\n" * 8)
    assert len(set(found.values())) > 3


def test_a_matrix_is_picked_from_for_every_prompt_alike(lists: Path) -> None:
    matrix = "matrix: {x: [1, 2, 3, 4, 5, 6], y: [a, b, c]}\nsample: 5\n"
    head = "model: a/b\ntemplate: '{{ prompt }} {{ x }} {{ y }}'\n" + matrix
    found = jobs(lists, head + "prompts: [{id: p, prompt: p}, {id: q, prompt: q}]")
    assert len(found) == 10
    assert {job[1:] for job in found if job[0] == "p"} == {
        job[1:] for job in found if job[0] == "q"
    }
    more = jobs(lists, head.replace("sample: 5", "sample: 6") + "prompts: [{id: p, prompt: p}]")
    assert len(more) == 6
    assert {job for job in found if job[0] == "p"} < set(more)
    assert len(jobs(lists, head.replace("5\n", "50\n") + "prompts: [{id: p, prompt: p}]")) == 18


def test_a_sample_of_models(lists: Path) -> None:
    text = (
        "matrix: {model: [a/b, c/d, e/f], x: [1, 2, 3]}\nsample: 4\n"
        "template: '{{ prompt }} {{ x }}'\nprompts: [{id: p, prompt: p}]"
    )
    assert len(jobs(lists, text)) == 4


MISTAKES = {
    "__stile__": "m.yaml:3: prompt: __stile__ needs a file stile.txt beside the manifest;"
    " did you mean 'style'?",
    "__empty__": "__empty__: empty.txt has no lines to pick from",
    "__circle__": "has more than 1,000 wildcards, or some in a circle",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes(lists: Path, text: str) -> None:
    said = faults(lists, f"{HEAD}prompts: ['{text}']").replace(f"{lists}/", "")
    assert MISTAKES[text] in said


def test_a_sample_needs_a_matrix(lists: Path) -> None:
    from batchgen.core.errors import ManifestError

    with pytest.raises(ManifestError, match="picks from `matrix:`, and there is none"):
        faults(lists, "model: a/b\nsample: 3\nprompts: [a]")
    with pytest.raises(InvalidValue, match="at most 1,000,000"):
        sampled({str(n): ["a"] * 11 for n in range(6)}, 3, 0)
    assert MAX_PICKED_FROM < 11**6


def test_a_list_stays_in_its_directory(lists: Path) -> None:
    (lists / "link.txt").symlink_to("/etc/hostname")
    assert "outside of the manifest's directory" in faults(lists, HEAD + "prompts: [__link__]")
    wildcards = Wildcards(base_dir=lists, seed=0, is_fetched=True)
    with pytest.raises(InvalidValue, match="a manifest from an address cannot name"):
        wildcards.expanded("__style__", "k")


@given(OPTIONS, st.text("xyz", min_size=1, max_size=2), st.text(max_size=5))
def test_a_further_option_changes_no_other_pick(options: list[str], new: str, key: str) -> None:
    before = picked(options, key)
    after = picked([*options, new], key)
    assert after in (before, new)
    assert picked(list(reversed(options)), key) == before


@given(OPTIONS)
def test_every_option_is_picked_for_some_key(options: Sequence[str]) -> None:
    assert {picked(options, str(n)) for n in range(400)} == set(options)
