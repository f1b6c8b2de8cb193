"""Parts of a batch on several machines, and one ledger of them again: real files, a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.shards import Shard, parse_shard, split_suffix
from batchgen.sandbox import SandboxConfig
from batchgen.system.crash_points import CrashPoint
from tests.kit import crashing
from tests.kit.ledger_view import LedgerView
from tests.kit.live import Done, Live, accepted, batchgen, environment, live_sandbox, write_csv

pytestmark = pytest.mark.slow

QUICK = SandboxConfig(duration_min_s=0.02, duration_max_s=0.05)
ROWS = 24


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Live]:
    """One server for all tests; each has its own prompts."""
    with live_sandbox(QUICK) as live:
        yield live


class Sheet:
    """A spreadsheet and what is run of it."""

    def __init__(self, top: Path, sandbox: Live) -> None:
        self.top, self.sandbox = top, sandbox
        self.path = top / "m.csv"
        self.write([f"j{number},{top.name} fox {number}" for number in range(ROWS)])

    def write(self, rows: list[str]) -> None:
        write_csv(self.path, rows)

    def run(self, *words: str | Path) -> Done:
        return batchgen("run", self.path, *words, sandbox=self.sandbox)

    def shard(self, index: int, count: int, *words: str | Path) -> Done:
        return self.run("--shard", f"{index}/{count}", *words)

    def merge(self, *words: str | Path) -> Done:
        return batchgen("ledger", "merge", *words)

    def dir(self, index: int, count: int) -> Path:
        return self.top / f"m.run.shard-{index}-of-{count}"

    @property
    def whole(self) -> Path:
        return self.top / "m.run"

    @property
    def posts(self) -> list[int]:
        """How often each prompt of this sheet was accepted."""
        name = f"{self.top.name} "
        found = accepted(self.sandbox)
        return [count for prompt, count in found.items() if prompt.startswith(name)]


def states(done: Done) -> dict[str, int]:
    """Return the states that any job has."""
    return {state: count for state, count in json.loads(done.out)["states"].items() if count}


@pytest.fixture
def sheet(tmp_path: Path, sandbox: Live) -> Sheet:
    """A sheet of its own."""
    return Sheet(tmp_path, sandbox)


@given(st.lists(st.text(max_size=20), unique=True), st.integers(1, 50))
def test_every_row_is_in_exactly_one_part(names: list[str], count: int) -> None:
    """Whatever it is called, and whatever else is in the spreadsheet."""
    for name in names:
        assert sum(Shard(index, count).has(name) for index in range(1, count + 1)) == 1


def test_parts_are_about_equal() -> None:
    """Ten parts of ten thousand rows: none is off by a tenth."""
    for index in range(1, 11):
        size = sum(Shard(index, 10).has(f"row-{number}") for number in range(10_000))
        assert 900 < size < 1100


def test_a_part_is_the_same_on_every_machine_and_in_every_version() -> None:
    """These digests must never change: another machine's part would overlap."""
    names = ["fox", "owl", "Grün", "a~2", "cat~style=oil"]
    assert [next(i for i in range(1, 8) if Shard(i, 7).has(name)) for name in names] == PLACES


PLACES = [7, 6, 6, 5, 3]


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2", "1/99999"])
def test_what_is_not_a_part_is_refused(text: str) -> None:
    """With a sentence that says what would be right."""
    with pytest.raises(ValueError, match="is not a part of a batch; give I/N"):
        parse_shard(text)


@given(st.integers(1, 9999), st.integers(1, 9999))
def test_the_directory_says_its_part(index: int, count: int) -> None:
    """The suffix is read back; any other name is left alone."""
    shard = Shard(min(index, count), max(index, count))
    assert split_suffix("spring.run" + shard.suffix) == ("spring.run", shard)
    assert split_suffix(f"spring{shard.suffix}.run")[1] is None


