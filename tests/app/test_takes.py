"""Takes and verdicts, in virtual time: what a redo pays for, and what it never pays for again."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import openpyxl
import pytest

from batchgen.app import paying_run
from batchgen.app.command_context import CommandContext
from batchgen.core.api_answers import Broke, Doubt, SubmitAnswer
from batchgen.core.events import ErrorKind, JobError
from batchgen.ledger.reviews_file import read_reviews
from tests.app.test_decisions import Batch
from tests.app.test_money_machine import Disk, public_addresses
from tests.kit.live import Done
from tests.kit.world import DAY_S

LOST: SubmitAnswer = Doubt(error=JobError(kind="lost_answer", message="gone"))
FAILED = Broke(error=JobError(kind=ErrorKind.CONTENT, message="no"), cost_usd=None)


class Reviewed(Batch):
    """A batch whose outputs are reviewed."""

    def review(self, *lines: str, header: str = "job,take,verdict,note") -> Done:
        path = self.manifest.with_name("review.csv")
        path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
        return self.world.command("review", self.manifest, path)

    def plan(self, *words: str) -> dict[str, dict[str, float]]:
        groups: dict[str, dict[str, float]] = json.loads(
            self.run("--dry-run", "--json", *words).out
        )["groups"]
        return groups

    def results(self, job: str = "a") -> dict[str, str]:
        text = (self.run_dir / "results.csv").read_text(encoding="utf-8")
        return next(row for row in csv.DictReader(io.StringIO(text)) if row["job"] == job)

    @property
    def posts(self) -> int:
        return sum(self.api.posts.values())


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Reviewed]:
    """A batch of one row, whose outputs are stored in memory."""
    disk = Disk()
    with (
        patch.object(paying_run, "store_of", lambda *_, **__: disk),
        patch.object(CommandContext, "addresses_of", public_addresses),
    ):
        made = Reviewed(tmp_path, disk)
        assert made.run().code == 0
        yield made


def test_a_redo_is_paid_for_once(batch: Reviewed) -> None:
    """It is a group of the plan, priced; its intent uses it up; the next run does nothing."""
    assert batch.review("a,1,Redo,softer light").code == 0
    assert batch.plan() == {"redo": {"jobs": 1, "cost_usd": 0.03}}

    assert batch.run().code == 0
    assert batch.posts == 2
    record = batch.record()
    assert (record["take"], record["attempt"], record["state"]) == (2, 1, "downloaded")
    assert (batch.results()["take"], batch.results()["verdict"]) == ("2", "")

    assert batch.plan() == {"done": {"jobs": 1, "cost_usd": 0.0}}
    assert batch.run().code == 0
    assert batch.posts == 2


def test_a_first_take_is_written_as_it_always_was(batch: Reviewed) -> None:
    """No line of a job that was never redone has a key about takes."""
    assert not any({"take", "takes"} & set(line) for line in batch.lines())


def test_an_old_mark_asks_for_nothing(batch: Reviewed) -> None:
    """A verdict on an earlier take is counted, and left out."""
    batch.review("a,1,redo,")
    batch.run()
    path = batch.manifest.with_name("review.csv")
    done = batch.world.command("review", batch.manifest, path, "--json")

    assert json.loads(done.out) == {"keep": 0, "redo": 0, "reject": 0, "earlier": 1}
    assert batch.plan()["done"]["jobs"] == 1


@pytest.mark.parametrize("verdict", ["keep", "reject"])
def test_the_last_verdict_counts(batch: Reviewed, verdict: str) -> None:
    """A redo that was taken back is not submitted."""
    batch.review("a,,redo,")
    batch.review(f"a,,{verdict},")

    assert batch.run().code == 0
    assert batch.posts == 1
    assert batch.results()["verdict"] == verdict


def test_the_last_good_take_is_shown(batch: Reviewed) -> None:
    """While the new take is failed, state and error are its own, files those of the one before."""
    before = batch.results()
    batch.review("a,1,redo,")
    batch.api.on_result = lambda rid: FAILED
    assert batch.run().code == 1

    after = batch.results()
    assert (after["state"], after["take"]) == ("failed", "2")
    assert "content" in after["error"]
    assert (after["files"], after["outputs"]) == (before["files"], before["outputs"])
    assert batch.run().code == 1
    assert batch.posts == 2


def test_a_take_in_doubt_is_held(batch: Reviewed) -> None:
    """The redo is used up, and nothing submits this input again without a decision."""
    batch.review("a,1,redo,")
    batch.lose(1)
    assert batch.run().code == 1
    batch.api.on_submit = lambda values, n: None

    assert batch.run().code == 1
    assert batch.posts == 2
    assert batch.results()["state"] == "in_doubt"
    assert batch.results()["files"]
    assert batch.resolve("--request-id", "found").code == 0
    assert batch.run().code == 0
    assert (batch.record()["take"], batch.record()["state"], batch.posts) == (2, "downloaded", 2)


def test_attempts_of_a_take_count_from_one(batch: Reviewed) -> None:
    """Each take has as many attempts as a job."""
    failed = Broke(error=JobError(kind=ErrorKind.GENERATION, message="no"), cost_usd=None)
    batch.review("a,1,redo,")
    batch.api.on_result = lambda rid: failed
    assert batch.run("--max-attempts", "3").code == 1

    assert batch.posts == 1 + 3
    assert (batch.record()["take"], batch.record()["attempt"]) == (2, 3)


def test_a_redo_of_one_text_pays_for_no_other(batch: Reviewed) -> None:
    """An edited row has a first take of its own, of which no verdict says anything yet."""
    batch.review("a,1,redo,")
    batch.rows(a="two")
    assert list(batch.plan()) == ["edited"] or list(batch.plan()) == ["submit_edited"]
    assert batch.run().code == 0
    assert batch.run().code == 0
    assert batch.posts == 2


def test_a_failed_take_and_an_edit_lose_no_output(batch: Reviewed) -> None:
    """Back at the first text nothing is paid again, although its last take has failed."""
    batch.review("a,1,redo,")
    batch.api.on_result = lambda rid: FAILED
    batch.run()
    batch.api.on_result = lambda rid: None
    batch.rows(a="two")
    assert batch.run().code == 0
    batch.rows(a="one")
    assert batch.run().code == 1
    assert batch.posts == 3
    assert batch.results()["files"]


def test_a_row_that_gets_an_id_keeps_its_verdict(batch: Reviewed) -> None:
    """A redo is about the job, whatever it is called by now."""
    batch.review("a,1,redo,")
    batch.rows(b="one")
    assert batch.plan()["redo"]["jobs"] == 1
    assert batch.run().code == 0
    assert batch.posts == 2
    assert batch.record("b")["take"] == 2


def test_a_redo_is_part_of_every_budget(batch: Reviewed) -> None:
    """The first take is spent, so the second does not fit."""
    batch.review("a,1,redo,")
    assert batch.run("--max-cost", "0.05").code == 75
    assert batch.posts == 1
    assert batch.run("--max-cost", "0.06").code == 0


def test_each_take_is_charged_to_its_own_day(batch: Reviewed) -> None:
    """The first take was paid for yesterday: today's budget does not count it."""
    batch.world.sleep(DAY_S)
    batch.review("a,1,redo,")
    assert batch.run("--max-cost", "0.03/day").code == 0
    assert batch.posts == 2
    assert float(batch.results()["cost_usd"]) == pytest.approx(0.06)
    batch.review("a,2,redo,")
    assert batch.run("--max-cost", "0.03/day").code == 75


