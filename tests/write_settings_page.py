"""Writes docs/settings.md from the table of run settings: `make docs`."""

from __future__ import annotations

from collections.abc import Iterable

from batchgen.core.run_settings import SETTINGS, Group, Setting
from tests.conftest import REPO

PAGE = REPO / "docs/settings.md"

_INTRODUCTION = """\
# Settings of a run

<!-- Made from batchgen/core/run_settings.py by `make docs`; edit it there. -->

A flag of `batchgen run` overrides the key in the manifest's `run:`, which overrides the default.
`batchgen retry` takes the same flags, except those marked *run only*.

    run: {concurrency: 4, max_cost: [20/day, 300/month], max_runtime: 6h}

A duration is written like `20s`, `15m`, `6h` or `1h30m`. A setting that is off or on is `true` or
`false` in `run:`; its flag turns it on. A repeatable setting may be a list there.
"""

_REFUSED = """\
## What `run:` may not set

Manifests come from colleagues, so a manifest cannot say which API gets the token or where a log is
written, nor what the user decides for one run only. Other settings have a place of their own in the
manifest. Each of these keys is an error that names what to write instead; nothing is submitted.
"""


def settings_page() -> str:
    """Return the page: a table per group, and what may not stand in a manifest."""
    parts = [_INTRODUCTION, *(_group(group) for group in Group), _refused()]
    return "\n".join(parts)


def _group(group: Group) -> str:
    rows = (
        (_flag(row), "" if row.refusal else f"`{row.key}`", _default(row), _meaning(row))
        for row in SETTINGS.values()
        if row.group is group
    )
    title = group.value[0].upper() + group.value[1:]
    return f"## {title}\n\n" + _table(("flag", "key in `run:`", "default", "meaning"), rows)


def _refused() -> str:
    rows = ((f"`{row.key}`", row.refusal_text) for row in SETTINGS.values() if row.refusal)
    return _REFUSED + "\n" + _table(("key", "what the error says"), rows)


def _flag(row: Setting) -> str:
    names = f"{row.short_flag}, {row.flag}" if row.short_flag else f"{row.flag} {row.metavar}"
    return f"`{names.strip()}`"


def _default(row: Setting) -> str:
    return row.default_note or (f"`{row.default}`" if row.default else "")


def _meaning(row: Setting) -> str:
    marks = ["repeatable"] * row.repeatable + ["*run only*"] * row.only_run
    return "; ".join([row.help, *marks])


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
