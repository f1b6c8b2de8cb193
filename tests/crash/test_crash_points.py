"""Every crash point of the code: a real process is killed there, and the next run repairs it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchgen import cli
from batchgen.sandbox import SandboxConfig
from batchgen.system.crash_points import CrashPoint
from tests.kit import MODEL, crashing
from tests.kit.accounts import findings
from tests.kit.ledger_view import LedgerView
from tests.kit.live import Live, environment, live_sandbox, start, write_csv
from tests.kit.pictures import is_whole_png
from tests.kit.waiting import wait_until

P = CrashPoint

ROWS = {f"j{n}": f"j{n} a boat at dusk" for n in range(1, 5)}


@dataclass(frozen=True)
class Case:
    """A crash point, and the effect of a kill there.

    One job is submitted at a time, and none while another downloads except the last, so that it is
    certain which job is hit.
    """

    point: CrashPoint
    passage: int
    left: str
    """The state of the job that was hit, by the ledger; `-`: it has no record."""
    accepted: int | None = None
    """Submissions that the sandbox has accepted by then; None: all of them."""
    doubts: int = 0
    """Jobs that are in doubt at the end. All others are downloaded."""
    only: tuple[str, ...] = ()
    """Arguments that limit the first run to one job."""

    @property
    def doubtful(self) -> set[str]:
        """The job in doubt, if any: the one that was hit. A job has two lines and more."""
        lines = self.point in (P.LINE_HALF_WRITTEN, P.LINE_WRITTEN)
        return {"j1" if lines else f"j{self.passage}"} if self.doubts else set()

    def __str__(self) -> str:
        return f"{self.point.value}-{self.passage}"


CASES = [
    Case(P.BEFORE_INTENT, 1, left="-", accepted=0),
    Case(P.BEFORE_INTENT, 3, left="-", accepted=2),
    Case(P.INTENT_DURABLE, 1, left="submitting", accepted=0, doubts=1),
    Case(P.INTENT_DURABLE, 3, left="submitting", accepted=2, doubts=1),
    Case(P.ANSWER_HEARD, 1, left="submitting", accepted=1, doubts=1),
    Case(P.ANSWER_HEARD, 3, left="submitting", accepted=3, doubts=1),
    Case(P.REQUEST_ID_DURABLE, 1, left="in_queue", accepted=1),
    Case(P.REQUEST_ID_DURABLE, 3, left="in_queue", accepted=3),
    Case(P.RESULT_HEARD, 3, left="in_queue or in_progress"),
    Case(P.RESULT_DURABLE, 3, left="completed"),
    Case(P.DOWNLOAD_BEGINS, 1, left="completed", only=("--job", "j1")),
    Case(P.CHUNK_WRITTEN, 1, left="completed", only=("--job", "j1")),
    Case(P.CHUNK_WRITTEN, 4, left="completed"),
    Case(P.FILE_LINKED, 4, left="completed"),
    Case(P.FILE_RENAMED, 4, left="completed"),
    # Half an intent is none, and the POST had not left; half an answer is a doubt.
    Case(P.LINE_HALF_WRITTEN, 1, left="-", accepted=0),
    Case(P.LINE_HALF_WRITTEN, 2, left="submitting", accepted=1, doubts=1),
    # A kill keeps what the kernel has: a whole line counts, synced or not.
    Case(P.LINE_WRITTEN, 1, left="submitting", accepted=0, doubts=1),
    Case(P.LINE_WRITTEN, 2, left="in_queue", accepted=1),
]

OF_COMPACTION = {P.COMPACTION_WRITTEN, P.COMPACTION_RENAMED}
"""Passed by `batchgen ledger compact` only."""
OF_REVIEW = {P.REVIEW_WRITTEN, P.REVIEW_DURABLE}
"""Passed by `batchgen review` only."""
NOT_OF_A_RUN = OF_COMPACTION | OF_REVIEW


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Live]:
    """One sandbox for all tests: each test has prompts of its own."""
    drops = "file:drip:bytes_per_s=10000:match=chunk-written"
    config = SandboxConfig(duration_min_s=0.02, duration_max_s=0.05, faults=(drops,))
    with live_sandbox(config) as live:
        yield live


@dataclass
class Scene:
    """A batch of its own against the shared sandbox."""

    sandbox: Live
    folder: Path
    rows: dict[str, str]

    @property
    def arguments(self) -> list[str]:
        """The command under test."""
        target = ["--run-dir", str(self.run_dir), "--model", MODEL, "--concurrency", "1"]
        return ["run", str(self.folder / "batch.csv"), *target, "--quiet"]

    @property
    def run_dir(self) -> Path:
        return self.folder / "batch.run"

    def accepted(self) -> Counter[str]:
        """Accepted submissions by prompt, of this batch only."""
        mine = set(self.rows.values())
        found = (request.prompt for request in self.sandbox.audit.requests)
        return Counter(prompt for prompt in found if prompt in mine)

    def final_files(self) -> list[Path]:
        """The files under a final name."""
        return list((self.run_dir / "outputs").glob("*.png"))

    def die(self, point: CrashPoint, passage: int, *arguments: str) -> None:
        """Start a process that kills itself there."""
        done = subprocess.run(
            crashing.command(point, passage, *(arguments or self.arguments)), check=False,
            timeout=60, env=environment(self.sandbox), cwd=crashing.REPO,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, f"not killed: {done.returncode} {done.stderr}"

    def resume(self) -> int:
        """Run the program in this process, because an import takes longer than a run."""
        return cli.main(self.arguments)

    def wrong(self) -> list[str]:
        """Return what is wrong, by the run directory and the sandbox."""
        mine = set(self.rows.values())
        requests = [one for one in self.sandbox.audit.requests if one.prompt in mine]
        return findings(LedgerView.read(self.run_dir), requests, self.rows)


@pytest.fixture
def scene(
    sandbox: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Scene:
    for name, value in environment(sandbox).items():
        monkeypatch.setenv(name, value)
    rows = {job: f"{prompt}, {request.node.name}" for job, prompt in ROWS.items()}
    lines = [f'{job},"{prompt}"' for job, prompt in rows.items()]
    write_csv(tmp_path / "batch.csv", lines)
    return Scene(sandbox, tmp_path, rows)


def ends_well(scene: Scene, *, doubts: int) -> None:
    """Resume until the end: nothing is paid twice or lost, and another run does nothing.

    The exit code is 1 if something is in doubt: the user has to decide.
    """
    code = 1 if doubts else 0
    assert scene.resume() == code
    assert scene.wrong() == []
    states = LedgerView.read(scene.run_dir).counts()
    assert states == Counter(downloaded=len(scene.rows) - doubts, in_doubt=doubts)
    assert not LedgerView.read(scene.run_dir).parts()
    calls = scene.sandbox.audit.call_count
    assert scene.resume() == code
    assert scene.sandbox.audit.call_count == calls, "a run with nothing to do called the API"


QUICK = {
    P.INTENT_DURABLE, P.ANSWER_HEARD, P.REQUEST_ID_DURABLE, P.CHUNK_WRITTEN, P.FILE_RENAMED,
    P.LINE_HALF_WRITTEN,
}  # fmt: skip
"""The points whose first case is always tried; all the others are among the long tests."""
FIRST = {case.point: case for case in reversed(CASES)}


def _is_quick(case: Case) -> bool:
    return case.point in QUICK and case is FIRST[case.point]


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if _is_quick(case) else pytest.mark.slow) for case in CASES],
    ids=str,
)
def test_a_kill_at_this_point_has_this_effect(case: Case, scene: Scene) -> None:
    """SIGKILL there, the same command again: only what cannot be known is in doubt."""
    scene.die(case.point, case.passage, *scene.arguments, *case.only)

    left = LedgerView.read(scene.run_dir)
    if case.left == "-":
        assert len(left.last) == case.passage - 1
    else:
        assert set(case.left.split(" or ")) & set(left.counts())
    assert all(is_whole_png(path.read_bytes()) for path in scene.final_files())
    if case.accepted is not None:
        assert scene.accepted().total() == case.accepted
    ends_well(scene, doubts=case.doubts)
    assert LedgerView.read(scene.run_dir).in_state("in_doubt") == case.doubtful


def test_a_kill_while_the_answer_is_on_its_way_is_one_doubt(tmp_path: Path, scene: Scene) -> None:
    """The POST has left and was accepted, the answer never arrived."""
    with live_sandbox(SandboxConfig(faults=("submit:slow:delay_s=20",))) as slow:
        run = start(*scene.arguments, sandbox=slow)
        wait_until(lambda: slow.audit.requests, "the POST", alive=run)
        run.kill()
        run.communicate()
        paid = len(slow.audit.requests)
    ends = LedgerView.read(scene.run_dir)

    assert paid == 1
    assert ends.counts() == Counter(submitting=1)
    ends_well(scene, doubts=1)


@pytest.mark.slow
def test_kills_of_the_runs_that_repair_add_nothing(scene: Scene) -> None:
    """The next run repairs what a process left that was killed while it repaired."""
    scene.die(P.ANSWER_HEARD, 2)
    scene.die(P.LINE_WRITTEN, 1)  # the line that puts the job in doubt
    scene.die(P.RESULT_HEARD, 1)
    scene.die(P.BEFORE_INTENT, 1)
    scene.die(P.FILE_RENAMED, 1, *scene.arguments, "--job", "j3")
    scene.die(P.DOWNLOAD_BEGINS, 1, *scene.arguments, "--job", "j3")

    ends_well(scene, doubts=1)


def test_a_file_that_a_crash_left_unrecorded_stays_the_only_one(scene: Scene) -> None:
    """Killed after the rename: the file is whole, is recognized, and is kept."""
    scene.die(P.FILE_RENAMED, 1, *scene.arguments, "--job", "j2")
    (unrecorded,) = scene.final_files()
    content = unrecorded.read_bytes()

    ends_well(scene, doubts=0)

    assert unrecorded.read_bytes() == content
    assert len(scene.final_files()) == len(scene.rows)


def review(scene: Scene, *verdicts: str) -> list[str]:
    """Write a file of verdicts, and return the command that stores them."""
    path = scene.folder / "review.csv"
    path.write_text("job,take,verdict\n" + "".join(f"{one}\n" for one in verdicts))
    target = ["--run-dir", str(scene.run_dir), "--model", MODEL]
    return ["review", str(scene.folder / "batch.csv"), str(path), *target]


def takes(scene: Scene, job: str) -> list[tuple[int, str]]:
    """Return take and state of each line of a job, in order."""
    lines = (scene.run_dir / "ledger.jsonl").read_text().splitlines()[1:]
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return [(one.get("take", 1), one["state"]) for one in records if one["job"] == job]


@pytest.mark.parametrize("point", sorted(OF_REVIEW), ids=str)
def test_a_kill_during_a_review_stores_all_or_asks_again(point: P, scene: Scene) -> None:
    """The same command again stores the same verdict, and the redo is paid for once."""
    assert scene.resume() == 0
    words = review(scene, "j2,1,redo")
    scene.die(point, 1, *words)
    assert cli.main(words) == 0

    assert scene.resume() == 0
    assert scene.resume() == 0
    assert scene.accepted()[scene.rows["j2"]] == 2
    assert takes(scene, "j2")[-1] == (2, "downloaded")


@pytest.mark.parametrize(
    ("point", "paid", "left"),
    [
        (P.BEFORE_INTENT, 2, (2, "downloaded")),
        (P.INTENT_DURABLE, 1, (2, "in_doubt")),
        (P.ANSWER_HEARD, 2, (2, "in_doubt")),
        pytest.param(P.REQUEST_ID_DURABLE, 2, (2, "downloaded"), marks=pytest.mark.slow),
        pytest.param(P.RESULT_DURABLE, 2, (2, "downloaded"), marks=pytest.mark.slow),
        pytest.param(P.FILE_RENAMED, 2, (2, "downloaded"), marks=pytest.mark.slow),
        pytest.param(P.LINE_HALF_WRITTEN, 2, (2, "downloaded"), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_kill_during_a_redo_pays_for_one_take(
    point: P, paid: int, left: tuple[int, str], scene: Scene
) -> None:
    """Its intent uses the redo up: whatever happens then, nothing is submitted in its place."""
    assert scene.resume() == 0
    before = {path.name: path.read_bytes() for path in scene.final_files()}
    assert cli.main(review(scene, "j2,1,redo")) == 0
    scene.die(point, 1)

    code = int(left[1] == "in_doubt")
    assert [scene.resume(), scene.resume()] == [code, code]
    assert scene.accepted()[scene.rows["j2"]] == paid
    assert takes(scene, "j2")[-1] == left
    after = {path.name: path.read_bytes() for path in scene.final_files()}
    assert {name: after[name] for name in before} == before
    assert ("j2-take2-1.png" in after) is (not code)


@pytest.mark.parametrize("point", sorted(OF_COMPACTION), ids=str)
def test_a_kill_during_compaction_leaves_one_whole_ledger(point: CrashPoint, scene: Scene) -> None:
    """The old one or the new one: the same records, and nothing to do for the next run."""
    scene.die(P.REQUEST_ID_DURABLE, 2)
    ledger = scene.run_dir / "ledger.jsonl"
    before, records = ledger.stat().st_ino, LedgerView.read(scene.run_dir).last

    scene.die(point, 1, "ledger", "compact", *scene.arguments[1:4])

    assert LedgerView.read(scene.run_dir).last == records
    assert (ledger.stat().st_ino == before) is (point is P.COMPACTION_WRITTEN)
    ends_well(scene, doubts=0)


@pytest.mark.parametrize("point", CrashPoint, ids=str)
def test_every_crash_point_is_passed_somewhere(point: CrashPoint) -> None:
    """A name that no code passes promises what no test checks."""
    assert point in crashing.placed()


def test_every_crash_point_of_a_run_is_killed_at() -> None:
    """A new crash point needs a case: the effect of a kill there."""
    assert {case.point for case in CASES} | NOT_OF_A_RUN == set(CrashPoint)
