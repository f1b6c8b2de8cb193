"""docs/settings.md says what the table of run settings says."""

from __future__ import annotations

from tests.write_settings_page import PAGE, settings_page


def test_the_page_is_the_one_that_the_table_makes() -> None:
    """`make docs` writes it again."""
    assert PAGE.read_text(encoding="utf-8") == settings_page()
