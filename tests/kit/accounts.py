"""What a run directory says against what the other side has counted.

Reads the ledger as a stranger would, line by line with `json`: what is checked here must not be
believed on the word of the code that wrote it. A job is named by the first word of its prompt.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchgen.sandbox.audit import AuditedRequest

Line = dict[str, Any]


def job_of(prompt: str) -> str:
    """The job that a prompt was written for."""
    return prompt.split(maxsplit=1)[0]


@dataclass(slots=True)
class Books:
    """What the ledger of a run directory says."""

    run_dir: Path
    lines: list[Line] = field(default_factory=list)
    """Every record, oldest first; a torn last one is left out."""
    last: dict[str, Line] = field(default_factory=dict)
    """The last record of each job."""

    @classmethod
    def read(cls, run_dir: Path) -> Books:
        """Read what is there; nothing where there is no ledger yet."""
        books = cls(run_dir)
        path = run_dir / "ledger.jsonl"
        *whole, tail = path.read_bytes().split(b"\n") if path.exists() else [b""]
        found = [json.loads(line) for line in whole] + ([_or_torn(tail)] if tail else [])
        books.lines = [line for line in found if line and "job" in line]
        books.last = {line["job"]: line for line in books.lines}
        return books

    def in_state(self, state: str) -> set[str]:
        """The jobs that are in a state."""
        return {job for job, line in self.last.items() if line["state"] == state}

    def states(self) -> Counter[str]:
        """How many jobs are in which state."""
        return Counter(line["state"] for line in self.last.values())

    def parts(self) -> list[Path]:
        """Downloads that were begun and that nobody has finished."""
        return list((self.run_dir / "outputs").glob("*.part"))

    def request_ids(self) -> set[str]:
        """Every request that was ever written down."""
        return {line["request_id"] for line in self.lines if line.get("request_id")}


def _or_torn(tail: bytes) -> Line:
    """A last line without its end is either whole, or nothing."""
    try:
        found: Line = json.loads(tail)
    except ValueError:
        return {}
    return found


def findings(
    books: Books, requests: Collection[AuditedRequest], prompts: dict[str, str]
) -> list[str]:
    """All that is wrong once a batch has come to its end, a sentence each; nothing: all is well.

    `requests` are those that the sandbox accepted for this batch, `prompts` the rows by their
    job as they are now.
    """
    return [
        *_paid_twice(requests),
        *_lost(books, requests),
        *_unfinished(books, prompts),
        *_strangers(books, requests, prompts),
        *_bad_files(books),
    ]


def _paid_twice(requests: Collection[AuditedRequest]) -> Iterator[str]:
    for prompt, count in Counter(request.prompt for request in requests).items():
        if count > 1:
            yield f"PAID TWICE: {prompt!r} was accepted {count} times"


def _lost(books: Books, requests: Collection[AuditedRequest]) -> Iterator[str]:
    """A request that was accepted is in the ledger, or its job is in doubt; one for each doubt."""
    known, doubts = books.request_ids(), books.in_state("in_doubt")
    unknown = [request for request in requests if request.request_id not in known]
    per_job = Counter(job_of(request.prompt) for request in unknown)
    for job, count in per_job.items():
        if job not in doubts or count > 1:
            state = books.last.get(job, {}).get("state", "in no ledger")
            yield f"LOST: {count} accepted requests of {job} are not recorded; it is {state}"


def _unfinished(books: Books, prompts: dict[str, str]) -> Iterator[str]:
    for job in prompts:
        state = books.last.get(job, {}).get("state", "in no ledger")
        if state not in ("downloaded", "in_doubt"):
            yield f"UNFINISHED: {job} is {state}"


def _strangers(
    books: Books, requests: Collection[AuditedRequest], prompts: dict[str, str]
) -> Iterator[str]:
    """What was collected for a row is what was made of its prompt as it is now."""
    made_of = {request.request_id: request.prompt for request in requests}
    for job in sorted(books.in_state("downloaded")):
        prompt = made_of.get(books.last[job]["request_id"])
        if prompt is None:
            yield f"STRANGER: the request of {job} was never accepted"
        elif prompt != prompts.get(job, prompt):
            yield f"STRANGER: {job} asks for {prompts[job]!r} and has {prompt!r}"


def _bad_files(books: Books) -> Iterator[str]:
    """Every file of every record is whole, and there is no other under a final name."""
    owners: dict[str, str] = {}
    for line in books.lines:
        for file in line.get("files", ()) if line["state"] == "downloaded" else ():
            path = books.run_dir / file["path"]
            if not path.is_file():
                yield f"FILE: {file['path']} of {line['job']} is gone"
            elif hashlib.sha256(path.read_bytes()).hexdigest() != file["sha256"]:
                yield f"FILE: {file['path']} of {line['job']} is not what was recorded"
            if owners.setdefault(file["path"], line["job"]) != line["job"]:
                yield f"FILE: {file['path']} belongs to {owners[file['path']]} and {line['job']}"
    parts = set(books.parts())
    for path in (books.run_dir / "outputs").glob("*"):
        name = path.relative_to(books.run_dir).as_posix()
        if name not in owners and path not in parts:
            yield f"FILE: {name} is in no record"
