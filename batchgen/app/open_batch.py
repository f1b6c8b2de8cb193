"""An open manifest with its run directory and what that directory remembers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.model_sources import offline_models, online_models
from batchgen.app.run_directories import RunDirectories, default_directories, named_directories
from batchgen.app.run_file import recall
from batchgen.core.errors import ManifestNotFound
from batchgen.manifest.manifest import Manifest, open_manifest
from batchgen.manifest.settings import ManifestSettings
from batchgen.models.bundled import packaged_models
from batchgen.models.pinned import PinnedSchemas
from batchgen.models.registry import ModelRegistry
from batchgen.system.run_directory import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBatch:
    """A manifest whose settings are read, and the run directory that is meant."""

    ref: BatchRef
    """With the row options that the run directory remembers."""
    manifest: Manifest
    models: ModelRegistry
    directory: RunDirectory
    notes: tuple[str, ...] = ()


def open_newest(ref: BatchRef, context: CommandContext) -> OpenBatch:
    """Open the manifest for its newest run directory, without network."""
    return open_in(ref, locate(ref).newest(), context)


def open_in(
    ref: BatchRef, directory: RunDirectory, context: CommandContext, *, live: bool = False
) -> OpenBatch:
    """Open the manifest for a run directory; with `live` the catalogue may be asked for models."""
    options, notes = recall(directory, ref.row_options)
    pinned = PinnedSchemas(directory.path)
    # A sandbox run takes schemas from where a real run would, but asks no API for them.
    models = online_models if live and not ref.sandbox else offline_models
    registry = models(context, pinned)
    manifest = open_manifest(
        ref.manifest, options, registry,
        stdin=_stdin() if ref.is_stdin else None, pinned=pinned,
    )  # fmt: skip
    return OpenBatch(
        ref=replace(ref, row_options=options), manifest=manifest, models=registry,
        directory=directory, notes=notes,
    )  # fmt: skip


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise ManifestNotFound("the manifest is to come from stdin, which is closed")
    return sys.stdin.buffer


def locate(ref: BatchRef) -> RunDirectories:
    """Return the run directories of a batch; its manifest is read, as it may name them."""
    return directories_of(ref, read_settings(ref) if ref.run_dir is None else None)


def directories_of(ref: BatchRef, settings: ManifestSettings | None) -> RunDirectories:
    """Return the run directories of a batch whose manifest has these settings."""
    return default_directories(ref) if settings is None else named_directories(ref, settings)


def series_of(ref: BatchRef, settings: ManifestSettings | None) -> RunDirectories:
    """Return the directories that share budgets and requests with those of a batch.

    With `--run-dir` it is about one directory, which may be one of the dated ones of its manifest.
    """
    directories = directories_of(ref, settings)
    if ref.run_dir is None or settings is None:
        return directories
    series = named_directories(replace(ref, run_dir=None), settings)
    return series if series.includes(directories.newest()) else directories


def read_settings(ref: BatchRef) -> ManifestSettings | None:
    """Return what a manifest says besides its rows; None if it has only rows or is a pipe."""
    path = Path(ref.manifest)
    kind = ref.row_options.format or path.suffix.lower().lstrip(".")
    is_pipe = ref.is_stdin or (path.exists() and not path.is_file())  # can be read only once
    if is_pipe or kind not in ("yaml", "yml", "json"):
        return None
    packaged = ModelRegistry(packaged=packaged_models())
    return open_manifest(ref.manifest, ref.row_options, packaged).settings
