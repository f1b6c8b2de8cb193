"""A manifest that was read to its end: every row checked and spooled, every file name rendered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from batchgen.app.chained_batch import ChainedBatch
from batchgen.app.spool import Spool, SpooledRow
from batchgen.core.adoption import adoption_rounds
from batchgen.core.errors import Cause, ManifestError, Problem
from batchgen.core.jobs import Batch, Job, Where
from batchgen.core.lifecycle import Records
from batchgen.core.model_entry import ModelEntry
from batchgen.core.plan import Policy
from batchgen.core.problem_list import ProblemList
from batchgen.core.schema.values import InvalidValue
from batchgen.core.units import as_text, count_text
from batchgen.ledger.lock import at_work
from batchgen.ledger.record_index import RecordIndex
from batchgen.ledger.replay import replay
from batchgen.ledger.reviews_file import read_reviews
from batchgen.manifest.header import BadRow, LeftOut
from batchgen.manifest.templates import Template, variable
from batchgen.models.pinned import PinnedSchemas

if TYPE_CHECKING:
    from batchgen.core.shards import Shard
    from batchgen.manifest.manifest import Manifest
    from batchgen.manifest.settings import ManifestSettings
    from batchgen.models.registry import ModelRegistry
    from batchgen.system.run_directory import RunDirectory

_USUAL_POLICY = Policy()
_SHOWN_ROWS = 5
DEFAULT_NAME = "{{ id }}-{{ index }}"

_INDEX, _TAKE, _ID, _STEP = "\ue000", "\ue001", "\ue004", "\ue005"
"""They stand for the numbers of an output and of its take, and for a job of a later step, until
those are known; no file name keeps these characters."""


class FileNames:
    """Names of output files by the manifest's `output.name`, over the columns of each row.

    The default template needs no memory; any other keeps one text per job of a row, and one more
    for those of its later steps.
    """

    def __init__(self, settings: ManifestSettings) -> None:
        self._where = settings.where("output.name")
        self._names: dict[str, str] = {}
        self._later: dict[str, str] = {}
        """By row: the names for jobs of its later steps."""
        self._template: Template | None = None
        if settings.output.name not in (None, DEFAULT_NAME):
            try:
                self._template = Template(settings.output.name or "")
            except InvalidValue as error:
                raise ManifestError([Problem(where=self._where, what=str(error))]) from None

    def add(self, job: Job) -> Problem | None:
        """Render the name of one job; return the problem if its row lacks what the name needs."""
        if self._template is None:
            return None
        values = {variable(name): cell for name, cell in job.columns.items() if cell}
        try:
            values |= {"id": job.id, "index": _INDEX, "take": _TAKE, "step": job.step}
            self._names[job.id] = self._template.render(values)
            if job.steps:
                later = self._template.render(values | {"id": _ID, "step": _STEP})
                self._later[job.id] = (
                    later if _ID in later or _STEP in later else f"{later}-{_STEP}"
                )
        except InvalidValue as error:
            return Problem(where=f"{job.where}: {self._where}", what=str(error))
        return None

    def __call__(self, job: str, index: int, take: int = 1) -> str:
        """Return the name of one output, without extension, not yet made safe.

        From the second take on, the take is part of it, whether the template says so or not.
        """
        name = self._names.get(job) or self._name_of_step(job)
        if name is None:
            return f"{job}-{index}" if take == 1 else f"{job}-take{take}-{index}"
        if take > 1 and _TAKE not in name:
            name = f"{name}-take{_TAKE}"
        return name.replace(_INDEX, str(index)).replace(_TAKE, str(take))

    def _name_of_step(self, job: str) -> str | None:
        row, at, step = job.rpartition("@")
        name = self._later.get(row) if at else None
        return name and name.replace(_ID, job).replace(_STEP, step)


@dataclass(slots=True)
class NamelessRows:
    """Rows without an id: an edit gives them another name, and so perhaps another part."""

    count: int = 0
    first: list[int | None] = field(default_factory=list)

    def add(self, job: Job) -> None:
        """Count a job whose name is made from its text."""
        if job.id.partition("~")[0] == job.fingerprint:
            self.count += 1
            if len(self.first) < _SHOWN_ROWS:
                self.first.append(job.where.row)

    def text(self) -> str:
        """Return `rows 2, 3 and 17 more have no id: ...`; empty if all have one."""
        if not self.count:
            return ""
        more = f" and {self.count - len(self.first):,} more" if self.count > _SHOWN_ROWS else ""
        rows = "row" if self.count == 1 else "rows"
        have = "has" if self.count == 1 else "have"
        return (
            f"{rows} {', '.join(map(str, self.first))}{more} {have} no id: an edit can move such a"
            " row to another shard, which pays for it again; a column id prevents that"
        )


@dataclass(slots=True, kw_only=True)
class LoadedBatch:
    """A manifest that was read to its end."""

    manifest: Manifest
    spool: Spool
    names: FileNames
    models: dict[str, None] = field(default_factory=dict)
    """Every model that a row names, in the order of their first rows."""
    problems: ProblemList = field(default_factory=ProblemList)
    has_assets: bool = False
    """Whether any job names a file on this machine."""
    good_rows: int = 0
    nameless: NamelessRows = field(default_factory=NamelessRows)
    """Rows of a shard that have no id."""
    fatal: bool = False
    """Whether a file is wrong as a whole, so that leaving out rows does not help."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.spool.close()

    @property
    def matches_state(self) -> Callable[[str], bool] | None:
        """The condition that `--select` puts on a job's state; None if it has none."""
        selection = self.manifest.selection
        return selection.matches_state if selection and selection.state_conditions else None

    @property
    def has_steps(self) -> bool:
        """Tell whether rows have jobs of later steps."""
        return bool(self.manifest.settings.steps)

    @property
    def has_gates(self) -> bool:
        """Tell whether a step waits for the user's review."""
        return any(step.if_kept for step in self.manifest.settings.steps)

    def batch(self, records: Records, policy: Policy = _USUAL_POLICY) -> Batch:
        """Return every job of every step, by these records."""
        if not self.has_steps:
            return self.spool
        return ChainedBatch(self.spool, records, policy)

    def require_valid(self, *, skip_invalid: bool) -> None:
        """Raise `ManifestError` if anything is wrong that may not be left out."""
        may_skip = self.spool.valid and not self.fatal
        if not self.problems or (skip_invalid and may_skip):
            return
        error = ManifestError(*self.problems.shown())
        if may_skip:
            good = count_text(self.good_rows, "good row")
            error.way_out = f"; {good}: run --skip-invalid leaves out the wrong rows"
        raise error


