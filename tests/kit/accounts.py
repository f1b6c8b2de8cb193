"""A run directory, checked against what the sandbox has counted.

A job is named by the first word of its prompt.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator

from batchgen.sandbox.audit import AuditedRequest
from tests.kit.ledger_view import LedgerView


def job_of(prompt: str) -> str:
    """Return the job that a prompt was written for."""
    return prompt.split(maxsplit=1)[0]


def findings(
    ledger: LedgerView, requests: Collection[AuditedRequest], prompts: dict[str, str]
) -> list[str]:
    """Return all that is wrong once a batch has come to its end, in one sentence each.

    `requests` are those that the sandbox accepted for this batch, `prompts` the rows by their
    job as they are now.
    """
    return [
        *_paid_twice(requests),
        *_lost(ledger, requests),
        *_unfinished(ledger, prompts),
        *_strangers(ledger, requests, prompts),
        *_bad_files(ledger),
    ]


def _paid_twice(requests: Collection[AuditedRequest]) -> Iterator[str]:
    for prompt, count in Counter(request.prompt for request in requests).items():
        if count > 1:
            yield f"PAID TWICE: {prompt!r} was accepted {count} times"


def _lost(ledger: LedgerView, requests: Collection[AuditedRequest]) -> Iterator[str]:
    """Find accepted requests that are not on record; each job in doubt explains one."""
    known, doubts = ledger.request_ids(), ledger.in_state("in_doubt")
    unknown = [request for request in requests if request.request_id not in known]
    per_job = Counter(job_of(request.prompt) for request in unknown)
    for job, count in per_job.items():
        if job not in doubts or count > 1:
            state = ledger.last.get(job, {}).get("state", "in no ledger")
            yield f"LOST: {count} accepted requests of {job} are not recorded; it is {state}"


def _unfinished(ledger: LedgerView, prompts: dict[str, str]) -> Iterator[str]:
    for job in prompts:
        state = ledger.last.get(job, {}).get("state", "in no ledger")
        if state not in ("downloaded", "in_doubt"):
            yield f"UNFINISHED: {job} is {state}"


def _strangers(
    ledger: LedgerView, requests: Collection[AuditedRequest], prompts: dict[str, str]
) -> Iterator[str]:
    """Find outputs that were not made of the row's prompt as it is now."""
    made_of = {request.request_id: request.prompt for request in requests}
    for job in sorted(ledger.in_state("downloaded")):
        prompt = made_of.get(ledger.last[job]["request_id"])
        if prompt is None:
            yield f"STRANGER: the request of {job} was never accepted"
        elif prompt != prompts.get(job, prompt):
            yield f"STRANGER: {job} asks for {prompts[job]!r} and has {prompt!r}"


def _bad_files(ledger: LedgerView) -> Iterator[str]:
    """Find files that are not as recorded, and files under a final name that no record has."""
    owners: dict[str, str] = {}
    for line in ledger.records:
        for file in line.get("files", ()) if line["state"] == "downloaded" else ():
            path = ledger.run_dir / file["path"]
            if not path.is_file():
                yield f"FILE: {file['path']} of {line['job']} is gone"
            elif hashlib.sha256(path.read_bytes()).hexdigest() != file["sha256"]:
                yield f"FILE: {file['path']} of {line['job']} is not what was recorded"
            if owners.setdefault(file["path"], line["job"]) != line["job"]:
                yield f"FILE: {file['path']} belongs to {owners[file['path']]} and {line['job']}"
    parts = set(ledger.parts())
    for path in (ledger.run_dir / "outputs").glob("*"):
        name = path.relative_to(ledger.run_dir).as_posix()
        if name not in owners and path not in parts:
            yield f"FILE: {name} is in no record"
