"""Jobs that are chosen by name or by a condition, and what the choice costs before it is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import MODEL
from tests.kit.live import batchgen, prompts

pytestmark = pytest.mark.slow

COMMANDS = {
    "run": ("run", "--sandbox"),
    "dry run": ("run", "--sandbox", "--dry-run"),
    "retry": ("retry", "--sandbox"),
    "resolve": ("resolve", "--sandbox", "--give-up"),
    "ledger show": ("ledger", "show", "--sandbox"),
}


@pytest.mark.parametrize("has_run", [True, False])
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_job_that_is_nowhere_is_an_error(
    tmp_path: Path, words: tuple[str, ...], *, has_run: bool
) -> None:
    """In neither manifest nor ledger: exit 64 with its name, and nothing is submitted."""
    manifest = prompts(tmp_path / "m.csv", 1)
    if has_run:
        assert batchgen("run", manifest, "--sandbox", "--limit", "1").code == 0

    head = 2 if words[0] == "ledger" else 1
    model = ("--model", MODEL)
    done = batchgen(*words[:head], manifest, *words[head:], *model, "--job", "j9999")

    without_ledger = not has_run and words[0] == "resolve"
    assert done.code == (65 if without_ledger else 64), done.err
    assert without_ledger or "j9999" in done.err


@pytest.mark.parametrize("has_run", [True, False])
@pytest.mark.parametrize("select", ["prompt = nothing", "id ~ zzz", "state = failed"])
@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_selection_without_a_match_says_so(
    tmp_path: Path, select: str, words: tuple[str, ...], *, has_run: bool
) -> None:
    """And ends well."""
    manifest = prompts(tmp_path / "m.csv", 2)
    if has_run:
        assert batchgen("run", manifest, "--sandbox").code == 0

    done = batchgen("run", manifest, "--sandbox", "--select", select, *words)

    assert done.code == 0, done.err
    assert f"{select!r} matches no row" in done.err


@pytest.mark.parametrize("model", [MODEL, "bytedance/other/text-to-image"])
def test_a_sandbox_dry_run_has_the_prices_of_the_run(tmp_path: Path, model: str) -> None:
    """By the catalogue of the sandbox, and nothing is written."""
    manifest = prompts(tmp_path / "m.csv", 2)

    planned = batchgen("run", manifest, "--sandbox", "--dry-run", "--model", model)
    assert not list(tmp_path.glob("m.run*"))
    ran = batchgen("run", manifest, "--sandbox", "--model", model)

    price = [line for line in ran.err.splitlines() if "2 jobs to submit" in line]
    assert len(price) == 1, ran.err
    assert price[0].removeprefix("batchgen: ") in planned.out
