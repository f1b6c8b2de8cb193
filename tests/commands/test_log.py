"""`--log-json` and `--log-file`: what happened, line by line, for whoever collects logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchgen.cli import main
from batchgen.sandbox import SandboxConfig
from tests.kit.live import batchgen, live_sandbox, prompts

QUICK = {"duration_min_s": 0.02, "duration_max_s": 0.1}


def parsed(text: str) -> list[dict[str, Any]]:
    """Every line, all of which have to be JSON."""
    return [json.loads(line) for line in text.splitlines()]


def of_job(lines: list[dict[str, Any]], job: str) -> list[dict[str, Any]]:
    """What happened to one job, without the moment at which it was seen to run."""
    return [line for line in lines if line.get("job") == job and line["event"] != "started"]


def test_a_log_in_json_lines_is_all_that_stderr_has(tmp_path: Path) -> None:
    """Every event and every sentence with its moment; no prompt, no link, no token."""
    manifest = prompts(tmp_path / "m.csv", 3)
    config = SandboxConfig(faults=("result:failed:match=number 1",), **QUICK)

    with live_sandbox(config) as sandbox:
        done = batchgen("run", manifest, "--max-attempts", "1", "--log-json", sandbox=sandbox)
        another = prompts(tmp_path / "n.csv", 1)
        quiet = batchgen("run", another, "--log-json", "--quiet", sandbox=sandbox)
        token = sandbox.token

    lines = parsed(done.err)
    assert done.code == 1
    assert all(line["ts"].endswith("Z") for line in lines)
    assert [line["event"] for line in of_job(lines, "j0000")] == [
        "intended", "accepted", "succeeded", "saved",
    ]  # fmt: skip
    *_, saved = of_job(lines, "j0000")
    assert (saved["state"], saved["attempt"], len(saved["files"])) == ("downloaded", 1, 1)
    *_, failed = of_job(lines, "j0001")
    assert (failed["event"], failed["error"]["kind"]) == ("failed", "generation")
    assert any("3 jobs: 3 new" in line.get("note", "") for line in lines)
    assert not any(word in done.err for word in (token, "prompt number", "http"))
    assert (quiet.code, quiet.err) == (0, "")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_log_file_grows_and_stderr_stays_for_people(tmp_path: Path, as_json: bool) -> None:
    """Over two runs, and also with --quiet; one line for each event, in either form."""
    manifest = prompts(tmp_path / "m.csv", 2)
    log = tmp_path / "runs.log"
    words = ("--log-file", log, *(["--log-json"] if as_json else []))

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        first = batchgen("run", manifest, "--limit", "1", *words, sandbox=sandbox)
        begun = log.read_text()
        second = batchgen("run", manifest, "--quiet", *words, sandbox=sandbox)

    whole = log.read_text()
    assert "batchgen: 1 job: 1 new" in first.err
    assert (second.code, second.err) == (0, "")
    assert whole.startswith(begun)
    assert 0 < len(begun) < len(whole)
    if as_json:
        assert len(of_job(parsed(whole), "j0001")) == 4
    else:
        assert 'saved job="j0001" state="downloaded" attempt=1 request_id="' in whole
        assert "2 jobs: 2 downloaded" in whole
        assert whole.isascii()


def test_what_keeps_a_run_from_beginning_is_logged_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the file as well as on stderr; without a file as JSON there."""
    gone, log = str(tmp_path / "gone.csv"), tmp_path / "log"

    assert main(["run", gone, f"--log-file={log}", "--log-json"]) == 66
    assert capsys.readouterr().err.startswith("batchgen: ")
    assert "gone.csv" in parsed(log.read_text())[0]["note"]

    assert main(["run", gone, "--log-json"]) == 66
    assert "gone.csv" in parsed(capsys.readouterr().err)[0]["error"]


def test_a_log_file_that_cannot_be_opened_stops_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is read or sent: 74."""
    manifest = prompts(tmp_path / "m.csv", 1)

    assert main(["run", str(manifest), "--log-file", str(tmp_path / "no/such/log")]) == 74

    assert "--log-file" in capsys.readouterr().err
    assert not (tmp_path / "m.run").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk here is always full")
def test_a_log_on_a_full_disk_ends_and_the_run_goes_on(tmp_path: Path) -> None:
    """It is said once; what was paid for is collected as ever."""
    manifest = prompts(tmp_path / "m.csv", 3)

    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = batchgen("run", manifest, "--log-file", "/dev/full", sandbox=sandbox)

    assert done.code == 0, done.err
    assert done.err.count("the log ends here, the run continues") == 1
    assert "3 jobs: 3 downloaded" in done.err


def test_a_manifest_cannot_name_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Manifests come from colleagues; where a machine writes is for its owner to say."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text("prompts: [a]\nrun: {log_file: x}\n")

    assert main(["check", str(manifest)]) == 65

    assert "log_file" in capsys.readouterr().err