def test_what_is_rejected_counts_as_done(batch: Reviewed) -> None:
    """A failed job that nobody wants is not submitted again, and is no failure."""
    batch.rows(a="one", b="bad")
    failed = Broke(error=JobError(kind=ErrorKind.GENERATION, message="no"), cost_usd=None)
    batch.api.on_result = lambda rid: failed
    assert batch.run("--max-attempts", "1").code == 1
    batch.review("b,,reject,")
    assert batch.run().code == 0
    assert batch.posts == 2


def test_all_mistakes_are_reported_and_nothing_is_stored(batch: Reviewed) -> None:
    """Every wrong row is named as the spreadsheet numbers it."""
    done = batch.review("a,1,keep,fine", "x,1,keep,", "a,1,kep,", "a,9,redo,", "nobody,,,")

    assert done.code == 65
    for row, what in ((3, "no job 'x'"), (4, "'kep' is not a verdict"), (5, "not a take")):
        assert f"review.csv:{row}: " in done.err
        assert what in done.err
    assert "review.csv:6" not in done.err
    assert read_reviews(batch.run_dir) == []


def test_an_edited_results_file_can_be_reviewed(batch: Reviewed) -> None:
    """Its `verdict` column is the one that was added."""
    path = batch.run_dir / "results.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    rows[1][rows[0].index("verdict")] = "REDO"
    rows[1][rows[0].index("note")] = "=warmer"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    done = batch.world.command("review", batch.manifest, path)

    assert (done.code, done.err) == (0, "")
    [verdict] = read_reviews(batch.run_dir)
    assert (verdict.job, verdict.take, verdict.verdict, verdict.note) == ("a", 1, "redo", "=warmer")


