"""The environment: base URL, and tokens that cannot be used."""

from __future__ import annotations

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
