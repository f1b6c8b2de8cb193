"""A manifest that comes through a pipe: its copy on disk, and what happens if there is no room."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from batchgen.core.errors import LocalIOError
from batchgen.manifest.file_access import spooled
from tests.kit import MODEL


@pytest.mark.parametrize("place", ["missing", "a file"])
def test_without_a_temporary_directory_the_error_is_that_of_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Exit code 74 with a sentence, not an internal error."""
    (tmp_path / "a file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / place))
    with pytest.raises(LocalIOError, match="temporary file: ") as caught:
        spooled(io.BytesIO(b"prompt\na\n"))
    assert caught.value.exit_code == 74


def test_a_full_temporary_directory_is_exit_74(tmp_path: Path) -> None:
    """A real process, for which no file may grow further."""
    command = [sys.executable, "-B", "-m", "batchgen", "check", "-", "--format", "csv"]
    command += ["--run-dir", str(tmp_path / "r"), "--model", MODEL]
    done = subprocess.run(
        command,
        input=b"prompt\n" + b"a fox\n" * 100_000,
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.returncode == 74, done.stderr
    assert b"temporary file: " in done.stderr
    assert not (tmp_path / "r").exists()
