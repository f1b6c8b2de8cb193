"""The sidecar of an output: a JSON file with everything needed to make the same again."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from batchgen.core.events import OutputFile
from batchgen.core.json_reader import JSONValue
from batchgen.core.lifecycle import JobRecord
from batchgen.outputs.destination import Destination
from batchgen.outputs.file_names import FileNameClaims

MARKER = b'{\n  "sidecar": "batchgen"'
"""The first bytes of every sidecar: a file that begins otherwise only has its name."""


def sidecar(
    file: OutputFile, record: JobRecord, *, model: str, values: Mapping[str, JSONValue]
) -> bytes:
    """Return the content. `values` is what was submitted.

    It holds no URL: those expire within days, and may carry signatures.
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


def put_sidecar(destination: Destination, names: FileNameClaims, path: str, content: bytes) -> None:
    """Put a sidecar beside the file at `path`, over an earlier sidecar but no other file.

    Blocking. Raise OSError, `LocalIOError` or `Unreachable`.
    """
    directory, _, name = path.rpartition("/")
    while True:
        place = f"{directory}/{names.claim_safe(name)}.json"
        there = destination.read(place, len(MARKER))
        if there not in (None, MARKER):
            continue
        if destination.put_text(place, content, replaces=there is not None):
            return
