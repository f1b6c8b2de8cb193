"""`Batch` from Python: against a real sandbox, in threads, on running loops, and left early."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import batchgen
from batchgen import (
    Batch,
    BatchgenError,
    Job,
    LockHeld,
    ManifestError,
    ManifestNotFound,
    TokenMissing,
    UsageError,
)
from batchgen.app import batch_run
from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.live import Live, accepted, environment, live_sandbox, prompts, write_csv
from tests.kit.waiting import wait_until

SLOW = SandboxConfig(duration_min_s=1.0, duration_max_s=2.0)


@pytest.fixture
def sandbox() -> Iterator[Live]:
    with live_sandbox() as live:
        yield live


def batch(manifest: Path, live: Live, **keywords: Any) -> Batch:
    """A batch against a sandbox."""
    return Batch(manifest, model=MODEL, environment=environment(live), **keywords)


def states(directory: Path) -> dict[str, str]:
    """The state of each job by the ledger, read without this program."""
    lines = (directory / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return {one["job"]: one["state"] for one in records if "job" in one}


def test_a_run_returns_its_summary_and_jobs_are_read_from_the_ledger(
    tmp_path: Path, sandbox: Live, capfd: pytest.CaptureFixture[str]
) -> None:
    """Absolute files that exist, the manifest's order, costs; and not a word is printed."""
    manifest = prompts(tmp_path / "m.csv", 3)
    one = batch(manifest, sandbox)
    before = [(job.id, job.state, job.files) for job in one.jobs()]
    plan = one.plan()

    summary = one.run(concurrency=2, max_cost="20/day")

    jobs = list(one.jobs())
    assert before == [(f"j{n:04d}", "pending", ()) for n in range(3)]
    assert (plan.groups, plan.submissions) == ({"submit_new": 3}, 3)
    assert plan.cost_usd == pytest.approx(summary.cost_usd) == pytest.approx(0.09)
    assert (summary.exit_code, summary.reasons) == (0, ())
    assert summary.jobs == {"downloaded": 3}
    assert summary.jobs["failed"] == 0
    assert [job.id for job in jobs] == ["j0000", "j0001", "j0002"]
    assert all(path.is_absolute() and path.is_file() for job in jobs for path in job.files)
    assert all(job.outputs and job.error is None and job.cost_usd == 0.03 for job in jobs)
    assert capfd.readouterr() == ("", "")


def test_a_second_run_submits_nothing(tmp_path: Path, sandbox: Live) -> None:
    """The same object or another one: the ledger decides."""
    manifest = prompts(tmp_path / "m.csv", 3)
    first = batch(manifest, sandbox)
    first.run()

    assert first.run().exit_code == 0
    assert batch(manifest, sandbox).run().jobs == {"downloaded": 3}
    assert first.plan().groups == {"done": 3}
    assert set(accepted(sandbox).values()) == {1}


