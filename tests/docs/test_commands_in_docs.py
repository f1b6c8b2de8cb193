"""Every command line in the docs, in `-h` and in the topics: it parses, and it runs."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from batchgen.cli import main
from batchgen.cli.parser import COMMANDS, build_parser
from batchgen.commands.help import topics
from batchgen.sandbox import SandboxConfig
from tests.conftest import REPO
from tests.kit import MODEL
from tests.kit.live import environment, live_sandbox

PAGES = [*REPO.glob("docs/*.md"), REPO / "README.md"]
_COMMAND = re.compile(r"^(?: {2,}|\$ )\$? ?(batchgen [a-z].*)$", re.MULTILINE)
_COMMENT = re.compile(r"\s+#\s.*$| {2,}.*$")

STANDS_FOR = {
    "MANIFEST": ("spring.csv",), "ID": (MODEL,), "COMMAND": ("batchgen", "models"),
    "COMMAND...": ("batchgen", "models"), "TOPIC": ("money",),
}  # fmt: skip
"""What a placeholder is when the line is run."""

NOT_RUN = {
    "https://": "the internet; tests/commands/test_address_manifest.py has a server",
    "--engine ray": "Ray; tests/engines",
    "--assets s3://": "a bucket; tests/outputs/test_asset_store.py has one",
    "^batchgen serve": "it serves until it is stopped; tests/commands/test_serve.py",
    "^batchgen sandbox": "it serves until it is stopped; tests/sandbox/test_command.py",
    "--watch": "it waits for a run; tests/commands/test_watch.py",
    "ledger merge": "it needs the shards of two machines; tests/commands/test_ledger.py",
}
"""What lines have that are only parsed here: the reason, and what runs them."""


def lines() -> list[str]:
    """Every command line, without comment, each once."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    texts += [f"  {example}\n" for about in COMMANDS.values() for example in about.examples]
    texts += topics().values()
    found = [_COMMENT.sub("", line).strip() for text in texts for line in _COMMAND.findall(text)]
    return list(dict.fromkeys(found))


def words_of(line: str) -> list[str]:
    """Return the words, with something real for each placeholder."""
    return [part for word in shlex.split(line)[1:] for part in STANDS_FOR.get(word, (word,))]


def why_not_run(line: str) -> str:
    """Return the reason why a line is only parsed; empty if it is run."""
    if " -- " in line:
        return ""  # a server for as long as a command runs
    return next((why for start, why in NOT_RUN.items() if re.search(start, line)), "")


def test_the_docs_have_commands() -> None:
    """The pattern finds them."""
    assert len(lines()) > 60
    assert any(line.startswith("batchgen ledger compact") for line in lines())


@pytest.mark.parametrize("line", lines())
def test_a_command_in_the_docs_parses(line: str) -> None:
    """With flags that exist and values that are allowed."""
    words = words_of(line)

    assert build_parser(words).parse_args(words).command == words[0]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A studio in the morning: batches that have run, one failed job, one in doubt."""
    home = tmp_path_factory.mktemp("studio")
    rows = "id,prompt,client\nfox,A red fox in snow,north\nhut,A hut by a lake,south\n"
    (home / "spring.csv").write_text(rows + "teapot,A teapot,south\npier,A pier,north\n")
    (home / "night.csv").write_text(rows)
    (home / "review.csv").write_text("job,take,verdict,note\nhut,1,keep,\n")
    (home / "verdicts.jsonl").write_text('{"job": "hut", "verdict": "redo"}\n')
    yaml = f"model: {MODEL}\nprompts: [A lighthouse at dusk]\n"
    (home / "heroes.yaml").write_text(yaml)
    for name in ("nightly.yaml", "spring.yaml"):
        (home / name).write_text(yaml + "run_dir: runs/{{ date }}\n")
    (home / ".config/systemd/user").mkdir(parents=True)
    (home / ".runcomfy.env").write_text("RUNCOMFY_TOKEN=x\n")
    faults = ("result:failed:match=teapot", "submit:lose-answer:match=red fox:first=1")
    config = SandboxConfig(duration_min_s=0.01, duration_max_s=0.03, faults=faults)
    with live_sandbox(config) as live:
        variables = environment(live, HOME=str(home))
        for words in (
            ["run", "spring.csv", "--model", MODEL], ["run", "night.csv", "--model", MODEL],
            ["run", "spring.csv", "--model", MODEL, "--sandbox"], ["run", "nightly.yaml"],
        ):  # fmt: skip
            run_in(home, words, variables)
        yield home, variables


def run_in(home: Path, words: list[str], variables: dict[str, str]) -> tuple[int, str]:
    """Run one command in this process, in that directory; return its exit code and output."""
    out, before = io.StringIO(), Path.cwd()
    os.chdir(home)
    try:
        with (
            patch.dict(os.environ, variables, clear=True),
            redirect_stdout(out),
            redirect_stderr(out),
        ):
            return main(words), out.getvalue()
    finally:
        os.chdir(before)


@pytest.mark.slow
@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("line", [line for line in lines() if not why_not_run(line)])
def test_a_command_in_the_docs_runs(line: str, workspace: tuple[Path, dict[str, str]]) -> None:
    """On a copy of the same morning; it ends as the page says: well, or with jobs left."""
    home, variables = workspace
    copy = home.with_name(f"{home.name}-{lines().index(line)}")
    shutil.copytree(home, copy, symlinks=True)
    if "--shard" in line:
        shutil.rmtree(copy / "spring.run")  # a batch that has begun as a whole goes on as one
    words = [word.replace("~", str(copy), 1) if word.startswith("~") else word
             for word in words_of(line)]  # fmt: skip
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    code, printed = run_in(copy, words, {**variables, "HOME": str(copy), "PATH": path})

    # The batch has a failed job and one in doubt, so a run of it ends with 1.
    assert code in ({0, 1} if words[0] in ("run", "retry") else {0}), printed
    shutil.rmtree(copy)
