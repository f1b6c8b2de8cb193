"""`batchgen run` as a user starts it: real processes, a real server, real files."""

from __future__ import annotations

import csv
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from tests.kit.cases import few
from tests.kit.ledger_view import records, states
from tests.kit.live import (
    accepted,
    batchgen,
    command,
    environment,
    kill_after,
    live_sandbox,
    prompts,
    start,
    write_csv,
)
from tests.kit.pictures import is_whole_png
from tests.kit.waiting import let_pass, wait_until

QUICK = {"duration_min_s": 0.02, "duration_max_s": 0.1}


def results(run_dir: Path) -> list[dict[str, str]]:
    """results.csv as any program reads it."""
    with (run_dir / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def content(path: Path) -> bytes:
    """Return the bytes of a file, those within a workbook unpacked."""
    if path.suffix != ".xlsx":
        return path.read_bytes()
    with zipfile.ZipFile(path) as book:
        return b"".join(map(book.read, book.namelist()))


def test_a_spreadsheet_runs_to_its_end_and_a_second_run_does_nothing(tmp_path: Path) -> None:
    """Images on disk, each step in the ledger, one row per job in the results."""
    manifest = write_csv(
        tmp_path / "spring.csv",
        ["a,Ein Fuchs im Schnee,1024x1024,Jörg", 'b,"zwei\nZeilen",,Zoë', "c,=1+1,,"],
        header="id,prompt,size,Wer",
    )
    run_dir = tmp_path / "spring.run"

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        first = batchgen("run", manifest, sandbox=sandbox)
        before = (run_dir / "results.csv").read_bytes()
        second = batchgen("run", manifest, sandbox=sandbox)
        calls = sandbox.audit.calls
        paid = accepted(sandbox)
        assert sandbox.audit.tokens_on_files == 0

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert paid == {"Ein Fuchs im Schnee": 1, "zwei\nZeilen": 1, "=1+1": 1}
    assert sum(calls["submit"].values()) == 3
    for name in "abc":
        assert is_whole_png((run_dir / "outputs" / f"{name}-1.png").read_bytes())
    steps = [line["state"] for line in records(run_dir) if line["job"] == "a"]
    assert steps[:2] == ["submitting", "in_queue"]
    assert steps[-2:] == ["completed", "downloaded"]
    rows = results(run_dir)
    assert [row["job"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["Wer"] == "Jörg"
    assert rows[0]["size"] == "1024x1024"
    assert rows[1]["prompt"] == "zwei\nZeilen"
    assert rows[2]["prompt"] == "'=1+1"
    assert rows[2]["cost_usd"] == "0.03"
    assert (run_dir / "results.csv").read_bytes() == before, "the same bytes for the same state"
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "outputs/a-1.png" in page


def test_the_input_is_sent_as_the_api_wants_it(tmp_path: Path) -> None:
    """The API's own key with U+00D7, its own enum value, numbers as numbers, no defaults."""
    manifest = write_csv(
        tmp_path / "m.csv", ["x,0.6,2048 x 2048,TRUE", "y,,,"],
        header="prompt,scale,size,force_single",
    )  # fmt: skip

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, sandbox=sandbox)
        sent = {request.prompt: request.input for request in sandbox.audit.requests}

    assert sent["x"] == {
        "prompt": "x", "scale": 0.6, "width×height": "2048x2048(1:1)", "force_single": True,
    }  # fmt: skip
    assert sent["y"] == {"prompt": "y"}


def test_a_wrong_manifest_stops_before_anything_is_sent(tmp_path: Path) -> None:
    """Every error at once, in the coordinates of the spreadsheet, and nothing submitted."""
    manifest = write_csv(
        tmp_path / "m.csv", ["a,fine,0.5", "b,,0.5", "c,too much,1.5"], header="id,prompt,scale"
    )

    with live_sandbox() as sandbox:
        done = batchgen("run", "m.csv", sandbox=sandbox, cwd=tmp_path)
        assert set(sandbox.audit.calls) <= {"catalogue"}

    assert done.code == 65
    assert re.search(r"^m\.csv:3: prompt.*$", done.err, re.MULTILINE), done.err
    assert re.search(r"^m\.csv:4: scale.*1\.5 is above the max", done.err, re.MULTILINE)
    assert not (tmp_path / "m.run").exists()
    assert manifest.exists()


@pytest.mark.slow
def test_killed_at_any_time_it_goes_on_and_pays_nothing_twice(tmp_path: Path) -> None:
    """SIGKILL again and again: never two jobs for a row; what is not done is held in doubt."""
    manifest = prompts(tmp_path / "night.csv", 60)
    run_dir = tmp_path / "night.run"
    chance = random.Random(5)

    with live_sandbox(SandboxConfig(duration_min_s=0.05, duration_max_s=0.4)) as sandbox:
        for _ in range(5):
            run = start("run", manifest, "--concurrency", "8", sandbox=sandbox)
            kill_after(run, sandbox, chance.randint(1, 9))
        last = batchgen("run", manifest, "--concurrency", "8", sandbox=sandbox)
        paid = accepted(sandbox)
        again = batchgen("run", manifest, sandbox=sandbox)
        assert accepted(sandbox) == paid

    assert max(paid.values()) == 1, "paid twice"
    final = states(run_dir)
    doubts = [name for name, state in final.items() if state == "in_doubt"]
    assert len(final) == 60
    assert set(final.values()) <= {"downloaded", "in_doubt"}
    assert last.code == again.code == (1 if doubts else 0)
    on_disk = list((run_dir / "outputs").glob("*.png"))
    assert len(on_disk) == 60 - len(doubts)
    assert all(is_whole_png(path.read_bytes()) for path in on_disk)
    assert not list((run_dir / "outputs").glob("*.part"))


@pytest.mark.slow
def test_a_killed_rehearsal_goes_on(tmp_path: Path) -> None:
    """The stand-in in the process remembers its jobs, so a rehearsal resumes like a night."""
    manifest = prompts(tmp_path / "m.csv", 30)
    run_dir = tmp_path / "m.run.sandbox"

    run = start("run", manifest, "--sandbox", "--concurrency", "4")
    wait_until((run_dir / "outputs").exists, "the first download", alive=run)
    run.kill()
    run.communicate()
    done = batchgen("run", manifest, "--sandbox")

    assert done.code in (0, 1), done.err
    assert set(states(run_dir).values()) <= {"downloaded", "in_doubt"}
    assert not (tmp_path / "m.run").exists()
    created = (run_dir / "sandbox.jsonl").read_text()
    assert all(created.count(f'prompt number {n}"') <= 1 for n in range(30))


def test_ctrl_c_drains_and_says_how_to_go_on(tmp_path: Path) -> None:
    """Within five seconds, code 130, and the next run finishes what was paid for."""
    manifest = prompts(tmp_path / "m.csv", 40)

    with live_sandbox(SandboxConfig(duration_min_s=1.0, duration_max_s=2.0)) as sandbox:
        run = start("run", manifest, sandbox=sandbox)
        wait_until(lambda: len(sandbox.audit.requests) >= 8, "8 submissions", alive=run)
        begun = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=10)
        took_s = time.monotonic() - begun
        paid = accepted(sandbox)

    assert run.returncode == 130
    assert took_s < 5
    assert "batchgen run" in err
    assert max(paid.values()) == 1
    assert len(results(tmp_path / "m.run")) == 40
    assert "submitting" not in states(tmp_path / "m.run").values()


def test_a_second_signal_exits_at_once(tmp_path: Path) -> None:
    """Even while an answer is awaited; the ledger is valid all the same."""
    manifest = prompts(tmp_path / "m.csv", 4)

    with live_sandbox(SandboxConfig(faults=("submit:hang:for_s=30",))) as sandbox:
        run = start("run", manifest, sandbox=sandbox)
        wait_until(lambda: sandbox.audit.received, "a POST that hangs", alive=run)
        begun = time.monotonic()
        run.send_signal(signal.SIGTERM)
        let_pass(0.2, "two signals at the same moment are one")
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=10)

    assert run.returncode == 143
    assert time.monotonic() - begun < 3
    assert set(states(tmp_path / "m.run").values()) == {"submitting"}


