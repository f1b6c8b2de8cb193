"""Names of jobs: unique, and the same again after an edit elsewhere in the manifest."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.core.jobs import fingerprint
from batchgen.manifest.job_ids import JobIds, suffix
from tests.kit import MODEL
from tests.manifest.conftest import Read, problems_of


def test_a_row_without_an_id_is_named_by_its_input(read: Read) -> None:
    """The name is the digest of model and input, so rows may move."""
    seen = read("a.csv", "prompt,scale,note\na,0.50,x\nb,,y\n")
    inputs = ({"prompt": "a", "scale": 0.5}, {"prompt": "b"})
    assert seen.ids == [fingerprint(MODEL, one) for one in inputs]
    moved = read("b.csv", 'note,prompt,scale\n,new,\n,b,\nedited,a,"0.5"\n')
    assert moved.ids[1:] == seen.ids[::-1]


def test_equal_rows_and_copies_are_numbered(read: Read) -> None:
    """The second of equal jobs is `~2`, by rows as by `repeat`."""
    seen = read("a.csv", "id,prompt,repeat\n,a,\n,a,2\nx,b,3\n")
    digest = seen.ids[0]
    assert seen.ids == [digest, f"{digest}~2", f"{digest}~3", "x", "x~2", "x~3"]


def test_a_rows_own_repeat_replaces_the_manifests(read: Read) -> None:
    """`repeat: 2` above, 1 in the row: one job."""
    text = "repeat: 2\nprompts: [{id: a, prompt: a, repeat: 1}, {id: b, prompt: b}]"
    assert read("m.yaml", text).ids == ["a", "b", "b~2"]


def test_the_same_id_twice_names_both_rows(read: Read) -> None:
    """Both places are told, across files too, and under a matrix as without."""
    assert read("a.csv", "id,prompt\nfox,a\n\nfox,b\n").problems == [
        "a.csv:4: id (column A): 'fox' is the id of a.csv:2 too; every row needs its own"
    ]
    text = "matrix: {scale: [0, 1]}\nprompts: [{id: fox, prompt: a}, {file: a.csv}]"
    seen = read("m.yaml", text, files={"a.csv": "id,prompt\nfox,b\n"})
    assert seen.problems == [
        "a.csv:2: id (column A): 'fox' is the id of m.yaml:2 too; every row needs its own"
    ]


def test_a_copy_cannot_take_another_rows_id(read: Read) -> None:
    """`fox~2` of a repeat and a row that is called `fox~2` are told apart."""
    (problem,) = read("a.csv", "id,prompt,repeat\nfox~2,a,\nfox,b,2\n").problems
    assert "a copy would be called 'fox~2', as a.csv:2 is" in problem


def test_matrix_values_in_ids_are_short_and_safe() -> None:
    """Plain words stand as they are; anything else is cut and told apart by a digest."""
    assert suffix([("style", "oil paint"), ("size", "1024x1024(1:1)")]) == (
        "~style=oil paint~size=1024x1024(1:1)"
    )
    a, b = suffix([("k", "x/y" + "z" * 100)]), suffix([("k", "x/y" + "z" * 101)])
    assert a != b
    assert len(a) < 45
    assert "/" not in a


@pytest.mark.parametrize(
    ("id_", "what"), [("x" * 201, "201 characters"), ("a\tb", "control character")]
)
def test_an_unusable_id_is_an_error(read: Read, id_: str, what: str) -> None:
    """An id is one line of at most 200 characters."""
    assert what in problems_of(read, "a.csv", f'id,prompt\n"{id_}",a\n')[0]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["", "a", "b", "a~2"]), st.sampled_from("pq"), st.integers(1, 3)),
        min_size=1,
        max_size=8,
    )
)
def test_no_two_jobs_share_a_name(read: Read, rows: list[tuple[str, str, int]]) -> None:
    """With any ids, equal rows and copies, names are unique or the row is an error."""
    text = "id,prompt,repeat\n" + "".join(f"{i},{p},{n}\n" for i, p, n in rows)
    seen = read("a.csv", text)
    assert len(set(seen.ids)) == len(seen.ids)
    assert {job.where.row for job in seen.jobs} | {bad.where.row for bad in seen.bad} == set(
        range(2, len(rows) + 2)
    )


def test_a_name_asked_for_again_gets_the_next_number() -> None:
    """Numbers that a row's own id has taken are passed over."""
    ids = JobIds()
    assert ids.claim("x~2", "a.csv", 2) is None
    assert [ids.take("x", "a.csv", row) for row in (3, 4, 5)] == ["x", "x~3", "x~4"]
    assert str(ids.claim("x~3", "b.csv", 9)) == "a.csv:4"
