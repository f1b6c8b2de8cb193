"""The texts that tell cron, systemd and launchd when to run a batch.

Each of the three has rules of its own about quotes and special characters. All texts here are made
from the same words, so that all three start the same program with the same arguments.
"""

from __future__ import annotations

import hashlib
import plistlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from batchgen.core.schedule_times import DAYS, ClockTime

MAX_CRON_CHARACTERS = 990
"""Classic cron cuts a longer command off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A command that is started at a time of some days."""

    at: ClockTime
    days: tuple[int, ...] = tuple(range(7))
    words: tuple[str, ...]
    """The program with its arguments; every path is absolute."""
    environment: Mapping[str, str]
    """What the program needs to know and an empty environment does not tell; no secrets."""
    manifest: str
    """An absolute path, or an address."""

    @property
    def name(self) -> str:
        """The name of its units: two manifests never share one, and it is valid everywhere."""
        stem = re.sub(r"[^A-Za-z0-9_]+", "-", PurePath(self.manifest).stem).strip("-")[:40]
        digest = hashlib.sha256(self.manifest.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        return f"batchgen-{stem}-{digest}" if stem else f"batchgen-{digest}"

    @property
    def days_text(self) -> str:
        """The days, for people."""
        return "every day" if len(self.days) == 7 else ", ".join(DAYS[day] for day in self.days)


def unquotable(schedule: Schedule) -> str:
    """Return what no scheduler can be told; empty if there is nothing.

    A line of a table ends at a line break, whatever is done about quotes.
    """
    texts = (*schedule.words, *schedule.environment.values())
    for text in texts:
        if any(char in text for char in "\n\r\0"):
            return f"{text!r} has a line break in it, which no schedule can hold; rename it"
    return ""


def crontab_line(schedule: Schedule) -> str:
    """Return the line. Raises ValueError with a sentence for what cron cannot be told.

    Cron takes `%` for a line break unless a backslash stands before it, also between quotes.
    """
    assignments = [f"{key}={shlex.quote(value)}" for key, value in schedule.environment.items()]
    command = " ".join((*assignments, shlex.join(schedule.words)))
    if "\\\\" in command or "\\%" in command:
        raise ValueError(
            "a backslash before % or before another backslash means different things to different"
            " versions of cron; rename the file, or use --systemd or --launchd"
        )
    command = command.replace("%", "\\%")
    days = "*" if len(schedule.days) == 7 else ",".join(map(str, schedule.days))
    return f"{schedule.at.minute} {schedule.at.hour} * * {days} {command}"


def systemd_service(schedule: Schedule, *, directory: str) -> str:
    """Return the text of the service; 75, which means that something is left, is not a failure."""
    environment = "".join(
        f"Environment={_systemd_word(f'{key}={value}', is_command=False)}\n"
        for key, value in schedule.environment.items()
    )
    command = " ".join(_systemd_word(word) for word in schedule.words)
    return (
        f"[Unit]\nDescription={_specifiers(_plain(schedule.manifest))}, run by batchgen\n\n"
        f"[Service]\nType=oneshot\nWorkingDirectory={_specifiers(directory)}\n{environment}"
        f"ExecStart={command}\nSuccessExitStatus=75\nTimeoutStopSec=30\n"
    )


def systemd_timer(schedule: Schedule) -> str:
    """Return the text of the timer; a night when the machine was off is made up for."""
    names = ",".join(DAYS[day].capitalize() for day in schedule.days)
    days = "" if len(schedule.days) == 7 else f"{names} "
    return (
        f"[Unit]\nDescription={_specifiers(_plain(schedule.manifest))}, at {schedule.at}\n\n"
        f"[Timer]\nOnCalendar={days}*-*-* {schedule.at}:00\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def _systemd_word(word: str, *, is_command: bool = True) -> str:
    """Return a word in quotes; `%` begins a specifier, and in a command `$` begins a variable."""
    quoted = word.replace("\\", "\\\\").replace('"', '\\"')
    quoted = _specifiers(quoted).replace("\t", "\\t")
    return f'"{quoted.replace("$", "$$") if is_command else quoted}"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _plain(text: str) -> str:
    """Return a text for a description, which is not quoted."""
    return "".join(char if char.isprintable() else "?" for char in text).rstrip("\\")


def launchd_plist(schedule: Schedule, *, directory: str, log: str) -> bytes:
    """Return the property list; launchd starts what was missed while the machine slept."""
    moment = {"Hour": schedule.at.hour, "Minute": schedule.at.minute}
    days = schedule.days
    moments = [moment] if len(days) == 7 else [{**moment, "Weekday": day} for day in days]
    return plistlib.dumps(
        {
            "Label": schedule.name,
            "ProgramArguments": list(schedule.words),
            "EnvironmentVariables": dict(schedule.environment),
            "WorkingDirectory": directory,
            "StartCalendarInterval": moments,
            "StandardOutPath": log,
            "StandardErrorPath": log,
        },
        sort_keys=False,
    )
