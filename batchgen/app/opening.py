"""From a target to an open manifest and its run directory, with what that directory remembers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from batchgen.app.options import Target
from batchgen.app.remembered import recall
from batchgen.app.rundir import Dated, named_directory, plain_directory
from batchgen.manifest import Manifest, PackagedSchemas, Shape, open_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A manifest whose head is read, and where its batch lies."""

    target: Target
    """With the shape that the run directory remembers."""
    manifest: Manifest
    place: Dated | Path
    run_dir: Path
    notes: tuple[str, ...] = ()


def open_batch(target: Target, *, pick: Callable[[Dated], Path]) -> Opened:
    """Open the manifest; `pick` says which directory of a dated series is meant.

    A manifest may name its directory, and the directory may remember flags that the manifest
    needs, so one that does is opened again with them.
    """
    if _may_name_directory(target):
        manifest = _open(target, target.shape)
        place = named_directory(target, manifest.head)
        run_dir = pick(place) if isinstance(place, Dated) else place
        shape, notes = recall(run_dir, target.shape)
        if shape != target.shape:
            manifest = _open(target, shape)
    else:
        place = run_dir = plain_directory(target)
        shape, notes = recall(run_dir, target.shape)
        manifest = _open(target, shape)
    target = replace(target, shape=shape)
    return Opened(
        target=target, manifest=manifest, place=place, run_dir=run_dir, notes=tuple(notes)
    )


def open_at(target: Target, run_dir: Path) -> Opened:
    """Open the manifest for a run directory that is known."""
    shape, notes = recall(run_dir, target.shape)
    target = replace(target, shape=shape)
    manifest = _open(target, shape)
    return Opened(
        target=target, manifest=manifest, place=run_dir, run_dir=run_dir, notes=tuple(notes)
    )


def latest(dated: Dated) -> Path:
    """The newest directory of a series; for commands that look."""
    existing = dated.existing()
    return existing[-1][1] if existing else dated.on("0000-00-00")


def _may_name_directory(target: Target) -> bool:
    if target.run_dir is not None or target.manifest == "-":
        return False
    ending = Path(target.manifest).suffix.lower()
    return target.shape.format == "yaml" or ending in (".yaml", ".yml")


def _open(target: Target, shape: Shape) -> Manifest:
    stdin = sys.stdin.buffer if target.manifest == "-" else None
    return open_manifest(target.manifest, shape, PackagedSchemas(), stdin=stdin)
