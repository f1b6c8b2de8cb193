"""The history of a batch: one line for each run, and what each run says is new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchgen.core.api_answers import Broke
from batchgen.core.events import ErrorKind, JobError
from tests.app.test_decisions import Batch, outputs_in_memory
from tests.kit.live import Done
from tests.kit.world import DAY_S

CONTENT = Broke(error=JobError(kind=ErrorKind.CONTENT, message="no"), cost_usd=None)
NOTHING = {
    "done": 0, "failures": 0, "healed": 0, "in_doubt": 0, "waiting_for_review": 0, "cost_usd": 0.0,
}  # fmt: skip


class Nights(Batch):
    """A batch that is run night by night."""

    def night(self, *words: str) -> Done:
        done = self.run(*words)
        self.world.sleep(DAY_S)
        return done

    @property
    def history(self) -> list[dict[str, Any]]:
        text = (self.run_dir / "history.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    @property
    def new(self) -> dict[str, Any]:
        """What the last run said was new, without what was zero."""
        found: dict[str, Any] = self.history[-1]["new"]
        assert set(found) == set(NOTHING)
        return {key: value for key, value in found.items() if value}

    def fail(self) -> None:
        self.api.on_result = lambda rid: CONTENT


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Nights]:
    """A batch of one row, whose outputs are stored in memory."""
    with outputs_in_memory() as disk:
        yield Nights(tmp_path, disk)


def test_three_nights_with_failures_that_heal(batch: Nights) -> None:
    """Each failure is new once, and what heals is told once."""
    batch.rows(a="one", b="two")
    batch.fail()
    assert batch.night().code == 1
    assert batch.new == {"failures": 2}

    assert batch.night().code == 1
    assert batch.new == {}

    batch.cost(0.03)
    done = batch.retry()
    assert done.code == 0
    assert batch.new == {"done": 2, "healed": 2, "cost_usd": 0.06}
    assert "2 done, 2 healed" in done.err
    assert [line["exit_code"] for line in batch.history] == [1, 1, 0]
    assert [bool(line["reasons"]) for line in batch.history] == [True, True, False]


def test_the_line_has_the_numbers_of_the_batch(batch: Nights) -> None:
    """States, cost and durations are those of `--json`, and the moments those of the run."""
    batch.cost(0.03)
    found = json.loads(batch.night("--json").out)
    line = batch.history[-1]

    assert line["jobs"] == found["states"]
    assert (line["cost_usd"], line["new"]) == (found["cost_usd"], found["new"])
    assert line["duration_s"] == found["duration_s"]
    assert line["duration_s"]["p50"] > 0
    assert line["begun"] < line["ended"]


def test_a_doubt_is_new_once_and_healed_by_a_decision(batch: Nights) -> None:
    """A decision between two runs does not hide that the job was in doubt at the last one."""
    batch.lose(1)
    assert batch.night().code == 1
    assert batch.new == {"in_doubt": 1}
    done = batch.night()
    assert batch.new == {}
    assert "1 in doubt since" in done.err

    batch.api.on_submit = lambda values, n: None
    assert batch.resolve("--resubmit").code == 0
    assert batch.night().code == 0
    assert {"done": 1, "healed": 1}.items() <= batch.new.items()


def test_a_new_row_is_done_and_not_healed(batch: Nights) -> None:
    """A job that did not exist at the last run cannot have been wrong then."""
    batch.night()
    batch.rows(a="one", b="two")
    batch.night()
    assert batch.new["done"] == 1
    assert "healed" not in batch.new


def test_an_adopted_job_is_not_new(batch: Nights) -> None:
    """A row that gets another id keeps what was done, so nothing is new."""
    batch.night()
    batch.rows(z="one")
    assert batch.night().code == 0
    assert batch.new == {}


def test_a_compaction_changes_nothing(batch: Nights) -> None:
    """States are compared by their moment, so a shorter ledger says the same."""
    batch.fail()
    batch.night()
    assert batch.world.command("ledger", "compact", batch.manifest).code == 0
    batch.cost(0.03)
    batch.retry()
    assert batch.new["healed"] == 1


def test_a_dry_run_leaves_no_line(batch: Nights) -> None:
    """It is not a run."""
    batch.night()
    assert batch.run("--dry-run").code == 0
    assert len(batch.history) == 1


def test_a_wrong_manifest_leaves_a_line(batch: Nights) -> None:
    """The night is in the history, with the reason and the numbers of the batch as it is."""
    batch.night()
    before = batch.history[-1]
    batch.manifest.write_text("id,prompt,size\na,one,\nb,,1x1\n")
    done = batch.world.command("run", batch.manifest, "--model", "a/b")
    assert done.code == 65

    line = batch.history[-1]
    assert (line["exit_code"], line["reasons"]) == (65, ["bad manifest"])
    assert line["cost_usd"] == before["cost_usd"]
    assert line["jobs"]["downloaded"] == 1


def test_a_torn_line_ends_where_it_is(batch: Nights) -> None:
    """The next line begins on a line of its own, and the torn one is skipped."""
    batch.night()
    path = batch.run_dir / "history.jsonl"
    path.write_bytes(path.read_bytes() + b'{"begun":"20')
    batch.night()

    lines = path.read_bytes().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[2])["exit_code"] == 0
    runs = json.loads(batch.world.command("runs", batch.manifest, "--json").out)[0]["runs"]
    assert [one["exit_code"] for one in runs] == [0, 0]


def test_a_history_that_cannot_be_written_changes_nothing(batch: Nights) -> None:
    """The run ends as it would have, and says that its line is missing."""
    batch.night()
    (batch.run_dir / "history.jsonl").unlink()
    (batch.run_dir / "history.jsonl").mkdir()
    done = batch.night()
    assert done.code == 0
    assert "missing in the history" in done.err


def test_the_budget_of_the_day_is_in_the_sentence(batch: Nights) -> None:
    """A person sees how much of it is left without asking."""
    batch.cost(0.03)
    done = batch.run("--max-cost", "20/day")
    assert "new: 1 done; $0.03 of $20.00 today; p50 " in done.err
    page = (batch.run_dir / "report.html").read_text(encoding="utf-8")
    assert "1 done; $0.03 of $20.00 today" in page
