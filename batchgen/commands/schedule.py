"""`batchgen schedule`: a crontab line, systemd units or a launchd plist; it installs nothing."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.loading import load
from batchgen.app.open_batch import open_newest
from batchgen.core.errors import LocalIOError, TokenMissing, UsageError
from batchgen.core.manifest_address import is_address
from batchgen.core.run_settings import SETTINGS
from batchgen.reports.schedule_texts import (
    MAX_CRON_CHARACTERS,
    Schedule,
    crontab_line,
    launchd_plist,
    systemd_service,
    systemd_timer,
    unquotable,
)
from batchgen.system import environment as machine
from batchgen.system.files import replace_file

OWN_FLAGS = ("--at", "--days", "--systemd", "--launchd", "--env-file")
"""Flags that are not passed on as they are; a word follows each."""
PATH_FLAGS = ("--run-dir", "--log-file", "--metrics-file")
CARRIED = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "TZ")
"""Variables that decide where the token and the data of the user are, and when a day ends."""


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Print a crontab line, or write units. Raises what `check` raises for a wrong manifest."""
    ref = BatchRef.of(args)
    if ref.is_stdin:
        raise UsageError("schedule needs a manifest that is still there at night; give a file")
    env_file = _env_file(args.env_file)
    with load(open_newest(ref, context, fresh=True).manifest) as loaded:
        loaded.require_valid(skip_invalid=args.skip_invalid)
    planned = _schedule(args, context, env_file)
    if fault := unquotable(planned):
        raise UsageError(fault)
    for note in _token_notes(context, env_file):
        context.console.say(note)
    if args.systemd is not None:
        _write_systemd(planned, args.systemd, context)
    if args.launchd is not None:
        _write_launchd(planned, args.launchd, context)
    if args.systemd is None and args.launchd is None:
        _print_crontab(planned, context)
    return 0


@dataclass(frozen=True, slots=True)
class _EnvFile:
    """The file of `--env-file`, with the names that it sets."""

    path: Path
    values: Mapping[str, str]


def _env_file(name: str | None) -> _EnvFile | None:
    if name is None:
        return None
    path = Path(name).absolute()
    return _EnvFile(path, machine.read_env_file(path))


def _schedule(
    args: argparse.Namespace, context: CommandContext, env_file: _EnvFile | None
) -> Schedule:
    ref = BatchRef.of(args)
    manifest = ref.manifest if ref.is_address else str(Path(ref.manifest).absolute())
    words = ["run", manifest, *_run_flags(args.words, args.manifest)]
    if "--quiet" not in words:
        words.append("--quiet")
    if env_file is not None:
        words += ["--env-file", str(env_file.path)]
    base = context.environment.get(machine.BASE_URL_VARIABLE)
    if base and args.base_url is None and not args.sandbox:
        words += ["--base-url", base]
    return Schedule(
        at=args.at, days=args.days, words=(sys.executable, "-P", "-m", "batchgen", *words),
        environment=dict(_carried(context)), manifest=manifest,
    )  # fmt: skip


def _run_flags(words: Sequence[str], manifest: str) -> Iterator[str]:
    """Yield the flags of `run` as they were given, paths among them as absolute ones."""
    rest = iter(words[words.index("schedule") + 1 :])
    is_manifest_left = True
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag in OWN_FLAGS:
            if not equals:
                next(rest, None)
        elif word.startswith("-") and word != "-":
            takes_value = _takes_value(flag)
            if takes_value and not equals:
                equals, value = "=", next(rest, "")
            if flag in PATH_FLAGS:
                value = str(Path(value).absolute())
            yield flag
            if takes_value:
                yield value
        elif word == manifest and is_manifest_left:
            is_manifest_left = False


def _takes_value(flag: str) -> bool:
    row = SETTINGS.get(flag.removeprefix("--").replace("-", "_"))
    return row is not None and bool(row.metavar)


def _carried(context: CommandContext) -> Iterator[tuple[str, str]]:
    """Yield what an empty environment would not tell the program."""
    for name in CARRIED:
        if value := context.environment.get(name):
            yield name, value
    token_file = machine.token_file(context.environment)
    if token_file is not None:
        yield "RUNCOMFY_CONFIG_DIR", str(token_file.parent.absolute())
    package = str(Path(__file__).parents[2])
    if package not in sys.path[1:]:  # it is found only because of the current directory
        yield "PYTHONPATH", package


def _token_notes(context: CommandContext, env_file: _EnvFile | None) -> Iterator[str]:
    names = machine.TOKEN_VARIABLES
    if env_file is not None and any(env_file.values.get(name) for name in names):
        return
    if machine.token_file(context.environment) is not None:
        return
    try:
        context.token()
        known = "the token of this shell is not in the schedule: "
    except TokenMissing:
        known = "no token was found: "
    yield (f"{known}put it into a file of your own as RUNCOMFY_TOKEN=..., and add --env-file FILE")


def _print_crontab(planned: Schedule, context: CommandContext) -> None:
    try:
        line = crontab_line(planned)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if len(line) > MAX_CRON_CHARACTERS:
        context.console.say(
            f"the line has {len(line):,} characters, and some versions of cron cut off what is"
            " behind 1,000; move flags to run: in the manifest, or use --systemd"
        )
    context.console.print_lines(line)
    context.console.say(f"runs {planned.days_text} at {planned.at}; to install it: crontab -e")
    context.console.say("cron mails what the run prints, which is nothing if all goes well")


def _directory(name: Path, flag: str) -> Path:
    path = name.absolute()
    if not path.is_dir():
        raise UsageError(f"{flag} {name}: is not a directory that exists")
    return path


def _write_systemd(planned: Schedule, name: Path, context: CommandContext) -> None:
    directory = _directory(name, "--systemd")
    service = directory / f"{planned.name}.service"
    timer = directory / f"{planned.name}.timer"
    _write(service, systemd_service(planned, directory=_home_of(planned)))
    _write(timer, systemd_timer(planned))
    context.console.print_lines(
        f"# written: {service} and {timer}",
        f"systemctl --user link {shlex.quote(str(service))}",
        f"systemctl --user enable --now {shlex.quote(str(timer))}",
        "# so that it runs while you are not logged in:",
        "loginctl enable-linger",
    )


def _write_launchd(planned: Schedule, name: Path, context: CommandContext) -> None:
    directory = _directory(name, "--launchd")
    path = directory / f"{planned.name}.plist"
    home = planned.environment.get("HOME")
    log = str(Path(home, "Library", "Logs", f"{planned.name}.log")) if home else "/dev/null"
    try:
        text = launchd_plist(planned, directory=_home_of(planned), log=log).decode()
    except ValueError:
        raise UsageError(
            "a property list can hold no control characters; rename the file"
        ) from None
    _write(path, text)
    context.console.print_lines(
        f"# written: {path}", f"launchctl bootstrap gui/$(id -u) {shlex.quote(str(path))}"
    )


def _home_of(planned: Schedule) -> str:
    """Return the directory of the manifest, or that of the user for one at an address."""
    if is_address(planned.manifest):
        return planned.environment.get("HOME", "/")
    return str(Path(planned.manifest).parent)


def _write(path: Path, text: str) -> None:
    """Write a unit. Raises `LocalIOError`."""
    if path.is_dir():
        raise LocalIOError(f"{path}: is a directory")
    replace_file(path, lambda file: file.write(text))