def test_check_returns_everything_that_is_wrong(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without network, token or a trace on the disk; each problem knows its place."""
    manifest = write_csv(tmp_path / "m.csv", ["a,x,1.5", "b,,1", "c,y,1"], header="id,prompt,scale")
    one = Batch(
        manifest, model=MODEL, environment={"RUNCOMFY_MODEL_API_BASE": "http://127.0.0.1:9"}
    )

    found = one.check()

    rows = [(problem.file, problem.row, problem.column) for problem in found]
    assert (str(manifest), 2, "scale") in rows
    assert 3 in [row for _, row, _ in rows]
    assert all(problem.message for problem in found)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "home", manifest]
    assert capfd.readouterr() == ("", "")


def test_check_returns_more_problems_than_a_terminal_shows(tmp_path: Path) -> None:
    """All of them; a program reads on where a person has seen enough."""
    rows = [f"r{n},p{n},{n + 2}" for n in range(80)]
    manifest = write_csv(tmp_path / "m.csv", rows, header="id,prompt,scale")

    assert len(Batch(manifest, model=MODEL).check()) == 80


def test_a_run_raises_what_keeps_it_from_beginning(tmp_path: Path, sandbox: Live) -> None:
    """A wrong manifest with its problems, none at all, no token, a run that is active."""
    wrong = write_csv(tmp_path / "wrong.csv", ["a,x,1.5"], header="id,prompt,scale")
    with pytest.raises(ManifestError) as caught:
        batch(wrong, sandbox).run()
    assert [problem.row for problem in caught.value.problems] == [2]

    for call in (Batch(tmp_path / "no.csv").run, Batch(tmp_path / "no.csv").check):
        with pytest.raises(ManifestNotFound):
            call()
    manifest = prompts(tmp_path / "m.csv", 1)
    base = {"RUNCOMFY_MODEL_API_BASE": sandbox.base_url}
    with pytest.raises(TokenMissing):
        Batch(manifest, model=MODEL, environment=base).run()
    assert accepted(sandbox) == {}


async def test_a_stream_raises_what_keeps_it_from_beginning(tmp_path: Path) -> None:
    """Where the first job is asked for."""
    with pytest.raises(ManifestNotFound):
        await anext(Batch(tmp_path / "no.csv").stream())


async def test_a_stream_gives_each_job_once_as_it_ends(tmp_path: Path) -> None:
    """One that is submitted again, too; no handler of a signal changes meanwhile."""
    config = SandboxConfig(
        duration_min_s=0.05, duration_max_s=0.1, faults=("submit:lose-answer:first=1",)
    )
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with live_sandbox(config) as live:
        one = batch(prompts(tmp_path / "m.csv", 4), live)
        jobs: list[Job] = []
        async for job in one.stream(concurrency=2, in_doubt="resubmit"):
            assert [signal.getsignal(number) for number in numbers] == before
            assert job.state == states(tmp_path / "m.run")[job.id]
            jobs.append(job)
        made = accepted(live)

    assert sorted(job.id for job in jobs) == [f"j{n:04d}" for n in range(4)]
    assert {job.state for job in jobs} == {"downloaded"}
    assert all(path.is_file() for job in jobs for path in job.files)
    assert sorted(made.values()) == [1, 1, 1, 2]
    assert one.summary is not None
    assert (one.summary.exit_code, one.summary.jobs) == (0, {"downloaded": 4})


async def test_a_job_that_failed_for_good_is_in_the_stream(tmp_path: Path) -> None:
    """With its error, and the stream ends without an exception."""
    config = SandboxConfig(
        duration_min_s=0.05, duration_max_s=0.1, faults=("result:failed:match=number 1",)
    )
    with live_sandbox(config) as live:
        one = batch(prompts(tmp_path / "m.csv", 2), live)
        jobs = {job.id: job async for job in one.stream(max_attempts=1)}

    assert jobs["j0001"].state == "failed"
    assert jobs["j0001"].error
    assert one.summary is not None
    assert (one.summary.exit_code, one.summary.jobs["failed"]) == (1, 1)


async def test_leaving_a_stream_drains_the_run(tmp_path: Path) -> None:
    """Nothing more is submitted, no intent is left without an answer; the next run pays for none
    of it again."""
    with live_sandbox() as live:
        one = batch(prompts(tmp_path / "m.csv", 40), live)
        async for _ in one.stream(concurrency=2):
            break
        summary = one.summary  # waits for the end
        left = states(tmp_path / "m.run")
        asked = len(accepted(live))
        finished = await asyncio.to_thread(one.run)
        made = accepted(live)

    assert summary is not None
    assert (summary.exit_code, summary.reasons) == (130, ("interrupted",))
    assert "submitting" not in left.values()
    assert asked < 40
    assert finished.jobs == {"downloaded": 40}
    assert set(made.values()) == {1}


async def test_cancelling_the_task_drains_and_the_task_ends_after_that(tmp_path: Path) -> None:
    """Once the task has ended, the run directory is free again."""
    with live_sandbox(SLOW) as live:
        one = batch(prompts(tmp_path / "m.csv", 30), live)

        async def read() -> None:
            async for _ in one.stream(concurrency=3):
                pass

        task = asyncio.create_task(read())
        await asyncio.to_thread(wait_until, lambda: len(accepted(live)) >= 2, "submissions")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        left = states(tmp_path / "m.run")
        asked = accepted(live)

    assert one.summary is not None
    assert one.summary.exit_code == 130
    assert "submitting" not in left.values()
    assert 2 <= len(asked) < 30
    assert set(asked.values()) == {1}


def test_a_stream_leaves_nothing_on_its_loop(tmp_path: Path) -> None:
    """Neither one that was read to its end, nor one that was left, closed or never begun."""

    async def main(live: Live) -> None:
        one = batch(prompts(tmp_path / "m.csv", 3), live)
        assert len([job async for job in one.stream()]) == 3
        assert [job async for job in one.stream()] == []
        one.stream()
        async with aclosing(one.stream()) as stream:
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        prompts(tmp_path / "m.csv", 9)
        async for _ in one.stream(concurrency=1):
            break
        await asyncio.to_thread(lambda: one.summary)
        gc.collect()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*others), 10)

    with live_sandbox() as live:
        asyncio.run(main(live), debug=True)


async def test_a_task_that_fails_leaves_its_stream(tmp_path: Path) -> None:
    """Also if somebody keeps its exception, and so the variable with the stream, alive."""
    with live_sandbox() as live:
        one = batch(prompts(tmp_path / "m.csv", 60), live)

        async def read() -> None:
            stream = one.stream(concurrency=2)
            async for _ in stream:
                raise ValueError("of the reader")

        kept = await asyncio.gather(read(), return_exceptions=True)
        summary = one.summary
        made = len(accepted(live))

    assert isinstance(kept[0], ValueError)
    assert summary is not None
    assert summary.exit_code == 130
    assert made < 60


async def test_a_stream_may_be_read_by_one_task_after_the_other(tmp_path: Path) -> None:
    """As `asyncio.wait_for` does on Python 3.11; a task that ended well ends nothing."""
    with live_sandbox() as live:
        stream = batch(prompts(tmp_path / "m.csv", 4), live).stream(concurrency=1)
        jobs = [await asyncio.create_task(anext(stream)) for _ in range(4)]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    assert {job.state for job in jobs} == {"downloaded"}


async def test_closing_a_stream_waits_for_the_drain(tmp_path: Path) -> None:
    """As `contextlib.aclosing` does."""
    with live_sandbox(SLOW) as live:
        one = batch(prompts(tmp_path / "m.csv", 10), live)
        async with aclosing(one.stream(concurrency=2)) as stream:
            job = await anext(stream)
        assert batch(tmp_path / "m.csv", live).plan().groups["done"] >= 1
        assert one.run(limit=1).exit_code in (0, 75)

    assert job.state == "downloaded"


SCRIPT = """
import asyncio, pathlib, sys
from batchgen import Batch

batch = Batch(sys.argv[1], model=sys.argv[2])

async def main():
    how = sys.argv[3]
    if how == "break":
        async for job in batch.stream(concurrency=3):
            break
    elif how == "held":
        stream = batch.stream(concurrency=3)
        async for job in stream:
            break
        globals()["kept"] = stream
    elif how == "raise":
        async for job in batch.stream(concurrency=3):
            raise SystemExit(3)
    else:
        task = asyncio.create_task(read())
        await asyncio.sleep(1.5)

async def read():
    async for job in batch.stream(concurrency=3):
        pass

try:
    asyncio.run(main())
finally:
    ledger = pathlib.Path(sys.argv[1]).with_suffix(".run") / "ledger.jsonl"
    pathlib.Path(sys.argv[1]).with_suffix(".then").write_bytes(ledger.read_bytes())
"""


@pytest.mark.parametrize("how", ["break", "raise", "cancelled by asyncio.run", "held"])
def test_a_program_that_ends_in_the_middle_drains_first(tmp_path: Path, how: str) -> None:
    """However it ends, no submission is left without an answer, and no more are made."""
    # Some answers are on their way for longer than it takes to leave.
    slow = SandboxConfig(duration_min_s=0.05, duration_max_s=0.1, faults=("submit:slow:every=2",))
    with live_sandbox(slow) as live:
        prompts(tmp_path / "m.csv", 60)
        words = [sys.executable, "-c", SCRIPT, str(tmp_path / "m.csv"), MODEL, how]
        done = subprocess.run(
            words, env=environment(live), capture_output=True, text=True, timeout=60, check=False
        )
        left = states(tmp_path / "m.run")
        asked = accepted(live)

    # Nothing was written any more after `asyncio.run` had returned: it waits for the drain.
    assert (tmp_path / "m.then").read_bytes() == (tmp_path / "m.run/ledger.jsonl").read_bytes()
    assert (done.returncode, done.stdout, done.stderr) == (3 if how == "raise" else 0, "", "")
    assert "submitting" not in left.values()
    assert 1 <= len(asked) < 60
    assert set(asked.values()) == {1}


@pytest.mark.parametrize(
    ("number", "code", "printed"),
    [
        (signal.SIGINT, 0, "drained: True\n130 ('interrupted',)"),
        (signal.SIGTERM, -signal.SIGTERM, ""),
        (signal.SIGHUP, -signal.SIGHUP, ""),
    ],
)
def test_a_signal_drains_a_run_that_blocks_and_then_does_what_it_always_does(
    tmp_path: Path, number: signal.Signals, code: int, printed: str
) -> None:
    """Ctrl-C interrupts, so that no next batch begins; the others end the program."""
    script = (
        "import signal, sys\nfrom batchgen import Batch\n"
        # A program in the background of a shell may have them ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "batch = Batch(sys.argv[1], model=sys.argv[2])\n"
        "try:\n    print(batch.run(concurrency=3))\n"
        "except KeyboardInterrupt:\n"
        "    print('drained:', batch._last_run.has_ended)\n"
        "    print(batch.summary.exit_code, batch.summary.reasons)\n"
    )
    slow = SandboxConfig(duration_min_s=1.0, duration_max_s=2.0, faults=("submit:slow:every=2",))
    with live_sandbox(slow) as live:
        prompts(tmp_path / "m.csv", 30)
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "m.csv"), MODEL], env=environment(live),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(lambda: len(accepted(live)) >= 2, "submissions")
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        left = states(tmp_path / "m.run")
        asked = accepted(live)

    assert (out.strip(), err, process.returncode) == (printed, "", code)
    assert "submitting" not in left.values()
    assert set(asked) == {f"prompt number {int(job[1:])}" for job in left}
    assert len(asked) < 30


async def test_a_run_blocks_also_within_a_running_loop(tmp_path: Path, sandbox: Live) -> None:
    """As in a notebook."""
    assert batch(prompts(tmp_path / "m.csv", 2), sandbox).run().exit_code == 0


def test_batches_run_in_threads_side_by_side(tmp_path: Path, sandbox: Live) -> None:
    """Two batches; and one batch twice excludes itself by its lock."""
    codes: dict[str, object] = {}

    def run(name: str) -> None:
        try:
            codes[name] = batch(tmp_path / f"{name[0]}.csv", sandbox).run().exit_code
        except BatchgenError as error:
            codes[name] = type(error)

    prompts(tmp_path / "a.csv", 6)
    write_csv(tmp_path / "b.csv", [f"k{n},another prompt {n}" for n in range(6)])
    threads = [threading.Thread(target=run, args=(name,)) for name in ("a1", "a2", "b1")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, (codes["a1"], codes["a2"]))) in (
        ["0", "0"],
        sorted(["0", str(LockHeld)]),
    )
    assert codes["b1"] == 0
    assert set(accepted(sandbox).values()) == {1}


def test_messages_go_to_the_logger(
    tmp_path: Path, sandbox: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a program can read them; the token is in none."""
    with caplog.at_level(logging.INFO, logger="batchgen"):
        batch(prompts(tmp_path / "m.csv", 1), sandbox).run()

    assert "1 job: 1 new" in caplog.text
    assert sandbox.token not in caplog.text


def test_a_plan_asks_the_catalogue_only(
    tmp_path: Path, sandbox: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the balance, which the command line shows beside a plan, nor anything else."""
    asked: list[object] = []
    monkeypatch.setattr(batch_run, "balance_sentence", lambda *given: asked.append(given) or "")

    batch(prompts(tmp_path / "m.csv", 2), sandbox).plan()

    assert asked == []
    assert set(sandbox.audit.calls) <= {"catalogue"}


def test_there_is_no_summary_while_a_run_is_active(tmp_path: Path) -> None:
    """It is not waited for; afterwards there is one."""

    async def main(live: Live) -> None:
        one = batch(prompts(tmp_path / "m.csv", 3), live)
        found = [one.summary async for _ in one.stream(concurrency=1)]
        assert found[0] is None
        assert one.summary is not None

    with live_sandbox() as live:
        asyncio.run(main(live))


def test_a_sandbox_run_needs_no_token(tmp_path: Path) -> None:
    """As with the flag; plan and jobs are about the same directory."""
    one = Batch(prompts(tmp_path / "m.csv", 1), model=MODEL, sandbox=True, environment={})

    assert one.plan().cost_usd == 0.03
    assert one.run().exit_code == 0
    assert [job.state for job in one.jobs()] == ["downloaded"]
    assert (tmp_path / "m.run.sandbox" / "ledger.jsonl").exists()


def test_dry_run_is_a_keyword_too(tmp_path: Path, sandbox: Live) -> None:
    """It does nothing and says nothing."""
    summary = batch(prompts(tmp_path / "m.csv", 1), sandbox).run(dry_run=True)

    assert (summary.exit_code, summary.jobs) == (0, {})
    assert accepted(sandbox) == {}


def test_a_skipped_run_says_so(tmp_path: Path, sandbox: Live) -> None:
    """The summary has the exit code and the reason that the command line has."""
    from batchgen.ledger.lock import RunLock

    one = batch(prompts(tmp_path / "m.csv", 1), sandbox)
    one.run()
    with RunLock.acquire(tmp_path / "m.run", now_s=0.0):
        skipped = one.run(if_locked="skip")
        with pytest.raises(LockHeld):
            one.run()

    assert (skipped.exit_code, skipped.reasons) == (75, ("skipped", "run directory in use"))


def test_every_public_name_is_there_and_typed() -> None:
    """And what is not public is an AttributeError, as of any module."""
    assert all(getattr(batchgen, name) is not None for name in batchgen.__all__)
    assert set(batchgen.__all__) <= set(dir(batchgen))
    assert (Path(batchgen.__file__).parent / "py.typed").exists()
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        batchgen.nothing  # noqa: B018
    errors = [getattr(batchgen, name) for name in batchgen.__all__]
    tree = [one for one in errors if isinstance(one, type) and issubclass(one, Exception)]
    assert all(issubclass(one, BatchgenError) for one in tree)


def test_importing_the_package_loads_nothing_heavy() -> None:
    """The command line imports it too, for its version."""
    script = (
        "import sys, batchgen; print(len([m for m in sys.modules if m.startswith('batchgen')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )

    assert done.stdout.strip() == "1"


def test_a_wrong_keyword_is_refused_with_what_is_near() -> None:
    """All of them at once, where the batch is named."""
    with pytest.raises(UsageError) as caught:
        Batch("m.csv", concurency=3, limit=0, quiet="yes", model=True)  # type: ignore[call-arg,arg-type]

    text = str(caught.value)
    assert "concurency: there is no such keyword; did you mean 'concurrency'?" in text
    assert "limit: " in text
    assert "quiet: is a switch: give True or False, not 'yes'" in text
    assert "model: takes a value (ID), not True" in text


def test_values_are_plain_and_can_be_matched() -> None:
    """In the order in which the page names their fields; they cannot be changed."""
    job = Job("fox", "downloaded", (Path("/x/fox-1.png"),), ("https://x",), 0.03, None)

    match job:
        case Job(id, state, files, outputs, cost_usd, error):
            assert (id, state, error, cost_usd) == ("fox", "downloaded", None, 0.03)
            assert len(files) == len(outputs) == 1
    with pytest.raises(AttributeError):
        job.state = "failed"  # type: ignore[misc]
