"""Decisions of the user, money by the day, and rows that a run does not select; in virtual time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from batchgen.app import paying_run
from batchgen.app.command_context import CommandContext
from batchgen.core.api_answers import (
    Broke,
    Doubt,
    Gone,
    PollAnswer,
    Produced,
    RowRefused,
    SubmitAnswer,
    TryAgain,
)
from batchgen.core.events import ErrorKind, JobError
from batchgen.core.jobs import fingerprint
from batchgen.core.json_reader import JSONValue
from batchgen.ledger.run_ledger import RunLedger
from tests.app.test_money_machine import Disk, no_address_check, public_addresses
from tests.kit import MODEL
from tests.kit.fakes import MemoryAPI
from tests.kit.live import Done, write_csv
from tests.kit.world import DAY_S, World

LOST = Doubt(error=JobError(kind="lost_answer", message="gone"))
BUSY = TryAgain(error=JobError(kind="not_accepted", message="busy", http_status=429))

REFUSED = RowRefused(error=JobError(kind=ErrorKind.REFUSED, message="no", http_status=422))


class Batch:
    """A spreadsheet in a world, and the commands on it."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.world, self.disk = World(), disk
        self.manifest, self.run_dir = path / "m.csv", path / "m.run"
        self.rows(a="one")

    @property
    def api(self) -> MemoryAPI:
        return self.world.api

    def rows(self, **prompts: str) -> None:
        write_csv(self.manifest, [f"{job.rstrip('_')},{text}" for job, text in prompts.items()])

    def run(self, *words: str) -> Done:
        return self.world.batchgen("run", self.manifest, *words)

    def retry(self, *words: str) -> Done:
        return self.world.command("retry", self.manifest, *words)

    def resolve(self, *words: str, job: str = "a") -> Done:
        return self.world.command("resolve", self.manifest, "--job", job, *words)

    def lines(self) -> list[dict[str, Any]]:
        text = (self.run_dir / "ledger.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()[1:]]

    def record(self, job: str = "a") -> dict[str, Any]:
        return [line for line in self.lines() if line["job"] == job][-1]

    def cost(self, usd: float | None) -> None:
        """Let later jobs cost this."""
        self.api.on_result = lambda rid: Produced(outputs=(f"https://x/{rid}",), cost_usd=usd)

    def lose(self, *numbers: int) -> None:
        """Lose the answers of these POSTs, which the API has accepted."""
        self._on_submit(dict.fromkeys(numbers, LOST))

    def _on_submit(self, answers: Mapping[int, SubmitAnswer]) -> None:
        seen = sum(self.api.posts.values())

        def answer(_: Mapping[str, JSONValue], _n: int) -> SubmitAnswer | None:
            found = answers.get(sum(self.api.posts.values()) - seen)
            if found is LOST:  # it is in the list of jobs at runcomfy.com
                self.world.api._end_s["found"] = self.world.elapsed_s
            return found

        self.api.on_submit = answer


@contextmanager
def outputs_in_memory() -> Iterator[Disk]:
    """Let every run of this block store its outputs in memory."""
    disk = Disk()
    with (
        patch.object(paying_run, "store_of", lambda *_, **__: disk),
        patch.object(CommandContext, "addresses_of", public_addresses),
        patch.object(paying_run, "address_check", no_address_check),
    ):
        yield disk


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    """A batch of one row, whose outputs are stored in memory."""
    with outputs_in_memory() as disk:
        yield Batch(tmp_path, disk)


DECISIONS: Mapping[str, tuple[str, ...]] = {
    "found": ("--request-id", "found"), "give up": ("--give-up",), "resubmit": ("--resubmit",),
}  # fmt: skip


@pytest.mark.parametrize(
    "order", [*permutations(DECISIONS, 2), *permutations(DECISIONS, 3)], ids=str
)
def test_the_last_decision_before_a_run_counts(batch: Batch, order: tuple[str, ...]) -> None:
    """An earlier one leaves nothing behind that stops this run or another row.

    Once the request was found, the job is in flight, and nothing more can be decided about it.
    """
    batch.lose(1)
    assert batch.run().code == 1
    batch.rows(a="one", b="two")

    codes = [batch.resolve(*DECISIONS[decision]).code for decision in order]
    done = batch.run()

    open_until = order.index("found") if "found" in order else len(order) - 1
    counts = order[open_until]
    assert codes == [0] * (open_until + 1) + [64] * (len(order) - open_until - 1)
    assert done.code == 0, done.err
    assert batch.api.posts["two"] == 1
    assert batch.api.posts["one"] == (2 if counts == "resubmit" else 1)
    assert batch.record()["state"] == ("failed" if counts == "give up" else "downloaded")
    assert batch.run().code == 0


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_decision_can_be_replaced_if_the_post_did_not_leave(batch: Batch, decision: str) -> None:
    """`retry --in-doubt` while the API turns everything away, and then the request is found."""
    batch.lose(1)
    batch.run()
    batch.api.on_submit = lambda values, n: BUSY
    assert batch.retry("--in-doubt", "--max-runtime", "10s").code == 75
    assert batch.record()["state"] == "pending"
    batch.api.on_submit = lambda values, n: None
    before = batch.api.posts["one"]

    assert batch.resolve(*DECISIONS[decision]).code == 0
    assert batch.run().code == 0

    assert batch.api.posts["one"] - before == (decision == "resubmit")


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_submission_without_an_answer_is_in_doubt_for_every_command(
    batch: Batch, decision: str
) -> None:
    """As a process leaves it that was killed after its POST."""
    batch.lose(1)
    batch.run()
    ledger = batch.run_dir / "ledger.jsonl"
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-1]))
    assert batch.record()["state"] == "submitting"

    status = batch.world.command("status", batch.manifest)
    batch.world.command("report", batch.manifest)
    with (batch.run_dir / "results.csv").open(encoding="utf-8") as file:
        states = [row["state"] for row in csv.DictReader(file)]

    assert "1 in doubt" in status.out
    assert "look at runcomfy.com" in status.out.lower()
    assert states == ["in_doubt"]
    assert batch.resolve(*DECISIONS[decision]).code == 0
    assert batch.run().code == 0


