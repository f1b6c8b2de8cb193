"""Runs over hours and days, in virtual time: time limits, budgets of a day, dated directories."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.kit import MODEL
from tests.kit.live import batchgen, prompts
from tests.kit.world import DAY_S, World

HOUR_S = 3600.0


@pytest.fixture
def world() -> World:
    """An API in memory, whose jobs take ten seconds."""
    return World()


def test_a_run_submits_each_row_once(world: World, tmp_path: Path) -> None:
    """And the same command has nothing left to do."""
    manifest = prompts(tmp_path / "m.csv", 5)

    first = world.batchgen("run", manifest, "--no-download")
    again = world.batchgen("run", manifest, "--no-download")

    assert (first.code, again.code) == (0, 0), first.err
    assert set(world.api.posts.values()) == {1}
    assert len(world.api.posts) == 5


def test_a_job_that_outlasts_its_timeout_is_collected_later(world: World, tmp_path: Path) -> None:
    """The run gives up waiting, not the job: nothing is paid for a second time."""
    world.api.duration_s = 2 * HOUR_S
    manifest = prompts(tmp_path / "m.csv", 1)

    first = world.batchgen("run", manifest, "--no-download", "--job-timeout", "30m")

    assert first.code == 75, first.err
    assert 0.5 * HOUR_S <= world.elapsed_s < 0.6 * HOUR_S
    world.sleep(3 * HOUR_S)
    assert world.batchgen("run", manifest, "--no-download").code == 0
    assert set(world.api.posts.values()) == {1}


def test_a_run_ends_at_its_time_limit(world: World, tmp_path: Path) -> None:
    """With six hours for jobs of an hour, one at a time, six are done and the rest is left."""
    world.api.duration_s = HOUR_S
    manifest = prompts(tmp_path / "m.csv", 10)
    limits = ("--concurrency", "1", "--max-runtime", "6h", "--job-timeout", "5h")

    done = world.batchgen("run", manifest, "--no-download", *limits)

    assert done.code == 75
    assert world.elapsed_s <= 6.1 * HOUR_S
    assert 5 <= len(world.api.posts) <= 7


def test_a_budget_of_a_day_is_there_again_the_next_day(world: World, tmp_path: Path) -> None:
    """However often a run begins on one day."""
    manifest = prompts(tmp_path / "m.csv", 5)
    seen = []
    for _day in range(3):
        for _run in range(2):
            world.batchgen("run", manifest, "--no-download", "--max-cost", "0.06/day")
            seen.append(len(world.api.posts))
            world.sleep(60)
        world.sleep(DAY_S)

    assert seen == [2, 2, 4, 4, 5, 5]


def test_every_budget_knows_what_was_spent(world: World, tmp_path: Path) -> None:
    """Two budgets at once: the second one counts earlier runs just as the first does."""
    manifest = prompts(tmp_path / "m.csv", 5)
    budgets = ("--max-cost", "10/day", "--max-cost", "0.06")

    for _run in range(2):
        world.batchgen("run", manifest, "--no-download", *budgets)
        world.sleep(60)

    assert len(world.api.posts) == 2


def test_yesterdays_directory_is_continued_first(world: World, tmp_path: Path) -> None:
    """What was left by a time limit is done before today's rows, in the directory of its day."""
    prompts(tmp_path / "p.csv", 3)
    manifest = tmp_path / "m.yaml"
    manifest.write_text("run_dir: runs/{{ date }}\nprompts: {file: p.csv}\n", encoding="utf-8")

    first = world.batchgen("run", manifest, "--no-download", "--limit", "1")
    world.sleep(DAY_S)
    second = world.batchgen("run", manifest, "--no-download")

    assert (first.code, second.code) == (0, 0), second.err
    assert "still has work left; it is continued first" in second.err
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert sorted(world.api.posts.values()) == [2, 2, 2]  # each day its own three pictures


def test_an_earlier_directory_counts_the_rows_that_it_began_with(
    world: World, tmp_path: Path
) -> None:
    """In its results and in `runs`; rows that were added later are those of later directories."""
    prompts(tmp_path / "p.csv", 3)
    manifest = tmp_path / "m.yaml"
    manifest.write_text("run_dir: runs/{{ date }}\nprompts: {file: p.csv}\n", encoding="utf-8")

    world.batchgen("run", manifest, "--no-download", "--limit", "1")
    world.sleep(DAY_S)
    prompts(tmp_path / "p.csv", 5)
    world.batchgen("run", manifest, "--no-download", "--limit", "4")

    earlier, today = sorted((tmp_path / "runs").iterdir())
    for directory, expected in (
        (earlier, {"completed": 3}),
        (today, {"completed": 2, "pending": 3}),
    ):
        with (directory / "results.csv").open(encoding="utf-8") as file:
            assert Counter(row["state"] for row in csv.DictReader(file)) == expected
    listed = batchgen("runs", manifest, "--json", "--model", MODEL)
    found = [
        {state: count for state, count in one["states"].items() if count}
        for one in json.loads(listed.out)
    ]
    assert found == [{"completed": 3}, {"completed": 2, "pending": 3}]


@pytest.mark.parametrize(
    "stop",
    [
        ("--max-cost", "0.06"),
        ("--max-runtime", "25s", "--concurrency", "1"),
        ("--job-timeout", "3s"),
    ],
    ids=lambda words: words[0],
)
def test_the_advice_after_a_stop_resumes_that_directory_only(
    world: World, tmp_path: Path, stop: tuple[str, ...]
) -> None:
    """In a dated directory it names the date, so that it begins no other one after midnight."""
    prompts(tmp_path / "p.csv", 3)
    manifest = tmp_path / "m.yaml"
    manifest.write_text("run_dir: runs/{{ date }}\nprompts: {file: p.csv}\n", encoding="utf-8")

    first = world.batchgen("run", manifest, "--no-download", *stop)
    (directory,) = (tmp_path / "runs").iterdir()
    world.sleep(DAY_S)
    advised = first.err.rpartition("to resume, run: batchgen ")[2].split()
    again = world.batchgen(*advised[: advised.index("--date") + 2])

    assert (first.code, advised[-2:]) == (75, ["--date", directory.name])
    assert again.code in (0, 75)
    assert list((tmp_path / "runs").iterdir()) == [directory]


def test_the_advice_names_a_date_only_if_it_matters(world: World, tmp_path: Path) -> None:
    """Neither in a directory that is not dated nor if the command has a date already."""
    manifest = prompts(tmp_path / "m.csv", 3)
    dated = tmp_path / "m.yaml"
    dated.write_text("run_dir: runs/{{ date }}\nprompts: {file: m.csv}\n", encoding="utf-8")

    plain = world.batchgen("run", manifest, "--no-download", "--max-cost", "0.06")
    with_date = world.batchgen(
        "run", dated, "--no-download", "--max-cost", "0.06", "--date", "2026-11-22"
    )

    assert (plain.code, with_date.code) == (75, 75)
    assert (plain.err.count("--date"), with_date.err.count("--date")) == (0, 1)


def test_a_dry_run_prices_what_is_left(world: World, tmp_path: Path) -> None:
    """By the catalogue, without a POST and without a directory."""
    manifest = prompts(tmp_path / "m.csv", 5)

    done = world.batchgen("run", manifest, "--dry-run")

    assert done.code == 0
    assert "about $0.15" in done.out
    assert not world.api.posts
    assert not (tmp_path / "m.run").exists()
