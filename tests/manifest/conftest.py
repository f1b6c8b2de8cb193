"""Fixtures that write and read a manifest in one line, with its jobs and problems."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchgen.core.errors import ManifestError
from batchgen.core.jobs import Job
from batchgen.core.schema.inputs import Schema
from batchgen.manifest.header import BadRow
from batchgen.manifest.manifest import Manifest, open_manifest
from batchgen.manifest.model_binding import SchemaSource
from batchgen.manifest.row_options import RowOptions
from batchgen.models.bundled import packaged_models
from batchgen.models.registry import ModelRegistry
from tests.kit import MODEL


@dataclass(frozen=True)
class Seen:
    """The jobs and bad rows of one pass over a manifest."""

    manifest: Manifest
    jobs: list[Job]
    bad: list[BadRow]

    @property
    def problems(self) -> list[str]:
        return [str(problem) for row in self.bad for problem in row.problems]

    @property
    def prompts(self) -> list[object]:
        return [job.input["prompt"] for job in self.jobs]

    @property
    def ids(self) -> list[str]:
        return [job.id for job in self.jobs]


class OneSchema:
    """A schema source that knows one schema for every model."""

    def __init__(self, properties: Mapping[str, object], **more: object) -> None:
        self.schema = Schema({"type": "object", "properties": properties, **more})

    def schema_for(self, model_id: str) -> Schema | None:
        return self.schema

    def origin_of(self, model_id: str) -> str:
        return "the test"


class NoSchemas:
    """A schema source that knows nothing."""

    def schema_for(self, model_id: str) -> Schema | None:
        return None

    def origin_of(self, model_id: str) -> str:
        return "nowhere"


Read = Callable[..., Seen]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Write a manifest under its name and read it; `files` are written beside it."""
    monkeypatch.chdir(tmp_path)

    def run(
        name: str,
        content: str | bytes | None = None,
        *,
        files: Mapping[str, str | bytes] | None = None,
        schemas: object = None,
        stdin: bytes | None = None,
        pinned: SchemaSource | None = None,
        **shape: object,
    ) -> Seen:
        for path, text in {**({} if content is None else {name: content}), **(files or {})}.items():
            data = text if isinstance(text, bytes) else text.encode()
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(data)
        source = schemas or ModelRegistry(packaged=packaged_models())
        stream = None if stdin is None else io.BytesIO(stdin)
        shape = {"model": MODEL, **shape}
        manifest = open_manifest(name, RowOptions(**shape), source, stdin=stream, pinned=pinned)  # type: ignore[arg-type]
        rows = list(manifest.rows())
        return Seen(
            manifest,
            [row for row in rows if isinstance(row, Job)],
            [row for row in rows if isinstance(row, BadRow)],
        )

    return run


def problems_of(read: Read, name: str, content: str | bytes | None, **how: object) -> list[str]:
    """Return every problem of a manifest, in its settings and in its rows."""
    try:
        return read(name, content, **how).problems
    except ManifestError as error:
        return str(error).split("\n")
