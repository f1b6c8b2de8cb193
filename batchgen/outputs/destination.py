"""A destination of whole files: what a directory and a bucket offer alike."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from batchgen.core.events import OutputFile


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
