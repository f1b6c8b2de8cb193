"""Where whole files are kept, as seen by those who bring them. Fetching is another matter."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from batchgen.core.events import OutputFile


class Destination(Protocol):
    """A place for outputs. All of it blocks and is called on threads.

    Methods raise OSError or `LocalIOError` where the place itself refuses, so that every further
    file would be refused too, and `Unreachable` where another try may succeed.
    """

    @property
    def max_name_bytes(self) -> int:
        """How long a name may be there."""
        ...

    def prepare(self) -> None:
        """Make the place ready, before anything is submitted whose outputs would go there."""
        ...

    def part_path(self, stem: str, digest: str) -> Path:
        """Where bytes for a name are received; `digest` names the output on this machine."""
        ...

    def path_of(self, name: str) -> str:
        """What the ledger calls a file of this name."""
        ...

    def holds(self, file: OutputFile) -> bool:
        """Whether this very file lies there, whole."""
        ...

    def put(self, part: Path, file: OutputFile, content_type: str) -> bool:
        """Put a received file under its path, whole, and let the part go.

        False where another file has that path; one that is the same is not written again. When
        this returns True, the file is durable.
        """
        ...

    def put_text(self, path: str, content: bytes) -> None:
        """Write a small file whole, in place of what lies there."""
        ...

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """The first bytes of what lies there; None where nothing does."""
        ...


class Unreachable(Exception):
    """The place could not be reached; another try may succeed."""
