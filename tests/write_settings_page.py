"""Writes docs/settings.md from the table of run settings: `make docs`."""

from __future__ import annotations

from batchgen.reports.settings_page import settings_page
from tests.conftest import REPO

PAGE = REPO / "docs/settings.md"

if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
