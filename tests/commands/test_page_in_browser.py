"""From a run to verdicts in a real browser: the export, the served page, and the file to send."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.kit.browser import Tab, browser_tab, find_browser
from tests.kit.served import MODEL, Served, batchgen, begin_batch
from tests.kit.waiting import wait_until_async

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium; make test-all installs it"),
]

STATES = "[...document.querySelectorAll('[data-job]')].map((one) => one.ariaLabel)"
PICTURES = "[...document.querySelectorAll('[data-job] img')]"


@pytest_asyncio.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    """Start a browser."""
    async with browser_tab(tmp_path / "profile") as one:
        yield one


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Return the run directory of a batch in which one of three jobs is downloaded."""
    return begin_batch(tmp_path)


async def test_review_accepts_the_export(tab: Tab, run_dir: Path) -> None:
    """Marks and a hostile note, through a file."""
    home = run_dir.parent
    note = '=HYPERLINK("x"), "quoted"'
    await tab.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(home))
    await tab.open((run_dir / "report.html").as_uri())
    await tab.press("r", "n")
    await tab.type(note)
    await tab.press("Enter", "ArrowRight", "x")
    await tab.js("document.getElementById('export').click()")
    export = home / "review.csv"
    await wait_until_async(lambda: export.exists() and export.stat().st_size > 0, "the export")

    done = batchgen(home, "review", "m.csv", "review.csv", "--sandbox", "--json")
    assert json.loads(done.stdout) == {"keep": 0, "redo": 1, "reject": 1, "earlier": 0}
    lines = [json.loads(line) for line in (run_dir / "reviews.jsonl").read_text().splitlines()]
    assert [line["note"] for line in lines] == [note, ""]
    assert tab.complaints == []


async def test_the_served_page_follows_a_run_and_stores_verdicts(tab: Tab, run_dir: Path) -> None:
    """New results appear without a reload, and a key is a line of reviews.jsonl."""
    server = Served(run_dir.parent)
    try:
        await tab.open(server.address)
        await tab.press("k")
        await wait_until_async((run_dir / "reviews.jsonl").exists, "a stored verdict")
        words = ("run", "m.csv", "--model", MODEL, "--sandbox", "--quiet")
        await asyncio.to_thread(batchgen, run_dir.parent, *words)
        await tab.until(f"{PICTURES}.length === 3", 5)
        assert await tab.js(STATES) == ["a, downloaded, keep", "b, downloaded", "c, downloaded"]
        await tab.until(f"{PICTURES}.every((one) => one.naturalWidth > 0)")
        await tab.press("ArrowRight", "r")
        await tab.until(f"{STATES}[1] === 'b, downloaded, redo'")
    finally:
        server.stop()
    assert [one for one in tab.complaints if "ERR_CONNECTION" not in one] == []


async def test_one_file_to_send(tab: Tab, run_dir: Path, tmp_path: Path) -> None:
    """It shows its pictures with nothing beside it."""
    alone = tmp_path / "alone" / "spring.html"
    alone.parent.mkdir()
    sheet = tmp_path / "sheet.jpg"
    words = ("report", "m.csv", "--sandbox", "--standalone", str(alone))
    assert batchgen(run_dir.parent, *words, "--contact-sheet", str(sheet)).returncode == 0
    shutil.rmtree(run_dir)

    await tab.open(alone.as_uri())
    await tab.until(f"{PICTURES}.length === 1 && {PICTURES}[0].naturalWidth > 0")
    assert sheet.stat().st_size
    assert tab.complaints == []
    assert all(url.startswith(("data:", alone.as_uri())) for url in tab.requests)