ENDS: Mapping[str, Callable[[str], PollAnswer | None]] = {
    "expired": lambda rid: Gone(error=JobError(kind=ErrorKind.EXPIRED, message="unknown")),
    "no_output": lambda rid: Produced(outputs=(), cost_usd=0.03),
}


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("given_up", [False, True])
def test_a_job_is_polled_again_by_its_own_request(batch: Batch, kind: str, given_up: bool) -> None:
    """At no cost, if the API did not know it for a while or had no address yet."""
    batch.api.on_result = ENDS[kind]
    assert batch.run().code == 1
    assert batch.record()["error"]["kind"] == kind
    if given_up:
        batch.resolve("--give-up")
    batch.cost(0.03)

    assert batch.resolve("--request-id", batch.record()["request_id"]).code == 0
    assert batch.run().code == 0

    assert batch.record()["state"] == "downloaded"
    assert batch.api.posts["one"] == 1


@pytest.mark.parametrize("where", ["another job", "an earlier text of another", "its earlier text"])
@pytest.mark.parametrize("compacted", [False, True])
def test_a_request_belongs_to_one_job_and_text(batch: Batch, where: str, compacted: bool) -> None:
    """Whoever had it at any time."""
    batch.rows(a="one", b="two")
    batch.run()
    taken = batch.record("a" if where == "its earlier text" else "b")["request_id"]
    batch.lose(*range(1, 5))
    batch.rows(a="changed", b="two" if where == "another job" else "changed too")
    batch.run()
    assert batch.record()["state"] == "in_doubt"
    if compacted:
        batch.world.command("ledger", "compact", batch.manifest)

    done = batch.resolve("--request-id", taken)

    assert done.code == 64
    assert taken in done.err


def test_a_job_whose_files_cannot_be_fetched_can_be_given_up(batch: Batch) -> None:
    """And taken back: it is polled again, and downloaded."""
    batch.disk.is_away = True
    assert batch.run().code == 75

    assert batch.resolve("--give-up").code == 0
    assert batch.run().code == 0
    batch.disk.is_away = False
    assert batch.run().code == 0
    assert batch.record()["state"] == "completed"

    assert batch.resolve("--request-id", batch.record()["request_id"]).code == 0
    assert batch.run().code == 0
    assert batch.record()["state"] == "downloaded"
    assert batch.api.posts["one"] == 1