def test_shards_run_every_row_once_and_merge_into_one(sheet: Sheet) -> None:
    """The merged directory has every job, file, digest and cost; another run pays for nothing."""
    assert [sheet.shard(1, 2).code, sheet.shard(2, 2).code] == [0, 0]
    assert sheet.posts == [1] * ROWS
    before = {path.name: path.read_bytes() for path in sheet.top.glob("*/outputs/*")}

    done = sheet.merge(sheet.whole, sheet.dir(1, 2), sheet.dir(2, 2))
    assert done.code == 0, done.err
    assert batchgen("ledger", "verify", "--run-dir", sheet.whole, "--files").code == 0
    again = sheet.run("--json")

    assert again.code == 0
    assert states(again) == {"downloaded": ROWS}
    assert {path.name: path.read_bytes() for path in sheet.whole.glob("outputs/*")} == before
    assert sheet.posts == [1] * ROWS
    assert json.loads(again.out)["cost_usd"] == pytest.approx(ROWS * 0.03)


@pytest.mark.parametrize("other", [(), ("--shard", "1/3")])
def test_other_parts_are_refused(other: tuple[str, ...], sheet: Sheet) -> None:
    """65, naming `ledger merge`; nothing is submitted; --fresh is the user's own decision."""
    assert sheet.shard(1, 2).code == 0
    paid = sum(sheet.posts)

    refused = sheet.run(*other)
    assert refused.code == 65
    assert "ledger merge" in refused.err
    assert str(sheet.dir(1, 2)) in refused.err
    assert sum(sheet.posts) == paid

    assert sheet.run(*other, "--dry-run").code == 65
    assert sheet.run(*other, "--fresh", "--dry-run").code == 0


@pytest.mark.parametrize("other", [(), ("--shard", "1/3")])
def test_a_part_that_has_gone_is_missed(other: tuple[str, ...], sheet: Sheet) -> None:
    """Its disk may not be mounted: what it has paid for would be paid for again."""
    assert sheet.shard(1, 2).code == 0
    paid = sum(sheet.posts)
    sheet.dir(1, 2).rename(sheet.top / "elsewhere.run")

    refused = sheet.run(*other)
    assert refused.code == 65
    assert str(sheet.dir(1, 2)) in refused.err
    assert "Is the disk mounted?" in refused.err
    assert sum(sheet.posts) == paid
    assert sheet.shard(2, 2).code == 0  # each shard counts by itself


def test_a_date_is_no_way_around(sheet: Sheet) -> None:
    """Other parts of the same rows are refused for `--date` too; only --fresh pays again."""
    manifest = sheet.top / "m.yaml"
    manifest.write_text("prompts: m.csv\nrun_dir: nights/{{ date }}\n")
    sheet.path = manifest
    assert sheet.shard(1, 2, "--date", "2026-11-20").code == 0
    paid = sum(sheet.posts)
    for other in ((), ("--shard", "1/3")):
        assert sheet.run(*other, "--date", "2026-11-20").code == 65
    assert sum(sheet.posts) == paid
    assert sheet.shard(2, 2, "--date", "2026-11-20").code == 0
    assert sheet.posts == [1] * ROWS


def test_a_merge_that_is_out_of_date_does_not_count(sheet: Sheet) -> None:
    """A shard that went on after the merge has paid for what the merged ledger does not know."""
    assert sheet.shard(1, 1, "--limit", "3").code == 0
    assert sheet.merge(sheet.whole, sheet.dir(1, 1)).code == 0
    assert sheet.shard(1, 1).code == 0  # a directory that was only merged is not in the way

    assert sheet.run().code == 65
    assert sheet.merge(sheet.whole, sheet.dir(1, 1)).code == 0
    assert sheet.run().code == 0
    assert sheet.posts == [1] * ROWS


def test_a_batch_that_began_as_a_whole_has_no_shards(sheet: Sheet) -> None:
    """A shard would pay for its rows again."""
    assert sheet.run("--limit", "2").code == 0
    refused = sheet.shard(1, 2)
    assert refused.code == 65
    assert "without --shard" in refused.err
    assert sum(sheet.posts) == 2


