"""Control characters from an API, a manifest or a file name: never on a terminal or in a log."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from batchgen.cli import main
from batchgen.reports.terminal import visible
from tests.kit.ledger_view import states
from tests.kit.lying_api import TOKEN, LyingAPI, json_reply, lying_api

HOSTILE = "\x1b[31m\x1b]0;title\x07\x9b2J\x9d8;;x\x9c\x7f\u202eevil\u2066\u200b\ufeff\u2028\x08\r"
"""ESC, OSC, C1, DEL, marks that turn text around or are not seen, line ends."""
SAFE_HOSTILE = "\u202eevil\u2066\u200b\ufeff"
"""Of these, what an id may hold: it is neither a line break nor a control character."""

HARMFUL = ("Cc", "Cf", "Zl", "Zp")


def hostile_api(api: LyingAPI) -> None:
    """Make every text of the API hostile; jobs are refused, fail, hang, cost and download."""

    def submit(about: str) -> bytes:
        error = {"error_code": 422001, "error_message": HOSTILE, "detail": {HOSTILE: HOSTILE}}
        if about == "refused":
            return json_reply(error, status=422)
        if about == "doubt":
            return json_reply({"error": {"code": HOSTILE, "message": HOSTILE}}, status=500)
        return json_reply({"request_id": f"rid-{about}", "status": HOSTILE})

    def status(about: str) -> bytes:
        return json_reply({"status": HOSTILE if about == "unknown" else "completed"})

    def result(about: str) -> bytes:
        if about == "failed":
            error = {"code": HOSTILE, "message": HOSTILE, HOSTILE: 1}
            return json_reply({"status": "failed", "error": error, "cost": HOSTILE})
        if about == "unknown":
            return json_reply({"status": HOSTILE})
        url = f"http://127.0.0.1/{HOSTILE}" if about == "url" else api.output(about)
        return json_reply({"status": "succeeded", "output": {HOSTILE: url}, "cost": 0.03})

    def entry(_: str) -> bytes:
        return json_reply(_entry())

    api.lies |= {"submit": submit, "status": status, "result": result, "entry": entry}
    api.lies["list"] = lambda _: json_reply({"models": [_entry()], "total": 1})
    api.lies["cancel"] = lambda _: json_reply({"error": HOSTILE, "outcome": HOSTILE}, status=500)


def _entry() -> dict[str, object]:
    prompt = {"type": "string", "title": HOSTILE, "description": HOSTILE, "default": HOSTILE}
    size = {"type": "string", "enum": [HOSTILE, "a"], HOSTILE: HOSTILE}
    return {
        "model_id": "bytedance/dreamina-4-0/text-to-image", "display_name": HOSTILE,
        "categories": [HOSTILE], "price_unit": "output", "base_price_usd": 0.03,
        "pricing_note": HOSTILE, "model_url": HOSTILE,
        "input_schema": {"type": "object", "properties": {"prompt": prompt, HOSTILE: size}},
    }  # fmt: skip


COMMANDS = [
    ["check", "M"], ["run", "M", "--dry-run"], ["run", "M", "--dry-run", "--json"],
    ["run", "M", "--job-timeout", "1s", "--log-file", "plain.log"],
    ["run", "M", "--job-timeout", "1s", "--log-file", "json.log", "--log-json"],
    ["run", "M", "--job-timeout", "1s", "--log-json", "-v"],
    ["run", "M", "--job-timeout", "1s", "--json", "--quiet"],
    ["status", "M"], ["status", "M", "--json"], ["report", "M"], ["runs", "M"],
    ["ledger", "verify", "M", "--files"], ["ledger", "show", "M"],
    ["ledger", "show", "M", "--json"],
    *(["ledger", "show", "M", "--job", f"{name}{SAFE_HOSTILE}", *more]
      for name in ("refused", "failed", "url", "good") for more in ([], ["--json"])),
    ["ledger", "show", "M", "--job", HOSTILE], ["ledger", "repair", "M"],
    ["resolve", "M", "--job", HOSTILE, "--give-up"], ["run", "M", "--job", HOSTILE],
    ["resolve", "M", "--job", f"doubt{SAFE_HOSTILE}", "--request-id", "other"],
    ["cancel", "M"], ["retry", "M", "--job-timeout", "1s"],
    ["run", "M", "--select", f"{HOSTILE} = {HOSTILE}"], ["run", "M", "--model", HOSTILE],
    ["models"], ["models", "--json"], ["models", "bytedance/dreamina-4-0/text-to-image"],
    ["models", "bytedance/dreamina-4-0/text-to-image", "--json"], ["models", HOSTILE],
    ["init", "--model", "bytedance/dreamina-4-0/text-to-image", f"{SAFE_HOSTILE}.yaml"],
]  # fmt: skip
BAD_MANIFESTS = {
    "keys": f"{json.dumps(HOSTILE)}: 1\nrun: {{{json.dumps(HOSTILE)}: 1}}\nprompts: [a]\n",
    "values": "\n".join(
        f"{key}: {json.dumps(HOSTILE)}"
        for key in ("model", "repeat", "schema", "sheet", "run_dir", "prompts", "template")
    ),
    "file": f"prompts: [{{file: {json.dumps(HOSTILE)}}}]\n",
    "prompt": f"prompts: [{json.dumps(HOSTILE)}]\nmatrix: {{{json.dumps(HOSTILE)}: [a]}}\n",
    "select": f"run: {{select: {json.dumps(HOSTILE)}, max_cost: {json.dumps(HOSTILE)}}}\n",
    "tag": f"prompts: !<{HOSTILE.encode('unicode_escape').decode()}> [a]\n",
}


def harmful(text: str) -> list[str]:
    """Return what a terminal would act upon or not show."""
    return [
        f"U+{ord(char):04X} in {text[max(0, at - 40) : at + 20]!r}"
        for at, char in enumerate(text)
        if unicodedata.category(char) in HARMFUL and char != "\n"
    ]


@pytest.fixture
def quiet_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a hostile manifest in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RUNCOMFY_TOKEN", TOKEN)
    return tmp_path


def test_no_command_prints_or_logs_a_control_character(
    quiet_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command, over an API and a manifest in which every text is hostile."""
    names = ("refused", "doubt", "failed", "unknown", "url", "good")
    rows = [f'{name}{SAFE_HOSTILE},{name},"{HOSTILE}"' for name in names]
    manifest = quiet_home / f"m{SAFE_HOSTILE}.csv"
    header = f'id,prompt,"note{SAFE_HOSTILE}"'
    manifest.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8", newline="")
    found: dict[str, list[str]] = {}
    seen = []

    with lying_api() as api:
        hostile_api(api)
        monkeypatch.setenv("RUNCOMFY_MODEL_API_BASE", f"{api.origin}/v1")
        for command in COMMANDS:
            words = [manifest.name if word == "M" else word for word in command]
            if command[0] == "run" and "--model" not in words:
                words += ["--model", "bytedance/dreamina-4-0/text-to-image"]
            code = main(words)
            out, err = capsys.readouterr()
            assert code != 70, err
            assert out + err or "--quiet" in words, words
            seen.append((words, code, out[:300], err[:300]))
            if bad := harmful(out + err):
                found[" ".join(command)] = bad
    for log in ("plain.log", "json.log"):
        text = Path(log).read_text(encoding="utf-8")
        assert text
        if bad := harmful(text):
            found[log] = bad

    assert not found
    run_dir = quiet_home / f"m{SAFE_HOSTILE}.run"
    assert set(states(run_dir).values()) >= {"failed", "in_doubt", "downloaded", "completed"}


