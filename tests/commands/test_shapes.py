"""What shapes a batch, end to end: selections, invalid rows, equal rows, schemas, budgets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from tests.commands.test_run import QUICK, results
from tests.kit import MODEL
from tests.kit.ledger_view import states
from tests.kit.live import accepted, batchgen, live_sandbox, prompts, write_csv


@pytest.mark.slow
def test_rows_by_what_stands_in_their_columns(tmp_path: Path) -> None:
    """--select runs only those, and the directory remembers it."""
    manifest = write_csv(
        tmp_path / "m.csv", ["a,one,DE", "b,two,FR", "c,three,DE"], header="id,prompt,market"
    )

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = batchgen("run", manifest, "--select", "market = DE", sandbox=sandbox)
        again = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

        everything = batchgen("run", manifest, "--select", "", sandbox=sandbox)
        at_last = accepted(sandbox)

    assert (done.code, again.code, everything.code) == (0, 0, 0), done.err
    assert paid == {"one": 1, "three": 1}
    assert "still applies" in again.err
    assert at_last == {"one": 1, "two": 1, "three": 1}


@pytest.mark.slow
def test_jobs_by_their_state(tmp_path: Path) -> None:
    """--select state=in_doubt means those, and --in-doubt resubmit sends them."""
    manifest = prompts(tmp_path / "m.csv", 4)

    with live_sandbox(SandboxConfig(faults=("submit:500:first=1",), **QUICK)) as sandbox:
        batchgen("run", manifest, "--limit", "2", sandbox=sandbox)
        done = batchgen(
            "run", manifest, "--select", "state = in_doubt", "--in-doubt", "resubmit",
            sandbox=sandbox,
        )  # fmt: skip
        paid = accepted(sandbox)
        rest = batchgen("run", manifest, sandbox=sandbox)
        at_last = accepted(sandbox)

    assert (done.code, rest.code) == (0, 0), done.err
    assert len(paid) == 2
    assert set(at_last.values()) == {1}, "a state is asked for once, not for ever"
    assert len(at_last) == 4
    assert set(states(tmp_path / "m.run").values()) == {"downloaded"}


def test_wrong_rows_may_be_left_out(tmp_path: Path) -> None:
    """They show as invalid in the results, with the reason, and the exit code is 1."""
    manifest = write_csv(
        tmp_path / "m.csv", ["a,one,0.5", "b,two,1.5", "c,three,"], header="id,prompt,scale"
    )

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = batchgen("run", manifest, "--skip-invalid", sandbox=sandbox)
        paid = accepted(sandbox)

    assert done.code == 1
    assert paid == {"one": 1, "three": 1}
    rows = results(tmp_path / "m.run")
    assert [row["state"] for row in rows] == ["downloaded", "invalid", "downloaded"]
    assert "above the maximum 1" in rows[1]["error"]
    assert rows[1]["prompt"] == "two"


def test_a_faulty_header_is_no_row_to_leave_out(tmp_path: Path) -> None:
    """A column one typo away from a parameter stops the run in any case."""
    manifest = write_csv(tmp_path / "m.csv", ["a,one,0.5"], header="id,prompt,scal")

    done = batchgen("run", manifest, "--skip-invalid")

    assert done.code == 65
    assert "did you mean 'scale'" in done.err


def test_equal_rows_are_pointed_out_and_made(tmp_path: Path) -> None:
    """With their count and the first pair; each is a job of its own, tonight and tomorrow."""
    manifest = write_csv(tmp_path / "m.csv", ["one", "two", "one", "one"], header="prompt")

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = batchgen("run", manifest, sandbox=sandbox)
        again = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert "2 rows repeat an earlier row (first: row 4 repeats row 2); each will be" in done.err
    assert paid == {"one": 3, "two": 1}
    assert again.code == 0


def test_matrix_repeat_and_template(tmp_path: Path) -> None:
    """Every combination per prompt, with ids that say which is which."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text(f"""
