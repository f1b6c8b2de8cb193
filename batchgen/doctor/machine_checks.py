"""This machine: versions, extras, the environment, and how it differs from that of cron."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import zip_longest

from batchgen import __version__
from batchgen.core.errors import TokenMissing
from batchgen.core.units import local_offset
from batchgen.doctor.finding import Finding, note, ok, warning
from batchgen.system.environment import TOKEN_VARIABLES, token_with_source

PACKAGE = "batchgen"
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:>=\s*(?P<least>[0-9.]+))?[^;]*"
    r"(?:;.*extra == ['\"](?P<extra>[a-z]+)['\"])?"
)
_EXTRAS = {
    "notify": "messages to people (--notify)",
    "stores": "outputs and inputs in a bucket",
    "ray": "downloads by other machines (--engine ray)",
}


def versions() -> Iterator[Finding]:
    """Yield the versions of program, Python and libraries; a library that is too old is a warning.

    An extra that is not installed is a note: a batch that needs it says so itself.
    """
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield ok("versions", f"batchgen {__version__}, {python}, {platform.platform(terse=True)}")
    try:
        required = requires(PACKAGE) or []
    except PackageNotFoundError:
        yield note("libraries", "batchgen is not installed as a package, so nothing names them")
        return
    found = [match for line in required if (match := _REQUIREMENT.match(line))]
    installed = {match["name"]: _version(match["name"]) for match in found}
    base = [match for match in found if match["extra"] is None]
    yield ok("libraries", ", ".join(f"{m['name']} {installed[m['name']]}" for m in base))
    for match in found:
        name, least, have = match["name"], match["least"] or "", installed[match["name"]]
        if match["extra"] in (None, *_EXTRAS) and have and _is_older(have, least):
            yield warning("libraries", f"{name} {have} is older than {least}, the oldest that is"
                " known to work", f"pip install --upgrade {name}")  # fmt: skip
    for match in found:
        if (extra := match["extra"] or "") in _EXTRAS:
            yield _extra(extra, match["name"], installed[match["name"]])


def _extra(extra: str, library: str, installed: str) -> Finding:
    if installed:
        return ok("extras", f"{extra}: {library} {installed}")
    advice = f"if you need it: pip install '{PACKAGE}[{extra}]'"
    return note("extras", f"{extra}: not installed; for {_EXTRAS[extra]}", advice)


def surroundings(environment: Mapping[str, str], now_s: float) -> Iterator[Finding]:
    """Yield what the environment lacks, and what that of cron would lack."""
    if not environment.get("HOME") and not environment.get("XDG_STATE_HOME"):
        yield warning(
            "environment",
            "neither HOME nor XDG_STATE_HOME is set: it cannot be noticed that a run directory with"
            " paid jobs is missing, and model descriptions are not cached",
            "set HOME in the crontab or the unit",
        )
    if sys.getfilesystemencoding().lower() != "utf-8":
        yield note("environment", "the locale is not UTF-8; names of files are UTF-8 all the same")
    yield ok("time zone", f"days and months of budgets end at midnight UTC{local_offset(now_s)}")
    if environment.get("BATCHGEN_NOTIFY") and not _version("apprise"):
        yield warning(
            "environment", "BATCHGEN_NOTIFY is set, and the extra that sends messages is missing:"
            " nobody would be told", f"pip install '{PACKAGE}[notify]'",
        )  # fmt: skip
    yield from _cron(environment)


def _cron(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Say what a job of cron would not find: it has hardly any variables."""
    advice = (
        "put KEY=VALUE lines in a file that only you can read, and schedule the run with"
        " --env-file FILE (batchgen schedule prints the line)"
    )
    try:
        _, source = token_with_source(environment)
    except TokenMissing:
        return
    if source in TOKEN_VARIABLES:
        yield note(
            "cron", f"the token is in {source} of this shell, which cron does not have", advice
        )
    others = sorted(
        name
        for name in environment
        if name.startswith(("BATCHGEN_", "RUNCOMFY_")) and name not in TOKEN_VARIABLES
    )
    if others:
        yield note("cron", f"cron does not have {', '.join(others)} of this shell either", advice)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _is_older(have: str, least: str) -> bool:
    """Compare two versions by the numbers that they begin with."""
    pairs = zip_longest(_numbers(have), _numbers(least), fillvalue=0)
    difference = next(((a, b) for a, b in pairs if a != b), (0, 0))
    return difference[0] < difference[1]


def _numbers(text: str) -> list[int]:
    return [int(part) for part in re.match(r"[0-9.]*", text)[0].split(".") if part]  # type: ignore[index]