@pytest.mark.parametrize(
    "fault", few(["submit:lose-answer", "submit:500", "submit:504", "submit:html"], 2)
)
def test_a_lost_answer_is_held(tmp_path: Path, fault: str) -> None:
    """Doubt is said, counted as badly ended, and not posted again by a later run."""
    manifest = prompts(tmp_path / "m.csv", 3)

    with live_sandbox(SandboxConfig(faults=(f"{fault}:match=number 1",), **QUICK)) as sandbox:
        first = batchgen("run", manifest, sandbox=sandbox)
        second = batchgen("run", manifest, sandbox=sandbox)
        received = sandbox.audit.received["prompt number 1"]

    assert (first.code, second.code) == (1, 1)
    assert received == 1
    assert states(tmp_path / "m.run") == {
        "j0000": "downloaded", "j0001": "in_doubt", "j0002": "downloaded",
    }  # fmt: skip
    assert "in doubt" in first.err


@pytest.mark.parametrize(
    "fault",
    [
        "submit:429:first=3",
        pytest.param("submit:429:first=2:retry_after=1", marks=pytest.mark.slow),
        "status:504:first=4",
        *few(["status:500:every=3", "result:504:first=3", "result:hang:for_s=0.1"], 0),
        "file:truncate:first=2",
    ],
)
def test_what_is_safe_to_repeat_is_repeated(tmp_path: Path, fault: str) -> None:
    """Rate limits, failing polls and broken downloads end well, at one job per row."""
    manifest = prompts(tmp_path / "m.csv", 6)

    with live_sandbox(SandboxConfig(faults=(fault,), **QUICK)) as sandbox:
        done = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert done.code == 0, done.err
    assert set(paid.values()) == {1}
    assert set(states(tmp_path / "m.run").values()) == {"downloaded"}


