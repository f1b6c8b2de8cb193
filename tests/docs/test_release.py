"""What is released: built, checked, and tried in empty environments by `.ci/release`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import REPO


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("build") is None, reason="needs the extra release")
def test_a_release_is_built_and_tried(tmp_path: Path) -> None:
    """With the oldest and the newest libraries; nothing is uploaded."""
    out = tmp_path / "dist"
    done = subprocess.run(
        [sys.executable, ".ci/release", "--any-tree", "--pythons", sys.executable,
         "--out", str(out)],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was uploaded" in done.stdout
    names = {path.name for path in out.iterdir()}
    assert {
        path.rpartition("  ")[2] for path in (out / "SHA256SUMS").read_text().splitlines()
    } < names
    oldest, newest = sorted((out / "tried").iterdir(), key=lambda path: "lowest" not in path.name)
    assert oldest.read_text() != newest.read_text()
    sbom = json.loads(next(out.glob("*.cdx.json")).read_text())
    assert {"aiohttp", "msgspec"} <= {one["name"].lower() for one in sbom["components"]}
    assert "aiohttp" in next(out.glob("*.licenses.md")).read_text()


def test_the_version_is_the_same_everywhere() -> None:
    """In the metadata and in the package."""
    version = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
    inside = re.search(r'__version__ = "([^"]+)"', (REPO / "batchgen/__init__.py").read_text())

    assert inside is not None
    assert inside[1] == version


def test_each_library_has_a_reason() -> None:
    """One line of the pyproject says why it is there."""
    text = (REPO / "pyproject.toml").read_text()
    required = [line for line in text.splitlines() if re.match(r'  "[a-z].*>=', line)]

    assert len(required) > 20
    assert [line for line in required if "#" not in line] == []


def test_the_container_runs_as_nobody_in_particular() -> None:
    """Not as root, with a time zone, a volume, and the signal that drains a run."""
    lines = (REPO / ".ci/Containerfile").read_text().splitlines()
    words = {line.split()[0]: line for line in lines if line and not line.startswith((" ", "#"))}

    assert words["USER"].split()[1] not in ("root", "0")
    assert words["VOLUME"] == "VOLUME /data"
    assert words["STOPSIGNAL"] == "STOPSIGNAL SIGTERM"
    assert any("TZ=" in line for line in lines)
    assert any("tzdata" in line for line in lines)
