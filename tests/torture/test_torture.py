"""The torture itself: a few kills, and what it would notice."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from batchgen.sandbox.audit import AuditedRequest
from batchgen.system.crash_points import CrashPoint
from tests.kit.accounts import findings
from tests.kit.crashing import REPO
from tests.kit.ledger_view import LedgerView
from tests.torture.damage import tear
from tests.torture.decisions import COMPACTION, Tear, round_of
from tests.torture.sheet import Sheet


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_few_kills_come_to_a_good_verdict() -> None:
    """As `make torture` does it, for some seconds; its output names the seed."""
    words = ["--kills", "5", "--jobs", "60", "--seed", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture", *words], cwd=REPO, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "GOOD" in done.stdout, done.stdout + done.stderr
    assert "(seed 3)" in done.stdout
    assert done.returncode == 0


def test_the_same_seed_makes_the_same_decisions(tmp_path: Path) -> None:
    """Rounds and rows are drawn from the seed alone; another seed draws others."""
    points = sorted(CrashPoint)
    rounds = [[round_of(seed, 2, n, points) for n in range(30)] for seed in (5, 5, 6)]
    sheets = [Sheet(tmp_path / "a.csv", seed, 2, 50).prompts for seed in (5, 5, 6)]

    assert rounds[0] == rounds[1] != rounds[2]
    assert sheets[0] == sheets[1] != sheets[2]
    assert all(one.point not in COMPACTION for one in rounds[0])


@pytest.mark.parametrize(
    ("state", "kind", "torn"),
    [
        ("in_queue", Tear.SOME_BYTES, True),
        ("submitting", Tear.SOME_BYTES, False),
        ("submitting", Tear.NEWLINE, True),
        ("submitting", Tear.HALF_A_LINE, True),
        ("in_queue", Tear.NEWLINE, True),
    ],
)
def test_only_what_a_disk_may_lose_is_torn(
    state: str, kind: Tear, torn: bool, tmp_path: Path
) -> None:
    """An intent is synced before its POST leaves: to take it away would be no crash."""
    path = tmp_path / "ledger.jsonl"
    lines = [json.dumps({"ledger": "batchgen"}), json.dumps({"job": "a", "state": state})]
    whole = "\n".join([*lines, ""]).encode()
    path.write_bytes(whole)

    assert tear(path, kind, 0.5) is torn
    assert (path.read_bytes() != whole) is torn
    assert path.read_bytes().startswith(lines[0].encode() + b"\n")
    path.write_bytes(whole)
    compacted = {"kept_bytes": len(whole)}
    assert tear(path, kind, 0.5, **compacted) is (torn and kind is not Tear.SOME_BYTES)


def _request(prompt: str, request_id: str) -> AuditedRequest:
    return AuditedRequest(
        request_id=request_id, model="m", input={}, prompt=prompt, token="t", accepted_at=0.0,
        state="succeeded", attempt=1, body="b",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("requests", "prompts", "files", "found"),
    [
        (["r1"], "a fox", {}, []),
        (["r1", "r2"], "a fox", {}, ["PAID TWICE", "LOST"]),
        ([], "a fox", {}, ["STRANGER"]),
        (["r1"], "a wolf", {}, ["STRANGER"]),
        (["r1"], "a fox", {"a-1.png": b"other"}, ["is not what was recorded"]),
        (["r1"], "a fox", {"a-1.png": None}, ["is gone"]),
        (["r1"], "a fox", {"b-1.png": b"x"}, ["is in no record"]),
        (["r1"], "b fox", {}, ["UNFINISHED"]),
    ],
    ids=str,
)  # fmt: skip
def test_the_final_check_finds_what_is_wrong(
    requests: list[str], prompts: str, files: dict[str, bytes | None], found: list[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    """One job that ended well by its ledger, checked against a sandbox that saw it differently."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    for name, content in ({"a-1.png": b"a picture"} | files).items():
        if content is not None:
            (outputs / name).write_bytes(content)
    file = {"path": "outputs/a-1.png", "bytes": 9, "sha256": sha256(b"a picture").hexdigest()}
    line = {"job": "a", "state": "downloaded", "request_id": "r1", "files": [file]}
    (tmp_path / "ledger.jsonl").write_text(json.dumps(line) + "\n")

    wrong = findings(
        LedgerView.read(tmp_path), [_request("a fox", one) for one in requests],
        {prompts.split(maxsplit=1)[0]: prompts},
    )  # fmt: skip

    assert len(wrong) == len(found)
    assert all(what in sentence for what, sentence in zip(found, wrong, strict=True))


def test_a_request_that_no_line_names_is_lost_unless_its_job_is_in_doubt(tmp_path: Path) -> None:
    """One request for each doubt; no run can have sent a second one."""
    line = {"job": "a", "state": "in_doubt", "request_id": None}
    (tmp_path / "ledger.jsonl").write_text(json.dumps(line) + "\n")
    ledger, prompts = LedgerView.read(tmp_path), {"a": "a fox"}
    once, twice = [_request("a fox", "r1")], [_request("a fox", "r1"), _request("a wolf", "r2")]

    assert findings(ledger, once, prompts) == []
    assert [what.split(":")[0] for what in findings(ledger, twice, prompts)] == ["LOST"]
