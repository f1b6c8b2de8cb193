"""Access to the manifest and the files that it names: readable, and inside its directory.

A pipe can be read only once, so it is copied to a temporary file.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

from batchgen.core.errors import ManifestError, ManifestNotFound, Problem


def confined(name: str, base_dir: Path, *, allow_outside: bool, where: str) -> Path:
    """Return the path of a file that a manifest names.

    Raises `ManifestError` if it is outside `base_dir`, links resolved, and `ManifestNotFound` if
    it does not exist.
    """
    if "\0" in name:
        raise ManifestError([Problem(where, "a name with a NUL character in it")])
    path = base_dir / name
    try:
        real, base = path.resolve(), base_dir.resolve()
    except (OSError, RuntimeError) as error:
        raise ManifestNotFound(f"{where}: cannot read {name!r}: {error}") from None
    if not allow_outside and not real.is_relative_to(base):
        what = f"{name!r} is outside of the manifest's directory"
        what += "; move it there or say --allow-outside"
        raise ManifestError([Problem(where, what)])
    if is_pipe(path, f"{where}: {name}"):
        raise ManifestNotFound(f"{where}: {name}: is not a regular file")
    return path


def is_pipe(path: Path, shown: str) -> bool:
    """Return whether a file is a pipe, which can be read only once.

    Raises `ManifestNotFound` if it does not exist, is not a file, or may not be read.
    """
    try:
        if path.is_fifo():
            return True
        if path.is_dir():
            raise ManifestNotFound(f"{shown}: is a directory, not a manifest")
        if not path.exists():
            raise ManifestNotFound(f"{shown}: no such file")
        if not path.is_file():
            raise ManifestNotFound(f"{shown}: is not a regular file")
        with path.open("rb"):
            return False
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ManifestNotFound(f"{shown}: cannot be read: {reason}") from None


def spooled(stream: BinaryIO) -> Path:
    """Copy a stream to a temporary file, which the caller removes, and return its path."""
    with tempfile.NamedTemporaryFile(prefix="batchgen-", delete=False) as file:
        path = Path(file.name)
        try:
            shutil.copyfileobj(stream, file, 1 << 20)
        except BaseException:
            path.unlink()
            raise
    return path
