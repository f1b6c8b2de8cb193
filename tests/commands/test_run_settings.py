"""Each setting of `run` as a flag and as a key of a manifest's `run:`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from batchgen.cli import main
from batchgen.cli.parser import build_parser
from batchgen.core.errors import ManifestError
from batchgen.core.run_settings import (
    RUN_KEYS,
    RUN_SETTINGS,
    SETTINGS,
    RunSettings,
    Setting,
    given_flags,
    merge,
)
from batchgen.manifest.manifest import open_manifest
from batchgen.manifest.row_options import RowOptions
from tests.kit.holding import held
from tests.kit.live import Done, batchgen, command, environment
from tests.manifest.conftest import NoSchemas

EXAMPLES = {
    "select": ("style = anime", "style = oil"), "limit": ("3", "5"), "skip_invalid": ("true", ""),
    "changed": ("keep", "run"), "concurrency": ("3", "5"), "rate": ("0.5", "2"),
    "wait_for_api": ("2m", "1h30m"), "job_timeout": ("20m", "90"), "max_cost": ("20/day", "$3"),
    "assume_price": ("0.04", "1"), "max_attempts": ("1", "5"), "in_doubt": ("resubmit", "hold"),
    "max_runtime": ("6h", "1d"), "max_failures": ("5%", "20"), "on_interrupt": ("cancel", "detach"),
    "no_download": ("true", ""), "quiet": ("true", ""), "json": ("true", ""),
    "log_json": ("true", ""), "max_cost_by": ("client=20/day", "campaign=$3"),
    "notify_on": ("always", "problem"), "asset_expiry": ("2h", "36h"),
    "engine": ("ray", "local"), "download_workers": ("2", "3"),
}  # fmt: skip
"""Two values for each key that `run:` may have; a switch cannot be turned off by its flag."""

REFUSED = [row for row in SETTINGS.values() if row.refusal]


def in_manifest(directory: Path, run: str) -> dict[str, object]:
    """What the reader of `run:` makes of it."""
    path = directory / "m.yaml"
    path.write_text(f"model: a/b\nprompts: [a]\nrun:\n{run}\n", encoding="utf-8")
    return dict(open_manifest(path, RowOptions(), NoSchemas()).settings.run)


def as_flag(row: Setting, value: str) -> RunSettings | str:
    """The merged settings of a run with this flag; or the expression of `--select`."""
    words = [row.flag, value] if row.metavar else [row.flag]
    args = build_parser().parse_args(["run", "m.yaml", *words])
    return args.select if row.key == "select" else merge(given_flags(vars(args)), {})


def test_each_key_has_an_example_here() -> None:
    """A new setting that a manifest may have needs one."""
    assert set(EXAMPLES) == set(RUN_KEYS)


@pytest.mark.parametrize("row", [SETTINGS[key] for key in EXAMPLES], ids=lambda row: row.key)
def test_a_key_of_run_means_what_its_flag_means(row: Setting, tmp_path: Path) -> None:
    """The same parser reads both, so the merged settings are equal."""
    value = EXAMPLES[row.key][0]
    keys = in_manifest(tmp_path, f"  {row.key}: {value}")
    merged = keys["select"] if row.key == "select" else merge({}, keys)

    assert merged == as_flag(row, value)
    assert merged != merge({}, {})


@pytest.mark.parametrize("row", [SETTINGS[key] for key in EXAMPLES if key != "select"],
    ids=lambda row: row.key)  # fmt: skip
def test_a_flag_beats_the_key_and_the_key_beats_the_default(row: Setting, tmp_path: Path) -> None:
    """With two values for each, so that the order shows."""
    in_flag, in_key = EXAMPLES[row.key]
    keys = in_manifest(tmp_path, f"  {row.key}: {in_key or 'false'}")
    words = [row.flag, in_flag] if row.metavar else [row.flag]
    flags = given_flags(vars(build_parser().parse_args(["run", "m.yaml", *words])))

    assert merge(flags, keys) == as_flag(row, in_flag)
    assert merge({}, keys) == merge({}, {row.name: row.read([in_key or "false"])})


def test_the_flag_of_a_selection_beats_the_key(tmp_path: Path) -> None:
    """Also the empty one, which means all rows."""
    in_manifest(tmp_path, "  select: style = oil")

    def opened(select: str | None) -> str | None:
        options = RowOptions(select=select)
        selection = open_manifest(tmp_path / "m.yaml", options, NoSchemas()).selection
        return selection.text if selection else None

    assert [opened(None), opened("a = b"), opened("")] == ["style = oil", "a = b", None]


def test_a_setting_that_is_repeatable_may_be_a_list(tmp_path: Path) -> None:
    """As the flag given twice; any other setting has one value."""
    keys = in_manifest(tmp_path, "  max_cost: [20/day, 300/month]\n  limit:")

    assert len(merge({}, keys).max_cost) == 2
    assert merge({}, keys).limit is None
    with pytest.raises(ManifestError, match=r"m\.yaml:4: run\.limit: expected one value, got a li"):
        in_manifest(tmp_path, "  limit: [1, 2]")


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.key)
def test_a_key_that_run_may_not_have_is_refused_by_name(
    row: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its line and with what to do instead; nothing is submitted."""
    path = tmp_path / "m.yaml"
    path.write_text(f"model: a/b\nprompts: [a]\nrun:\n  concurrency: 3\n  {row.key}: 2026-11-22\n")

    assert main(["check", str(path)]) == 65

    err = capsys.readouterr().err
    assert f"{path}:5: run.{row.key}: {row.refusal_text}\n" in err
    assert row.flag in err or "belongs" in err or row.key == "base_url"


