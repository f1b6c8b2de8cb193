"""The ledger of a run directory as any program reads it: line by line, with `json`.

The tests must not believe the code that wrote it, so nothing of the package is used here.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Line = dict[str, Any]


@dataclass(slots=True)
class LedgerView:
    """The ledger of a run directory at one moment."""

    run_dir: Path
    header: Line = field(default_factory=dict)
    """Empty if there is no ledger yet."""
    records: list[Line] = field(default_factory=list)
    """Oldest first; a torn last one is left out."""
    last: dict[str, Line] = field(default_factory=dict)
    """The last record of each job."""
    reviews: list[Line] = field(default_factory=list)
    """The verdicts, oldest first; a torn line is left out."""

    @classmethod
    def read(cls, run_dir: Path) -> LedgerView:
        """Read what is there; nothing if there is no ledger yet."""
        view = cls(run_dir)
        path = run_dir / "ledger.jsonl"
        *whole, tail = path.read_bytes().split(b"\n") if path.exists() else [b""]
        found = [json.loads(line) for line in whole] + _record_in(tail)
        for line in found:
            if "job" in line:
                view.records.append(line)
                view.last[line["job"]] = line
            else:
                view.header = line
        view.reviews = _reviews(run_dir / "reviews.jsonl")
        return view

    def redos(self) -> Counter[str]:
        """Return how many takes of each job the user asked to be made again."""
        asked = {
            (line["job"], line["take"], line.get("submitted_at"))
            for line in self.reviews
            if line["verdict"] == "redo"
        }
        return Counter(job for job, _, _ in asked)

    def rejected(self) -> set[str]:
        """Return the jobs whose present take the user does not want."""
        return self._with_verdict("reject")

    def open_redos(self) -> set[str]:
        """Return the jobs on disk whose present take the user asked to be made again."""
        return self._with_verdict("redo")

    def _with_verdict(self, word: str) -> set[str]:
        """Return the jobs on disk on whose present take this is the last verdict."""
        last = {(one["job"], one["take"], one.get("submitted_at")): one for one in self.reviews}
        return {
            job
            for job in self.in_state("downloaded")
            if last.get(
                (job, self.last[job].get("take", 1), self.last[job].get("submitted_at")), {}
            ).get("verdict")
            == word
        }

    def in_state(self, state: str) -> set[str]:
        """Return the jobs that are in a state."""
        return {job for job, line in self.last.items() if line["state"] == state}

    def counts(self) -> Counter[str]:
        """Return how many jobs are in which state."""
        return Counter(line["state"] for line in self.last.values())

    def parts(self) -> list[Path]:
        """Return the downloads that were begun and not finished."""
        return list((self.run_dir / "outputs").glob("*.part"))

    def request_ids(self) -> set[str]:
        """Return every request that is on record, of an earlier take too."""
        takes = (take.get("request") for line in self.records for take in line.get("takes", ()))
        present = (line.get("request_id") for line in self.records)
        return {one for one in (*present, *takes) if one}


def records(run_dir: Path) -> list[Line]:
    """Return every record of a ledger, oldest first."""
    return LedgerView.read(run_dir).records


def states(run_dir: Path) -> dict[str, str]:
    """Return the state of each job: that of its last record."""
    return {job: line["state"] for job, line in LedgerView.read(run_dir).last.items()}


def _reviews(path: Path) -> list[Line]:
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    found = [_record_in(line) for line in lines if line.endswith(b"\n")]
    return [line for one in found for line in one]


def _record_in(tail: bytes) -> list[Line]:
    """Return the record in a last line without its newline, unless it is torn."""
    try:
        return [json.loads(tail)] if tail else []
    except ValueError:
        return []
