"""An open manifest with its run directory and what that directory remembers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from batchgen.app.address_manifest import (
    FetchedManifest,
    fetched_manifest,
    keep_manifest,
    kept_manifest,
)
from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.model_sources import offline_models, online_models
from batchgen.app.run_directories import RunDirectories, default_directories, named_directories
from batchgen.app.run_file import recall
from batchgen.core.errors import ManifestError, ManifestNotFound, UsageError
from batchgen.core.run_limits import parse_bucket
from batchgen.manifest.manifest import Manifest, open_fetched, open_manifest
from batchgen.manifest.settings import ManifestSettings
from batchgen.models.bundled import packaged_models
from batchgen.models.pinned import PinnedSchemas
from batchgen.models.registry import ModelRegistry
from batchgen.system.run_directory import RunDirectory

SEED_OF_SHARDS = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBatch:
    """A manifest whose settings are read, and the run directory that is meant."""

    ref: BatchRef
    """With the row options that the run directory remembers."""
    fetched: FetchedManifest | None = None
    """The manifest at an address."""
    manifest: Manifest
    models: ModelRegistry
    directory: RunDirectory
    notes: tuple[str, ...] = ()

    @property
    def note_on_copy(self) -> str:
        """Why the copy of the last run stands in for the manifest; empty if it does not."""
        return "" if self.fetched is None else self.fetched.note

    def keep_fetched(self) -> None:
        """Keep the bytes of a manifest at an address for later runs. Raises `LocalIOError`."""
        if self.fetched is not None:
            keep_manifest(self.fetched, self.directory)


def open_newest(ref: BatchRef, context: CommandContext, *, fresh: bool = False) -> OpenBatch:
    """Open the manifest for its newest run directory, without network but for its own address.

    `fresh` as for `open_in`.
    """
    return open_in(ref, locate(ref).newest(), context, fresh=fresh)


def open_in(
    ref: BatchRef,
    directory: RunDirectory,
    context: CommandContext,
    *,
    live: bool = False,
    fresh: bool = False,
) -> OpenBatch:
    """Open the manifest for a run directory; with `live` the catalogue may be asked for models.

    A manifest at an address is fetched. If that fails, the copy of the last run is used, unless it
    has to be `fresh`.
    """
    given = ref.row_options
    if given.assets is None and (named := context.environment.get("BATCHGEN_ASSETS")):
        given = replace(given, assets=assets_named(named))
    options, notes = recall(directory, given)
    if options.seed is None and live:
        # The parts of a batch must pick the same, or rows without id would be in two or in none.
        seed = context.new_seed() if options.shard is None else SEED_OF_SHARDS
        options = replace(options, seed=seed)
    pinned = PinnedSchemas(directory.path)
    # A sandbox run takes schemas from where a real run would, but asks no API for them.
    models = online_models if live and not ref.sandbox else offline_models
    registry = models(context, pinned)
    ref = replace(ref, row_options=options)
    fetched = None
    if ref.is_address:
        fetched = _at_address(ref, directory, context, fresh=fresh)
        notes += (fetched.note,) if fetched.note else ()
        manifest = open_fetched(
            fetched.path, ref.shown, replace(options, format=fetched.format), registry, pinned
        )
    else:
        manifest = open_manifest(
            ref.manifest, options, registry,
            stdin=_stdin() if ref.is_stdin else None, pinned=pinned,
        )  # fmt: skip
    return OpenBatch(
        ref=ref, manifest=manifest, models=registry, directory=directory, notes=notes,
        fetched=fetched,
    )  # fmt: skip


def assets_named(url: str) -> str:
    """Return the value of BATCHGEN_ASSETS. Raises `UsageError` if it is not a bucket."""
    try:
        return parse_bucket(url)
    except ValueError as error:
        raise UsageError(f"BATCHGEN_ASSETS: {error}") from None


def open_copy(ref: BatchRef, directory: RunDirectory, context: CommandContext) -> OpenBatch | None:
    """Open the copy of a manifest whose address gave an error; None if no run has kept one."""
    if kept_manifest(directory) is None:
        return None
    return open_in(ref, directory, context)


def _at_address(
    ref: BatchRef, directory: RunDirectory, context: CommandContext, *, fresh: bool
) -> FetchedManifest:
    kept = None if fresh else kept_manifest(directory)
    try:
        fetched = fetched_manifest(ref, context)
    except (ManifestError, ManifestNotFound) as error:
        if kept is None:
            raise
        note = f"{error}; the copy that the last run kept is used instead"
        return replace(kept, note=note)
    # A watch lasts: a run that has begun since then used a later sheet.
    return kept if kept is not None and kept.is_newer_than(fetched) else fetched


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
    if ref.is_address:
        return None  # it is fetched once, when the lock is held; --run-dir names the directory
    path = Path(ref.manifest)
    kind = ref.row_options.format or path.suffix.lower().lstrip(".")
    is_pipe = ref.is_stdin or (path.exists() and not path.is_file())  # can be read only once
    if is_pipe or kind not in ("yaml", "yml", "json"):
        return None
    packaged = ModelRegistry(packaged=packaged_models())
    return open_manifest(ref.manifest, ref.row_options, packaged).settings