def load(manifest: Manifest, *, spool_dir: Path | None = None, keep: bool = True) -> LoadedBatch:
    """Read and check every row; without `keep` the rows are only checked and counted.

    Close the result after use (`with`). Raises `ManifestError` for what makes reading on pointless.
    """
    spool = Spool(_spool_directory(spool_dir, manifest.base_dir), keep=keep)
    loaded = LoadedBatch(manifest=manifest, spool=spool, names=FileNames(manifest.settings))
    with ExitStack() as on_error:
        on_error.enter_context(loaded)
        _read_rows(loaded)
        spool.flush()
        on_error.pop_all()
    return loaded


def _read_rows(loaded: LoadedBatch) -> None:
    last: Where | None = None
    for row in _own_rows(loaded):
        if isinstance(row, LeftOut):
            for job in row.jobs:
                loaded.spool.add(_spooled_left_out(job, row))
        elif isinstance(row, BadRow):
            _add_bad(loaded, row)
        elif problem := loaded.names.add(row):
            bad = BadRow(where=row.where, problems=(problem,), columns=row.columns, id=row.id)
            _add_bad(loaded, bad)
        else:
            loaded.models[row.model] = None
            loaded.models.update((one.model, None) for one in row.steps)
            loaded.has_assets |= bool(row.assets) or any(one.assets for one in row.steps)
            loaded.problems.add_good_row(row.where.file)
            loaded.good_rows += row.where != last
            last = row.where
            if loaded.spool.keeps:
                loaded.spool.add(_spooled(row))
            else:
                loaded.spool.count_valid(row)
    if loaded.problems.has(Cause.REPEATED_ID):
        loaded.problems.say_more(Cause.REPEATED_ID, loaded.manifest.hint_at_unique_ids())
    is_part = loaded.manifest.shard is not None or loaded.manifest.selection is not None
    if not (loaded.spool.valid or loaded.problems or is_part):
        problem = Problem(
            where=loaded.manifest.settings.file, what="no rows; a batch needs at least one prompt"
        )
        raise ManifestError([problem])


