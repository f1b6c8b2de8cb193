"""Names that are not UTF-8, and locales that cannot write every name. Real processes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.live import Live, accepted, command, environment, live_sandbox

pytestmark = pytest.mark.slow

QUICK = SandboxConfig(duration_min_s=0.02, duration_max_s=0.1)
LATIN = b"f\xfcchse"

COMMANDS = (
    "check --json", "run --dry-run --json", "run --json --sidecar --log-file log", "status --json",
    "status", "status --watch", "runs --json", "runs", "report", "ledger verify --json",
    "ledger show --json", "ledger compact", "retry --json", "cancel", "run --repair --json",
    "run --quiet --log-json",
)  # fmt: skip


def run(
    words: str, name: bytes, place: Path, sandbox: Live, **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command on a manifest of this name."""
    verb, *rest = words.split()
    line: list[str | bytes] = [*command(verb, *rest)]
    line.insert(line.index(verb) + (2 if verb == "ledger" else 1), name)
    return subprocess.run(
        line, env=environment(sandbox, **more), cwd=place, capture_output=True, timeout=60,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", [LATIN + b".csv", pytest.param(LATIN + b"/m.csv", marks=pytest.mark.slow)]
)
def test_a_manifest_whose_name_is_not_utf8(name: bytes, tmp_path: Path) -> None:
    """Every command works, with replacement characters; the second run is free."""
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))  # noqa: PTH118 - bytes
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"id,prompt,model\na,one,{MODEL}\nb,two,{MODEL}\n", encoding="utf-8")
    with live_sandbox(QUICK) as sandbox:
        for words in (*COMMANDS, *COMMANDS):
            done = run(words, name, tmp_path, sandbox)
            assert done.returncode == 0, (words, done.stdout, done.stderr)
            if "--json" in words:
                assert [json.loads(line) for line in done.stdout.splitlines()]
            done.stderr.decode("utf-8")
        assert accepted(sandbox) == {"one": 1, "two": 1}
    assert len(list(path.with_suffix(".run").glob("outputs/*.png"))) == 2


@pytest.mark.parametrize("words", ["run --json", "run --json --skip-invalid"])
def test_a_wrong_row_in_such_a_manifest(words: str, tmp_path: Path) -> None:
    """65 or 1 with the row, and nothing is paid for it."""
    path = tmp_path / os.fsdecode(LATIN + b".csv")
    path.write_text("id,prompt\na,one\nb,\n", encoding="utf-8")
    with live_sandbox(QUICK) as sandbox:
        done = run(words, LATIN + b".csv", tmp_path, sandbox)
        assert done.returncode == (1 if "skip" in words else 65), done.stderr
        assert len(accepted(sandbox)) == ("skip" in words)
    json.loads(done.stdout)


@pytest.mark.parametrize("flag", ["--param=style=", "--select=style=", "--job=", "--sheet="])
def test_a_value_that_is_not_text_is_refused(flag: str, tmp_path: Path) -> None:
    """64 before anything is paid: it could be stored and sent nowhere."""
    (tmp_path / "m.csv").write_text("id,prompt\na,one\n", encoding="utf-8")
    with live_sandbox(QUICK) as sandbox:
        line = [*command("run", "m.csv", "--json"), flag.encode() + LATIN]
        done = subprocess.run(
            line, env=environment(sandbox), cwd=tmp_path, capture_output=True, check=False,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 64, done.stderr
        assert not accepted(sandbox)
    assert json.loads(done.stdout)["reasons"] == ["bad command line"]


LOCALES = {
    "POSIX without coercion": {
        "LC_ALL": "POSIX", "LANG": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0",
    },
    "POSIX": {"LC_ALL": "POSIX", "LANG": "POSIX"},
    "UTF-8 mode off": {"PYTHONUTF8": "0"},
    "ascii stdio": {"PYTHONIOENCODING": "ascii"},
    "latin stdio": {"PYTHONIOENCODING": "latin-1"},
}  # fmt: skip


@pytest.mark.parametrize("variables", LOCALES.values(), ids=LOCALES)
def test_a_locale_that_cannot_write_every_name(variables: dict[str, str], tmp_path: Path) -> None:
    """The files have the same names in every locale; JSON is exact, text has replacements."""
    ids = ["größe", "狐", "fox"]
    rows = "".join(f"{one},a {one}\n" for one in ids)
    (tmp_path / "m.csv").write_text(f"id,prompt\n{rows}", encoding="utf-8")
    with live_sandbox(QUICK) as sandbox:
        done = run("run --json --log-file log", b"m.csv", tmp_path, sandbox, **variables)
        assert done.returncode == 0, done.stderr
        shown = run("ledger show --json", b"m.csv", tmp_path, sandbox, **variables)
        text = run("ledger show", b"m.csv", tmp_path, sandbox, **variables)

    assert [json.loads(line)["job"] for line in shown.stdout.splitlines()] == ids
    assert text.returncode == 0, text.stderr
    assert {path.name for path in (tmp_path / "m.run/outputs").iterdir()} == {
        f"{one}-1.png" for one in ids
    }
