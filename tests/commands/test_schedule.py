"""`batchgen schedule`: what it prints is read as cron, sh, systemd and launchd read it."""

from __future__ import annotations

import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.core.schedule_times import ClockTime, parse_days
from batchgen.reports.schedule_texts import (
    Schedule,
    crontab_line,
    launchd_plist,
    systemd_service,
    systemd_timer,
)
from tests.kit import MODEL

ODD_NAMES = ["it's 50%.csv", "a\\b $HOME.csv"]
MORE_NAMES = ["a b.csv", 'a"b.csv', "ä#;&.csv", "-x.csv"]


def schedule(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a directory, with this environment alone."""
    given_ = {"HOME": str(home), "LANG": "C.UTF-8", "PATH": os.environ["PATH"], **environment}
    return subprocess.run(
        [sys.executable, "-m", "batchgen", "schedule", *words], cwd=home, env=given_,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def command_of(line: str) -> str:
    """Return what cron hands to sh: everything behind the fifth field, `\\%` as `%`."""
    command = line.split(" ", 5)[5]
    assert not re.search(r"(?<!\\)%", command), "cron takes a bare % for a line break"
    return command.replace("\\%", "%")


def run_as_cron(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line as cron does: no environment, no terminal, from the root directory."""
    return subprocess.run(
        ["/bin/sh", "-c", command_of(line)], cwd="/", env={}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*ODD_NAMES, *(pytest.param(one, marks=pytest.mark.slow) for one in MORE_NAMES)]
)
def test_the_line_runs_in_an_empty_environment(tmp_path: Path, name: str) -> None:
    """It is the only line on stdout, runs the batch, says nothing, and resumes the next night."""
    home = tmp_path / "my home"
    home.mkdir()
    (home / name).write_text("id,prompt\na,a lake\n")
    manifest = f"./{name}"
    done = schedule(home, "--at", "2:30", manifest, "--model", MODEL, "--sandbox", "--run-dir", "r")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("30 2 * * * ")

    for _ in range(2):
        ran = run_as_cron(line)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (home / "r.sandbox" / "results.csv").exists()


def test_the_token_comes_from_a_file_and_is_not_in_the_line(tmp_path: Path) -> None:
    """`--env-file` is relative to the current directory and named by its whole path."""
    (tmp_path / "m.csv").write_text("id,prompt\na,a lake\n")
    (tmp_path / "env").write_text("# a comment\n\nexport RUNCOMFY_TOKEN='secret-token-1'\n")
    words = ["m.csv", "--at", "02:30", "--model", MODEL, "--env-file", "env"]
    there = ["--base-url", "http://127.0.0.1:9/v1", "--wait-for-api", "1s"]
    done = schedule(tmp_path, *words, *there)
    assert "secret-token-1" not in done.stdout + done.stderr
    assert f"--env-file {tmp_path}/env" in done.stdout
    assert "no token" not in done.stderr

    ran = run_as_cron(done.stdout.strip())
    assert ran.returncode == 69, ran.stderr  # it has the token, and nobody listens there
    (tmp_path / "env").write_text("OTHER=1\n")
    assert run_as_cron(done.stdout.strip()).returncode == 77


@pytest.mark.slow
def test_token_json_is_found_without_a_home(tmp_path: Path) -> None:
    """The line says where it is."""
    (tmp_path / "m.csv").write_text("id,prompt\na,a lake\n")
    config = tmp_path / "con fig" / "runcomfy"
    config.mkdir(parents=True)
    (config / "token.json").write_text('{"access_token": "secret-token-2"}')
    done = schedule(
        tmp_path, "m.csv", "--at", "02:30", "--model", MODEL, "--wait-for-api", "1s",
        XDG_CONFIG_HOME=str(config.parent), RUNCOMFY_MODEL_API_BASE="http://127.0.0.1:9/v1",
    )  # fmt: skip
    assert "secret" not in done.stdout
    assert run_as_cron(done.stdout.strip()).returncode == 69


@pytest.mark.parametrize(
    "environment", [{}, pytest.param({"RUNCOMFY_TOKEN": "secret-token-3"}, marks=pytest.mark.slow)]
)
def test_a_missing_token_is_said(tmp_path: Path, environment: dict[str, str]) -> None:
    """That of the shell is not there at night, and it is not put into the line."""
    (tmp_path / "m.csv").write_text("id,prompt\na,a lake\n")
    done = schedule(tmp_path, "m.csv", "--at", "02:30", "--model", MODEL, **environment)
    assert done.returncode == 0
    assert "add --env-file FILE" in done.stderr
    assert "secret" not in done.stdout + done.stderr


def test_a_wrong_manifest_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """With every error, as `check` reports them."""
    (tmp_path / "m.csv").write_text("id,prompt,scale\na,a lake,7\nb,,0.5\n")
    done = schedule(tmp_path, "m.csv", "--at", "02:30", "--model", MODEL, "--systemd", ".")
    assert done.returncode == 65
    assert "m.csv:2" in done.stderr
    assert "m.csv:3" in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.glob("batchgen-*"))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--at", "25:00"], "'25:00' is not a time of the day"),
        (["--at", "02:30", "--days", "mon-xyz"], "'mon-xyz' is not a day"),
        (["--at", "02:30", "--systemd", "missing"], "--systemd missing: is not a directory"),
        (["--at", "02:30", "--concurrency", "x"], "'x' is not a whole number"),
        (["--at", "02:30", "--log-file", "a\nb"], "has a line break in it"),
        ([], "--at"),
    ],
)
def test_wrong_flags(tmp_path: Path, words: list[str], text: str) -> None:
    """Those of `run` are refused as `run` refuses them."""
    (tmp_path / "m.csv").write_text("id,prompt\na,a lake\n")
    done = schedule(tmp_path, "m.csv", "--model", MODEL, *words)
    assert done.returncode == 64
    assert text in done.stderr
    assert done.stdout == ""


