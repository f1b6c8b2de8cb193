"""Totals counted from the beginning, to compare with those that are kept up to date."""

from __future__ import annotations

from collections.abc import Iterable

from batchgen.core.lifecycle import JobRecord
from batchgen.core.summary import Summary


def summarise(records: Iterable[JobRecord | None], *, invalid: int = 0) -> Summary:
    """Return the summary of these records; None stands for a job without a record."""
    summary = Summary(invalid=invalid)
    for record in records:
        summary.count(record)
    return summary