def _own_rows(loaded: LoadedBatch) -> Iterator[Job | LeftOut | BadRow]:
    """Yield the rows of the part that is meant.

    What is wrong with a row of another part counts too, so that no part begins without the others.
    """
    shard = loaded.manifest.shard
    for row in loaded.manifest.rows(left_out=True):
        if shard is None or _is_in(shard, row):
            if shard is not None and isinstance(row, Job):
                loaded.nameless.add(row)
            yield row
        elif isinstance(row, BadRow):
            loaded.problems.add_row(row.where.file, row.problems)


def _is_in(shard: Shard, row: Job | LeftOut | BadRow) -> bool:
    """Tell whether a row is in a part; one that is wrong as a whole file is in all of them."""
    if isinstance(row, LeftOut):
        return any(shard.has(job) for job in row.jobs)
    if isinstance(row, BadRow):
        return row.fatal or shard.has(row.id or str(row.where))
    return shard.has(row.id)


def _spool_directory(*candidates: Path | None) -> Path | None:
    """Return a directory on the disk that the batch uses: /tmp may be memory."""
    for directory in candidates:
        if directory is not None and directory.is_dir() and os.access(directory, os.W_OK):
            return directory
    return None


def _spooled_left_out(job: str, row: LeftOut) -> SpooledRow:
    columns, off = dict(row.columns), row.switched_off
    return SpooledRow(job, "", {}, "", None, columns, left_out=True, switched_off=off)


def _spooled(job: Job) -> SpooledRow:
    return SpooledRow(
        job.id,
        job.model,
        dict(job.input),
        as_text(job.where.file),
        job.where.row,
        dict(job.columns),
        fingerprint=job.fingerprint,
        step=job.step,
        steps=job.steps,
        assets=tuple((*place, one) for place, one in job.assets.items()),
    )


def _add_bad(loaded: LoadedBatch, bad: BadRow) -> None:
    texts = tuple(as_text(str(problem)) for problem in bad.problems)
    if not bad.fatal:  # the file is wrong then, or its settings, and not one row of it
        loaded.spool.add(
            SpooledRow(
                bad.id or "",
                "",
                {},
                as_text(bad.where.file),
                bad.where.row,
                dict(bad.columns),
                texts,
            )
        )
    loaded.fatal = loaded.fatal or bad.fatal
    if bad.fatal:
        loaded.problems.add(bad.problems)
    else:
        loaded.problems.add_row(bad.where.file, bad.problems)


def records_of(directory: RunDirectory) -> RecordIndex:
    """Read a ledger; a submission without an answer is in doubt if no run waits for it.

    Raises as `replay`.
    """
    before = at_work(directory.path)
    records = replay(directory.ledger).index
    if before is None and at_work(directory.path) is None:
        records.doubt_crashed()
    records.set_verdicts(read_reviews(directory.path))
    return records


def read_records(directory: RunDirectory, loaded: LoadedBatch) -> RecordIndex:
    """Return the records of a directory; rows that got an id have the job of their input."""
    records = records_of(directory)
    records.recognise(loaded.spool)
    for found in adoption_rounds(loaded.batch(records), records, has_steps=loaded.has_steps):
        for old, new in found.now:
            records.adopt(old, new)
    return records


def entries_to_pin(
    loaded: LoadedBatch, models: ModelRegistry, directory: RunDirectory
) -> list[ModelEntry]:
    """Return each model of a batch with the schema that its rows were checked against.

    A model that is pinned already is not asked for again: a run without work calls nobody.
    """
    pinned, schemas = PinnedSchemas(directory.path), loaded.manifest.schemas
    entries = []
    for model in loaded.models:
        entry = pinned.entry(model) or models.entry_for(model) or ModelEntry(model_id=model)
        if model in schemas:
            entry = replace(entry, input_schema=schemas[model].raw)
        if entry.input_schema:
            entries.append(entry)
    return entries


def pin(entries: Iterable[ModelEntry], directory: RunDirectory) -> None:
    """Keep the entries in a run directory, each unless its model is there already.

    Raises `LocalIOError`.
    """
    pinned = PinnedSchemas(directory.path)
    for entry in entries:
        pinned.keep(entry)
