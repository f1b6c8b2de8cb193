"""`models` and `init`: what a person sees of the catalogue, and a manifest to begin with."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from batchgen.cli import main
from batchgen.core.api_base import DEFAULT_BASE_URL, parse_base_url
from batchgen.core.model_entry import ModelEntry, read_entry
from batchgen.manifest.header import BadRow
from batchgen.manifest.manifest import open_manifest
from batchgen.manifest.row_options import RowOptions
from batchgen.models.cache import CatalogueCache
from batchgen.models.registry import ModelRegistry
from batchgen.reports.manifest_starter import starter
from batchgen.sandbox import SandboxConfig
from batchgen.system.clock import SystemClock
from tests.kit import MODEL
from tests.kit.live import Live, live_sandbox

VIDEO = ModelEntry(
    model_id="maker/film/image-to-video",
    display_name="Film",
    categories=("image-to-video",),
    base_price_usd=0.1,
    price_unit="second",
    pricing_note="1080p costs more",
    input_schema={
        "required": ["prompt", "frames", "duration"],
        "properties": {
            "prompt": {"type": "string", "maxLength": 20, "default": "a sample of the page"},
            "frames": {
                "type": "array", "format": "image_uris", "minItems": 2, "maxItems": 10,
                "validations": [{"validation_error": "File size must be less than 30 MB."}],
            },
            "duration": {"type": "string", "enum": ["auto", "5", "10"], "default": "5"},
            "seed": {"type": "integer", "minimum": 0, "maximum": 2147483647, "default": 0},
            "ratio": {"type": "string", "enum": ["16:9", "9:16"], "default": "16:9"},
        },
    },
)  # fmt: skip


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> object:
    """A stand-in with a second model, and an environment that names it."""
    with live_sandbox(SandboxConfig(models=(VIDEO,), price_usd=0.04)) as live:
        monkeypatch.setenv("RUNCOMFY_MODEL_API_BASE", live.base_url)
        monkeypatch.setenv("RUNCOMFY_TOKEN", live.token)
        yield live


Out = pytest.CaptureFixture[str]


def test_the_list_is_the_live_one_where_there_is_a_token(sandbox: Live, capsys: Out) -> None:
    """Ids and prices on stdout, where they come from on stderr."""
    assert main(["models"]) == 0

    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith(MODEL)
    assert "0.04 USD per output" in lines[0]
    assert "0.1 USD per second" in lines[1]
    assert "2 models from the live catalogue" in err


def test_searching_the_list(sandbox: Live, capsys: Out) -> None:
    """By text and by category."""
    assert main(["models", "--search", "FILM"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [VIDEO.model_id]
    assert main(["models", "--category", "text-to-image", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["source"] == "the live catalogue"
    assert [one["model_id"] for one in found["models"]] == [MODEL]


def test_a_stand_in_leaves_nothing_in_the_cache(sandbox: Live, tmp_path: Path, capsys: Out) -> None:
    """Its prices are made up."""
    assert main(["models"]) == 0
    assert main(["models", MODEL]) == 0

    assert not list(tmp_path.rglob("*.json"))


def test_one_model_with_price_parameters_and_limits(sandbox: Live, capsys: Out) -> None:
    """What it takes, what it allows, what is not needed, what it costs."""
    assert main(["models", VIDEO.model_id]) == 0

    out, err = capsys.readouterr()
    assert err == ""
    assert "0.1 USD per second; 1080p costs more (the live catalogue)" in out
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert "text, required" in rows["prompt"]
    assert "at most 20 characters" in rows["prompt"]
    assert "a sample of the page" not in out
    assert "addresses of files, required" in rows["frames"]
    assert "2 to 10 entries" in rows["frames"]
    assert "File size must be less than 30 MB." in out
    assert "one of auto, 5, 10; default 5" in rows["duration"]
    assert "0 to 2147483647; default 0" in rows["seed"]


def test_aliases_are_told(capsys: Out) -> None:
    """Nobody can type the multiplication sign of the API's own key."""
    assert main(["models", MODEL]) == 0
    assert "also called size" in capsys.readouterr().out