def test_a_job_without_a_row_is_not_resubmitted_and_that_is_said(batch: Batch) -> None:
    """The next run could not do it."""
    batch.lose(1)
    batch.run()
    batch.rows(b="two")

    done = batch.resolve("--resubmit")

    assert done.code == 64
    assert "no row" in done.err


def test_retry_grants_no_more_than_its_limit(batch: Batch) -> None:
    """A plain run after it has nothing to submit."""
    batch.rows(**{name: f"text {name}" for name in "abcde"})
    batch.api.on_result = ENDS["no_output"]
    batch.run()
    batch.retry("--limit", "2")
    before = sum(batch.api.posts.values())

    batch.run()

    assert before == 7
    assert sum(batch.api.posts.values()) == before


def test_a_paid_output_is_downloaded_before_the_edited_row_is_submitted(batch: Batch) -> None:
    """With --no-download the new text waits, and the run says that it is not done."""
    batch.run("--no-download")
    batch.rows(a="changed")

    waiting = batch.run("--no-download")
    posts = dict(batch.api.posts)
    done = batch.run()

    assert waiting.code == 75
    assert posts == {"one": 1}
    assert done.code == 0
    assert [line["request_id"] for line in batch.lines() if line["state"] == "downloaded"] == [
        "r1", "r2",
    ]  # fmt: skip


@pytest.mark.parametrize("state", ["not downloaded", "in flight"])
@pytest.mark.parametrize("changed", ["edited", "edited and back"])
def test_a_row_whose_old_output_is_to_be_collected_counts_in_the_limit(
    batch: Batch, state: str, changed: str
) -> None:
    """It needs a submission as soon as that is done; without a place in the limit it has none."""
    batch.run()
    batch.rows(a="two")
    batch.api.duration_s = 100.0
    words = ("--no-download",) if state == "not downloaded" else ("--job-timeout", "5s")
    batch.run(*words)
    batch.rows(b="new", a="three" if changed == "edited" else "one", c="newer")

    done = batch.run("--limit", "1", "--job-timeout", "10m")

    assert done.code == 0, done.err
    assert batch.api.posts == {"one": 1, "two": 1, "new": 1}
    downloaded = [one["request_id"] for one in batch.lines() if one["state"] == "downloaded"]
    assert downloaded[:2] == ["r1", "r2"]


def test_what_fails_beyond_the_limit_is_not_tried_again(batch: Batch) -> None:
    """It was in flight, so it had no place in the limit, and a run without one tries it again."""
    batch.api.duration_s = 100.0
    batch.run("--job-timeout", "5s")
    batch.rows(a="one", b="new")
    broke = Broke(error=JobError(kind=ErrorKind.GENERATION, message="no"))
    batch.api.on_result = lambda rid: broke if rid == "r1" else None

    batch.run("--limit", "1", "--job-timeout", "10m")
    assert batch.api.posts == {"one": 1, "new": 1}
    assert batch.record()["state"] == "failed"

    assert batch.run("--job-timeout", "10m").code == 0
    assert batch.api.posts == {"one": 2, "new": 1}


def test_what_is_collected_beyond_the_limit_counts_as_left(batch: Batch) -> None:
    """A file that could not be fetched: exit 75, although its row has no place in the limit."""
    batch.run("--no-download")
    batch.rows(b="new", a="changed")
    batch.api.on_submit = lambda values, n: REFUSED
    batch.disk.is_away = True

    assert batch.run("--limit", "1").code == 75

    assert batch.record()["state"] == "completed"
    assert batch.record("b")["state"] == "failed"


def test_a_row_that_is_not_selected_keeps_its_job(batch: Batch) -> None:
    """A row with the same text is generated; it adopts nothing, and results.csv has both."""
    rows = ["a,same,x", "b,same,y"]
    write_csv(batch.manifest, rows, header="id,prompt,style")
    batch.run("--select", "style = x")
    first = batch.record()["request_id"]
    batch.run("--select", "style = y")
    with (batch.run_dir / "results.csv").open(encoding="utf-8") as file:
        seen = [(row["job"], row["style"], row["state"]) for row in csv.DictReader(file)]
    batch.run("--select", "")

    assert batch.record()["request_id"] == first
    assert batch.record("b")["request_id"] != first
    assert batch.api.posts["same"] == 2
    assert seen == [("a", "x", "downloaded"), ("b", "y", "downloaded")]