def test_every_wrong_key_is_named_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `check` too, each with its line, beside what is wrong elsewhere in the manifest."""
    path = tmp_path / "m.yaml"
    path.write_text(
        "model: a/b\nprompts: [a]\nrepeat: 0\nrun:\n  concurrency: 0\n  max_cots: 3\n"
        "  log-file: x\n  in_doubt: retry\n  quiet: perhaps\n  rate: -1\n"
    )

    assert main(["check", str(path)]) == 65

    assert capsys.readouterr().err.splitlines()[:7] == [
        f"{path}:3: repeat: expected a whole number from 1 to 10,000, got '0'",
        f"{path}:5: run.concurrency: '0' is not a whole number of at least 1",
        f"{path}:6: run.max_cots: unknown key; did you mean 'max_cost'?",
        f"{path}:7: run.log-file: cannot be set in a manifest; use --log-file",
        f"{path}:8: run.in_doubt: 'retry' is not one of hold, resubmit",
        f"{path}:9: run.quiet: 'perhaps' is neither true nor false",
        f"{path}:10: run.rate: '-1' is not a number above 0",
    ]


@pytest.mark.parametrize("row", RUN_SETTINGS, ids=lambda row: row.key)
def test_the_default_of_a_setting_has_the_type_it_is_declared_with(row: Setting) -> None:
    """The rows are read by no type checker, so this is what holds parser and attribute together."""
    declared = get_type_hints(RunSettings)[row.name]
    kinds = tuple(getattr(kind, "__origin__", kind) for kind in get_args(declared) or (declared,))
    is_tuple = getattr(declared, "__origin__", None) is tuple
    value = row.read([EXAMPLES[row.key][0]]) if row.key in EXAMPLES else row.default_value

    assert isinstance(value, tuple if is_tuple else kinds)
    if is_tuple and isinstance(value, tuple):
        assert all(isinstance(one, kinds[0]) for one in value)


MESSAGES = "prompts: [a lighthouse, a fox]\nrun: {{{}}}\n"


def ran(manifest: Path, *words: str) -> Done:
    """A run against the sandbox in its own process, to its end."""
    done = batchgen("run", manifest, "--sandbox", *words)
    assert done.code == 0, done.err
    return done


def test_quiet_and_json_in_a_manifest_decide_what_is_printed(tmp_path: Path) -> None:
    """As the flags do: nothing at all, or only the summary on stdout."""
    quiet, json_ = tmp_path / "quiet.yaml", tmp_path / "json.yaml"
    quiet.write_text(MESSAGES.format("quiet: true"))
    json_.write_text(MESSAGES.format("json: true, quiet: true"))

    assert (ran(quiet).out, ran(quiet).err) == ("", "")
    assert json.loads(ran(json_).out)["exit_code"] == 0


def test_a_manifest_is_quiet_also_if_the_run_is_skipped(tmp_path: Path) -> None:
    """Its settings are read before the lock is taken: a skipped run sends no mail from cron."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text(MESSAGES.format("quiet: true"))
    ran(manifest)

    with held(tmp_path / "m.run.sandbox"):
        done = ran(manifest, "--if-locked", "skip=0")
        told = batchgen("run", manifest, "--sandbox")

    assert (done.out, done.err) == ("", "")
    assert told.code == 75
    assert "in use by process" in told.err


def test_log_json_in_a_manifest_decides_what_a_log_looks_like(tmp_path: Path) -> None:
    """On stderr, or in the file that --log-file names; also from the first line on."""
    manifest, log = tmp_path / "m.yaml", tmp_path / "m.log"
    manifest.write_text(MESSAGES.format("log_json: true"))

    on_stderr = ran(manifest)
    in_file = ran(manifest, "--fresh", "--log-file", str(log))

    assert all("ts" in json.loads(line) for line in on_stderr.err.splitlines())
    assert all("ts" in json.loads(line) for line in log.read_text().splitlines())
    assert in_file.err.startswith("batchgen: ")


def test_log_json_in_a_manifest_holds_for_errors_too(tmp_path: Path) -> None:
    """A row that is wrong is found after the settings are known."""
    manifest = tmp_path / "m.yaml"
    manifest.write_text("prompts: [{prompt: a, scale: 2}]\nrun: {log_json: true}\n")

    done = batchgen("run", manifest, "--sandbox")

    assert done.code == 65
    assert "scale: 2 is above" in json.loads(done.err)["error"]


def test_a_json_manifest_has_the_same_settings(tmp_path: Path) -> None:
    """`run:` and `run_dir` of a JSON object, as those of YAML."""
    manifest = tmp_path / "m.json"
    content = {"prompts": ["a fox"], "run": {"quiet": True}, "run_dir": "runs/{{ date }}"}
    manifest.write_text(json.dumps(content))

    done = ran(manifest, "--date", "2026-11-22")

    assert (done.out, done.err) == ("", "")
    assert (tmp_path / "runs/2026-11-22.sandbox/ledger.jsonl").exists()


def test_the_settings_of_a_manifest_on_stdin_count_too(tmp_path: Path) -> None:
    """It can be read only once, so they count from then on."""
    words = command("run", "-", "--format", "yaml", "--run-dir", tmp_path / "x", "--sandbox")

    done = subprocess.run(
        words, input=MESSAGES.format("quiet: true"), env=environment(), capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