def test_one_model_as_json(sandbox: Live, capsys: Out) -> None:
    """For scripts, with the published schema and a manifest."""
    assert main(["models", VIDEO.model_id, "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["base_price_usd"] == 0.1
    assert found["price_origin"] == "the live catalogue"
    assert [one["name"] for one in found["parameters"] if one["required"]] == [
        "prompt", "frames", "duration",
    ]  # fmt: skip
    assert found["input_schema"] == VIDEO.input_schema
    assert found["manifest"].startswith(f"model: {VIDEO.model_id}\n")


def test_a_typo_gets_the_nearest_ids(sandbox: Live, capsys: Out) -> None:
    """Exit 64; so does an id that is none."""
    for wrong in ("maker/film/image-to-vidoe", "maker/film", "Maker/Film/Image-To-Video"):
        assert main(["models", wrong]) == 64
        out, err = capsys.readouterr()
        assert out == ""
        assert f"nearest: {VIDEO.model_id}" in err
    assert main(["models", "../../etc"]) == 64


def test_what_is_cached_is_listed_with_its_age(
    capsys: Out, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a token: cache and package, and how old the cache is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    class Yesterday(SystemClock):
        def now_s(self) -> float:
            return super().now_s() - 49 * 3600

    api = parse_base_url(DEFAULT_BASE_URL)
    CatalogueCache(tmp_path / "batchgen", api, Yesterday()).put(VIDEO)

    assert main(["models"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == [MODEL, VIDEO.model_id]
    assert "2 models from the cache (up to 2 days old) and the package" in err
    assert main(["models", "--search", "film", "--category", "image-to-video"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [VIDEO.model_id]
    assert main(["models", VIDEO.model_id]) == 0
    assert "schema: the catalogue, 2 days old" in capsys.readouterr().out


def test_refresh_needs_an_answer(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    """Today's price or none: 77 without a token, 69 without an API."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"

    for words in (["models"], ["models", MODEL]):
        assert main([*words, "--refresh", "--base-url", url]) == 77
        with monkeypatch.context() as context:
            context.setenv("RUNCOMFY_TOKEN", "test-token")
            assert main([*words, "--refresh", "--base-url", url]) == 69
            assert main([*words, "--base-url", url]) == 0


def test_a_hostile_description_cannot_steer_the_terminal(
    capsys: Out, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No escape sequence, line break or direction mark of it is printed or written."""
    evil = "x\x1b[2J\x9b31m\r\n\u202ey\u2028"
    entry = read_entry(
        {
            "model_id": "evil/model",
            "display_name": evil,
            "model_url": evil,
            "base_price_usd": 1,
            "price_unit": evil,
            "pricing_note": evil,
            "input_schema": {
                "required": ["prompt"],
                "properties": {
                    "prompt": {"type": "string", "maxLength": 5},
                    evil: {"type": "string"},
                    "mode": {"enum": [evil], "default": evil, "type": evil},
                    "size": {"validations": [{"validation_error": evil}], "title": evil},
                },
            },
        }
    )
    assert entry is not None
    monkeypatch.chdir(tmp_path)
    with live_sandbox(SandboxConfig(models=(entry,))) as live:
        monkeypatch.setenv("RUNCOMFY_TOKEN", live.token)
        at = ["--base-url", live.base_url]
        assert main(["models", *at]) == 0
        assert main(["models", "evil/model", *at]) == 0
        assert main(["models", "evil/model", "--json", *at]) == 0
        assert main(["init", "--model", "evil/model", *at]) == 0

    out, err = capsys.readouterr()
    for text in (out, err, Path("batch.yaml").read_text()):
        assert not set(text) & set("\x1b\x9b\r\u202e\u2028")


# init.


def test_a_starter_passes_the_check(
    capsys: Out, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its path on stdout, comments inside, and nothing wrong with it."""
    monkeypatch.chdir(tmp_path)

    assert main(["init", "--model", MODEL, "--output", "spring.yaml"]) == 0
    assert capsys.readouterr().out == "spring.yaml\n"
    text = Path("spring.yaml").read_text()
    assert "# size:" in text
    assert "batchgen run spring.yaml --sandbox" in text
    assert main(["check", "spring.yaml"]) == 0
    assert "2 jobs, nothing wrong" in capsys.readouterr().out


def test_a_starter_overwrites_nothing_unasked(
    capsys: Out, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """--force does."""
    monkeypatch.chdir(tmp_path)
    Path("batch.yaml").write_text("precious")

    assert main(["init", "--model", MODEL]) == 64
    assert "--force" in capsys.readouterr().err
    assert Path("batch.yaml").read_text() == "precious"
    assert main(["init", "--model", MODEL, "--force"]) == 0
    assert Path("batch.yaml").read_text().startswith("# ")


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--model", "no/such"], 64), ([], 64), (["--model", MODEL, "--output", "x.csv"], 64),
        (["--model", MODEL, "--output", "nowhere/x.yaml"], 74),
    ],
)  # fmt: skip
def test_what_cannot_be_started(
    argv: list[str], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is written then."""
    monkeypatch.chdir(tmp_path)

    assert main(["init", *argv]) == code
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


ODD: list[dict[str, object]] = [
    {"required": ["image"], "properties": {"image": {"type": "string", "format": "image_uri"}}},
    {"required": ["text"], "properties": {"text": {"type": "string", "minLength": 90}}},
    {
        "required": ["tags", "lyrics", "n"],
        "properties": {
            "tags": {"type": "str"},
            "lyrics": {"type": "string"},
            "n": {"type": "int", "minimum": 3},
        },
    },
    {
        "required": ["prompt", "ratio", "on", "scale"],
        "properties": {
            "prompt": {"type": "string"},
            "ratio": {"type": "string", "enum": ["no", "16:9"]},
            "on": {"type": "boolean"},
            "scale": {"type": "float", "minimum": 0.5, "maximum": 1},
            "loras": {"type": "array", "items": {"type": "object", "properties": {}}},
        },
    },
    {"required": ["prompt", "lost"], "properties": {"prompt": {"type": "string"}, "images": {}}},
    {"properties": {"prompt": {"type": "string"}, "id": {"type": "string"}}},
]


def starts_well(entry: ModelEntry, directory: Path) -> None:
    """A starter of this model is a manifest without a wrong row, also with its settings on."""
    path = directory / "s.yaml"
    for text in (starter(entry, "s.yaml"), _uncommented(starter(entry, "s.yaml"))):
        path.write_text(text)
        known = ModelRegistry(packaged={entry.model_id: entry})
        rows = list(open_manifest(str(path), RowOptions(), known).rows())
        assert rows
        assert [row.problems for row in rows if isinstance(row, BadRow)] == [], text


def _uncommented(text: str) -> str:
    """With every default switched on."""
    head, found, rest = text.partition("\nprompts:")
    return re.sub(r'^  # ("[^"]+"|\w+): (?=\S)', r"  \1: ", head, flags=re.MULTILINE) + found + rest


@pytest.mark.parametrize("schema", ODD, ids=range(len(ODD)))
def test_starters_of_odd_models(schema: dict[str, object], tmp_path: Path) -> None:
    """Files, lists, enums, ranges and texts of other names all get a first value that fits."""
    starts_well(ModelEntry(model_id="a/b", input_schema=schema), tmp_path)


def test_a_starter_of_a_video_model(tmp_path: Path) -> None:
    """Also with its settings switched on."""
    starts_well(VIDEO, tmp_path)


def test_starters_of_real_models(shared: Path, tmp_path: Path) -> None:
    """Every published schema at hand."""
    for path in sorted((shared / "schemas").glob("*.json")):
        entry = read_entry(json.loads(path.read_text()))
        assert entry is not None
        starts_well(entry, tmp_path)


def test_a_parameter_that_a_row_cannot_give_is_not_offered() -> None:
    """`id` in a row is ours, whatever the model calls so."""
    assert "# id:" not in starter(ModelEntry(model_id="a/b", input_schema=ODD[-1]), "s.yaml")