@pytest.mark.parametrize("left_out", ["b,,", "b,other,no"])
def test_a_row_that_is_wrong_or_switched_off_keeps_its_job(batch: Batch, left_out: str) -> None:
    """Another row with the same text does not get it."""
    write_csv(batch.manifest, ["b,same,yes"], header="id,prompt,enabled")
    batch.run()

    write_csv(batch.manifest, ["a,same,yes", left_out], header="id,prompt,enabled")
    batch.run("--skip-invalid")

    assert batch.record("b")["request_id"] != batch.record("a")["request_id"]


def test_a_row_without_an_id_keeps_its_job_while_it_is_switched_off(batch: Batch) -> None:
    """Another row with the same text is generated, and nothing is generated again afterwards."""
    write_csv(batch.manifest, [",same,yes"], header="id,prompt,enabled")
    batch.run()
    first = batch.lines()[-1]

    write_csv(batch.manifest, [",same,no", "a,same,yes"], header="id,prompt,enabled")
    batch.run()
    write_csv(batch.manifest, [",same,yes", "a,same,yes"], header="id,prompt,enabled")
    batch.run()

    assert batch.record(first["job"])["request_id"] == first["request_id"]
    assert batch.record("a")["request_id"] != first["request_id"]
    assert batch.api.posts["same"] == 2


def test_a_row_takes_back_its_job_from_the_name_of_an_equal_row_without_an_id(batch: Batch) -> None:
    """While the other row is not selected: a copy of its name may be the job of this one."""
    write_csv(batch.manifest, ["c,same,x", "d,same,y"], header="id,prompt,style")
    batch.run()
    write_csv(batch.manifest, [",same,x", ",same,y"], header="id,prompt,style")
    batch.run()

    write_csv(batch.manifest, [",same,x", "d,same,y"], header="id,prompt,style")
    batch.run("--select", "style = y")

    assert batch.api.posts["same"] == 2
    assert batch.record("d")["state"] == "downloaded"


@pytest.mark.parametrize("first", ["downloaded", "in doubt", "failed"])
def test_a_row_takes_back_what_was_made_while_it_had_no_id(batch: Batch, first: str) -> None:
    """Also if its id has a record of another text: nothing is paid for twice, no money is lost."""
    if first == "in doubt":
        batch.lose(1)
    elif first == "failed":
        batch.api.on_result = ENDS["no_output"]
    batch.run()
    if first == "in doubt":
        batch.resolve("--give-up")
    batch.cost(0.03)
    batch.rows(_="changed")
    batch.run()
    batch.rows(a="changed")

    assert batch.run().code == 0

    assert batch.api.posts["changed"] == 1
    assert batch.record()["state"] == "downloaded"
    batch.rows(a="changed", b="two")
    assert batch.run("--max-cost", "0.08").code == 75, "0.03 were spent or reserved twice"
    batch.rows(a="one")
    before = batch.api.posts["one"]
    batch.run()
    assert batch.api.posts["one"] == before + (first != "downloaded")


def test_an_earlier_text_is_used_again_under_another_name(batch: Batch) -> None:
    """If the row has another name by then, because an id came or went with another text."""
    batch.run()
    batch.rows(a="changed")
    batch.run()
    batch.rows(_="changed")
    batch.run()
    batch.rows(b="one")

    assert batch.run().code == 0

    assert batch.api.posts == {"one": 1, "changed": 1}
    assert (batch.record("b")["state"], batch.record("b")["request_id"]) == ("downloaded", "r1")


@pytest.mark.parametrize("own", ["in flight", "not downloaded", "in doubt", "resubmit"])
@pytest.mark.parametrize("other", ["downloaded", "in flight", "failed"])
def test_a_row_whose_job_is_open_takes_over_later(batch: Batch, own: str, other: str) -> None:
    """The new text of the row was made under a name that no row has any more."""
    if own in ("in doubt", "resubmit"):
        batch.lose(1)
    elif own == "in flight":
        batch.api.duration_s = 100.0
    run_a = ["--no-download"] if own == "not downloaded" else []
    batch.run(*run_a, *(["--job-timeout", "5s"] if own == "in flight" else []))
    if own == "resubmit":
        batch.resolve("--resubmit")
    batch.api.duration_s = 200.0 if other == "in flight" else 1.0
    if other == "failed":
        batch.api.on_result = ENDS["no_output"]
    batch.rows(_="changed")
    batch.run(*run_a, "--max-attempts", "1", "--job-timeout", "5s")
    before = dict(batch.api.posts)
    batch.cost(0.03)
    batch.rows(a="changed")

    flags = ["--in-doubt", "resubmit"] if own == "in doubt" else ["--max-attempts", "1"]
    done = batch.run(*flags, "--max-cost", "0.07")

    assert (before["changed"], batch.api.posts["changed"]) == (1, 1)
    assert done.code == (1 if other == "failed" else 0), done.err
    if other != "failed":
        assert batch.record()["state"] == "downloaded"
        assert batch.record()["fingerprint"] == fingerprint(MODEL, {"prompt": "changed"})


