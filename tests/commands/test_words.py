"""A person's word: retry, resolve, cancel."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from tests.commands.test_run import QUICK, results
from tests.kit.ledger_view import states
from tests.kit.live import accepted, batchgen, live_sandbox, prompts, start
from tests.kit.waiting import wait_until


@pytest.mark.slow
def test_retry_runs_the_failed_jobs_once_more_and_only_those(tmp_path: Path) -> None:
    """One attempt is granted; the rest of the batch is left alone unless asked for."""
    manifest = prompts(tmp_path / "m.csv", 4)

    with live_sandbox(SandboxConfig(faults=("result:failed:match=number 1",), **QUICK)) as sandbox:
        batchgen("run", manifest, "--max-attempts", "1", "--limit", "3", sandbox=sandbox)
        again = batchgen("retry", manifest, "--max-attempts", "1", sandbox=sandbox)
        paid = accepted(sandbox)
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        well = batchgen("retry", manifest, "--all", sandbox=sandbox)
        nothing = batchgen("retry", manifest, sandbox=sandbox)

    assert again.code == 1
    assert paid == {"prompt number 0": 1, "prompt number 1": 2, "prompt number 2": 1}
    assert well.code == 0, well.err
    assert set(states(tmp_path / "m.run").values()) == {"downloaded"}
    assert "nothing to retry" in nothing.err


@pytest.mark.slow
def test_a_refused_row_is_retried_on_request(tmp_path: Path) -> None:
    """A run leaves it alone; `retry --job` tries it again."""
    manifest = prompts(tmp_path / "m.csv", 2)

    with live_sandbox(SandboxConfig(faults=("submit:422:match=number 1",), **QUICK)) as sandbox:
        first = batchgen("run", manifest, sandbox=sandbox)
        second = batchgen("run", manifest, sandbox=sandbox)
        received = sandbox.audit.received["prompt number 1"]
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        retried = batchgen("retry", manifest, "--job", "j0001", sandbox=sandbox)

    assert (first.code, second.code, received) == (1, 1, 1)
    assert retried.code == 0, retried.err


@pytest.mark.slow
def test_a_doubt_that_was_found_is_collected(tmp_path: Path) -> None:
    """With the request_id that the person saw, nothing is paid for again."""
    manifest = prompts(tmp_path / "m.csv", 2)
    run_dir = tmp_path / "m.run"

    with live_sandbox(
        SandboxConfig(faults=("submit:lose-answer:match=number 1",), **QUICK)
    ) as sandbox:
        batchgen("run", manifest, sandbox=sandbox)
        by_prompt = {request.prompt: request.request_id for request in sandbox.audit.requests}
        taken = batchgen(
            "resolve", manifest, "--job", "j0001", "--request-id", by_prompt["prompt number 0"]
        )
        said = batchgen(
            "resolve", manifest, "--job", "j0001", "--request-id", by_prompt["prompt number 1"]
        )
        done = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert taken.code == 64
    assert "belongs to job 'j0000'" in taken.err
    assert said.code == 0, said.err
    assert done.code == 0, done.err
    assert set(states(run_dir).values()) == {"downloaded"}
    assert set(paid.values()) == {1}


@pytest.mark.slow
def test_a_doubt_may_be_given_up_or_submitted_again(tmp_path: Path) -> None:
    """Given up counts as ended; submitted again is one more POST, by the person's word."""
    manifest = prompts(tmp_path / "m.csv", 3)

    with live_sandbox(SandboxConfig(faults=("submit:drop:first=2",), **QUICK)) as sandbox:
        first = batchgen("run", manifest, sandbox=sandbox)
        doubts = [job for job, state in states(tmp_path / "m.run").items() if state == "in_doubt"]
        batchgen("resolve", manifest, "--job", doubts[0], "--give-up")
        batchgen("resolve", manifest, "--job", doubts[1], "--resubmit")
        done = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert first.code == 1
    assert done.code == 0, done.err
    final = states(tmp_path / "m.run")
    assert (final[doubts[0]], final[doubts[1]]) == ("failed", "downloaded")
    assert max(paid.values()) == 1


@pytest.mark.slow
def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    """An unknown job, a job that is done, two words at once, no ledger."""
    manifest = prompts(tmp_path / "m.csv", 1)

    none = batchgen("resolve", manifest, "--job", "j0000", "--give-up")
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, sandbox=sandbox)
    unknown = batchgen("resolve", manifest, "--job", "x", "--give-up")
    fine = batchgen("resolve", manifest, "--job", "j0000", "--resubmit")
    two = batchgen("resolve", manifest, "--job", "j0000", "--resubmit", "--give-up")

    assert (none.code, unknown.code, fine.code, two.code) == (65, 64, 64, 64)
    assert "is downloaded" in fine.err


@pytest.mark.slow
def test_cancel_what_is_still_queued(tmp_path: Path) -> None:
    """Queued jobs are cancelled, which a second look confirms; running ones are collected."""
    manifest = prompts(tmp_path / "m.csv", 6)
    config = SandboxConfig(capacity=1, duration_min_s=2.0, duration_max_s=2.0)

    with live_sandbox(config) as sandbox:
        run = start("run", manifest, "--concurrency", "6", sandbox=sandbox)
        wait_until(
            lambda: (
                len(sandbox.audit.requests) == 6
                and "in_progress" in states(tmp_path / "m.run").values()
            ),
            "six submissions and a running job",
        )
        held = batchgen("cancel", manifest, sandbox=sandbox)
        run.terminate()
        run.communicate()
        done = batchgen("cancel", manifest, sandbox=sandbox)
        rest = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert held.code == 75, "a run is at work"
    assert done.code == 0, done.err
    assert "cannot be cancelled" in done.out
    found = list(states(tmp_path / "m.run").values())
    assert found.count("cancelled") >= 2
    assert set(found) == {"cancelled", "downloaded"}
    assert rest.code == 1, "cancelled jobs are not run again unless asked"
    assert set(paid.values()) == {1}
    assert {row["state"] for row in results(tmp_path / "m.run")} == {"cancelled", "downloaded"}
