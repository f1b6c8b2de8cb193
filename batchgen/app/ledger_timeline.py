"""The timeline of a run directory, read from its ledger and its history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from batchgen.core.errors import BatchgenError
from batchgen.core.timeline import Timeline, TimelineChart
from batchgen.core.units import seconds
from batchgen.ledger.history_file import read_history
from batchgen.ledger.replay import Replay, follow
from batchgen.system.run_directory import RunDirectory

MAX_LEDGER_BYTES = 32 << 20
"""A longer ledger has far more jobs than a page shows, and takes a second to read."""


class LedgerTimeline:
    """Reads on from where it was, as long as the ledger is the same file."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._timeline = Timeline()
        self._replay: Replay | None = None

    def chart(self, outages: tuple[tuple[float, float], ...] = ()) -> TimelineChart | None:
        """Return what is drawn; None if there is nothing to see or far too much to read.

        `outages` are those of a run that is not in the history yet, in seconds since 1970.
        """
        try:
            if self._directory.ledger.stat().st_size > MAX_LEDGER_BYTES:
                return None
            if self._replay is None or not self._replay.is_current:
                self._timeline = Timeline()
                self._replay = follow(
                    self._directory.ledger, lambda record, _: self._timeline.take(record)
                )
            self._replay.read_on()
        except (OSError, BatchgenError):
            return None  # whoever reads the ledger for more than a drawing reports it
        return self._timeline.chart((*self._past_outages(), *outages))

    def _past_outages(self) -> Iterator[tuple[float, float]]:
        with suppress(BatchgenError):
            for past in read_history(self._directory):
                for begin, end in past.outages:
                    from_s, to_s = seconds(begin), seconds(end)
                    if from_s is not None and to_s is not None:
                        yield from_s, to_s