# Money.


def test_the_highest_cost_seen_is_reserved_by_later_runs_too(batch: Batch) -> None:
    """A price of 0.03 and a cost of 0.05: four jobs fit into 0.24, in however many runs."""
    batch.rows(**{name: f"text {name}" for name in "abcdefgh"})
    batch.cost(0.05)

    for _ in range(4):
        batch.run("--max-cost", "0.24/day", "--concurrency", "1")

    assert sum(batch.api.posts.values()) == 4


@pytest.mark.parametrize("compacted", [False, True])
def test_the_highest_cost_survives_an_edit_and_a_compaction(batch: Batch, compacted: bool) -> None:
    """Even that of an attempt that is long replaced."""
    batch.cost(0.30)
    batch.run()
    batch.cost(0.03)
    for text in ("two", "three"):
        batch.rows(a=text)
        batch.run()
    if compacted:
        batch.world.command("ledger", "compact", batch.manifest)
    batch.rows(a="three", b="new")

    assert batch.run("--max-cost", "0.60").code == 75
    assert batch.run("--max-cost", "0.70").code == 0


CHANGES: Mapping[str, Callable[[Batch], None]] = {
    "edited": lambda batch: batch.rows(a="changed"),
    "edited and back": lambda batch: (batch.rows(a="changed"), batch.run(), batch.rows(a="one"))[0],
    "given another id": lambda batch: batch.rows(other="one"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("compacted", [False, True])
def test_money_stays_on_its_day(batch: Batch, change: str, compacted: bool) -> None:
    """Whatever becomes of the job later."""
    batch.run()
    batch.world.sleep(DAY_S)

    CHANGES[change](batch)
    batch.run()
    if compacted:
        batch.world.command("ledger", "compact", batch.manifest)
    spent = sum(batch.api.posts.values()) - 1  # today
    batch.manifest.write_text(
        batch.manifest.read_text(encoding="utf-8") + "x,new x\ny,new y\nz,new z\n", encoding="utf-8"
    )
    batch.run("--max-cost", "0.06/day")

    assert sum(batch.api.posts.values()) - 1 == 2, f"{spent} were submitted today before"


def test_a_doubt_keeps_its_reservation_when_the_row_goes_back(batch: Batch) -> None:
    """It may have been charged, whatever is shown of the job now."""
    batch.run()
    batch.rows(a="changed")
    batch.lose(1)
    batch.run()
    batch.resolve("--give-up")
    batch.rows(a="one", b="two")

    for _ in range(2):
        assert batch.run("--max-cost", "0.06").code == 75
        assert batch.record()["state"] == "downloaded"
        assert batch.api.posts["two"] == 0


# Defects.


@pytest.mark.parametrize("step", ["Accepted", "Started", "Succeeded", "Saved", "Intended"])
def test_a_defect_on_one_job_does_not_stop_the_others(batch: Batch, step: str) -> None:
    """That job is left alone, the run says so, and its exit code is not 0."""
    batch.rows(a="one", b="two", c="three")
    record = RunLedger.record

    async def broken(ledger: RunLedger, job: str, event: Any) -> Any:
        if job == "b" and type(event).__name__ == step:
            raise ZeroDivisionError("a defect")
        return await record(ledger, job, event)

    with patch.object(RunLedger, "record", broken):
        done = batch.run()

    assert done.code in (1, 75)
    assert "'b' is left as the ledger has it" in done.err
    assert batch.record("a")["state"] == batch.record("c")["state"] == "downloaded"
    assert batch.run("--in-doubt", "resubmit").code == 0
