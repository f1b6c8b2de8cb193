"""A ledger that is not where it was: a disk that is not mounted, a directory that was moved."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.live import Done, Live, accepted, batchgen, live_sandbox, prompts

pytestmark = pytest.mark.slow

Run = Callable[..., Done]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Live]:
    """A server whose jobs take a moment."""
    with live_sandbox() as live:
        yield live


@pytest.fixture
def batch(tmp_path: Path, sandbox: Live) -> tuple[Path, Run]:
    """A manifest that ran, and the way to run commands on it."""
    manifest = prompts(tmp_path / "m.csv", 2)

    def run(command: str, *words: str | Path, **more: str) -> Done:
        name = tmp_path / words[0] if words and str(words[0]).endswith("csv") else manifest
        return batchgen(
            command, name, *(word for word in words if not str(word).endswith("csv")),
            sandbox=sandbox, HOME=str(tmp_path / "home"), **more,
        )  # fmt: skip

    return manifest, run


def paid(sandbox: Live) -> int:
    return sum(accepted(sandbox).values())


def test_a_ledger_that_is_gone_stops_a_run_before_it_pays(
    batch: tuple[Path, Run], sandbox: Live
) -> None:
    """Every command says why and what to do; with the directory back, the batch goes on."""
    manifest, run = batch
    run_dir = manifest.with_name("m.run")
    assert run("run").code == 0
    before = paid(sandbox)
    run_dir.rename(run_dir.with_name("unmounted"))

    for words in (("run",), ("run", "--dry-run"), ("retry",), ("status",), ("report",),
                  ("status", "--watch"), ("run", "--quiet")):  # fmt: skip
        done = run(*words)
        assert done.code == 65, words
        assert "Is the disk mounted?" in done.err
        assert "moved" in done.err
        assert "--run-dir" in done.err
        assert "--new-ledger" in done.err
        assert str(run_dir) in done.err
        assert not run_dir.exists()
    assert paid(sandbox) == before
    run_dir.mkdir()  # an empty mount point
    assert run("run").code == 65
    run_dir.rmdir()
    run_dir.with_name("unmounted").rename(run_dir)
    assert run("run").code == 0
    assert paid(sandbox) == before


def test_a_moved_directory_is_remembered_at_its_new_place(
    batch: tuple[Path, Run], sandbox: Live, tmp_path: Path
) -> None:
    """It goes on with `--run-dir`; both the old and the new place are missed from then on."""
    manifest, run = batch
    assert run("run").code == 0
    before = paid(sandbox)
    new = tmp_path / "disk" / "moved"
    shutil.move(manifest.with_name("m.run"), new)

    assert run("run", "--run-dir", new).code == 0
    old = run("run")
    assert old.code == 65
    assert f"--run-dir {new}" in old.err
    shutil.move(new, tmp_path / "gone")
    assert run("run", "--run-dir", new).code == 65
    assert paid(sandbox) == before


def test_a_new_ledger_is_begun_on_request(batch: tuple[Path, Run], sandbox: Live) -> None:
    """Every job is paid for again, and the new ledger is remembered in its turn."""
    manifest, run = batch
    assert run("run").code == 0
    before = paid(sandbox)
    shutil.rmtree(manifest.with_name("m.run"))

    assert run("run", "--new-ledger", "--no-download").code == 0
    assert paid(sandbox) == before + 2
    shutil.rmtree(manifest.with_name("m.run"))
    assert run("run").code == 65


def test_another_directory_is_another_batch(batch: tuple[Path, Run], tmp_path: Path) -> None:
    """A place in which there never was a ledger is not missed."""
    _, run = batch

    for name in ("a", "b"):
        assert run("run", "--run-dir", tmp_path / name, "--no-download").code == 0


@pytest.mark.parametrize("words", [("--sandbox",), ("--dry-run",)])
def test_what_pays_for_nothing_is_not_remembered(
    batch: tuple[Path, Run], tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A sandbox run can be removed and begun again, and so can a run that never paid."""
    _, run = batch

    for _ in range(2):
        assert run("run", *words).code == 0
        shutil.rmtree(tmp_path / "m.run.sandbox", ignore_errors=True)
        shutil.rmtree(tmp_path / "m.run", ignore_errors=True)
    assert not (tmp_path / "home" / ".local").exists()


