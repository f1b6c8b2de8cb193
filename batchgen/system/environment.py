"""The environment of the process: base URL, token, cache directory. No other module reads it.

The token is read from where the vendor's own tools and pages put it, in this order:
`RUNCOMFY_TOKEN`, `YOUR_API_TOKEN` (the name in the samples of the model pages), and the
`token.json` that the vendor's command-line tool writes at login.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from batchgen.core.api_base import DEFAULT_BASE_URL, ApiBase, parse_base_url
from batchgen.core.errors import ManifestNotFound, TokenMissing, UsageError
from batchgen.core.json_reader import BadJSON, decode_json
from batchgen.core.secret import SHORTEST, Secret
from batchgen.system.clock import follow_time_zone

BASE_URL_VARIABLE = "RUNCOMFY_MODEL_API_BASE"
TOKEN_VARIABLES = ("RUNCOMFY_TOKEN", "YOUR_API_TOKEN")


def api_base(flag: str | None, environment: Mapping[str, str] = os.environ) -> ApiBase:
    """Return the API to use. Raises `UsageError`."""
    text = flag or environment.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
    try:
        return parse_base_url(text)
    except ValueError as error:
        source = "--base-url" if flag else BASE_URL_VARIABLE
        raise UsageError(f"{source}: {error}") from None


def token(environment: Mapping[str, str] = os.environ) -> Secret:
    """Return the token. Raises `TokenMissing`, which says where to put one."""
    return token_with_source(environment)[0]


def token_with_source(environment: Mapping[str, str] = os.environ) -> tuple[Secret, str]:
    """Return the token, and the variable or the file that has it. Raises as `token`."""
    for name in TOKEN_VARIABLES:
        if value := environment.get(name, "").strip():
            return _checked(value, name), name
    for path in _token_files(environment):
        if value := _access_token(path):
            return _checked(value, str(path)), str(path)
    raise TokenMissing(
        "no token: set RUNCOMFY_TOKEN (from runcomfy.com, your profile), or add --sandbox, which"
        " needs none"
    )


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the directory of the model cache; None if the environment names no place for it."""
    # A relative XDG_CACHE_HOME must be ignored (XDG base directory specification).
    if (given := environment.get("XDG_CACHE_HOME", "")) and Path(given).is_absolute():
        return Path(given) / "batchgen"
    home = environment.get("HOME")
    return Path(home) / ".cache" / "batchgen" if home else None


def state_directory(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the directory of what is remembered; None if the environment names no place for it."""
    if (given := environment.get("XDG_STATE_HOME", "")) and Path(given).is_absolute():
        return Path(given) / "batchgen"
    home = environment.get("HOME")
    return Path(home) / ".local" / "state" / "batchgen" if home else None


def _checked(value: str, source: str) -> Secret:
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise TokenMissing(
            f"{source}: the token contains a blank or a special character; copy it again"
        )
    if len(value) < SHORTEST:
        raise TokenMissing(
            f"{source}: the token has fewer than {SHORTEST} characters, so it is not a whole one;"
            " copy it again"
        )
    return Secret(value)


def token_file(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the `token.json` that has the token; None if no such file has one."""
    return next((path for path in _token_files(environment) if _access_token(path)), None)


def read_env_file(path: Path) -> dict[str, str]:
    """Return what a file with lines of the form KEY=VALUE says; `#` begins a comment line.

    Raises `ManifestNotFound` if it cannot be read, and `UsageError` with every line that is wrong.
    No value is in a message, because one of them is a token.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ManifestNotFound(f"--env-file {path}: {why}") from None
    found, wrong = {}, []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip().removeprefix("export ").strip()
        if not words or words.startswith("#"):
            continue
        key, equals, value = words.partition("=")
        if equals and _NAME.fullmatch(key.strip()) and "\0" not in value:
            found[key.strip()] = _unquoted(value.strip())
        else:
            wrong.append(f"{path}:{number}: the line is not of the form KEY=VALUE")
    if wrong:
        raise UsageError("\n".join(wrong))
    return found


def use_env_file(path: Path) -> None:
    """Add what a file says to the environment of this process. Raises as `read_env_file`.

    It may also say in which time zone days end.
    """
    os.environ.update(read_env_file(path))
    follow_time_zone()


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if is_quoted else value


def _token_files(environment: Mapping[str, str]) -> list[Path]:
    parts = {"RUNCOMFY_CONFIG_DIR": "", "XDG_CONFIG_HOME": "runcomfy", "HOME": ".config/runcomfy"}
    return [
        Path(directory, below, "token.json")
        for variable, below in parts.items()
        if (directory := environment.get(variable))
    ]


def _access_token(path: Path) -> str:
    try:
        payload = decode_json(path.read_bytes())
    except (OSError, BadJSON):
        return ""
    value = payload.get("access_token") if isinstance(payload, dict) else None
    return value.strip() if isinstance(value, str) else ""
