"""In which order outputs are collected, and when what proves them may go."""

from __future__ import annotations

from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.runner import Limits
from tests.kit.fakes import MemoryStore
from tests.runner.test_runner import World, many


def test_what_is_nearest_to_being_deleted_comes_first() -> None:
    """By the end of the job, not by its submission: that is when the days of its files began."""
    world = World(store=MemoryStore(save_s=1.0), limits=Limits(downloads=1))
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
    world = World()
    world.ledger.fail_on = lambda job, event: (
        settled_before_record.append(list(world.store.settlements))
        if "Saved" in repr(event)
        else None
    )

    world.run(many(2))

    assert settled_before_record[0] == []
    assert sorted(world.store.settlements) == ["j0", "j1"]