def test_completed_and_then_failed(tmp_path: Path) -> None:
    """The result decides, not the status: the job failed, and says why."""
    manifest = prompts(tmp_path / "m.csv", 2)

    with live_sandbox(SandboxConfig(faults=("result:failed:match=number 1",), **QUICK)) as sandbox:
        done = batchgen("run", manifest, "--max-attempts", "1", sandbox=sandbox)

    assert done.code == 1
    row = results(tmp_path / "m.run")[1]
    assert row["state"] == "failed"
    assert row["error"]
    assert row["outputs"] == ""


@pytest.mark.slow
def test_tokens(tmp_path: Path) -> None:
    """None: said where to put one. A wrong one: the run stops, and no job has failed."""
    manifest = prompts(tmp_path / "m.csv", 3)

    with live_sandbox() as sandbox:
        none = batchgen("run", manifest, RUNCOMFY_MODEL_API_BASE=sandbox.base_url)
        wrong = batchgen("run", manifest, sandbox=sandbox, RUNCOMFY_TOKEN="wrong-token")
        right = batchgen("run", manifest, sandbox=sandbox)

    assert none.code == 77
    assert "RUNCOMFY_TOKEN" in none.err
    assert wrong.code == 77
    assert right.code == 0, right.err
    everything = b"".join(map(content, (tmp_path / "m.run").glob("*.*"))).decode(errors="replace")
    assert "wrong-token" not in everything + wrong.err + wrong.out
    assert sandbox.token not in everything


def test_the_vendors_own_token_file_is_read(tmp_path: Path) -> None:
    """Who logged in with the vendor's tool needs nothing else."""
    manifest = prompts(tmp_path / "m.csv", 1)
    config = tmp_path / "config"
    config.mkdir()

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        (config / "token.json").write_text(json.dumps({"access_token": sandbox.token}))
        done = batchgen(
            "run", manifest, RUNCOMFY_MODEL_API_BASE=sandbox.base_url,
            RUNCOMFY_CONFIG_DIR=str(config),
        )  # fmt: skip

    assert done.code == 0, done.err


def test_a_done_batch_needs_no_token(tmp_path: Path) -> None:
    """A run that has nothing to call asks for nothing."""
    manifest = prompts(tmp_path / "m.csv", 2)

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, sandbox=sandbox)
    done = batchgen("run", manifest, RUNCOMFY_MODEL_API_BASE="http://127.0.0.1:9/v1")

    assert done.code == 0, done.err


def test_an_empty_wallet_stops_and_is_resumable(tmp_path: Path) -> None:
    """What was accepted is collected, the rest waits for money: 75."""
    manifest = prompts(tmp_path / "m.csv", 6)

    with live_sandbox(SandboxConfig(balance_usd=0.07, **QUICK)) as sandbox:
        done = batchgen("run", manifest, "--concurrency", "1", sandbox=sandbox)

    assert done.code == 75
    assert "balance" in done.err
    found = list(states(tmp_path / "m.run").values())
    assert sorted(found) == ["downloaded", "downloaded", "pending"]


