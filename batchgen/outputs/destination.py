"""Destinations of whole files: what each of them offers, and which one `output.dir` means."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from batchgen.core.events import OutputFile
from batchgen.outputs.local_directory import LocalDirectory
from batchgen.system.run_directory import RunDirectory

"""Directory in the run directory for what is on its way: resume notes, and parts for a bucket."""
SCHEMES = ("s3", "gs", "az")
EXTRA = "stores"


class Destination(Protocol):
    """Where whole files go. All of it blocks and is called on threads.

    Methods raise OSError or `LocalIOError` if the destination itself refuses, so that every further
    file would be refused too, and `Unreachable` if another try may succeed.
    """

    @property
    def max_name_bytes(self) -> int:
        """How long a name may be there."""
        ...

    def prepare(self) -> None:
        """Make it ready, before anything is submitted whose outputs would go there."""
        ...

    def part_path(self, stem: str, digest: str) -> Path:
        """Return where bytes for a name are received; `digest` names the output here."""
        ...

    def path_of(self, name: str) -> str:
        """Return what the ledger calls a file of this name."""
        ...

    def owns(self, path: str) -> bool:
        """Return whether a path in the ledger is that of an output, which may be replaced.

        A ledger may come from anywhere, and its paths may lead anywhere.
        """
        ...

    def difference(self, file: OutputFile) -> str:
        """Return how the file there differs from this one; empty if it is this very file."""
        ...

    def put(self, part: Path, file: OutputFile, content_type: str) -> bool:
        """Put a received file under its path, whole, and remove the part.

        Return False if another file has that path; one that is the same is not written again. When
        this returns True, the file is durable.
        """
        ...

    def put_text(self, path: str, content: bytes, *, replaces: bool) -> bool:
        """Write a small file whole; if it `replaces`, in place of an earlier one.

        Return False if it may not replace anything, and there is a file.
        """
        ...

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """Return the first bytes of a file; None if there is none."""
        ...


def destination_of(run_dir: Path, output_dir: str | None) -> Destination:
    """Return the destination that `output.dir` names."""
    if output_dir and "://" in output_dir:
        from batchgen.outputs.bucket import Bucket

        return Bucket(url=output_dir, parts=RunDirectory(run_dir).downloads)
    path = run_dir / output_dir if output_dir else RunDirectory(run_dir).outputs
    return LocalDirectory(run_dir=run_dir, path=path)


def fault_of_output_dir(output_dir: str | None) -> str | None:
    """Return why `output.dir` cannot be a destination, as a sentence; None if it can be tried."""
    if not output_dir or "://" not in output_dir:
        return None
    place = urlsplit(output_dir)
    if place.scheme not in SCHEMES:
        ways = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        return f"{output_dir!r} is no place for files; give a directory, or a bucket as {ways}"
    if place.query or place.fragment or "@" in place.netloc:
        return "more than bucket and prefix; credentials and settings come from the environment"
    if not place.netloc:
        return f"{output_dir!r} names no bucket; write it like {place.scheme}://bucket/prefix"
    if find_spec("obstore") is None:
        return f"object stores need an extra: pip install 'batchgen[{EXTRA}]'"
    return None
