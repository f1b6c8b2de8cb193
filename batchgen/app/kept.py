"""The schemas that a run directory began with: they decide types and identity there.

A schema that changes between two nights could make other jobs of unchanged rows, and pay for them
again. So the first one used stays, in `schemas/`, until a person removes the file.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from batchgen.api.cache import write_whole
from batchgen.core.errors import LocalIOError, ManifestError, Problem
from batchgen.core.models import ModelEntry, file_stem, read_entry

SCHEMAS_NAME = "schemas"


class KeptSchemas:
    """The entries in `schemas/` of one run directory, one JSON file a model."""

    def __init__(self, run_dir: Path) -> None:
        self._directory = run_dir / SCHEMAS_NAME

    def entry(self, model_id: str) -> ModelEntry | None:
        """What was kept of a model; None where it is new in this run directory.

        Raises `ManifestError` for a file that cannot be read: another schema would be a guess.
        """
        path = self._path(model_id)
        try:
            entry = read_entry(msgspec.json.decode(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise _unreadable(path, str(error)) from None
        if entry is None or entry.model_id != model_id:
            raise _unreadable(path, f"it does not describe {model_id}")
        return entry

    def keep(self, entry: ModelEntry) -> None:
        """Keep an entry, unless one of its model is kept already. Raises `LocalIOError`."""
        path = self._path(entry.model_id)
        if path.exists():
            return
        text = msgspec.json.format(msgspec.json.encode(entry), indent=1)
        try:
            write_whole(path, text + b"\n", durable=True)
        except OSError as error:
            raise LocalIOError(f"{path}: {error.strerror}") from error

    def _path(self, model_id: str) -> Path:
        return self._directory / f"{file_stem(model_id)}.json"


def _unreadable(path: Path, why: str) -> ManifestError:
    what = f"cannot be read ({why}); mend it, or remove it to begin with today's schema"
    return ManifestError([Problem(where=str(path), what=what)])