def test_a_directory_remembers_its_part(sheet: Sheet) -> None:
    """Every later command on it means that part, whether or not it names it."""
    assert sheet.shard(2, 2).code == 0
    own = len(LedgerView.read(sheet.dir(2, 2)).last)

    by_directory = batchgen("status", sheet.path, "--run-dir", sheet.dir(2, 2), "--json")
    by_flag = batchgen("status", sheet.path, "--shard", "2/2", "--json")
    assert states(by_directory) == {"downloaded": own}
    assert json.loads(by_flag.out) == json.loads(by_directory.out)
    assert sheet.run("--run-dir", sheet.dir(2, 2)).code == 0
    wrong = sheet.run("--run-dir", sheet.dir(2, 2), "--shard", "1/2")
    assert (wrong.code, "shard 2/2" in wrong.err) == (65, True)
    assert len(sheet.posts) == own


def test_who_does_not_name_a_part_is_told(sheet: Sheet) -> None:
    """Otherwise every job would seem to be pending."""
    assert sheet.shard(1, 2).code == 0
    status = batchgen("status", sheet.path)
    assert "has begun in shards" in status.err
    assert str(sheet.dir(1, 2)) in status.err
    assert str(sheet.dir(1, 2)) in batchgen("runs", sheet.path).out


def test_the_plan_says_what_a_shard_means(sheet: Sheet) -> None:
    """Budgets are those of the shard, and rows without id may move."""
    sheet.write(["j1,one fox", ",two foxes", ",three foxes"])
    plan = sheet.shard(1, 1, "--dry-run").out
    assert "budgets and limits count for this shard alone" in plan
    assert "rows 3, 4 have no id: an edit can move" in plan


def test_a_wrong_row_stops_every_part(sheet: Sheet) -> None:
    """The others would begin with a spreadsheet that is about to change."""
    sheet.write(["j1,a fox", "j2,"])
    assert [sheet.shard(index, 2).code for index in (1, 2)] == [65, 65]


def test_a_part_without_rows_ends_well(sheet: Sheet) -> None:
    """Cron starts it anyway."""
    sheet.write(["j1,a fox"])
    codes = [sheet.shard(index, 9, "--dry-run").code for index in range(1, 10)]
    assert codes == [0] * 9
    assert [sheet.shard(index, 9).code for index in range(1, 10)] == [0] * 9


