"""Completion scripts, in a real shell."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.live import batchgen

ASK = """
source ./script
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
$(complete -p batchgen | sed -E 's/.*-F ([^ ]+).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_flags_choices_and_files(tmp_path: Path) -> None:
    """As after a press of the tab key; the script itself starts no Python."""
    script = batchgen("completion", "bash")
    (tmp_path / "script").write_text(script.out)
    (tmp_path / "spring.csv").write_text("")

    def completed(words: str) -> set[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", ASK.format(words=words)], cwd=tmp_path,
            capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        return set(done.stdout.split())

    assert (script.code, script.err) == (0, "")
    assert completed("batchgen re") == {"report", "resolve", "retry", "review"}
    assert completed("batchgen run --max-r") == {"--max-runtime"}
    assert completed("batchgen run --in-doubt r") == {"resubmit"}
    assert "--port" in completed("batchgen sandbox --p")
    assert completed("batchgen status spr") == {"spring.csv"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_theirs(shell: str) -> None:
    """A script that names the program."""
    done = batchgen("completion", shell)

    assert (done.code, done.err) == (0, "")
    assert "batchgen" in done.out


def test_no_other_command_waits_for_it() -> None:
    """Its library is loaded by `completion` only."""
    program = "import sys, batchgen.cli; batchgen.cli.build_parser(); print('shtab' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"
