"""Ledgers as the first versions wrote them: fingerprints and names of texts as they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec


def first_digest(model: str, values: Mapping[str, Any]) -> str:
    """The fingerprint of a job by the first versions."""
    canonical = msgspec.json.encode([model, _whole(dict(values))], order="sorted")
    return hashlib.blake2b(canonical, digest_size=8).hexdigest()


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def as_first_version(
    ledger: Path, ids: Mapping[str, str] | None = None, *, with_inputs: bool = True
) -> None:
    """Rewrite a ledger as if a first version had written it.

    `ids` are the names of jobs as their rows spelled them; without `with_inputs`, the lines of
    submissions no longer say what was sent.
    """
    header, *lines = ledger.read_bytes().splitlines()
    first: dict[str, tuple[str, str]] = {}
    written = [header]
    for line in map(msgspec.json.decode, lines):
        job = line["job"]
        if "input" in line:
            digest = first_digest(line["model"], line["input"])
            spelled = (ids or {}).get(job, job)
            if job.startswith(line["fingerprint"]):
                spelled = digest + job.removeprefix(line["fingerprint"])
            first[job] = spelled, digest
            if not with_inputs:
                del line["input"], line["model"]
        line["job"], line["fingerprint"] = first[job]
        written.append(msgspec.json.encode(line))
    ledger.write_bytes(b"\n".join(written) + b"\n")
