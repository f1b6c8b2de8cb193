"""What was submitted for jobs whose outputs are about to be collected: model and input.

Not what the row says now: that may have been edited since. Jobs of this run are overheard as their
intent becomes durable; for those of earlier runs the rows of the manifest are asked, where they are
still the same, and then the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from batchgen.core.events import Accepted, Event, Intended, Started, Succeeded
from batchgen.core.jobs import JSONValue
from batchgen.core.lifecycle import IN_FLIGHT, JobRecord, JobState
from batchgen.core.plan import Records
from batchgen.ports import Batch, Observer

_GOES_ON = (Intended, Accepted, Started, Succeeded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One submission."""

    model: str
    values: Mapping[str, JSONValue]


class _Line(msgspec.Struct, frozen=True, gc=False):
    """What a ledger line may say of a submission."""

    job: str = ""
    fingerprint: str = ""
    model: str | None = None
    input: dict[str, Any] | None = None


@dataclass(slots=True, kw_only=True)
class Recipes:
    """By job, for as long as a job is open. An `Observer` that passes on what it hears."""

    batch: Batch
    records: Records
    ledger: Path
    then: Observer
    _known: dict[str, Recipe] = field(default_factory=dict)

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Remember a submission until its job has ended."""
        if isinstance(event, Intended):
            self._known[job] = Recipe(model=event.model, values=event.input)
        elif not isinstance(event, _GOES_ON):
            self._known.pop(job, None)
        self.then.on_event(job, event, record)

    def on_note(self, text: str) -> None:
        """Nothing for this one."""
        self.then.on_note(text)

    async def of(self, job: str) -> Recipe | None:
        """None where neither manifest nor ledger know it any more. Looks it up off the loop."""
        if job not in self._known:
            wanted = {
                record.job: record.fingerprint
                for record in self.records.records(JobState.COMPLETED, *IN_FLIGHT)
                if record.job not in self._known
            }
            await asyncio.to_thread(self._look_up, wanted)
        return self._known.get(job)

    def _look_up(self, wanted: dict[str, str]) -> None:
        """On a thread: the records are those of the loop and are not touched here."""
        for row in self.batch.jobs():
            if row.id in wanted and wanted[row.id] == row.fingerprint:
                self._known[row.id] = Recipe(model=row.model, values=row.input)
                del wanted[row.id]
        if wanted:
            self._ask_ledger(wanted)

    def _ask_ledger(self, wanted: Mapping[str, str]) -> None:
        decoder = msgspec.json.Decoder(_Line)
        with self.ledger.open("rb") as lines:
            for line in lines:
                if b'"input"' not in line:
                    continue
                try:
                    told = decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue  # a torn tail, or the header; the ledger itself has had its say
                fits = told.job in wanted and wanted[told.job] == told.fingerprint
                if fits and told.model is not None and told.input is not None:
                    self._known[told.job] = Recipe(model=told.model, values=told.input)
