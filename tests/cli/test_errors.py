"""Errors as text and as JSON: every exit code, for people and for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import batchgen.commands.status
from batchgen.cli import main
from batchgen.core.errors import BatchgenError, InternalError, Problem
from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.live import Live, live_sandbox, prompts, write_csv

NOBODY = "http://127.0.0.1:9/v1"

CASES: dict[str, int] = {
    "run m.csv --no-such-flag --json": 64,
    "run m.csv --rate x --json": 64,
    "run m.csv --date 2026-13-45 --json": 64,
    "run m.csv --date 2026-02-30 --json": 64,
    "run m.csv --date 0000-01-01 --json": 64,
    "run m.csv --date 20261122 --json": 64,
    "run m.csv --base-url ftp://x --json": 64,
    "no-such-command --json": 64,
    "ledger show m.csv --job nobody --json": 64,
    "models no/such-model --json": 64,
    "check bad.csv --json": 65,
    "run bad.csv --json": 65,
    "run bad.yaml --json": 65,
    "status damaged.csv --json": 65,
    "ledger verify damaged.csv --json": 65,
    "runs damaged.csv --json": 65,
    "status new.csv --watch --json": 75,
    "check gone.csv --json": 66,
    "run gone.csv --json": 66,
    "status gone.csv --json": 66,
    f"run m.csv --base-url {NOBODY} --wait-for-api 100ms --json": 69,
    "run m.csv --log-file /no/such/directory/log --json": 74,
    "status fifo.csv --json": 74,
    "run fifo.csv --json": 74,
    "ledger verify fifo.csv --json": 74,
    "run m.csv --max-cost 0.00001 --json": 75,
    "run m.csv --job-timeout 0 --json": 75,
    "run m.csv --max-cost 0 --json": 75,
    "run m.csv --json token=wrong": 77,
    "run m.csv --json token=": 77,
    "run other.yaml --json": 65,
}
"""Command lines that ask for JSON, with their exit codes; `token=` is that of the environment."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with manifests and ledgers of several kinds."""
    prompts(tmp_path / "m.csv", 2)
    prompts(tmp_path / "new.csv", 1)
    monkeypatch.setattr(batchgen.commands.status, "IDLE_S", 0.05)
    write_csv(tmp_path / "bad.csv", ["a,one", "a,two", "b,"])
    (tmp_path / "bad.yaml").write_text("promts: [a]\nrun: {quiet: maybe}\n")
    (tmp_path / "other.yaml").write_text("model: m/x\nprompts: [a]\nrun: {json: true, x: 1}\n")
    for name in ("damaged", "fifo"):
        prompts(tmp_path / f"{name}.csv", 1)
        (tmp_path / f"{name}.run").mkdir()
    header = '{"ledger":"batchgen","v":1}\n'
    (tmp_path / "damaged.run/ledger.jsonl").write_text(f"{header}nonsense\n{{}}\n")
    os.mkfifo(tmp_path / "fifo.run/ledger.jsonl")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Live]:
    """A sandbox whose jobs take a while."""
    with live_sandbox(SandboxConfig(duration_min_s=5.0, duration_max_s=5.0)) as live:
        yield live


@pytest.mark.parametrize("text", CASES)
def test_json_is_printed_whatever_happens(
    text: str,
    place: Path,
    sandbox: Live,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One object with the exit code and at least one reason; the same on stderr as text."""
    line, _, token = text.partition(" token=")
    token = token if "token=" in text else sandbox.token
    monkeypatch.setenv("RUNCOMFY_MODEL_API_BASE", sandbox.base_url)
    monkeypatch.setenv("RUNCOMFY_TOKEN", token)
    argv = line.split()
    if argv[0] in ("run", "status") and argv[1].endswith(".csv"):
        argv += ["--model", MODEL]

    code = main(argv)

    out, err = capsys.readouterr()
    found = json.loads(out.splitlines()[-1])
    assert code == CASES[text], err
    assert found["exit_code"] == code
    assert found["reasons"]
    assert all(isinstance(reason, str) and reason for reason in found["reasons"])
    for problem in found.get("problems", ()):
        assert list(problem) == ["file", "row", "column", "message"]
        assert problem["message"]
    assert "Traceback" not in err


def test_the_problems_of_a_manifest_have_their_places(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, row and column as the message has them, the same for `check` and `run`."""
    seen = []
    for command in ("check", "run"):
        assert main([command, "bad.csv", "--json", "--model", MODEL]) == 65
        seen.append(json.loads(capsys.readouterr().out))

    checked, run = seen
    assert checked["problems"] == run["problems"]
    assert checked["reasons"] == run["reasons"] == ["bad manifest"]
    assert checked["problem_count"] == 2
    assert {(one["file"], one["row"]) for one in checked["problems"]} == {
        ("bad.csv", 3),
        ("bad.csv", 4),
    }


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("a.csv", ("a.csv", None, None)),
        ("a.csv:812", ("a.csv", 812, None)),
        ("a.csv:812: scale (column D)", ("a.csv", 812, "scale")),
        ("a.yaml: columns.model", ("a.yaml", None, "columns.model")),
        ("x:5/a.csv:3: b: c", ("x:5/a.csv", 3, "b: c")),
        ("--param style", ("--param style", None, None)),
    ],
)
def test_the_place_of_a_problem(where: str, place: tuple[object, ...]) -> None:
    """Every form in which a message names it."""
    assert tuple(Problem(where, "x").as_json().values()) == (*place, "x")


def test_every_error_has_a_reason_and_a_code() -> None:
    """Programs are told in a few words, the same for the same error."""

    def kinds(base: type[BatchgenError]) -> Iterator[type[BatchgenError]]:
        for kind in base.__subclasses__():
            yield kind
            yield from kinds(kind)

    for kind in kinds(BatchgenError):
        if kind.__module__.startswith("batchgen.core") and kind is not InternalError:
            assert kind.reason != BatchgenError.reason, kind
            assert kind.exit_code != BatchgenError.exit_code, kind


VERBOSE = ("-vv", "-v -v", "--verbose --verbose", "-v --verbose", "-vvv")


@pytest.mark.parametrize("flags", ["", "-v", *VERBOSE])
@pytest.mark.parametrize("before", [True, False])
def test_a_traceback_is_for_those_who_ask_twice(
    flags: str,
    before: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However they write it, before the command or behind it; the object of --json is there too."""

    def fail(*_: object) -> int:
        raise RuntimeError("a defect")

    monkeypatch.setattr(batchgen.commands.status, "handle", fail)
    words = ["status", "m.csv", "--json"]

    assert main([*flags.split(), *words] if before else [*words, *flags.split()]) == 70

    out, err = capsys.readouterr()
    assert ("Traceback" in err) == (flags in VERBOSE)
    assert json.loads(out)["reasons"] == ["internal error"]
