"""The environment: base URL, and tokens that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.core.errors import TokenMissing, UsageError
from batchgen.system.environment import api_base, token


def test_the_flag_wins_over_the_variable_and_that_over_the_default() -> None:
    """An empty variable counts as none."""
    variables = {"RUNCOMFY_MODEL_API_BASE": "https://b.example/v1"}

    assert "a.example" in str(api_base("https://a.example/v1", variables))
    assert "b.example" in str(api_base(None, variables))
    default = str(api_base(None, {}))
    assert "model-api.runcomfy.net" in default
    assert str(api_base(None, {"RUNCOMFY_MODEL_API_BASE": ""})) == default


@pytest.mark.parametrize(
    ("flag", "variables", "source"),
    [
        ("http://a.example/v1", {}, "--base-url"),
        (None, {"RUNCOMFY_MODEL_API_BASE": "http://a.example/v1"}, "RUNCOMFY_MODEL_API_BASE"),
    ],
)
def test_a_wrong_base_url_names_its_source(
    flag: str | None, variables: dict[str, str], source: str
) -> None:
    """The user must know what to correct."""
    with pytest.raises(UsageError, match=source):
        api_base(flag, variables)


@pytest.mark.parametrize("value", ["two words", "tab\tbed", "é", "nul\0"])
def test_a_token_with_odd_characters_is_refused_without_showing_it(value: str) -> None:
    """It would be an HTTP header; the message names the variable only."""
    with pytest.raises(TokenMissing, match="RUNCOMFY_TOKEN") as refused:
        token({"RUNCOMFY_TOKEN": value})

    assert value not in str(refused.value)


@pytest.mark.parametrize("length", range(1, 10))
def test_a_token_that_is_too_short_to_be_one_is_refused(tmp_path: Path, length: int) -> None:
    """It could not be kept out of messages, because any word may have it in it."""
    value = "t" * length
    (tmp_path / "token.json").write_text(f'{{"access_token": "{value}"}}')

    for environment in ({"RUNCOMFY_TOKEN": value}, {"RUNCOMFY_CONFIG_DIR": str(tmp_path)}):
        if length >= 8:
            assert token(environment).reveal() == value
        else:
            with pytest.raises(TokenMissing, match="fewer than 8 characters") as refused:
                token(environment)
            assert refused.value.exit_code == 77


@pytest.mark.parametrize("depth", [65, 500, 1_000, 100_000])
def test_a_nested_token_file_has_no_token(tmp_path: Path, depth: int) -> None:
    """As a file without one."""
    text = '{"access_token": ' + "[" * depth + "]" * depth + "}"
    (tmp_path / "token.json").write_text(text)

    with pytest.raises(TokenMissing, match="no token"):
        token({"RUNCOMFY_CONFIG_DIR": str(tmp_path)})
