"""Downloads: in which order outputs are fetched, and what a failed try leads to."""

from __future__ import annotations

import pytest

from batchgen.core.events import JobError
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.ports import LinkExpired, SaveAnswer, SaveLater
from batchgen.runner.stopping import Limits
from tests.kit.fakes import MemoryAPI, MemoryStore
from tests.runner.world import RunnerWorld, many, now_s


def test_downloads_hold_no_slot() -> None:
    """Slow downloads do not slow the generation down."""
    world = RunnerWorld(store=MemoryStore(save_s=500.0), limits=Limits(concurrency=1, downloads=8))

    world.run(many(4))

    assert world.took_s < 4 * 10 * 1.35 + 500 + 5


def test_an_expired_link_is_renewed_once() -> None:
    """Fresh URLs come from the result, not from a new submission."""
    expired = LinkExpired(error=JobError(kind="expired", message="403"))

    def once(name: str, n: int) -> SaveAnswer | None:
        return expired if n == 1 else None

    world = RunnerWorld(store=MemoryStore(on_save=once))

    world.run(many(1))

    assert world.ledger.states() == {"j0": "downloaded"}
    assert (world.api.posts.total(), world.store.tries["j0"]) == (1, 2)


def test_a_download_that_gets_nowhere_is_left_for_the_next_run() -> None:
    """After five fruitless tries the job stays completed: paid for, known, resumable."""
    later = SaveLater(error=JobError(kind="download", message="503"))
    world = RunnerWorld(store=MemoryStore(on_save=lambda name, n: later))

    outcome = world.run(many(1))

    assert outcome.reasons == ()
    assert world.ledger.states() == {"j0": "completed"}
    assert world.store.tries["j0"] == 6, "five tries and the one after the renewal"
    assert world.api.posts.total() == 1


def test_a_host_that_asks_for_time_gets_it() -> None:
    """Retry-After is waited for from the first answer on: no try comes before."""
    busy = SaveLater(error=JobError(kind="download", message="503"), retry_after_s=600.0)

    def twice(name: str, n: int) -> SaveAnswer | None:
        return busy if n <= 2 else None

    world = RunnerWorld(store=MemoryStore(on_save=twice))

    world.run(many(1))

    assert world.ledger.states() == {"j0": "downloaded"}
    assert world.store.tries["j0"] == 3
    assert world.took_s > 2 * 600


def test_a_download_that_makes_progress_goes_on() -> None:
    """New bytes in a try start the count again."""

    def slowly(name: str, n: int) -> SaveAnswer | None:
        error = JobError(kind="download", message="reset")
        return SaveLater(error=error, received_bytes=1) if n < 20 else None

    world = RunnerWorld(store=MemoryStore(on_save=slowly))

    world.run(many(1))

    assert world.ledger.states() == {"j0": "downloaded"}


@pytest.mark.parametrize("down_s", [1.0, 3.0])
@pytest.mark.parametrize("http_status", [None, 503])
def test_an_outage_of_seconds_uses_up_no_tries(down_s: float, http_status: int | None) -> None:
    """Downloads that fail together wait longer and longer, also right after others succeeded."""
    error = JobError(kind="download", message="x", http_status=http_status)

    def down(name: str, n: int) -> SaveAnswer | None:
        return SaveLater(error=error) if 12.0 < now_s() < 12.0 + down_s else None

    api = MemoryAPI(duration_s=11.0)
    world = RunnerWorld(api=api, store=MemoryStore(on_save=down), limits=Limits(concurrency=40))

    world.run(many(40))

    assert world.store.tries.total() > 40 + 3, "the outage was in the midst of the downloads"
    assert set(world.ledger.states().values()) == {"downloaded"}


@pytest.mark.parametrize("http_status", [None, 503])
@pytest.mark.parametrize("others", [0, 3])
def test_a_file_that_fails_alone_is_soon_left(http_status: int | None, others: int) -> None:
    """If its host answers and delivers other files, its five tries take two seconds."""
    error = JobError(kind="download", message="x", http_status=http_status)

    def one(name: str, n: int) -> SaveAnswer | None:
        return SaveLater(error=error) if name == "j0" else None

    api = MemoryAPI(duration_s=1.0)
    world = RunnerWorld(api=api, store=MemoryStore(on_save=one))

    world.run(many(1 + others))

    assert world.ledger.states()["j0"] == "completed"
    assert world.store.tries["j0"] == 6
    assert (world.took_s < 5.0) == (others > 0 and http_status is not None)


def test_what_is_nearest_to_being_deleted_comes_first() -> None:
    """By the end of the job, not by its submission: that is when the days of its files began."""
    world = RunnerWorld(store=MemoryStore(save_s=1.0), limits=Limits(downloads=1))
    for job, submitted, finished in (("j0", 1, 9), ("j1", 2, 7), ("j2", 3, 8)):
        world.ledger.known[job] = JobRecord(
            ts="", job=job, state=JobState.COMPLETED, outputs=("https://files.runcomfy.net/a",),
            submitted_at=f"2026-11-0{submitted}", finished_at=f"2026-11-0{finished}",
        )  # fmt: skip

    world.run([])

    assert [job for job, _ in world.ledger.events] == ["j1", "j2", "j0"]


def test_what_proves_a_file_stays_until_the_ledger_knows_it() -> None:
    """A crash between the rename and the record must not lead to a second download."""
    settled_before_record = []
    world = RunnerWorld()
    world.ledger.fail_on = lambda job, event: (
        settled_before_record.append(list(world.store.settlements))
        if "Saved" in repr(event)
        else None
    )

    world.run(many(2))

    assert settled_before_record[0] == []
    assert sorted(world.store.settlements) == ["j0", "j1"]
