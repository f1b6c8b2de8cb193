"""What every test may rely on: no token and no settings of the machine it runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
SHARED = REPO.parent / "shared"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test sees the environment of a newcomer."""
    for name in (
        "RUNCOMFY_TOKEN", "YOUR_API_TOKEN", "RUNCOMFY_CONFIG_DIR", "RUNCOMFY_MODEL_API_BASE",
        "XDG_CONFIG_HOME", "XDG_CACHE_HOME",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))


@pytest.fixture
def shared() -> Path:
    """Real prompt files and schemas; a checkout without them skips the test."""
    if not SHARED.is_dir():
        pytest.skip("the folder with real prompt files is not beside this checkout")
    return SHARED
