"""Equal copies with a fixed seed: the plan and `check` say that they may come out the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit import MODEL
from tests.kit.live import batchgen

COPIES = {
    "repeat": "repeat: 2\nprompts:\n  - {prompt: a, seed: SEED}\n",
    "a row's repeat": "prompts:\n  - {prompt: a, seed: SEED, repeat: 3}\n",
    "a row's repeat with an id": "prompts:\n  - {id: x, prompt: a, seed: SEED, repeat: 3}\n",
    "a seed for all": "defaults: {seed: SEED}\nrepeat: 2\nprompts: [a, b]\n",
    "equal rows": "prompts:\n  - {prompt: a, seed: SEED}\n  - {prompt: a, seed: SEED}\n",
    "a matrix": "repeat: 2\nmatrix: {seed: [SEED, 8]}\nprompts: [a]\n",
}
NO_COPIES = {
    "one of each": "prompts:\n  - {prompt: a, seed: SEED}\n  - {prompt: b, seed: SEED}\n",
    "one of each seed": "matrix: {seed: [SEED, 8]}\nprompts: [a]\n",
    "no seed": "repeat: 2\nprompts: [a]\n",
}


def notes(tmp_path: Path, body: str, command: str) -> tuple[int, str]:
    (tmp_path / "model.json").write_text(
        '{"type": "object", "properties": {"prompt": {"type": "string"},'
        ' "seed": {"type": "integer"}}}'
    )
    manifest = tmp_path / "m.yaml"
    manifest.write_text(f"model: {MODEL}\nschema: model.json\n{body}")
    words = ("--sandbox", "--dry-run") if command == "run" else ()
    done = batchgen(command, manifest, *words)
    return done.code, done.err


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("body", COPIES.values(), ids=COPIES)
def test_copies_with_a_fixed_seed_are_noted(tmp_path: Path, body: str, command: str) -> None:
    """With the row and the seed, once."""
    code, said = notes(tmp_path, body.replace("SEED", "7"), command)

    assert code == 0, said
    assert said.count("seed 7 is fixed") == 1
    assert "may come out the same" in said


@pytest.mark.parametrize("body", [
    *NO_COPIES.values(), *(body.replace("SEED", "-1") for body in list(COPIES.values())[:3]),
])  # fmt: skip
def test_other_rows_are_not_noted(tmp_path: Path, body: str) -> None:
    """Without copies, without a seed, or with one that lets the API choose."""
    code, said = notes(tmp_path, body.replace("SEED", "7"), "check")

    assert code == 0, said
    assert "is fixed" not in said
