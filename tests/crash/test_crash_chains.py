"""Every crash point in a chain with a gate: stills, a review, and clips, killed in between."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchgen import cli
from batchgen.core.model_entry import ModelEntry
from batchgen.net.address_check import HttpAddressCheck
from batchgen.sandbox import SandboxConfig
from batchgen.system.crash_points import CrashPoint
from tests.crash.test_crash_points import NOT_OF_A_RUN
from tests.kit import MODEL, crashing
from tests.kit.accounts import findings
from tests.kit.cases import few
from tests.kit.ledger_view import LedgerView
from tests.kit.live import Live, environment, live_sandbox
from tests.torture.sheet import FILM, FILM_SCHEMA, STEPS

RUN_POINTS = sorted(set(CrashPoint) - NOT_OF_A_RUN)
ROWS = ("fox", "owl", "elk")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Live]:
    entry = ModelEntry(model_id=FILM, input_schema=FILM_SCHEMA)
    config = SandboxConfig(duration_min_s=0.02, duration_max_s=0.05, models=(entry,))
    with live_sandbox(config) as live:
        yield live


@dataclass
class Chain:
    """A batch of three stills and their clips, each submitted alone."""

    sandbox: Live
    path: Path
    when: str

    def __post_init__(self) -> None:
        """Write it. The name of the directory makes its prompts its own."""
        self.name = self.path.name
        rows = [f"{job}-{self.name},{job}-{self.name} a boat,calm" for job in ROWS]
        (self.path / "rows.csv").write_text("\n".join(["id,prompt,word", *rows]) + "\n")
        steps = STEPS.format(model=FILM, when=self.when)
        self.manifest.write_text("prompts: {file: rows.csv}\n" + steps)

    @property
    def manifest(self) -> Path:
        return self.path / "m.yaml"

    @property
    def arguments(self) -> list[str]:
        return ["run", str(self.manifest), "--model", MODEL, "--concurrency", "1", "--quiet"]

    def die(self, point: CrashPoint, passage: int) -> bool:
        """Start a run that kills itself there; return whether it got there."""
        done = subprocess.run(
            crashing.command(point, passage, *self.arguments), check=False, timeout=60,
            env=environment(self.sandbox), cwd=crashing.REPO, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode in (-signal.SIGKILL, 0, 1), done
        return done.returncode == -signal.SIGKILL

    def keep_all(self) -> None:
        review = self.path / "review.csv"
        jobs = [f"{job}-{self.name},keep\n" for job in ROWS]
        review.write_text("job,verdict\n" + "".join(jobs))
        assert cli.main(["review", str(self.manifest), str(review)]) == 0

    def wrong(self) -> list[str]:
        """Return what is wrong, by the ledger and by what the sandbox has counted."""
        stills = {f"{job}-{self.name}": f"{job}-{self.name} a boat" for job in ROWS}
        clips = {f"{job}@clip": f"{job}@clip calm moves" for job in stills}
        prompts = stills | clips
        mine = [one for one in self.sandbox.audit.requests if self.name in one.prompt]
        return findings(LedgerView.read(self.path / "m.run"), mine, prompts)


@pytest.mark.parametrize("point", few(RUN_POINTS, 2), ids=lambda point: point.value)
def test_a_chain_that_is_killed_pays_nothing_twice(
    sandbox: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: CrashPoint
) -> None:
    """Killed among stills and among clips; the next runs make each clip once, from its still."""
    monkeypatch.setenv("RUNCOMFY_MODEL_API_BASE", sandbox.base_url)
    monkeypatch.setenv("RUNCOMFY_TOKEN", sandbox.token)
    chain = Chain(sandbox, tmp_path, when="kept")
    assert chain.die(point, 2)
    cli.main(chain.arguments)
    doubts = LedgerView.read(tmp_path / "m.run").in_state("in_doubt")
    for job in doubts:
        assert cli.main(["resolve", str(chain.manifest), "--job", job, "--resubmit"]) == 0
    cli.main(chain.arguments)
    chain.keep_all()
    chain.die(point, 2)
    cli.main(chain.arguments)
    late = LedgerView.read(tmp_path / "m.run").in_state("in_doubt")
    assert all(job.endswith("@clip") for job in late)
    wrong = [one for one in chain.wrong() if not any(job in one for job in doubts)]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("passage", range(1, 7))
@pytest.mark.parametrize(
    "point", [CrashPoint.INTENT_DURABLE, CrashPoint.ANSWER_HEARD, CrashPoint.RESULT_DURABLE],
    ids=lambda point: point.value,
)  # fmt: skip
def test_without_a_gate(
    sandbox: Live,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: CrashPoint,
    passage: int,
) -> None:
    """Stills and clips of one run, killed at each of them in turn."""
    monkeypatch.setenv("RUNCOMFY_MODEL_API_BASE", sandbox.base_url)
    monkeypatch.setenv("RUNCOMFY_TOKEN", sandbox.token)
    chain = Chain(sandbox, tmp_path, when="done")
    assert chain.die(point, passage)
    cli.main(chain.arguments)
    assert chain.wrong() == []


def test_an_address_is_looked_at_right_before_it_is_sent(
    sandbox: Live,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a real run: with the answer that it has expired, no clip is submitted (75)."""
    monkeypatch.setenv("RUNCOMFY_MODEL_API_BASE", sandbox.base_url)
    monkeypatch.setenv("RUNCOMFY_TOKEN", sandbox.token)
    asked: list[str] = []

    async def expired(_: HttpAddressCheck, url: str) -> bool:
        asked.append(url)
        return True

    with monkeypatch.context() as patched:
        patched.setattr(HttpAddressCheck, "is_gone", expired)
        chain = Chain(sandbox, tmp_path, when="done")
        assert cli.main(chain.arguments) == 75
    assert len(set(asked)) == len(ROWS)
    assert "has expired and cannot be renewed at the moment" in capsys.readouterr().err
    assert LedgerView.read(tmp_path / "m.run").counts() == {"downloaded": len(ROWS)}
    assert cli.main(chain.arguments) == 0
    assert chain.wrong() == []
