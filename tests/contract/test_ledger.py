"""The port `Ledger`: the fake of the tests keeps records as the ledger on disk does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchgen.core.errors import LocalIOError
from batchgen.core.events import (
    Accepted,
    AnswerLost,
    Attached,
    Event,
    Failed,
    Intended,
    JobError,
    NotAccepted,
    OutputFile,
    Saved,
    Started,
    Succeeded,
)
from batchgen.core.lifecycle import IllegalTransition, JobState
from batchgen.ledger.run_ledger import RunLedger
from batchgen.ports import Ledger
from batchgen.system.clock import SystemClock
from batchgen.system.run_directory import RunDirectory
from tests.kit import MODEL
from tests.kit.disks import file_limit
from tests.kit.fakes import MemoryLedger

ERROR = JobError(kind="generation", message="boom")
FILE = OutputFile(path="outputs/a-1.png", bytes=1, sha256="0" * 64)


def intent(fingerprint: str = "f1") -> Intended:
    return Intended(model=MODEL, input={"prompt": fingerprint}, fingerprint=fingerprint)


def life(request_id: str, fingerprint: str = "f1", cost_usd: float | None = 0.03) -> list[Event]:
    """The events of a job that is submitted, succeeds and is downloaded."""
    return [
        intent(fingerprint),
        Accepted(request_id=request_id),
        Started(),
        Succeeded(outputs=(f"https://files.runcomfy.net/{request_id}.png",), cost_usd=cost_usd),
        Saved(files=(FILE,)),
    ]


@dataclass
class Subject:
    """A ledger, and a way to fill its disk."""

    ledger: Ledger
    full_disk: Callable[[], AbstractContextManager[None]]

    async def record(self, job: str, *events: Event) -> None:
        for event in events:
            await self.ledger.record(job, event)


@pytest.fixture(params=["fake", "real"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    if request.param == "fake":
        fake = MemoryLedger()

        @contextmanager
        def full() -> Iterator[None]:
            fake.disk_is_full = True
            yield

        yield Subject(fake, full)
        return
    real = RunLedger.open(tmp_path, api="https://x.example", clock=SystemClock())
    path = RunDirectory(tmp_path).ledger
    yield Subject(real, lambda: file_limit(path.stat().st_size + 10))
    await real.close()


async def test_nothing_is_known_of_a_job_that_was_never_submitted(subject: Subject) -> None:
    """No record, in no state, and no earlier one."""
    ledger = subject.ledger

    assert ledger.get("a") is None
    assert list(ledger.records()) == []
    assert ledger.made_before("a", "f1") is None


async def test_each_event_is_folded_into_the_record(subject: Subject) -> None:
    """`get` gives what `record` returned, and nothing that was known is lost."""
    for event in life("r1"):
        returned = await subject.ledger.record("a", event)
        assert subject.ledger.get("a") == returned

    record = subject.ledger.get("a")
    assert record is not None
    assert (record.state, record.request_id, record.attempt) == (JobState.DOWNLOADED, "r1", 1)
    assert (record.outputs, record.files) == (("https://files.runcomfy.net/r1.png",), (FILE,))
    assert (record.fingerprint, record.cost_usd) == ("f1", 0.03)


async def test_an_event_that_the_lifecycle_forbids_changes_nothing(subject: Subject) -> None:
    """A second submission of what is in flight, or of an input whose output is there."""
    await subject.record("a", intent(), Accepted(request_id="r1"))
    before = subject.ledger.get("a")

    with pytest.raises(IllegalTransition):
        await subject.ledger.record("a", intent())

    assert subject.ledger.get("a") == before
    await subject.record("a", *life("r1")[2:])
    with pytest.raises(IllegalTransition):
        await subject.ledger.record("a", intent())


async def test_an_event_is_known_before_it_is_durable(subject: Subject) -> None:
    """The next event of the same job folds into it, however long the disk takes."""
    first = asyncio.ensure_future(subject.ledger.record("a", intent()))
    second = asyncio.ensure_future(subject.ledger.record("a", Accepted(request_id="r1")))

    assert (await first).state is JobState.SUBMITTING
    assert (await second).state is JobState.IN_QUEUE


async def test_many_jobs_at_once_keep_their_own_records(subject: Subject) -> None:
    """Appends that share an fsync do not mix."""
    names = [f"j{n}" for n in range(50)]

    await asyncio.gather(*(subject.record(name, *life(f"r-{name}")) for name in names))

    found = {record.job: record.request_id for record in subject.ledger.records()}
    assert found == {name: f"r-{name}" for name in names}


async def test_records_come_by_state_in_the_order_of_their_first_event(subject: Subject) -> None:
    """No state named: every record."""
    for name in ("a", "b", "c", "d"):
        await subject.record(name, intent())
    await subject.record("c", Accepted(request_id="rc"))
    await subject.record("a", Accepted(request_id="ra"))
    await subject.record("b", AnswerLost(error=ERROR))

    def names(*states: JobState) -> list[str]:
        return [record.job for record in subject.ledger.records(*states)]

    assert names() == ["a", "b", "c", "d"]
    assert names(JobState.IN_QUEUE) == ["a", "c"]
    assert names(JobState.IN_DOUBT, JobState.SUBMITTING) == ["b", "d"]
    assert names(JobState.FAILED) == []


async def test_attempts_count_accepted_and_doubtful_posts_of_one_input(subject: Subject) -> None:
    """A POST that was not accepted does not count; an edited row starts at 1."""

    def attempt() -> int:
        record = subject.ledger.get("a")
        assert record is not None
        return record.attempt

    await subject.record("a", intent(), NotAccepted(error=ERROR), intent())
    assert attempt() == 1
    await subject.record("a", Accepted(request_id="r1"), Failed(error=ERROR), intent())
    assert attempt() == 2
    await subject.record("a", AnswerLost(error=ERROR), intent("f2"))
    assert attempt() == 1


async def test_what_was_made_of_an_earlier_input_is_found_again(subject: Subject) -> None:
    """After an edit; the present input is not an earlier one, nor is one without an output."""
    await subject.record("a", *life("r1"))
    assert subject.ledger.made_before("a", "f1") is None
    await subject.record("a", intent("f2"))

    made = subject.ledger.made_before("a", "f1")
    assert made is not None
    assert (made.request_id, made.state) == ("r1", JobState.DOWNLOADED)
    await subject.record("a", AnswerLost(error=ERROR), intent("f3"))
    assert subject.ledger.made_before("a", "f2") is None


async def test_a_restored_record_is_the_present_one(subject: Subject) -> None:
    """With its files and its request, and the one that it replaces can be found again."""
    await subject.record("a", *life("r1"))
    await subject.record("a", *life("r2", "f2"))
    made = subject.ledger.made_before("a", "f1")
    assert made is not None

    returned = await subject.ledger.restore(made)

    assert subject.ledger.get("a") == returned
    assert (returned.request_id, returned.fingerprint) == ("r1", "f1")
    replaced = subject.ledger.made_before("a", "f2")
    assert replaced is not None
    assert replaced.request_id == "r2"


async def test_restoring_forgets_no_money(subject: Subject) -> None:
    """The total cost of the job stays the same, however often its row goes back."""
    await subject.record("a", *life("r1", cost_usd=0.03))
    await subject.record("a", *life("r2", "f2", cost_usd=0.05))

    for fingerprint in ("f1", "f2", "f1"):
        made = subject.ledger.made_before("a", fingerprint)
        assert made is not None
        await subject.ledger.restore(made)
        record = subject.ledger.get("a")
        assert record is not None
        assert record.total_cost_usd == pytest.approx(0.08)


async def test_a_job_takes_over_the_record_of_another_one(subject: Subject) -> None:
    """With what was made for earlier inputs of both; the money of both is the new one's."""
    await subject.record("a", *life("r1", cost_usd=0.03))
    await subject.record("old", *life("r2", "f2"), *life("r3", "f3", cost_usd=0.05))

    returned = await subject.ledger.adopt("old", "a")

    assert returned == subject.ledger.get("a")
    assert returned is not None
    assert (returned.job, returned.request_id, returned.fingerprint) == ("a", "r3", "f3")
    assert returned.total_cost_usd == pytest.approx(0.11)
    assert subject.ledger.get("old") is None
    made = [subject.ledger.made_before("a", fingerprint) for fingerprint in ("f1", "f2")]
    assert [one and (one.job, one.request_id) for one in made] == [("a", "r1"), ("a", "r2")]
    assert await subject.ledger.adopt("old", "b") is None
    assert subject.ledger.get("b") is None


async def test_a_full_disk_ends_all_submissions(subject: Subject) -> None:
    """An intent that is not on disk is an error, and so is every later one."""
    await subject.record("a", intent(), Accepted(request_id="r1"))

    with subject.full_disk(), pytest.raises(LocalIOError):
        await subject.ledger.record("b", intent())

    with pytest.raises(LocalIOError):
        await subject.ledger.record("c", intent())
    record = subject.ledger.get("a")
    assert record is not None
    assert record.state is JobState.IN_QUEUE


async def test_every_request_id_that_was_ever_on_record_is_known(subject: Subject) -> None:
    """Of any job and any attempt, also one that failed, was replaced or came from the user."""
    await subject.record("a", *life("r1"), *life("r2", "f2"))
    made = subject.ledger.made_before("a", "f1")
    assert made is not None
    await subject.ledger.restore(made)
    await subject.record("b", intent(), Accepted(request_id="r3"), Failed(error=ERROR))
    await subject.record("b", intent(), Accepted(request_id="r4"))
    await subject.record("c", intent(), AnswerLost(error=ERROR), Attached(request_id="r5"))

    asked = [f"r{n}" for n in range(8)]
    assert [one for one in asked if subject.ledger.knows_request(one)] == asked[1:6]
