"""Flags that say how a spreadsheet is read are kept for every later command on its directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.live import accepted, batchgen, live_sandbox

pytestmark = pytest.mark.slow

QUICK = {"duration_min_s": 0.02, "duration_max_s": 0.1}
TEXT = "Title\n\nid,prompt,scale\nx,рыжая лиса в снегу,7\n"
FLAGS = ("--model", MODEL, "--encoding", "windows-1251", "--header-row", "3", "--drop", "Scale")


def test_a_later_command_reads_the_file_as_the_first_did(tmp_path: Path) -> None:
    """Nothing is new without the flags, also after the file was saved as UTF-8."""
    manifest = tmp_path / "a.csv"
    manifest.write_bytes(TEXT.encode("cp1251"))
    with live_sandbox(SandboxConfig(**QUICK)) as sandbox:
        refused = batchgen("run", manifest, "--model", MODEL, sandbox=sandbox)
        assert refused.code == 65
        assert "--encoding windows-1251" in refused.err
        assert accepted(sandbox) == {}
        first = batchgen("run", manifest, *FLAGS, sandbox=sandbox)
        status = batchgen("status", manifest, "--json", sandbox=sandbox)
        second = batchgen("run", manifest, sandbox=sandbox)
        manifest.write_text(TEXT, encoding="utf-8")
        third = batchgen("run", manifest, sandbox=sandbox)
        paid = accepted(sandbox)

    assert (first.code, second.code, third.code) == (0, 0, 0), first.err + second.err + third.err
    assert paid == {"рыжая лиса в снегу": 1}
    assert json.loads(status.out)["jobs"] == 1
    assert "is valid UTF-8, so it is read as that" in third.err


def test_an_unknown_encoding_is_a_usage_error(tmp_path: Path) -> None:
    """Exit code 64, before anything is read; a column that does not exist is 65."""
    manifest = tmp_path / "a.csv"
    manifest.write_text("prompt\na\n")
    unknown = batchgen("check", manifest, "--model", MODEL, "--encoding", "utf-99")
    assert unknown.code == 64
    assert "'utf-99' is not a known encoding" in unknown.err
    missing = batchgen("check", manifest, "--model", MODEL, "--drop", "note")
    assert missing.code == 65
