"""The manifest's `output.dir`: which destination it means, and what is wrong with it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from batchgen.core.run_limits import bucket_fault
from batchgen.outputs.destination import Destination
from batchgen.outputs.local_directory import LocalDirectory
from batchgen.system.run_directory import RunDirectory

EXTRA = "stores"


def destination_of(run_dir: Path, output_dir: str | None) -> Destination:
    """Return the destination that `output.dir` names."""
    if output_dir and "://" in output_dir:
        return bucket_at(output_dir, parts=RunDirectory(run_dir).downloads)
    path = run_dir / output_dir if output_dir else RunDirectory(run_dir).outputs
    return LocalDirectory(run_dir=run_dir, path=path)


def bucket_at(url: str, *, parts: Path) -> Destination:
    """Return a bucket as the destination; `parts` is where files are received before."""
    from batchgen.outputs.bucket import Bucket

    return Bucket(url=url, parts=parts)


def fault_of_output_dir(output_dir: str | None) -> str | None:
    """Return why `output.dir` cannot be a destination, as a sentence; None if it can be tried."""
    if not output_dir or "://" not in output_dir:
        return None
    return bucket_fault(output_dir) or missing_extra()


def missing_extra() -> str | None:
    """Return what to do if the library for object stores is not installed; None if it is."""
    if find_spec("obstore") is None:
        return f"object stores need an extra: pip install 'batchgen[{EXTRA}]'"
    return None