class TestMerge:
    """What `ledger merge` refuses, and what it brings along."""

    def test_a_missing_directory(self, sheet: Sheet) -> None:
        """66, and nothing is written."""
        done = sheet.merge(sheet.whole, sheet.top / "nowhere.run")
        assert (done.code, sheet.whole.exists()) == (66, False)

    def test_a_directory_in_use(self, sheet: Sheet) -> None:
        """75."""
        assert sheet.shard(1, 1).code == 0
        lock = sheet.dir(1, 1) / "ledger.lock"
        lock.write_text(json.dumps({"pid": os.getpid(), "host": "elsewhere", "command": "run"}))
        done = sheet.merge(sheet.whole, sheet.dir(1, 1))
        assert (done.code, sheet.whole.exists()) == (75, False), done.err

    def test_a_damaged_ledger(self, sheet: Sheet) -> None:
        """65 with the line, and nothing is written."""
        assert sheet.shard(1, 1).code == 0
        ledger = sheet.dir(1, 1) / "ledger.jsonl"
        lines = ledger.read_bytes().splitlines(keepends=True)
        ledger.write_bytes(b"".join([*lines[:2], b"no JSON\n", *lines[2:]]))
        done = sheet.merge(sheet.whole, sheet.dir(1, 1))
        assert (done.code, "ledger.jsonl:3" in done.err) == (65, True)
        assert not sheet.whole.exists()

    def test_what_two_machines_paid_for(self, sheet: Sheet) -> None:
        """65 with every job and both requests; nothing is written."""
        assert [sheet.run("--run-dir", sheet.top / name).code for name in "ab"] == [0, 0]
        done = sheet.merge(sheet.whole, sheet.top / "a", sheet.top / "b")
        assert done.code == 65
        assert done.err.count("paid for in") == 20
        assert "and 4 more" in done.err
        assert not sheet.whole.exists()

    def test_ledgers_of_two_apis(self, sheet: Sheet) -> None:
        """65: a request_id means nothing to another API."""
        assert sheet.run("--run-dir", sheet.top / "a").code == 0
        ledger = sheet.top / "b" / "ledger.jsonl"
        ledger.parent.mkdir()
        lines = (sheet.top / "a" / "ledger.jsonl").read_text().split("\n")
        header = json.loads(lines[0]) | {"api": "https://model-api.example"}
        ledger.write_text("\n".join((json.dumps(header), *lines[1:])))
        done = sheet.merge(sheet.whole, sheet.top / "a", sheet.top / "b")
        assert (done.code, "two APIs" in done.err) == (65, True)

    def test_files_of_one_name(self, sheet: Sheet) -> None:
        """Both are kept, and each record names its own."""
        for name in "ab":
            write_csv(sheet.path, [f"{name},{sheet.top.name} {name},same"], header="id,prompt,as")
            template = '{name: "{{ as }}"}'
            manifest = sheet.top / f"{name}.yaml"
            manifest.write_text(f"prompts: m.csv\noutput: {template}\ncolumns: {{}}\n")
            done = batchgen("run", manifest, sandbox=sheet.sandbox)
            assert done.code == 0, done.err
        done = sheet.merge(sheet.whole, sheet.top / "a.run", sheet.top / "b.run")
        assert done.code == 0, done.err
        assert sorted(path.name for path in sheet.whole.glob("outputs/*")) == [
            "same.png", "same~2.png",
        ]  # fmt: skip
        assert batchgen("ledger", "verify", "--run-dir", sheet.whole, "--files").code == 0

    def test_verdicts_come_along_once(self, sheet: Sheet) -> None:
        """However often the same directories are merged."""
        assert sheet.shard(1, 1).code == 0
        review = write_csv(sheet.top / "review.csv", ["j3,keep"], header="job,verdict")
        stored = batchgen("review", sheet.path, review, "--run-dir", sheet.dir(1, 1))
        assert stored.code == 0, stored.err
        for _ in range(2):
            assert sheet.merge(sheet.whole, sheet.dir(1, 1)).code == 0
        assert (sheet.whole / "reviews.jsonl").read_text().count("keep") == 1
        sizes = (sheet.whole / "ledger.jsonl").stat().st_size
        assert sheet.merge(sheet.whole, sheet.dir(1, 1)).code == 0
        assert (sheet.whole / "ledger.jsonl").stat().st_size == sizes

    def test_an_earlier_input_stays_free(self, sheet: Sheet) -> None:
        """A row that goes back to what a shard once made costs nothing in the merged directory."""
        old = sheet.path.read_text()
        assert sheet.shard(1, 1).code == 0
        sheet.path.write_text(old.replace(" fox 3", " wolf 3"))
        assert sheet.shard(1, 1).code == 0
        assert sheet.merge(sheet.whole, sheet.dir(1, 1)).code == 0
        paid = sum(sheet.posts)
        sheet.path.write_text(old)
        assert sheet.run().code == 0
        assert sum(sheet.posts) == paid

    @pytest.mark.parametrize(
        "point", [CrashPoint.COMPACTION_WRITTEN, CrashPoint.COMPACTION_RENAMED], ids=str
    )
    def test_a_kill(self, point: CrashPoint, sheet: Sheet) -> None:
        """The merged ledger is there whole, or not at all; the same command goes on."""
        assert sheet.shard(1, 1).code == 0
        words = ["ledger", "merge", str(sheet.whole), str(sheet.dir(1, 1))]
        killed = subprocess.run(
            crashing.command(point, 1, *words), cwd=crashing.REPO, env=environment(),
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL
        is_there = (sheet.whole / "ledger.jsonl").exists()
        assert is_there is (point is CrashPoint.COMPACTION_RENAMED)

        assert sheet.merge(*words[2:]).code == 0
        assert sheet.run().code == 0
        assert sheet.posts == [1] * ROWS
        assert len(list(sheet.whole.glob("outputs/*"))) == ROWS