def test_another_run_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    """75 at once, with the holder's pid."""
    manifest = prompts(tmp_path / "m.csv", 20)

    with live_sandbox(SandboxConfig(duration_min_s=5, duration_max_s=5)) as sandbox:
        holder = start("run", manifest, sandbox=sandbox)
        wait_until(lambda: sandbox.audit.requests, "a submission", alive=holder)
        second = batchgen("run", manifest, sandbox=sandbox)
        beside = batchgen("status", manifest, "--json")
        holder.kill()
        holder.communicate()

    assert second.code == 75
    assert str(holder.pid) in second.err
    assert beside.code == 0, "readers need no lock"
    assert json.loads(beside.out)["jobs"] == 20
    assert "eta_s" in json.loads(beside.out)


def test_an_api_that_cannot_be_reached(tmp_path: Path) -> None:
    """69 after the wait that was allowed, and nothing is lost."""
    manifest = prompts(tmp_path / "m.csv", 5)

    done = batchgen(
        "run", manifest, "--wait-for-api", "1s", "--base-url", "http://127.0.0.1:9/v1",
        RUNCOMFY_TOKEN="test-token",
    )  # fmt: skip

    assert done.code == 69
    assert "not reachable" in done.err


def test_quiet_says_nothing_when_all_is_well(tmp_path: Path) -> None:
    """So that cron mails only then."""
    manifest = prompts(tmp_path / "m.csv", 3)

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = batchgen("run", manifest, "--quiet", sandbox=sandbox)
        summary = batchgen("run", manifest, "--quiet", "--json", sandbox=sandbox)

    assert (done.code, done.out, done.err) == (0, "", "")
    assert summary.err == ""
    found = json.loads(summary.out)
    assert (found["jobs"], found["states"]["downloaded"], found["exit_code"]) == (3, 3, 0)


def test_no_control_codes_where_no_person_looks(tmp_path: Path) -> None:
    """A log is plain text."""
    manifest = prompts(tmp_path / "m.csv", 3)

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = batchgen("run", manifest, sandbox=sandbox)

    assert not set(done.err) & {"\r", "\x1b"}
    assert "3 jobs: 3 new" in done.err
    assert "3 jobs: 3 downloaded" in done.err


def test_a_bar_where_a_person_looks(tmp_path: Path) -> None:
    """On a terminal: one bar with what is queued, running and spent."""
    manifest = prompts(tmp_path / "m.csv", 12)
    master, slave = pty.openpty()

    with live_sandbox(SandboxConfig(duration_min_s=0.2, duration_max_s=0.3)) as sandbox:
        run = subprocess.Popen(
            command("run", manifest), env=environment(sandbox, TERM="xterm"), stdin=slave,
            stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        seen = b""
        while select.select([master], [], [], 20)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:
                break
        assert run.wait() == 0
    os.close(master)

    text = seen.decode()
    assert "12/12" in text
    assert "\r" in text
    assert "$0.36" in text


@pytest.mark.slow
def test_only_some_jobs(tmp_path: Path) -> None:
    """--job and --limit choose; the rest stays pending and is no failure."""
    manifest = prompts(tmp_path / "m.csv", 6)

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        one = batchgen("run", manifest, "--job", "j0003", sandbox=sandbox)
        two = batchgen("run", manifest, "--limit", "2", sandbox=sandbox)
        paid = accepted(sandbox)
        rest = batchgen("run", manifest, sandbox=sandbox)

    assert (one.code, two.code, rest.code) == (0, 0, 0), one.err + two.err
    assert sorted(paid) == ["prompt number 0", "prompt number 1", "prompt number 3"]


def test_an_edited_row_is_paid_for_once_more_and_the_others_are_not(tmp_path: Path) -> None:
    """The spreadsheet is sorted, extended and edited between two nights."""
    manifest = write_csv(tmp_path / "m.csv", ["a,one", "b,two", "c,three"])

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, sandbox=sandbox)
        write_csv(manifest, ["d,four", "c,three", "b,two and a half", "a,one"])
        done = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert done.code == 0, done.err
    assert paid == {"one": 1, "two": 1, "three": 1, "two and a half": 1, "four": 1}
    assert (tmp_path / "m.run/outputs/b-1.png").exists(), "old files stay"
    row = next(row for row in results(tmp_path / "m.run") if row["job"] == "b")
    assert row["files"] == "outputs/b-1~2.png"


