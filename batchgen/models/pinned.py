"""The schemas that a run directory began with: they decide types and identity there.

A schema that changes between two runs could make other jobs of unchanged rows, and pay for them
again. So the first one used stays, in `schemas/`, until the user removes the file.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from batchgen.core.errors import LocalIOError, ManifestError, Problem
from batchgen.core.json_reader import BadJSON, decode_json
from batchgen.core.model_entry import ModelEntry, file_stem, read_entry
from batchgen.core.schema.inputs import Schema
from batchgen.system.files import NOT_THERE, replacing
from batchgen.system.run_directory import RunDirectory

PINNED = "the run directory, where the first run kept it (schemas/)"


class PinnedSchemas:
    """The entries in `schemas/` of a run directory (a `SchemaSource`), one JSON file per model."""

    def __init__(self, run_dir: Path) -> None:
        self._directory = RunDirectory(run_dir).schemas

    def entry(self, model_id: str) -> ModelEntry | None:
        """Return what was kept of a model; None if it is new in this run directory.

        Raise `ManifestError` for a file that cannot be read: another schema would be a guess.
        """
        path = self._path(model_id)
        try:
            entry = read_entry(decode_json(path.read_bytes()))
        except NOT_THERE:
            return None
        except (OSError, BadJSON) as error:
            raise _unreadable(path, str(error)) from None
        if entry is None or entry.model_id != model_id:
            raise _unreadable(path, f"it does not describe {model_id}")
        return entry

    def schema_for(self, model_id: str) -> Schema | None:
        """Return the schema that the run directory began with, if any."""
        entry = self.entry(model_id)
        return Schema(entry.input_schema) if entry is not None and entry.input_schema else None

    def origin_of(self, model_id: str) -> str:  # noqa: ARG002 - the same for every model
        """Return where that schema is, for the user."""
        return PINNED

    def keep(self, entry: ModelEntry) -> None:
        """Keep an entry, unless one of its model is kept already. Raise `LocalIOError`."""
        path = self._path(entry.model_id)
        if path.exists():
            return
        text = msgspec.json.format(msgspec.json.encode(entry), indent=1)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(text + b"\n")
        except OSError as error:
            raise LocalIOError(f"{path}: {error.strerror}") from error

    def copy_from(self, other: PinnedSchemas) -> list[str]:
        """Keep what another run directory has kept of models that are not kept here.

        Return the models of which both have kept another schema. Raise `ManifestError` for a file
        that cannot be read, and `LocalIOError`.
        """
        differ = []
        for path in sorted(other._directory.glob("*.json")):
            try:
                entry = read_entry(decode_json(path.read_bytes()))
            except (OSError, BadJSON) as error:
                raise _unreadable(path, str(error)) from None
            if entry is None:
                raise _unreadable(path, "it does not describe a model")
            own = self.entry(entry.model_id)
            if own is None:
                self.keep(entry)
            elif own.input_schema != entry.input_schema:
                differ.append(entry.model_id)
        return differ

    def _path(self, model_id: str) -> Path:
        return self._directory / f"{file_stem(model_id)}.json"


def _unreadable(path: Path, why: str) -> ManifestError:
    what = f"cannot be read ({why}); repair it, or remove it to begin with today's schema"
    return ManifestError([Problem(where=str(path), what=what)])
