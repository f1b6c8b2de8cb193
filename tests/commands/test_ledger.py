"""`batchgen ledger`, and damage of all kinds as a user meets it, against a real server."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.disks import fill, remount, small_disk
from tests.kit.ledger_view import LedgerView, records, states
from tests.kit.live import Live, accepted, batchgen, environment, live_sandbox, prompts, start
from tests.kit.waiting import let_pass, wait_until

QUICK = SandboxConfig(duration_min_s=0.02, duration_max_s=0.05)


def done_batch(tmp_path: Path, sandbox: Live, count: int = 4) -> tuple[Path, Path]:
    """A manifest that was run to its end, and its run directory."""
    manifest = prompts(tmp_path / "m.csv", count)
    assert batchgen("run", manifest, sandbox=sandbox).code == 0
    return manifest, tmp_path / "m.run"


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[: len(line) // 2] + b"\n",
        pytest.param(lambda line: line[:20] + b"\n", marks=pytest.mark.slow),
        pytest.param(lambda line: b"garbage\n", marks=pytest.mark.slow),
        lambda line: b"\0" * len(line) + b"\n",
        pytest.param(lambda line: b"", marks=pytest.mark.slow),
    ],
    ids=["half a line", "the start of a line", "garbage", "NULs", "gone"],
)
def test_a_bad_line_stops_is_mended_by_the_command_that_is_told_and_costs_nothing(
    tmp_path: Path, damage: object
) -> None:
    """65 with file and line; the command in the message mends it; then nothing is submitted."""
    with live_sandbox(QUICK) as sandbox:
        manifest, run_dir = done_batch(tmp_path, sandbox)
        ledger = run_dir / "ledger.jsonl"
        lines = ledger.read_bytes().splitlines(keepends=True)
        lines[7] = damage(lines[7])  # type: ignore[operator]
        ledger.write_bytes(b"".join(lines))
        calls = sandbox.audit.call_count

        stopped = batchgen("run", manifest, sandbox=sandbox)
        if lines[7]:
            assert stopped.code == 65
            assert f"{ledger}:8: " in stopped.err
            assert sandbox.audit.call_count == calls
            (command,) = re.findall(r"batchgen (ledger repair .*)", stopped.err)
            verified = batchgen("ledger", "verify", manifest)
            assert verified.code == 65
            assert f"{ledger}:8: byte {len(b''.join(lines[:7])):,}" in verified.out
            mended = batchgen(*shlex.split(command))
            assert mended.code == 0, mended.err
        again = batchgen("run", manifest, sandbox=sandbox)
        counts = accepted(sandbox)

    assert again.code == 0, again.err
    assert set(counts.values()) == {1}
    assert batchgen("ledger", "verify", manifest, "--files").code == 0


@pytest.mark.slow
def test_a_lost_trace_of_a_submission_needs_a_persons_word(tmp_path: Path) -> None:
    """Rows without a record, and a line that nobody can read: mending asks, and changes nothing."""
    with live_sandbox(QUICK) as sandbox:
        manifest, run_dir = done_batch(tmp_path, sandbox)
        prompts(manifest, 6)
        ledger = run_dir / "ledger.jsonl"
        damaged = ledger.read_bytes() + b"\0" * 300 + b"\n"
        ledger.write_bytes(damaged)

        asked = batchgen("ledger", "repair", manifest)
        assert (asked.code, ledger.read_bytes()) == (65, damaged)
        assert "--accept-loss" in asked.err

        assert batchgen("ledger", "repair", manifest, "--accept-loss").code == 0
        assert batchgen("run", manifest, sandbox=sandbox).code == 0
        assert set(accepted(sandbox).values()) == {1}


def test_a_row_that_was_put_back_counts_as_never_submitted(tmp_path: Path) -> None:
    """Its next submission might be in the line that nobody can read: mending asks."""
    with live_sandbox(QUICK) as sandbox:
        manifest, run_dir = done_batch(tmp_path, sandbox)
    ledger = run_dir / "ledger.jsonl"
    first = ledger.read_bytes().splitlines()[1].replace(b'"submitting"', b'"pending"')
    ledger.write_bytes(ledger.read_bytes() + first + b"\n" + b"\0" * 300 + b"\n")

    assert batchgen("ledger", "repair", manifest).code == 65


def test_verify_tells_a_program_and_changes_nothing(tmp_path: Path) -> None:
    """Counts, torn bytes and faults as JSON; the directory is as it was, the lock included."""
    with live_sandbox(QUICK) as sandbox:
        manifest, run_dir = done_batch(tmp_path, sandbox)
    with (run_dir / "ledger.jsonl").open("ab") as file:
        file.write(b'{"ts":"20')
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}

    found = batchgen("ledger", "verify", manifest, "--json", "--files")

    told = json.loads(found.out)
    assert (found.code, told["jobs"], told["torn_bytes"], told["faults"]) == (0, 4, 9, [])
    assert (told["files"], told["bad_files"]) == (4, [])
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")} == before


@pytest.mark.parametrize("action", ["verify", "repair", "compact", "show"])
def test_where_no_ledger_is_that_is_said_and_nothing_is_left_behind(
    tmp_path: Path, action: str
) -> None:
    """A typo in --run-dir creates no directory, no lock and no ledger."""
    done = batchgen("ledger", action, "--run-dir", tmp_path / "typo")

    assert done.code == (0 if action == "show" else 65)
    assert not (tmp_path / "typo").exists()


def test_compaction_keeps_what_anyone_can_see(tmp_path: Path) -> None:
    """Status, results, spend and attempts; and the next run has nothing to do."""
    faults = ("result:failed:match=number 1:first=1",)
    with live_sandbox(SandboxConfig(**vars_of(QUICK), faults=faults)) as sandbox:
        manifest, run_dir = done_batch(tmp_path, sandbox)
        before = batchgen("status", manifest, "--json").out
        results = (run_dir / "results.csv").read_bytes()
        lines = len(records(run_dir))

        done = batchgen("ledger", "compact", manifest)
        assert done.code == 0
        calls = sandbox.audit.call_count
        assert batchgen("run", manifest, sandbox=sandbox).code == 0
        assert sandbox.audit.call_count == calls

    assert batchgen("status", manifest, "--json").out == before
    assert batchgen("report", manifest).code == 0
    assert (run_dir / "results.csv").read_bytes() == results
    assert len(records(run_dir)) == 3 * 4 < lines


@pytest.mark.slow
def test_compaction_waits_for_no_run_and_disturbs_none(tmp_path: Path) -> None:
    """While a run is at work: 75, with the holder's name, and the ledger untouched."""
    manifest = prompts(tmp_path / "m.csv", 3)
    with live_sandbox(SandboxConfig(duration_min_s=30, duration_max_s=30)) as sandbox:
        run = start("run", manifest, sandbox=sandbox)
        wait_until(
            lambda: len(LedgerView.read(tmp_path / "m.run").request_ids()) == 3,
            "3 accepted jobs", alive=run,
        )  # fmt: skip
        for action in ("compact", "repair"):
            refused = batchgen("ledger", action, manifest)
            assert refused.code == 75
            assert f"process {run.pid}" in refused.err
        assert batchgen("ledger", "verify", manifest).code == 0
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=20)


