"""The sidecar of an output: a JSON beside it with all that it takes to make the same again."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from batchgen.core.events import OutputFile
from batchgen.core.jobs import JSONValue
from batchgen.core.lifecycle import JobRecord

MARKER = b'{\n  "sidecar": "batchgen"'
"""How each of them begins, so that it is told from a file that only has its name."""


def sidecar(
    file: OutputFile, record: JobRecord, *, model: str, values: Mapping[str, JSONValue]
) -> bytes:
    """The content, for a person and a program. `values` is what was submitted.

    No URL is in it: those die within days, and may carry signatures.
    """
    content = {
        "sidecar": "batchgen",
        "v": 1,
        "file": file.path.rpartition("/")[2],
        "bytes": file.bytes,
        "sha256": file.sha256,
        "job": record.job,
        "model": model,
        "prompt": values.get("prompt"),
        "parameters": {key: value for key, value in values.items() if key != "prompt"},
        "request_id": record.request_id,
        "attempt": record.attempt,
        "cost_usd": record.cost_usd,
        "files_of_job": len(record.outputs),
        "submitted_at": record.submitted_at,
        "finished_at": record.finished_at,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
