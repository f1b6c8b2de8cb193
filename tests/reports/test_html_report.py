"""report.html: outputs by kind, and nothing in it that comes from outside can act."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batchgen.core.events import OutputFile
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.reports import html_report
from batchgen.reports.html_report import card_of, write_report
from batchgen.reports.results_csv import ResultRow

HOSTILE = "<script>alert(1)</script>\"'"


def row(job: str, prompt: str, *paths: str) -> ResultRow:
    """Return a downloaded job with these files."""
    files = tuple(OutputFile(path=path, bytes=1, sha256="0") for path in paths)
    record = JobRecord(ts="t", job=job, state=JobState.DOWNLOADED, files=files)
    return ResultRow(job=job, columns={" Prompt ": prompt}, record=record)


def page_of(path: Path, *rows: ResultRow) -> str:
    """Write the page of these rows and read it."""
    write_report(
        path / "report.html",
        title=HOSTILE,
        facts=HOSTILE,
        cards=map(card_of, rows),
        total=len(rows),
    )
    return (path / "report.html").read_text(encoding="utf-8")


def test_what_comes_from_outside_is_text(tmp_path: Path) -> None:
    """Title, id, prompt and file name; and the page may run no script at all."""
    page = page_of(tmp_path, row(HOSTILE, HOSTILE, f"outputs/{HOSTILE}.png"))

    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page


def test_a_file_is_shown_by_its_kind(tmp_path: Path) -> None:
    """A picture, a video, a link to anything else; a path is quoted, an address stays one."""
    page = page_of(tmp_path, row("a", "p", "outputs/a 1.png", "o/b.mp4", "o/c.wav", "s3://b/d.png"))

    assert '<img src="outputs/a%201.png"' in page
    assert '<video src="o/b.mp4"' in page
    assert '<a href="o/c.wav" download>c.wav</a>' in page
    assert '<img src="s3://b/d.png"' in page


@pytest.mark.parametrize("extension", ["svg", "SVG", "html", "htm", "xhtml", "xml", "xsl", "pdf",
                                       "mht", "js", "swf", "bin", "txt", "svgz", ""])  # fmt: skip
def test_an_active_file_is_never_opened_as_a_document(tmp_path: Path, extension: str) -> None:
    """It is an image element or a download, so that nothing in it runs outside of the page."""
    page = page_of(tmp_path, row("a", "p", f"outputs/a.{extension}"))

    links = re.findall(r"<a [^>]*>", page)
    assert all(link.endswith(" download>") for link in links)
    assert len(links) == (extension.lower() != "svg")


@pytest.mark.parametrize(
    "path", ["javascript:alert(1)", "javascript://x/a.png", "data:text/html,x", "http://x/a.html",
             "vbscript:x.png", "file:///etc/passwd", "a:b.png"]
)  # fmt: skip
def test_a_path_in_the_ledger_is_not_an_address(tmp_path: Path, path: str) -> None:
    """Only a bucket's path has a scheme; of anything else the page makes a file name."""
    page = page_of(tmp_path, row("a", "p", path))

    for href in re.findall(r'(?:href|src)="([^"]*)"', page):
        assert ":" not in href


def test_a_page_with_too_many_jobs_says_how_many_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in results.csv."""
    monkeypatch.setattr(html_report, "MAX_CARDS", 2)

    page = page_of(tmp_path, *(row(f"j{n}", "p") for n in range(5)))

    assert page.count("<article>") == 2
    assert "3 more in results.csv" in page