@pytest.mark.slow
def test_show_tells_the_life_of_a_job(tmp_path: Path) -> None:
    """One line a step, the files at the end; `--json` gives the lines as they stand."""
    with live_sandbox(QUICK) as sandbox:
        manifest, run_dir = done_batch(tmp_path, sandbox)

    told = batchgen("ledger", "show", manifest, "--job", "j0001")
    raw = batchgen("ledger", "show", manifest, "--job", "j0001", "--json").out.splitlines()

    states = [line.split()[1] for line in told.out.splitlines() if line.startswith("20")]
    assert states[0] == "submitting"
    assert states[-1] == "downloaded"
    assert "outputs/j0001-1.png" in told.out
    assert [json.loads(line) for line in raw] == [
        record for record in records(run_dir) if record["job"] == "j0001"
    ]
    unknown = batchgen("ledger", "show", manifest, "--job", "nobody")
    assert (unknown.code, "no job 'nobody'" in unknown.err) == (64, True)


@pytest.mark.parametrize("links", ["still good", pytest.param("expired", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_damaged_files_are_fetched_again_without_a_post(tmp_path: Path, links: str) -> None:
    """A missing, a shortened and an edited file come back; the edited one is kept aside."""
    faults = ("file:expired-url:from_s=3",) if links == "expired" else ()
    with live_sandbox(SandboxConfig(**vars_of(QUICK), faults=faults)) as sandbox:
        manifest, run_dir = done_batch(tmp_path, sandbox)
        outputs = run_dir / "outputs"
        whole = {path.name: path.read_bytes() for path in outputs.iterdir()}
        (outputs / "j0000-1.png").unlink()
        (outputs / "j0001-1.png").write_bytes(whole["j0001-1.png"][:100])
        edited = whole["j0002-1.png"][:-1] + b"!"
        (outputs / "j0002-1.png").write_bytes(edited)
        verified = batchgen("ledger", "verify", manifest, "--files")
        assert verified.code == 1
        assert verified.out.count("(job ") == 3
        if links == "expired":
            let_pass(3, "the fault begins 3 s after the start of the sandbox")

        repaired = batchgen("run", manifest, "--repair", sandbox=sandbox)
        counts = accepted(sandbox)

    assert repaired.code == 0, repaired.err
    assert counts == {f"prompt number {n}": 1 for n in range(4)}
    for name, data in whole.items():
        assert (outputs / name).read_bytes() == data
    aside = sorted(path for path in outputs.iterdir() if ".changed-" in path.name)
    assert [path.read_bytes() for path in aside] == [whole["j0001-1.png"][:100], edited]
    assert batchgen("ledger", "verify", manifest, "--files").code == 0


def test_a_full_disk_stops_the_run_cleanly_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """74, no submission that is not on record, and every row is paid for once in the end."""
    with (
        small_disk(tmp_path / "disk", "3m") as disk,
        live_sandbox(SandboxConfig(duration_min_s=0.2, duration_max_s=0.4)) as sandbox,
    ):
        manifest = prompts(disk / "m.csv", 40)
        run = start("run", manifest, sandbox=sandbox)
        wait_until(lambda: "downloaded" in states(disk / "m.run").values(), "a download", alive=run)
        fill(disk)
        _, err = run.communicate(timeout=30)
        assert run.returncode == 74, err
        assert "No space left" in err
        known = {record["request_id"] for record in records(disk / "m.run")} - {None}
        assert {request.request_id for request in sandbox.audit.requests} == known

        (disk / "filler").unlink()
        remount(disk, "size=50m")
        again = batchgen("run", manifest, sandbox=sandbox)
        assert again.code == 0, again.err
        assert set(accepted(sandbox).values()) == {1}
        assert len(accepted(sandbox)) == 40


FAILING_DISK = """
import errno, itertools, os, sys
from batchgen import cli
from batchgen.ledger import group_commit as commit
calls = itertools.count(1)
def sync(fd):
    if next(calls) > int(sys.argv[1]):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    os.fsync(fd)
commit.sync_file = sync
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("good_syncs", [0, 1, 6])
def test_an_fsync_that_fails_ends_the_run_and_nothing_is_paid_twice(
    tmp_path: Path, good_syncs: int
) -> None:
    """74; what was not synced is not known, so no POST follows it, then or later."""
    manifest = prompts(tmp_path / "m.csv", 6)
    words = ["run", str(manifest), "--model", MODEL, "--concurrency", "2"]
    with live_sandbox(QUICK) as sandbox:
        failed = subprocess.run(
            [sys.executable, "-c", FAILING_DISK, str(good_syncs), *words],
            env=environment(sandbox), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert failed.returncode == 74, failed.stderr
        assert "Input/output error" in failed.stderr
        assert "Traceback" not in failed.stderr
        sent = len(accepted(sandbox))
        again = batchgen("run", manifest, sandbox=sandbox)
        counts = accepted(sandbox)

    assert sent == 0 if good_syncs == 0 else sent <= good_syncs
    assert again.code in (0, 1), again.err
    assert set(counts.values()) == {1}
    last = {record["job"]: record["state"] for record in records(tmp_path / "m.run")}
    assert set(last.values()) <= {"downloaded", "in_doubt"}
    assert len(last) == 6


@pytest.mark.slow
def test_a_state_of_a_later_version_is_left_alone_and_said(tmp_path: Path) -> None:
    """Exit code 1, nothing sent for it, and the line is still there after compaction."""
    with live_sandbox(QUICK) as sandbox:
        manifest, run_dir = done_batch(tmp_path, sandbox)
        ledger = run_dir / "ledger.jsonl"
        last = ledger.read_bytes().splitlines()[-1]
        strange = last.replace(b'"downloaded"', b'"upscaling","scale":2')
        ledger.write_bytes(ledger.read_bytes() + strange + b"\n")
        calls = sandbox.audit.call_count

        done = batchgen("run", manifest, sandbox=sandbox)
        assert sandbox.audit.call_count == calls

    assert done.code == 1
    assert "later version" in done.err
    assert batchgen("ledger", "compact", manifest).code == 0
    assert strange in ledger.read_bytes()


def vars_of(config: SandboxConfig) -> dict[str, float]:
    """Its durations, for another one."""
    return {"duration_min_s": config.duration_min_s, "duration_max_s": config.duration_max_s}
