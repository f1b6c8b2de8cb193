"""results.xlsx in headless LibreOffice: it opens, and what it reads are the rows of results.csv."""

from __future__ import annotations

import csv
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit.served import begin_batch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("soffice") is None, reason="no LibreOffice; make test-all installs it"
    ),
]
AS_CSV = "csv:Text - txt - csv (StarCalc):44,34,76"
"""Its filter, with comma, quotes and UTF-8."""


def test_libreoffice_reads_the_rows(tmp_path: Path) -> None:
    """The same cells; a text that looks like a formula stays one."""
    run_dir = begin_batch(tmp_path)
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    subprocess.run(
        ["soffice", profile, "--headless", "--convert-to", AS_CSV,
         "--outdir", str(tmp_path / "out"), str(run_dir / "results.xlsx")],
        check=True, capture_output=True, timeout=110,
    )  # fmt: skip

    with (tmp_path / "out" / "results.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    with (run_dir / "results.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    names = ["id", "prompt", "job", "state", "request_id", "files", "take"]
    assert [[row[name] for name in names] for row in read] == [
        [row[name] for name in names] for row in written
    ]
