"""The keywords of `Batch` are the flags of `run`: the same names, the same values."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from batchgen.app.batch_ref import BatchRef
from batchgen.cli.parser import build_parser
from batchgen.core.run_settings import SETTINGS, given_flags, merge
from batchgen.python.keywords import GivenKeywords, Keywords

AS_TYPED: dict[str, tuple[object, list[str]]] = {
    "run_dir": (Path("a b"), ["--run-dir", "a b"]),
    "model": ("a/b", ["--model", "a/b"]),
    "params": ({"scale": 0.5, "on": True, "ids": [1, 2]},
               ["--param", "scale=0.5", "--param", "on=true", "--param", "ids=[1, 2]"]),
    "columns": ({"prompt": "Text"}, ["--column", "prompt=Text"]),
    "format": ("csv", ["--format", "csv"]),
    "encoding": ("cp1252", ["--encoding", "cp1252"]),
    "sheet": ("A", ["--sheet", "A"]),
    "header_row": (3, ["--header-row", "3"]),
    "drop": (["x", "y"], ["--drop", "x", "--drop", "y"]),
    "include_hidden": (True, ["--include-hidden"]),
    "select": ("style = oil", ["--select", "style = oil"]),
    "assets": ("s3://b/p", ["--assets", "s3://b/p"]),
    "shard": ("1/2", ["--shard", "1/2"]),
    "allow_outside": (True, ["--allow-outside"]),
    "sandbox": (True, ["--sandbox"]),
    "base_url": ("http://127.0.0.1:1", ["--base-url", "http://127.0.0.1:1"]),
    "env_file": (Path("e"), ["--env-file", "e"]),
    "limit": (5, ["--limit", "5"]),
    "job": ("a", ["--job", "a"]),
    "skip_invalid": (True, ["--skip-invalid"]),
    "changed": ("keep", ["--changed", "keep"]),
    "asset_expiry": (dt.timedelta(hours=2), ["--asset-expiry", "2h"]),
    "concurrency": (3, ["--concurrency", "3"]),
    "rate": (0.00001, ["--rate", "0.00001"]),
    "wait_for_api": ("2m", ["--wait-for-api", "2m"]),
    "job_timeout": (90.5, ["--job-timeout", "90.5"]),
    "dry_run": (True, ["--dry-run"]),
    "max_cost": (["20/day", 100], ["--max-cost", "20/day", "--max-cost", "100"]),
    "max_cost_by": ({"client": "20/month"}, ["--max-cost-by", "client=20/month"]),
    "assume_price": (0.04, ["--assume-price", "0.04"]),
    "max_attempts": (2, ["--max-attempts", "2"]),
    "in_doubt": ("resubmit", ["--in-doubt", "resubmit"]),
    "max_runtime": ("6h", ["--max-runtime", "6h"]),
    "max_failures": ("5%", ["--max-failures", "5%"]),
    "on_interrupt": ("cancel", ["--on-interrupt", "cancel"]),
    "no_download": (True, ["--no-download"]),
    "sidecar": (True, ["--sidecar"]),
    "repair": (True, ["--repair"]),
    "engine": ("ray", ["--engine", "ray"]),
    "download_workers": (2, ["--download-workers", "2"]),
    "ray_address": ("auto", ["--ray-address", "auto"]),
    "date": (dt.date(2026, 11, 22), ["--date", "2026-11-22"]),
    "fresh": (True, ["--fresh"]),
    "new_ledger": (True, ["--new-ledger"]),
    "if_locked": ("wait=10m", ["--if-locked", "wait=10m"]),
    "quiet": (True, ["--quiet"]),
    "verbose": (2, ["-vv"]),
    "json": (True, ["--json"]),
    "log_json": (True, ["--log-json"]),
    "log_file": (Path("l"), ["--log-file", "l"]),
    "log_max": ("10MB", ["--log-max", "10MB"]),
    "serve": (True, ["--serve"]),
    "ping": ("https://p.example/x", ["--ping", "https://p.example/x"]),
    "notify": ("json://n.example", ["--notify", "json://n.example"]),
    "notify_on": ("always", ["--notify-on", "always"]),
    "metrics_file": (Path("f"), ["--metrics-file", "f"]),
}  # fmt: skip
"""For each keyword a value, and the words of a command line that say the same."""


def test_there_is_a_keyword_for_each_flag() -> None:
    """No more and no fewer; two are the plural of their flag."""
    plural = {"param": "params", "column": "columns"}

    assert set(Keywords.__annotations__) == {plural.get(key, key) for key in SETTINGS}
    assert set(AS_TYPED) == set(Keywords.__annotations__)


@pytest.mark.parametrize("name", AS_TYPED)
def test_a_keyword_means_what_its_flag_means(name: str) -> None:
    """The batch and the merged settings are equal to those of the command line."""
    value, words = AS_TYPED[name]
    args = build_parser().parse_args(["run", "m.csv", *words])

    given = GivenKeywords.of({name: value})

    assert given.batch("m.csv") == BatchRef.of(args)
    assert merge(given.flags(), {}) == merge(given_flags(vars(args)), {})
    assert (given.base_url, given.env_file and str(given.env_file)) == (
        args.base_url,
        args.env_file,
    )


@pytest.mark.parametrize("name", AS_TYPED)
def test_none_and_false_stand_for_a_flag_that_is_not_given(name: str) -> None:
    """A program can hand on what it was given itself."""
    args = build_parser().parse_args(["run", "m.csv"])
    values: list[Any] = [None, *([False] if AS_TYPED[name][0] is True else [])]

    for value in values:
        given = GivenKeywords.of({name: value})
        assert given.batch("m.csv") == BatchRef.of(args)
        assert given.flags() == {}
        assert given.words == ()


@pytest.mark.parametrize("name", [name for name in AS_TYPED if name not in ("ping", "notify")])
def test_the_command_that_does_the_same_is_told(name: str) -> None:
    """It is what a message says to resume with."""
    value, _ = AS_TYPED[name]
    given = GivenKeywords.of({name: value})
    args = build_parser().parse_args(["run", "m.csv", *given.words])

    assert given.batch("m.csv") == BatchRef.of(args)
    assert merge(given.flags(), {}) == merge(given_flags(vars(args)), {})


def test_the_addresses_of_news_are_in_no_command_line() -> None:
    """They are secrets, as on a real command line."""
    given = GivenKeywords.of({"ping": "https://p.example/x", "notify": "json://n.example"})

    assert given.command_line("m.csv") == "batchgen run m.csv"
