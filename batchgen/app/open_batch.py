"""From a target to an open manifest and its run directory, with what that directory remembers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from batchgen.app.batch_ref import BatchRef
from batchgen.app.model_sources import api_of, offline_models, online_models
from batchgen.app.run_directory import DatedRunDirectories, named_directory, plain_directory
from batchgen.app.run_file import recall
from batchgen.manifest import Manifest, open_manifest
from batchgen.models.bundled import PackagedSchemas
from batchgen.models.pinned import PinnedSchemas, PinnedSchemaSource
from batchgen.models.registry import ModelRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBatch:
    """A manifest whose head is read, and where its batch lies."""

    target: BatchRef
    """With the shape that the run directory remembers."""
    manifest: Manifest
    models: ModelRegistry
    place: DatedRunDirectories | Path
    run_dir: Path
    notes: tuple[str, ...] = ()


def open_batch(
    target: BatchRef, *, pick: Callable[[DatedRunDirectories], Path], live: bool = False
) -> OpenBatch:
    """Open the manifest; `pick` says which directory of a dated series is meant.

    With `live` the catalogue may be asked for models; otherwise cache and package have to do.
    """
    place = place_of(target)
    run_dir = pick(place) if isinstance(place, DatedRunDirectories) else place
    return replace(open_at(target, run_dir, live=live), place=place)


def open_at(target: BatchRef, run_dir: Path, *, live: bool = False) -> OpenBatch:
    """Open the manifest for a run directory that is known."""
    shape, notes = recall(run_dir, target.shape)
    target = replace(target, shape=shape)
    models = _models(target, run_dir, live=live)
    stdin = sys.stdin.buffer if target.manifest == "-" else None
    manifest = open_manifest(
        target.manifest, shape, models, stdin=stdin, pinned=PinnedSchemaSource(run_dir)
    )
    return OpenBatch(
        target=target, manifest=manifest, models=models, place=run_dir, run_dir=run_dir,
        notes=tuple(notes),
    )  # fmt: skip


def _models(target: BatchRef, run_dir: Path, *, live: bool) -> ModelRegistry:
    """A rehearsal takes schemas from where the night would, but asks nobody."""
    base = api_of(target.base_url)
    kept = PinnedSchemas(run_dir)
    if live and not target.sandbox:
        return online_models(base, kept=kept)
    return offline_models(base, kept)


def place_of(target: BatchRef) -> DatedRunDirectories | Path:
    """Where the batch lies; a YAML manifest may say so itself, and is opened for its head."""
    ending = Path(target.manifest).suffix.lower()
    is_yaml = target.shape.format == "yaml" or ending in (".yaml", ".yml")
    if target.run_dir is not None or target.manifest == "-" or not is_yaml:
        return plain_directory(target)
    head = open_manifest(target.manifest, target.shape, PackagedSchemas()).settings
    return named_directory(target, head)


def latest(dated: DatedRunDirectories) -> Path:
    """The newest directory of a series; for commands that look."""
    existing = dated.existing()
    return existing[-1][1] if existing else dated.on("0000-00-00")
