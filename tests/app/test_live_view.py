"""The readings of `serve`: rows that have not changed are kept, and nothing old is shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from batchgen.app import live_view
from batchgen.app.batch_ref import BatchRef
from batchgen.app.batch_snapshot import read_rows
from batchgen.app.live_view import MAX_AGE_S, View, ViewReader
from batchgen.app.loading import LoadedBatch
from batchgen.app.open_batch import OpenBatch
from batchgen.cli.parser import build_parser
from batchgen.core.errors import BatchgenError
from tests.app.test_decisions import Batch, outputs_in_memory
from tests.kit.world import MODEL


class Page:
    """A reader of a batch, and how often it has read the rows."""

    def __init__(self, batch: Batch, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
        self.batch, self.row_readings, self.has_assets = batch, 0, False
        monkeypatch.setattr(live_view, "read_rows", self._counted(read_rows))
        args = build_parser().parse_args(["serve", str(batch.manifest), *words])
        self.read = ViewReader(BatchRef.of(args), batch.world.context)

    def _counted(
        self, read: Callable[[OpenBatch], LoadedBatch]
    ) -> Callable[[OpenBatch], LoadedBatch]:
        def counted(batch: OpenBatch) -> LoadedBatch:
            self.row_readings += 1
            loaded = read(batch)
            loaded.has_assets = self.has_assets
            return loaded

        return counted

    def states(self) -> dict[str, str]:
        """Return what the page shows now."""
        return states(self.read())


def states(view: View) -> dict[str, str]:
    cards = [msgspec.json.decode(card) for card in view.cards]
    return {card["job"]: card["state"] for card in cards}


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    """A batch of two rows that nobody has run."""
    with outputs_in_memory() as disk:
        batch = Batch(tmp_path, disk)
        batch.rows(a="one", b="two")
        yield batch


@pytest.fixture
def page(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page on a batch whose first job is done."""
    batch.run("--limit", "1")
    page = Page(batch, monkeypatch)
    yield page
    page.read.close()


def test_results_are_new_and_rows_are_kept(page: Page) -> None:
    """A run that goes on changes the ledger, not the rows."""
    assert page.states() == {"a": "downloaded", "b": "pending"}
    (page.batch.run_dir / "ledger.jsonl").touch()
    assert page.states() == {"a": "downloaded", "b": "pending"}
    assert page.row_readings == 1
    done = page.batch.run()
    assert done.code == 0
    assert page.states() == {"a": "downloaded", "b": "downloaded"}


def test_an_edited_manifest_is_read_again(page: Page) -> None:
    """Also if it is as long as before, and if a row goes."""
    page.states()
    page.batch.rows(a="one", c="two")
    assert page.states() == {"a": "downloaded", "c": "pending"}
    page.batch.rows(c="two")
    assert page.states() == {"c": "pending", "a": "downloaded"}
    assert page.row_readings == 3


def test_rows_are_not_kept_for_long(page: Page) -> None:
    """A manifest can name other files, whose changes have no sign."""
    page.states()
    page.batch.world.sleep(MAX_AGE_S - 1)
    page.states()
    assert page.row_readings == 1
    page.batch.world.sleep(1)
    page.states()
    assert page.row_readings == 2


def test_the_clock_may_be_set_back(page: Page) -> None:
    """Rows from the future are too old as well."""
    page.states()
    page.batch.world.sleep(-3600)
    page.states()
    assert page.row_readings == 2


def test_rows_that_name_local_files_are_not_kept(page: Page) -> None:
    """A file that is changed or missing makes its row another one, or a wrong one."""
    page.has_assets = True
    page.states()
    page.states()
    assert page.row_readings == 2


def test_a_run_that_begins_has_the_rows_read_again(page: Page) -> None:
    """It may have pinned another schema or remembered other options."""
    page.states()
    for changed in ("run.json", "schemas"):
        before = page.row_readings
        os.utime(page.batch.run_dir / changed, ns=(1, 1))
        page.states()
        assert page.row_readings == before + 1, changed


def test_an_error_keeps_nothing(page: Page) -> None:
    """What could not be read is read from the start the next time."""
    page.states()
    ledger = page.batch.run_dir / "ledger.jsonl"
    content = ledger.read_bytes()
    ledger.write_bytes(b"{}\n")
    with pytest.raises(BatchgenError):
        page.states()
    ledger.write_bytes(content)
    assert page.states() == {"a": "downloaded", "b": "pending"}
    assert page.row_readings == 2


def test_without_a_ledger_every_row_is_pending(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that begins while it is served is followed."""
    page = Page(batch, monkeypatch, "--model", MODEL)
    assert page.states() == {"a": "pending", "b": "pending"}
    assert batch.run().code == 0
    assert page.states() == {"a": "downloaded", "b": "downloaded"}
    page.read.close()