model: {MODEL}
template: "{{{{ prompt }}}}, {{{{ style }}}}"
matrix: {{style: [watercolour, linocut], size: [1024x1024, "2560x1440"]}}
repeat: 2
prompts: [{{id: fox, prompt: A fox}}]
""")

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = batchgen("run", manifest, sandbox=sandbox)
        sent = sandbox.audit.requests

    assert done.code == 0, done.err
    assert len(sent) == 8
    assert {request.prompt for request in sent} == {"A fox, watercolour", "A fox, linocut"}
    assert len(states(tmp_path / "m.run")) == 8


def test_a_workbook_runs(tmp_path: Path) -> None:
    """The .xlsx of a colleague, as it is."""
    from tests.manifest.workbooks import workbook

    manifest = tmp_path / "m.xlsx"
    manifest.write_bytes(workbook({"Spring": [["id", "prompt"], ["0012", "one"], ["b", "two"]]}))

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert done.code == 0, done.err
    assert paid == {"one": 1, "two": 1}
    assert (tmp_path / "m.run/outputs/0012-1.png").exists()


def test_the_schema_first_used_decides_until_it_is_removed(tmp_path: Path) -> None:
    """A catalogue that changes its types overnight makes no other jobs of the same rows."""
    before = {"model_id": "some/model", "input_schema": {
        "type": "object", "required": ["prompt"],
        "properties": {"prompt": {"type": "string"}, "steps": {"type": "integer"}}}}  # fmt: skip
    after = json.loads(json.dumps(before).replace("integer", "string"))
    models = tmp_path / "models"
    models.mkdir()
    manifest = write_csv(tmp_path / "m.csv", ["one,20"], header="prompt,steps")

    paid = 0
    for entry in (before, after):
        (models / "some.json").write_text(json.dumps(entry))
        with live_sandbox(SandboxConfig(models=(models,), **QUICK)) as sandbox:
            done = batchgen("run", manifest, "--model", "some/model", sandbox=sandbox)
            assert done.code == 0, done.err
            paid += len(sandbox.audit.requests)

    assert paid == 1
    assert (tmp_path / "m.run/schemas").is_dir()


@pytest.mark.slow
def test_the_plan_says_what_it_costs(tmp_path: Path) -> None:
    """By the catalogue, before anything is spent; for a program too."""
    manifest = prompts(tmp_path / "m.csv", 5)

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, "--limit", "2", sandbox=sandbox)
        plan = batchgen("run", manifest, "--dry-run", sandbox=sandbox)
        as_json = batchgen("run", manifest, "--dry-run", "--json", sandbox=sandbox)

    assert "3 jobs to submit, about $0.09" in plan.out
    found = json.loads(as_json.out)
    assert (found["submissions"], found["cost_usd"]) == (3, 0.09)
    assert found["groups"]["done"]["jobs"] == 2


def test_a_budget_stops_and_is_kept_over_runs(tmp_path: Path) -> None:
    """75, what is left is said; the same command spends nothing more, a higher limit does."""
    manifest = prompts(tmp_path / "m.csv", 6)

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        first = batchgen("run", manifest, "--max-cost", "0.10", sandbox=sandbox)
        second = batchgen("run", manifest, "--max-cost", "0.10", sandbox=sandbox)
        spent = len(sandbox.audit.requests)
        third = batchgen("run", manifest, "--max-cost", "1/day", sandbox=sandbox)

    assert (first.code, second.code, third.code) == (75, 75, 0), first.err
    assert spent == 3
    assert "budget" in first.err


def test_no_price_no_budget(tmp_path: Path) -> None:
    """65 before the first POST, unless the user says what a job costs."""
    manifest = prompts(tmp_path / "m.csv", 2)
    models = tmp_path / "models"
    models.mkdir()
    entry = {"model_id": "some/model", "price_unit": "megapixel", "base_price_usd": 0.01,
             "input_schema": {"properties": {"prompt": {"type": "string"}}}}  # fmt: skip
    (models / "some.json").write_text(json.dumps(entry))

    with live_sandbox(SandboxConfig(models=(models,), **QUICK)) as sandbox:
        words = ("run", manifest, "--model", "some/model", "--max-cost", "1")
        refused = batchgen(*words, sandbox=sandbox)
        posts = len(sandbox.audit.requests)
        assumed = batchgen(*words, "--assume-price", "0.02", sandbox=sandbox)

    assert (refused.code, posts) == (65, 0)
    assert "--assume-price" in refused.err
    assert assumed.code == 0, assumed.err
