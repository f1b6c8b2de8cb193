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
from tests.kit.live import (
    Live,
    batchgen,
    command,
    environment,
    live_sandbox,
    prompts,
    write_csv,
)

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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
@pytest.mark.parametrize(
    "pairs", [pytest.param(FEW_PAIRS, id="few"), pytest.param(ALL_PAIRS, id="all", marks=SLOW)]
)
@pytest.mark.parametrize("text", [*RESULTS, *DEEDS])
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
