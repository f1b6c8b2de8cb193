"""stdout and stderr that are closed, full or without a reader, for every command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.cases import few
from tests.kit.disks import fill, small_disk
from tests.kit.live import (
    Live,
    accepted,
    batchgen,
    command,
    environment,
    live_sandbox,
    prompts,
    start,
    write_csv,
)
from tests.kit.waiting import wait_until

SLOW = pytest.mark.slow
QUICK = {"duration_min_s": 0.02, "duration_max_s": 0.1}
STATES = ("closed", "full", "no reader", "nothing")
LOST = frozenset({"closed", "full", "no reader"})

RESULTS = {
    "run --json": 0,
    "run --dry-run": 0,
    "run --dry-run --json": 0,
    "retry --json": 0,
    "check": 0,
    "check --json": 0,
    "check bad.csv --json": 65,
    "run bad.csv --json": 65,
    "run gone.csv --json": 66,
    "status": 0,
    "status --json": 0,
    "status --watch": 0,
    "status --watch --json": 0,
    "runs": 0,
    "runs --json": 0,
    "ledger verify": 0,
    "ledger verify --json": 0,
    "ledger show": 0,
    "ledger show --json": 0,
    "models": 0,
    "models --json": 0,
    "completion bash": 0,
    "--version": 0,
    "run -h": 0,
}
"""Commands that are asked for a result on stdout, with their exit codes."""
DEEDS = {
    "run": 0,
    "run bad.csv": 65,
    "retry": 0,
    "report": 0,
    "resolve --job j0000 --give-up": 64,
    "cancel": 0,
    "ledger compact": 0,
    "ledger repair": 0,
    "init --model bytedance/dreamina-4-0/text-to-image --output new.yaml --force": 0,
    "sandbox -- true": 0,
    "no-such-command": 64,
}
"""Commands that are asked to do something; what they print on stdout confirms it."""


@contextmanager
def stream(state: str) -> Iterator[int | None]:
    """Give a file descriptor in this state; None for one that is to be closed."""
    if state == "closed":
        yield None
        return
    if state == "no reader":
        reader, fd = os.pipe()
        os.close(reader)
    else:
        fd = os.open("/dev/full" if state == "full" else os.devnull, os.O_WRONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def code_of(line: list[str], out: str, err: str, *, env: dict[str, str], cwd: Path) -> int:
    """Run a command with these streams, and return its exit code."""
    closed = [number for number, state in ((1, out), (2, err)) if state == "closed"]
    redirected = " ".join(f"{number}>&-" for number in closed)
    with stream(out) as out_fd, stream(err) as err_fd:
        return subprocess.run(
            ["sh", "-c", f'exec "$@" {redirected}', "sh", *line], env=env, cwd=cwd,
            stdin=subprocess.DEVNULL, stdout=out_fd, stderr=err_fd, timeout=60, check=False,
        ).returncode  # fmt: skip


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Live]]:
    """A directory with a finished batch, a wrong manifest, and a sandbox."""
    place = tmp_path_factory.mktemp("batch")
    prompts(place / "m.csv", 2)
    write_csv(place / "bad.csv", ["a,one", "a,two"])
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = batchgen("run", "m.csv", sandbox=sandbox, cwd=place)
        assert done.code == 0, done.err
        yield place, sandbox


def words_of(text: str) -> list[str]:
    """Return the words of a command, with the finished batch as its manifest if it takes one."""
    words = text.split()
    takes_none = words[0].startswith("-") or words[0] in {
        "models", "completion", "init", "sandbox", "no-such-command",
    }  # fmt: skip
    if takes_none or "-h" in words or any(word.endswith(".csv") for word in words):
        return words
    at = 2 if words[0] == "ledger" else 1
    return [*words[:at], "m.csv", *words[at:]]


ALL_PAIRS = tuple(product(STATES, STATES))
FEW_PAIRS = tuple(zip(STATES, (*STATES[1:], STATES[0]), strict=True))
"""Each state of each stream once."""


EVERY_COMMAND = [
    pytest.param(text, pairs, marks=SLOW if pairs is ALL_PAIRS or number % 9 else ())
    for texts in (RESULTS, DEEDS)
    for number, text in enumerate(texts)
    for pairs in (FEW_PAIRS, ALL_PAIRS)
]
"""One command in nine belongs to the short tests, all of them to the long ones."""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
@pytest.mark.parametrize(("text", "pairs"), EVERY_COMMAND)
def test_streams_decide_no_exit_code(
    text: str, pairs: Sequence[tuple[str, str]], batch: tuple[Path, Live]
) -> None:
    """Each command ends as ever; with 74 if it was asked for a result that stdout did not take."""
    place, sandbox = batch
    line = command(*words_of(text))
    usual = RESULTS.get(text, DEEDS.get(text, 0))

    codes = {
        (out, err): code_of(line, out, err, env=environment(sandbox), cwd=place)
        for out, err in pairs
    }

    assert codes == {
        (out, err): 74 if text in RESULTS and out in LOST and usual == 0 else usual
        for out, err in pairs
    }


FLAGS = ("", "--quiet", "--log-json", "--quiet --log-json", "--log-file log", "-v -v")
ENDINGS: dict[str, tuple[tuple[str, ...], int]] = {
    "all well": ((), 0),
    "a job fails": (("result:failed:match=number 1",), 1),
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
@pytest.mark.parametrize("flags", [FLAGS[0], *(pytest.param(one, marks=SLOW) for one in FLAGS[1:])])
@pytest.mark.parametrize("err", sorted(LOST))
@pytest.mark.parametrize("ending", ["all well", pytest.param("a job fails", marks=SLOW)])
def test_a_run_does_its_work_without_stderr(
    ending: str, err: str, flags: str, tmp_path: Path
) -> None:
    """Every job is submitted and downloaded, and the exit code is that of the work."""
    prompts(tmp_path / "m.csv", 4)
    faults, code = ENDINGS[ending]
    words = command("run", "m.csv", "--max-attempts", "1", *flags.split())
    with live_sandbox(SandboxConfig(faults=faults, **QUICK)) as sandbox:
        found = code_of(words, err, err, env=environment(sandbox), cwd=tmp_path)
        paid = accepted(sandbox)

    assert found == code
    assert sorted(paid.values()) == [1, 1, 1, 1]
    assert len(list((tmp_path / "m.run/outputs").glob("*.png"))) == 4 - code
    assert (tmp_path / "m.run/results.csv").exists()


@pytest.mark.parametrize("flags", ["", "--log-json", "--quiet"])
def test_a_reader_that_leaves_does_not_make_a_run_end_well(flags: str, tmp_path: Path) -> None:
    """`2>&1 | head -1`: the code is that of what is left, and the run goes on to its end."""
    prompts(tmp_path / "m.csv", 6)
    config = SandboxConfig(duration_min_s=0.05, duration_max_s=1.0)
    words = ("--no-download", "--limit", "5", "--max-cost", "0.10", *flags.split())
    with live_sandbox(config) as sandbox:
        run = subprocess.Popen(
            command("run", "m.csv", *words),
            env=environment(sandbox), cwd=tmp_path, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert run.stdout is not None
        if not flags:
            run.stdout.readline()
        run.stdout.close()
        assert run.wait(timeout=60) == 75
        assert len(accepted(sandbox)) == 3  # as many as the budget has room for
    shown = batchgen("ledger", "show", tmp_path / "m.csv")
    assert shown.out.count("completed") == 3


@pytest.mark.parametrize("flags", ["", "--quiet", "--log-json"])
def test_a_disk_that_fills_under_stderr_stops_nothing(flags: str, tmp_path: Path) -> None:
    """The log of a cron job: its disk is full from the first note on, and has room later."""
    prompts(tmp_path / "m.csv", 4)
    with (
        small_disk(tmp_path / "log", "64k") as disk,
        live_sandbox(SandboxConfig(faults=("status:word:first=3",), **QUICK)) as sandbox,
        (disk / "cron.log").open("w") as log,
    ):
        fill(disk)
        run = subprocess.run(
            command("run", "m.csv", *flags.split()), env=environment(sandbox), cwd=tmp_path,
            stdout=log, stderr=log, timeout=60, check=False,
        )  # fmt: skip

    assert run.returncode == 0
    assert len(list((tmp_path / "m.run/outputs").glob("*.png"))) == 4


def test_a_watch_ends_when_its_reader_leaves(tmp_path: Path) -> None:
    """Nobody would see it any more: 74, although the run that it shows goes on."""
    manifest = prompts(tmp_path / "m.csv", 3)
    config = SandboxConfig(duration_min_s=60.0, duration_max_s=60.0)
    with live_sandbox(config) as sandbox:
        run = start("run", manifest, sandbox=sandbox)
        wait_until(lambda: accepted(sandbox), "a submission", alive=run)
        watch = subprocess.Popen(
            command("status", manifest, "--model", MODEL, "--watch", "0.1", "--json"),
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert watch.stdout is not None
        watch.stdout.readline()
        watch.stdout.close()
        run.terminate()
        run.communicate(timeout=20)
        assert watch.wait(timeout=20) == 74
        assert watch.stderr is not None
        assert watch.stderr.read() == b""
        watch.stderr.close()


@pytest.mark.parametrize("closed", few(["0<&- 1>&- 2>&-", "2>&-", "0<&-", "1>&-"], 2))
def test_no_file_takes_the_place_of_a_closed_stream(closed: str, tmp_path: Path) -> None:
    """Also what a library writes to descriptor 1 or 2 itself lands in no ledger."""
    prompts(tmp_path / "m.csv", 2)
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *command("run", "m.csv")],
            env=environment(sandbox, PYTHONFAULTHANDLER="1"), cwd=tmp_path, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0
    assert batchgen("ledger", "verify", tmp_path / "m.csv").code == 0


def test_a_manifest_from_a_closed_stdin(tmp_path: Path) -> None:
    """66 with a sentence."""
    line = command("run", "-", "--format", "csv", "--run-dir", str(tmp_path / "r"))
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 0<&-', "sh", *line], env=environment(), capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 66, done.stderr
    assert "stdin" in done.stderr