def test_a_run_in_which_nothing_was_accepted_is_not_remembered(
    batch: tuple[Path, Run], tmp_path: Path
) -> None:
    """Its directory can be removed: nobody paid."""
    _, run = batch

    for _ in range(2):
        assert run("run", RUNCOMFY_TOKEN="wrong").code == 77
        shutil.rmtree(tmp_path / "m.run")
    assert run("run", "--no-download").code == 0


def test_dated_directories_are_missed_by_their_pattern(sandbox: Live, tmp_path: Path) -> None:
    """A new date is no reason to stop, a pattern without any ledger is."""
    prompts(tmp_path / "m.csv", 2)
    manifest = tmp_path / "night.yaml"
    manifest.write_text("run_dir: runs/{{ date }}\nprompts: {file: m.csv}\n", encoding="utf-8")

    def dated(*words: str) -> Done:
        return batchgen("run", manifest, *words, sandbox=sandbox, HOME=str(tmp_path / "home"))

    assert dated("--date", "2026-11-20").code == 0
    assert dated("--date", "2026-11-21").code == 0
    before = paid(sandbox)
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    for words in ((), ("--date", "2026-11-20"), ("--date", "2026-11-22"), ("--fresh",)):
        done = dated(*words)
        assert done.code == 65
        assert "{{ date }}" in done.err
    assert paid(sandbox) == before
    (tmp_path / "elsewhere").rename(tmp_path / "runs")
    assert dated("--date", "2026-11-22").code == 0


def _broken(path: Path) -> None:
    path.write_bytes(b"\xff\x00 not JSON")


def _of_a_later_version(path: Path) -> None:
    path.write_text('{"v": 2, "places": "elsewhere"}', encoding="utf-8")


def _a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [_broken, _of_a_later_version, _a_directory])
def test_a_file_that_cannot_be_used_stops_nothing(
    batch: tuple[Path, Run], tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """A damaged file, or one of a later version, is as if nothing were remembered."""
    manifest, run = batch
    assert run("run", "--no-download").code == 0
    (state,) = (tmp_path / "home" / ".local" / "state" / "batchgen" / "ledgers").iterdir()
    spoil(state)
    shutil.rmtree(manifest.with_name("m.run"))

    assert run("run", "--no-download").code == 0
    if spoil is _of_a_later_version:
        assert '"v": 2' in state.read_text(encoding="utf-8")


@pytest.mark.parametrize("place", ["", "/proc/nowhere", "relative", "file"])
def test_no_place_to_remember_stops_nothing(
    batch: tuple[Path, Run], tmp_path: Path, place: str
) -> None:
    """Without a home, or with one that cannot be written to."""
    manifest, run = batch
    (tmp_path / "file").touch()
    place = str(tmp_path / "file") if place == "file" else place

    for _ in range(2):
        done = run("run", "--no-download", XDG_STATE_HOME=place, XDG_CACHE_HOME=str(tmp_path))
        assert done.code == 0 or place in ("", "relative"), done.err
        shutil.rmtree(manifest.with_name("m.run"), ignore_errors=True)


def test_the_place_of_the_state_is_that_of_the_user(
    batch: tuple[Path, Run], tmp_path: Path
) -> None:
    """`$XDG_STATE_HOME/batchgen`: small, and with what it is about in plain text."""
    manifest, run = batch

    assert run("run", "--no-download", XDG_STATE_HOME=str(tmp_path / "state")).code == 0

    (state,) = (tmp_path / "state" / "batchgen" / "ledgers").iterdir()
    text = state.read_text(encoding="utf-8")
    assert str(manifest) in text
    assert str(manifest.with_name("m.run")) in text
    assert len(text) < 1000
    assert not (tmp_path / "home" / ".local").exists()