def test_stdin_cannot_be_scheduled(tmp_path: Path) -> None:
    """It is not there at night."""
    done = schedule(tmp_path, "-", "--format", "csv", "--run-dir", "r", "--at", "02:30")
    assert done.returncode == 64


def test_units_for_systemd(tmp_path: Path) -> None:
    """A second call writes the same bytes; each manifest has units of its own."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "50% off.csv").write_text("id,prompt\na,a lake\n")
        words = ["--at", "02:30", "--days", "mon-fri", "--model", MODEL, "--systemd", "."]
        for _ in range(2):
            done = schedule(tmp_path, f"{name}/50% off.csv", *words)
            assert done.returncode == 0, done.stderr
            assert "systemctl --user enable --now" in done.stdout
            seen = {path.name: path.read_bytes() for path in tmp_path.glob("batchgen-*")}
    assert len(seen) == 4
    timer = next(text for name, text in seen.items() if name.endswith(".timer")).decode()
    assert "OnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 02:30:00" in timer
    assert "Persistent=true" in timer
    service = next(text for name, text in seen.items() if name.endswith(".service")).decode()
    assert "SuccessExitStatus=75" in service
    if shutil.which("systemd-analyze"):
        units = [str(path) for path in sorted(tmp_path.glob("batchgen-*"))]
        verified = subprocess.run(
            ["systemd-analyze", "verify", "--user", *units], capture_output=True, text=True,
            check=False, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        )  # fmt: skip
        assert "batchgen-" not in verified.stderr


def test_a_property_list_for_launchd(tmp_path: Path) -> None:
    """One moment for each day, and the program with its words."""
    (tmp_path / "m.csv").write_text("id,prompt\na,a lake\n")
    words = ["--at", "02:30", "--days", "sat,sun", "--model", MODEL, "--launchd", "."]
    done = schedule(tmp_path, "m.csv", *words)
    assert done.returncode == 0
    assert "launchctl bootstrap" in done.stdout
    (path,) = tmp_path.glob("*.plist")
    found = plistlib.loads(path.read_bytes())
    assert [one["Weekday"] for one in found["StartCalendarInterval"]] == [0, 6]
    assert found["ProgramArguments"][4:6] == ["run", str(tmp_path / "m.csv")]
    assert found["Label"] == path.stem


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-fri", (1, 2, 3, 4, 5)),
        ("fri-mon", (0, 1, 5, 6)),
        ("sat,sun", (0, 6)),
        ("Monday, wed-thu", (1, 3, 4)),
        ("daily", (0, 1, 2, 3, 4, 5, 6)),
    ],
)
def test_days(text: str, days: tuple[int, ...]) -> None:
    """A range may go over the weekend."""
    assert parse_days(text) == days


texts = st.text(
    st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), min_size=1, max_size=20
)
STUB = ("/bin/sh", "-c", 'printf "%s\\0" "$@"', "stub")


@settings(max_examples=40, deadline=None)
@given(st.lists(texts, max_size=4))
def test_any_words_arrive_through_cron_and_sh(words: list[str]) -> None:
    """Whatever a path has in it, the program gets exactly that, or the line is refused."""
    planned = Schedule(
        at=ClockTime(2, 30), words=(*STUB, *words), environment={"A": "".join(words)}, manifest="/m"
    )
    try:
        line = crontab_line(planned)
    except ValueError:
        assert "\\" in "".join(words)
        return
    seen = subprocess.run(["/bin/sh", "-c", command_of(line)], env={}, capture_output=True,
        check=True)  # fmt: skip
    assert seen.stdout == b"".join(word.encode() + b"\0" for word in words) or not words


@given(st.lists(texts, min_size=1, max_size=4), texts)
def test_any_words_stay_what_they_are_in_units(words: list[str], manifest: str) -> None:
    """Read as systemd reads quotes, specifiers and variables, and as plistlib reads a list."""
    planned = Schedule(
        at=ClockTime(0, 0), words=tuple(words), environment={}, manifest=f"/{manifest}"
    )
    service = systemd_service(planned, directory="/")
    (line,) = (one for one in service.split("\n") if one.startswith("ExecStart="))
    found = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    back = [re.sub(r"\\(.)", lambda m: {"t": "\t"}.get(m[1], m[1]), one.replace("%%", "%")
        .replace("$$", "$")) for one in found]  # fmt: skip
    assert back == words
    assert re.fullmatch(r"batchgen-[A-Za-z0-9_-]+", planned.name)
    assert len(systemd_timer(planned).splitlines()) == 9


def test_control_characters_in_a_plist_are_refused() -> None:
    """XML has no way to write them; the error is a sentence."""
    planned = Schedule(at=ClockTime(0, 0), words=("a\x01",), environment={}, manifest="/m")
    with pytest.raises(ValueError, match="control character"):
        launchd_plist(planned, directory="/", log="/l")


def test_shlex_splits_the_line_like_sh(tmp_path: Path) -> None:
    """A person who reads the line sees absolute paths and `--quiet`."""
    (tmp_path / "m.csv").write_text("id,prompt\na,a lake\n")
    done = schedule(tmp_path, "m.csv", "--at", "02:30", "--model", MODEL, "--log-file", "l.txt")
    words = shlex.split(command_of(done.stdout.strip()))
    assert "--quiet" in words
    assert words[words.index("--log-file") + 1] == str(tmp_path / "l.txt")
    assert words[words.index("run") + 1] == str(tmp_path / "m.csv")
