"""report.html: outputs by kind, and nothing in it that comes from outside can act."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchgen.core.events import OutputFile
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.reports import html_report
from batchgen.reports.html_report import Page, card_of, write_page
from batchgen.reports.results_csv import ResultRow

HOSTILE = "<script>alert(1)</script>\"'"


def row(job: str, prompt: str, *paths: str) -> ResultRow:
    """Return a downloaded job with these files."""
    files = tuple(OutputFile(path=path, bytes=1, sha256="0") for path in paths)
    record = JobRecord(ts="t", job=job, state=JobState.DOWNLOADED, files=files)
    return ResultRow(job=job, columns={" Prompt ": prompt}, record=record)


def page_of(path: Path, *rows: ResultRow) -> str:
    """Write the page of these rows and read it."""
    page = Page(title=HOSTILE, facts=HOSTILE, batch_id="id", total=len(rows))
    cards = [msgspec.json.encode(card_of(one)) for one in rows[: html_report.MAX_CARDS]]
    write_page(path / "report.html", page, cards)
    return (path / "report.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    """Return the data of a page as its script reads them."""
    found = re.search('<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def files_of(page: str) -> list[dict[str, Any]]:
    """Return the files of the only job."""
    [job] = data_of(page)["jobs"]
    files: list[dict[str, Any]] = job["takes"][0]["files"]
    return files


def test_what_comes_from_outside_is_text(tmp_path: Path) -> None:
    """Title, id, prompt and file name; the only script that runs is the page's own, by digest."""
    page = page_of(tmp_path, row(HOSTILE, HOSTILE, f"outputs/{HOSTILE}.png"))

    assert page.count("<script") == 2
    assert "&lt;script&gt;" in page
    [policy] = re.findall('Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert data_of(page)["jobs"][0]["job"] == HOSTILE


def test_a_file_is_shown_by_its_kind(tmp_path: Path) -> None:
    """A picture, a video, a sound; a path is quoted, an address stays one."""
    page = page_of(tmp_path, row("a", "p", "outputs/a 1.png", "o/b.mp4", "o/c.wav", "s3://b/d.png"))

    shown = [(file["kind"], file["href"]) for file in files_of(page)]
    assert shown == [
        ("image", "outputs/a%201.png"),
        ("video", "o/b.mp4"),
        ("audio", "o/c.wav"),
        ("image", "s3://b/d.png"),
    ]


@pytest.mark.parametrize("extension", ["svg", "SVG", "html", "htm", "xhtml", "xml", "xsl", "pdf",
                                       "mht", "js", "swf", "bin", "txt", "svgz", ""])  # fmt: skip
def test_an_active_file_is_never_opened_as_a_document(tmp_path: Path, extension: str) -> None:
    """It is an image element or a download, so that nothing in it runs outside of the page."""
    page = page_of(tmp_path, row("a", "p", f"outputs/a.{extension}"))

    [file] = files_of(page)
    assert file["kind"] == ("drawing" if extension.lower() == "svg" else "file")


@pytest.mark.parametrize(
    "path", ["javascript:alert(1)", "javascript://x/a.png", "data:text/html,x", "http://x/a.html",
             "vbscript:x.png", "file:///etc/passwd", "a:b.png"]
)  # fmt: skip
def test_a_path_in_the_ledger_is_not_an_address(tmp_path: Path, path: str) -> None:
    """Only a bucket's path has a scheme; of anything else the page makes a file name."""
    [file] = files_of(page_of(tmp_path, row("a", "p", path)))

    assert ":" not in file["href"]


def test_a_page_with_too_many_jobs_says_how_many_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in results.csv."""
    monkeypatch.setattr(html_report, "MAX_CARDS", 2)

    page = page_of(tmp_path, *(row(f"j{n}", "p") for n in range(5)))

    assert len(data_of(page)["jobs"]) == 2
    assert "3 more in results.csv" in page
