"""The names of the files of several takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.served import MODEL, batchgen


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{{ id }}-{{ index }}", ["a-1.png", "a-take2-1.png"]),
        ("{{ client }}-{{ id }}", ["acme-a-take2.png", "acme-a.png"]),
        ("{{ id }}.v{{ take }}", ["a.v1.png", "a.v2.png"]),
    ],
)
@pytest.mark.slow
def test_each_take_has_a_name_of_its_own(tmp_path: Path, template: str, names: list[str]) -> None:
    """With `{{ take }}` it is where the template says, without it behind the name; both stay."""
    rows = "[{id: a, prompt: a lake, client: acme}]"
    text = f"model: {MODEL}\noutput: {{name: '{template}'}}\nprompts: {rows}\n"
    (tmp_path / "m.yaml").write_text(text)
    (tmp_path / "v.csv").write_text("job,verdict\na,redo\n")
    for command, *file in (["run"], ["review", "v.csv"], ["run"]):
        done = batchgen(tmp_path, command, "m.yaml", *file, "--sandbox")
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "m.run.sandbox/outputs").iterdir()) == names
