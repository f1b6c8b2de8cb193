"""A ledger by a stranger: read without harm, and no file of somebody else is touched."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from batchgen.cli import main
from tests.kit import MODEL
from tests.kit.live import prompts
from tests.kit.lying_api import TOKEN, lying_api

HEADER = '{"ledger":"batchgen","v":1,"api":"http://127.0.0.1"}'
GOOD = '{"ts":"2026-11-22T02:00:01.123Z","job":"a","state":"%s","attempt":1,"request_id":"rid-a",'
GOOD += '"outputs":["https://x.runcomfy.net/a.png"],"fingerprint":"f",%s}'
DOWNLOADED = GOOD % ("downloaded", '"files":[%s]')

LINES = {
    **{f"nested {depth}": "[" * depth + "]" * depth for depth in (500, 980, 5_000, 100_000)},
    **{f"record nested {depth}": GOOD % ("failed", f'"x":{"[" * depth}{"]" * depth}')
       for depth in (500, 980, 5_000)},
    "open brackets": '{"job":' * 5_000,
    "huge cost": GOOD % ("completed", '"cost_usd":1e308'),
    "long number": GOOD % ("completed", '"cost_usd":1' + "0" * 400),
    "negative cost": GOOD % ("completed", '"cost_usd":-1e308'),
    "attempts": GOOD % ("failed", '"attempt":' + "9" * 30),
    "years": GOOD.replace("2026", "0001") % ("completed", '"submitted_at":"9999-12-31T23:59:59Z"'),
    "controls": GOOD % ("failed", '"error":{"kind":"\\u001b[31m","message":"\\u009b2J"}'),
    "not UTF-8": "\udcff\udcfe",
    "blank names": '{"ts":"","job":"","state":"","attempt":1}',
    "not a path": DOWNLOADED % '{"path":"a\\u0000b","bytes":1,"sha256":""}',
    "address": DOWNLOADED % '{"path":"ftp://[/a","bytes":1,"sha256":""}',
    "other address": DOWNLOADED % '{"path":"://a/b","bytes":1,"sha256":""}',
    "device": DOWNLOADED % '{"path":"/dev/zero","bytes":0,"sha256":"x"}',
    "long path": DOWNLOADED % ('{"path":"%s","bytes":1,"sha256":""}' % ("a/" * 5_000)),
    "sizes": DOWNLOADED % '{"path":"a","bytes":99999999999999999999999999,"sha256":""}',
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a manifest with one row."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNCOMFY_TOKEN", TOKEN)
    prompts(tmp_path / "m.csv", 1)
    (tmp_path / "m.run").mkdir()
    return tmp_path


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_no_line_of_a_ledger_is_too_much(
    here: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command that reads it ends with its own exit code, whatever stands there."""
    ledger = here / "m.run/ledger.jsonl"
    ledger.write_bytes(f"{HEADER}\n{line}\n".encode("utf-8", "surrogateescape"))

    for command in (
        ["ledger", "verify", "m.csv"], ["ledger", "verify", "m.csv", "--files"],
        ["ledger", "show", "m.csv"], ["status", "m.csv"], ["runs", "m.csv"], ["report", "m.csv"],
        ["run", "m.csv", "--dry-run", "--model", MODEL, "--max-cost", "1/day"],
        ["ledger", "repair", "m.csv"], ["ledger", "repair", "m.csv", "--accept-loss"],
        ["status", "m.csv"],
    ):  # fmt: skip
        code = main(command)
        err = capsys.readouterr().err
        assert code in (0, 1, 65, 75), (command, err)
        assert "internal error" not in err


OUTSIDE = {
    "above": "../victim.png",
    "far above": "../../victim.png",
    "absolute": "{here}/victim.png",
    "around": "outputs/../../victim.png",
    "by a link to a directory": "outputs/link/victim.png",
    "the manifest": "../m.csv",
    "the ledger": "ledger.jsonl",
    "the lock": "outputs/../ledger.lock",
    "the settings": "run.json",
    "a schema": "schemas/x.json",
    "the run directory": ".",
    "its parent": "..",
}


@pytest.mark.parametrize("path", OUTSIDE.values(), ids=OUTSIDE)
@pytest.mark.parametrize("state", ["downloaded", "completed"])
def test_repair_touches_nothing_outside_of_its_directories(
    here: Path, path: str, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that leads out is left as it is, and named; the job's own file is fetched."""
    base = here / "deep/er"
    base.mkdir(parents=True)
    (here / "m.csv").rename(base / "m.csv")
    run_dir = base / "m.run"
    (run_dir / "outputs").mkdir(parents=True)
    (run_dir / "schemas").mkdir()
    (run_dir / "outputs/link").symlink_to(here)
    victims = [here / "victim.png", base / "victim.png", here / "deep/victim.png",
               run_dir / "schemas/x.json", run_dir / "run.json"]  # fmt: skip
    for victim in victims:
        victim.write_text("{}" if victim.suffix == ".json" else "somebody's")
    place = path.format(here=here)

    with lying_api() as api:
        line = json.loads(DOWNLOADED % "{}") | {
            "job": "j0000", "state": state, "outputs": [api.output("a")],
            "files": [{"path": place, "bytes": 3, "sha256": sha256(b"abc").hexdigest()}],
        }  # fmt: skip
        header = json.loads(HEADER) | {"api": api.origin}
        ledger = run_dir / "ledger.jsonl"
        ledger.write_text(f"{json.dumps(header)}\n{json.dumps(line)}\n")
        code = main(["run", str(base / "m.csv"), "--repair", "--model", MODEL,
                     "--base-url", f"{api.origin}/v1", "--changed", "keep"])  # fmt: skip

    err = capsys.readouterr().err
    assert code != 70, err
    for victim in victims[:-1]:
        assert victim.read_text() in ("somebody's", "{}")
    assert ledger.read_text().startswith(json.dumps(header))
    assert (base / "m.csv").read_text().startswith("id,prompt")
    assert not [found for found in here.rglob("*.changed-*") if "outputs" not in found.parts]
    if state == "downloaded":
        assert "left as it is" in err or not (run_dir / place).exists()
