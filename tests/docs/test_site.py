"""The site of docs/: it builds strictly, without network, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO

_LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=[\"']?([^\"' >]+)"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|icon|preload|preconnect))"
    r"[^>]*\bhref=[\"']?([^\"' >]+)"
    r"|@import\s+url\(([^)]+)\)"
)


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """Every page is in the menu, every link and anchor leads somewhere (`--strict`)."""
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet",
         "--config-file", ".ci/mkdocs.yml", "--site-dir", str(site)],
        cwd=REPO, capture_output=True, text=True, check=False,
        # A proxy that does not exist: whoever asks the network fails.
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "HTTPS_PROXY": "http://127.0.0.1:9",
             "HTTP_PROXY": "http://127.0.0.1:9"},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in site.glob("*.html")}
    assert {path.stem for path in REPO.glob("docs/*.md")} | {"python"} <= pages
    for page in site.glob("*.html"):
        loaded = {
            one for found in _LOADED.findall(page.read_text(encoding="utf-8")) for one in found
        }
        assert [one for one in loaded if "//" in one.split("?")[0]] == [], page.name
    assert "fox" in (site / "python.html").read_text(encoding="utf-8")