@pytest.mark.parametrize("text", BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
@pytest.mark.parametrize("command", ["check", "run", "status", "runs"])
def test_messages_about_a_hostile_manifest_have_no_control_character(
    quiet_home: Path, capsys: pytest.CaptureFixture[str], command: str, text: str
) -> None:
    """Whatever is wrong in it is quoted without harm, as text and as JSON."""
    path = quiet_home / f"m{SAFE_HOSTILE}.yaml"
    path.write_text(text, encoding="utf-8")

    for more in ([], ["--json"] if command in ("run", "status") else []):
        code = main([command, path.name, *more])
        out, err = capsys.readouterr()
        assert code != 70, err
        assert not harmful(out + err)


@pytest.mark.parametrize(
    "text", ["👨\u200d👩\u200d👧", "क्\u200dष", "می\u200cخواهم", "naïve · 東京", "e\u0301"]
)
def test_letters_and_emoji_that_are_joined_are_shown_as_they_are(text: str) -> None:
    """Joiners between visible characters hide nothing."""
    assert visible(text) == text


@pytest.mark.parametrize("text", ["a\u200db", "\u200da", "é\u200d\u200d\u200dx", "é\u200d"])
def test_joiners_that_join_nothing_are_not_shown(text: str) -> None:
    """They would only make two names look the same."""
    assert visible(text).count("\u200d") <= (1 if "x" in text else 0)