def test_json_lines_and_stdin(batch: Reviewed) -> None:
    """Lines are numbered in a file of JSON lines; stdin is CSV."""
    path = batch.manifest.with_name("v.jsonl")
    path.write_text('{"job":"a","verdict":"keep","take":1}\n\n{"job":"a","verdict":"?"}\n')
    done = batch.world.command("review", batch.manifest, path)
    assert done.code == 65
    assert "v.jsonl:3: verdict" in done.err

    stdin = io.TextIOWrapper(io.BytesIO(b"verdict;job\nkeep;a\n"))
    with patch.object(sys, "stdin", stdin):
        assert batch.world.command("review", batch.manifest, "-").code == 0
    assert [one.verdict for one in read_reviews(batch.run_dir)] == ["keep"]


def test_a_torn_line_is_skipped(batch: Reviewed) -> None:
    """The next verdict begins on a line of its own, and unknown keys stay."""
    path = batch.run_dir / "reviews.jsonl"
    path.write_text('{"job":"a","take":1,"verdict":"keep","by":"Ann"}\n{"job":"a","ta')
    batch.review("a,1,reject,")

    assert [one.verdict for one in read_reviews(batch.run_dir)] == ["keep", "reject"]
    assert path.read_text().splitlines()[0].endswith('"by":"Ann"}')
    assert batch.run().code == 0
    assert batch.posts == 1


def test_a_fixed_seed_is_named(batch: Reviewed, tmp_path: Path) -> None:
    """The review and the plan say that the picture may come out the same."""
    schema = {"type": "object", "properties": {"prompt": {}, "seed": {"type": "integer"}}}
    (tmp_path / "s.json").write_text(json.dumps(schema))
    batch.manifest = tmp_path / "seeded.yaml"
    batch.manifest.write_text("schema: s.json\nprompts: [{id: a, prompt: one, seed: 7}]\n")
    batch.run_dir = tmp_path / "seeded.run"
    assert batch.run().code == 0

    done = batch.review("a,1,redo,")
    assert (done.code, "seed" in done.err) == (0, True)
    assert "the row fixes a seed" in batch.run("--dry-run").out


def edit_workbook(path: Path, verdict: str) -> None:
    """Type a verdict into the first row, as a colleague does."""
    book = openpyxl.load_workbook(path)
    sheet = book["results"]
    names = [cell.value for cell in sheet[1]]
    sheet.cell(2, names.index("verdict") + 1).value = verdict
    book.save(path)


def kept(batch: Reviewed) -> list[Path]:
    return sorted(batch.run_dir.glob("results.edited-*"))


def test_verdicts_in_a_workbook_survive_the_next_night(batch: Reviewed) -> None:
    """What was typed and not read is kept, and the message says how to read it."""
    edit_workbook(batch.run_dir / "results.xlsx", "redo")
    done = batch.run("--quiet")

    (copy,) = kept(batch)
    assert "results.xlsx was edited since it was written" in done.err
    assert batch.world.command("review", batch.manifest, copy, "--json").code == 0
    assert batch.plan()["redo"]["jobs"] == 1


def test_a_workbook_that_was_read_is_written_again(batch: Reviewed) -> None:
    """Its verdicts are stored, so nothing is kept."""
    edit_workbook(batch.run_dir / "results.xlsx", "keep")
    assert batch.world.command("review", batch.manifest, batch.run_dir / "results.xlsx").code == 0
    done = batch.run()
    assert kept(batch) == []
    assert "edited since" not in done.err


@pytest.mark.parametrize("command", ["run", "report"])
def test_a_file_that_nobody_edited_is_written_again(batch: Reviewed, command: str) -> None:
    """A copy from elsewhere with the same bytes and another time is not an edit either."""
    path = batch.run_dir / "results.xlsx"
    path.write_bytes(path.read_bytes())
    assert batch.world.command(command, batch.manifest).code == 0
    assert kept(batch) == []


def test_an_edited_results_csv_is_kept_too(batch: Reviewed) -> None:
    """And by `report`, which writes the same files."""
    path = batch.run_dir / "results.csv"
    path.write_text(path.read_text().replace("one", "two"))
    assert batch.world.command("report", batch.manifest).code == 0
    assert [one.suffix for one in kept(batch)] == [".csv"]


def test_rows_that_a_filter_hides_count(batch: Reviewed) -> None:
    """A person filters by verdict or state; the hidden rows have verdicts all the same."""
    batch.rows(a="one", b="two")
    batch.run()
    path = batch.run_dir / "results.xlsx"
    book = openpyxl.load_workbook(path)
    sheet = book["results"]
    column = [cell.value for cell in sheet[1]].index("verdict") + 1
    sheet.cell(2, column).value = "keep"
    sheet.cell(3, column).value = "reject"
    sheet.row_dimensions[2].hidden = True
    book.save(path)

    done = batch.world.command("review", batch.manifest, path, "--json")
    assert json.loads(done.out) == {"keep": 1, "redo": 0, "reject": 1, "earlier": 0}
