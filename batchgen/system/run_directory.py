"""The run directory: where a batch keeps everything, and what its files are called.

Every room that reads or writes one of these files asks here for its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.core.shards import split_suffix
from batchgen.system.files import remove_dead_leftovers

SANDBOX_SUFFIX = ".sandbox"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run directory; the only place that knows the names of the files in it."""

    path: Path

    @property
    def ledger(self) -> Path:
        """Every step of every job, append-only."""
        return self.path / "ledger.jsonl"

    @property
    def reviews(self) -> Path:
        """The verdicts of the user, append-only."""
        return self.path / "reviews.jsonl"

    @property
    def history(self) -> Path:
        """How each run ended, append-only."""
        return self.path / "history.jsonl"

    @property
    def workbook(self) -> Path:
        """The results as a workbook with thumbnails."""
        return self.path / "results.xlsx"

    @property
    def lock(self) -> Path:
        """The file whose lock makes a run the only writer."""
        return self.path / "ledger.lock"

    @property
    def disk_reserve(self) -> Path:
        """Room that is set aside for answers to what was paid for, should the disk be full."""
        return self.path / "ledger.reserve"

    @property
    def run_file(self) -> Path:
        """The flags that shaped the jobs."""
        return self.path / "run.json"

    @property
    def merged_inputs(self) -> Path:
        """Which ledgers were merged into this one."""
        return self.path / "merged.json"

    @property
    def jobs_file(self) -> Path:
        """The ids of the jobs with which a dated directory began."""
        return self.path / "jobs.jsonl"

    def manifest_copy(self, format_: str) -> Path:
        """The manifest at an address, as the last run used it, in one of the formats."""
        return self.path / f"manifest-copy.{format_}"

    @property
    def schemas(self) -> Path:
        """The schemas that were used first, one file per model."""
        return self.path / "schemas"

    @property
    def outputs(self) -> Path:
        """The files of the jobs, unless the manifest's `output.dir` names another place."""
        return self.path / "outputs"

    @property
    def downloads(self) -> Path:
        """Unfinished downloads and the notes to resume them."""
        return self.path / "downloads"

    @property
    def results(self) -> Path:
        """The user's columns with the state, files and cost of each job."""
        return self.path / "results.csv"

    @property
    def page(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"

    @property
    def thumbnails(self) -> Path:
        """Small pictures of the outputs, made once each."""
        return self.path / "report"

    @property
    def written_results(self) -> Path:
        """What the results files looked like when they were written."""
        return self.thumbnails / "written.json"

    @property
    def pruned(self) -> Path:
        """A note that outputs were removed on purpose."""
        return self.path / "pruned.json"

    @property
    def contact_sheet(self) -> Path:
        """One picture of the batch, for notifications."""
        return self.thumbnails / "contact-sheet.jpg"

    @property
    def measures(self) -> Path:
        """The measurements of the outputs, made once each."""
        return self.thumbnails / "measures.jsonl"

    @property
    def sandbox_journal(self) -> Path:
        """The jobs of the sandbox in this process, so that a sandbox run resumes too."""
        return self.path / "sandbox.jsonl"

    @property
    def title(self) -> str:
        """The name of the batch, for people."""
        name, shard = split_suffix(self.path.name)
        title = name.removesuffix(SANDBOX_SUFFIX).removesuffix(".run")
        return title if shard is None else f"{title} {shard}"

    @property
    def has_ledger(self) -> bool:
        """Tell whether a run has ever begun here."""
        return self.ledger.exists()

    def keeps(self, path: Path) -> bool:
        """Return whether a path is that of one of these files, and not of an output."""
        if not path.is_relative_to(self.path):
            return False
        files = (
            self.run_file, self.jobs_file, self.history, self.results, self.workbook, self.page,
            self.sandbox_journal, self.pruned, self.merged_inputs,
        )  # fmt: skip
        first = path.relative_to(self.path).parts[:1]
        names = {one.name for one in (*files, self.schemas, self.downloads, self.thumbnails)}
        begins = ("ledger.", "reviews.", "manifest-copy.")
        return any(name in names or name.startswith(begins) for name in first)

    def create(self) -> None:
        """Create the directory if it does not exist. Raises `LocalIOError`."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalIOError(f"{self.path}: {error.strerror}") from error

    def remove_leftovers(self) -> None:
        """Remove the unfinished files of processes that were killed."""
        for directory in (self.path, self.schemas, self.downloads, self.outputs, self.thumbnails):
            remove_dead_leftovers(directory)

    def __str__(self) -> str:
        return str(self.path)
