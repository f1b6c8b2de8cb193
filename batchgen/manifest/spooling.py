"""What can be read only once, kept in a temporary file so that it can be read again."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO


def spooled(stream: BinaryIO) -> Path:
    """All of a stream in a temporary file, which the caller removes."""
    with tempfile.NamedTemporaryFile(prefix="batchgen-", delete=False) as file:
        path = Path(file.name)
        try:
            shutil.copyfileobj(stream, file, 1 << 20)
        except BaseException:
            path.unlink()
            raise
    return path
