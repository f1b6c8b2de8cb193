"""What is settled on record before a run plans its jobs: a list of steps, in this order.

Each step asks nobody and submits nothing; it brings the ledger in line with what happened since
the last run, and with what the user asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from batchgen.app.console import Console
from batchgen.app.run_options import RETRIABLE, Retry
from batchgen.core.adoption import adoption_rounds
from batchgen.core.errors import SHOWN_PROBLEMS, LocalIOError
from batchgen.core.events import FilesLost, Granted
from batchgen.core.jobs import Batch
from batchgen.core.units import count_text, timestamp
from batchgen.ledger.run_ledger import RunLedger
from batchgen.outputs.output_dir import destination_of
from batchgen.outputs.verify import BadFile, bad_files
from batchgen.system.files import set_aside_name


@dataclass(slots=True, kw_only=True)
class Preparation:
    """The ledger and the rows of a run, before its plan."""

    run_dir: Path
    ledger: RunLedger
    batch: Batch
    rows: Batch
    """The rows' own jobs alone."""
    has_steps: bool = False
    console: Console
    now_s: float
    output_dir: str | None = None
    """The manifest's `output.dir`."""
    repair: bool = False
    """Whether damaged files are to be fetched again."""
    retry: Retry | None = None
    limit: int | None = None
    """The most jobs that `retry` grants another attempt; None: all that are chosen."""
    granted: frozenset[str] = frozenset()
    """The jobs that got one more attempt by `retry`."""
    adopt_later: Mapping[str, str] = field(default_factory=dict)
    """New job -> old job, of rows that take it over once their own job has ended."""


async def settle_crashed_submissions(run: Preparation) -> None:
    """Put submissions in doubt that an earlier run had begun when it died."""
    if crashed := await run.ledger.doubt_crashed_submissions():
        run.console.insist(
            f"{count_text(crashed, 'job')} in doubt: an earlier run ended between sending a"
            " submission and receiving the answer. They are held; look for them at"
            " runcomfy.com under Generations."
        )


async def adopt_jobs(run: Preparation) -> None:
    """Let rows that now have an id keep the job that was made for the same input."""
    later: dict[str, str] = {}
    adopted = 0
    for found in adoption_rounds(run.batch, run.ledger, has_steps=run.has_steps):
        for old, new in found.now:
            await run.ledger.adopt(old, new)
        adopted += len(found.now)
        later.update(found.later)
    run.adopt_later = later
    if adopted == 1:
        run.console.say("1 row now has an id; its existing job is kept")
    elif adopted:
        run.console.say(f"{adopted:,} rows now have an id; their existing jobs are kept")


async def reopen_damaged_files(run: Preparation) -> None:
    """With `--repair`: put jobs with a damaged file back to `completed`, so that it is fetched.

    A file that differs is moved aside and not removed, because somebody may have edited it.
    Raises `LocalIOError`.
    """
    if not run.repair:
        return
    outputs = destination_of(run.run_dir, run.output_dir)
    found: list[BadFile] = []
    others: list[BadFile] = []
    for bad in bad_files(run.run_dir, run.ledger):
        (found if outputs.owns(bad.file.path) or not bad.exists else others).append(bad)
    for bad in others[:SHOWN_PROBLEMS]:
        run.console.insist(
            f"{bad.file.path}: {bad.why}; it is outside of the run and output directories, so it"
            " is left as it is"
        )
    _move_aside((run.run_dir / bad.file.path for bad in found if bad.exists), timestamp(run.now_s))
    for job in dict.fromkeys(bad.job for bad in found):
        await run.ledger.record(job, FilesLost())
    for bad in found[:SHOWN_PROBLEMS]:
        run.console.say(f"{bad.file.path}: {bad.why}; it is fetched again")
    if found:
        run.console.say(f"{count_text(len(found), 'file')} to fetch again, at no cost")
    elif not others:
        run.console.say("every file is as it was downloaded")


async def grant_retries(run: Preparation) -> None:
    """With `retry`: grant one more attempt to the chosen jobs that still have a row."""
    if run.retry is None:
        return
    chosen = {record.job for record in run.ledger.records(*RETRIABLE) if run.retry.chooses(record)}
    granted = list(islice((job.id for job in run.batch.jobs() if job.id in chosen), run.limit))
    for job in granted:
        await run.ledger.record(job, Granted())
    run.granted = frozenset(granted)


STEPS: tuple[Callable[[Preparation], Awaitable[None]], ...] = (
    settle_crashed_submissions,
    adopt_jobs,
    reopen_damaged_files,
    grant_retries,
)


async def prepare(run: Preparation) -> None:
    """Take every step."""
    for note in run.ledger.notes:
        run.console.insist(note)
    run.ledger.recognise(run.rows)
    for step in STEPS:
        await step(run)


def _move_aside(paths: Iterable[Path], now: str) -> None:
    for path in paths:
        try:
            path.rename(set_aside_name(path, "changed", now, keep_suffix=True))
        except OSError as error:
            raise LocalIOError(f"{path}: {error.strerror}; it is in the way") from error