@pytest.mark.slow
def test_going_back_to_an_earlier_input_uses_what_was_made_for_it(tmp_path: Path) -> None:
    """A row is edited and edited back: two inputs, two payments, and the first file again."""
    manifest = write_csv(tmp_path / "m.csv", ["a,one"])

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        for prompt in ("one", "two", "one", "two"):
            write_csv(manifest, [f"a,{prompt}"])
            done = batchgen("run", manifest, sandbox=sandbox)
            assert done.code == 0, done.err
        paid = accepted(sandbox)

    assert paid == {"one": 1, "two": 1}
    row = results(tmp_path / "m.run")[0]
    assert (row["files"], row["cost_usd"]) == ("outputs/a-1~2.png", "0.06")


@pytest.mark.slow
def test_edited_rows_may_keep_what_they_have(tmp_path: Path) -> None:
    """--changed keep: a corrected comma is not worth another picture."""
    manifest = write_csv(tmp_path / "m.csv", ["a,one", "b,two"])

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, sandbox=sandbox)
        write_csv(manifest, ["a,one!", "b,two", "c,three"])
        kept = batchgen("run", manifest, "--changed", "keep", sandbox=sandbox)
        paid = accepted(sandbox)

    assert kept.code == 0, kept.err
    assert paid == {"one": 1, "two": 1, "three": 1}


def test_rows_that_get_an_id_keep_what_they_have(tmp_path: Path) -> None:
    """An id column is added, rows are sorted: the jobs go on under their new names."""
    manifest = write_csv(tmp_path / "m.csv", ["one", "two", "three"], header="prompt")

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, sandbox=sandbox)
        write_csv(manifest, ["c,three", "a,one", "d,four", "b,two"])
        plan = batchgen("run", manifest, "--dry-run", sandbox=sandbox)
        done = batchgen("run", manifest, sandbox=sandbox)
        again = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert "1 new, 3 done" in plan.out
    assert (done.code, again.code) == (0, 0), done.err
    assert paid == {"one": 1, "two": 1, "three": 1, "four": 1}
    rows = results(tmp_path / "m.run")
    assert [(row["job"], row["state"]) for row in rows] == [
        (name, "downloaded") for name in ("c", "a", "d", "b")
    ]
    assert all((tmp_path / "m.run" / row["files"]).exists() for row in rows)


def test_a_dry_run_spends_and_writes_nothing(tmp_path: Path) -> None:
    """It says what would be done, and needs neither token nor API."""
    manifest = prompts(tmp_path / "m.csv", 4)

    done = batchgen("run", manifest, "--dry-run", RUNCOMFY_MODEL_API_BASE="http://127.0.0.1:9/v1")

    assert done.code == 0
    assert "4 jobs: 4 new" in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "m.csv"]


def test_without_download_the_outputs_stay_remote(tmp_path: Path) -> None:
    """Completed is the end of such a run; a later one fetches them without paying."""
    manifest = prompts(tmp_path / "m.csv", 3)

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        remote = batchgen("run", manifest, "--no-download", sandbox=sandbox)
        first = states(tmp_path / "m.run")
        local = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert (remote.code, local.code) == (0, 0)
    assert set(first.values()) == {"completed"}
    assert set(states(tmp_path / "m.run").values()) == {"downloaded"}
    assert set(paid.values()) == {1}


def test_damage_in_the_ledger_stops_before_anything_is_sent(tmp_path: Path) -> None:
    """65, with file and line; a torn tail is mended instead."""
    manifest = prompts(tmp_path / "m.csv", 3)
    path = tmp_path / "m.run/ledger.jsonl"

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        batchgen("run", manifest, "--limit", "1", sandbox=sandbox)
        good = path.read_bytes()
        path.write_bytes(good.replace(b'"state":"in_queue"', b'"state":in_queue', 1))
        damaged = batchgen("run", manifest, sandbox=sandbox)
        path.write_bytes(good + b'{"ts":"2026-')
        mended = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert damaged.code == 65
    assert "ledger.jsonl:3" in damaged.err
    assert mended.code == 0, mended.err
    assert set(paid.values()) == {1}
    assert len(list((tmp_path / "m.run").glob("ledger.jsonl.torn-*"))) == 1
