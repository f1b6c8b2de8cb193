"""A model's schema: names, types, choices and limits, whatever was published."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.core.schema.coercion import coerce
from batchgen.core.schema.inputs import Schema
from batchgen.core.schema.properties import Property, read_property
from batchgen.core.schema.values import InvalidValue, Written
from batchgen.models.bundled import packaged_models

DREAMINA = "bytedance/dreamina-4-0/text-to-image"


@pytest.fixture
def dreamina() -> Schema:
    """The one schema that is published in full."""
    return Schema(packaged_models()[DREAMINA].input_schema or {})


def prop(**raw: object) -> Property:
    """A parameter from its published schema."""
    return read_property("extra", raw)


@pytest.mark.parametrize(
    "text",
    ["2048x2048", "2048×2048", "2048 x 2048", "2048X2048(1:1)", " 2048x2048(1:1) ", "2048*2048",
     "2048x2048 (1:1)"],
)  # fmt: skip
def test_a_size_is_meant_however_it_is_written(dreamina: Schema, text: str) -> None:
    """All of them mean the one published text, and that is what is sent."""
    assert coerce(dreamina.properties["width×height"], text) == "2048x2048(1:1)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("16:9", "'16:9' could be any of 2560x1440(16:9), 5404x3040(16:9); write one of them"),
        ("1:1", "'1:1' could be any of 1024x1024(1:1), 2048x2048(1:1), 4096x4096(1:1); write"),
        ("2048x2049", "'2048x2049' is not allowed; did you mean '2048x2048(1:1)'? allowed: 10"),
        ("1792x1024", "'1792x1024' is not allowed; did you mean '2560x1440(16:9)'?"),
        ("huge", "'huge' is not allowed; allowed: 1024x1024(1:1), 2048x2048(1:1)"),
    ],
)  # fmt: skip
def test_a_size_that_is_not_clear_is_never_guessed(
    dreamina: Schema, text: str, message: str
) -> None:
    """Ambiguous ones list their candidates, unknown ones the nearest."""
    with pytest.raises(InvalidValue) as unfit:
        coerce(dreamina.properties["width×height"], text)
    assert str(unfit.value).startswith(message)


@pytest.mark.parametrize(
    ("raw", "value", "expected"),
    [
        ({"type": "boolean"}, "TRUE", True), ({"type": "bool"}, "yes", True),
        ({"type": "boolean"}, "1", True), ({"type": "boolean"}, "FALSCH", False),
        ({"type": "boolean"}, False, False), ({"type": "boolean"}, Written("no", False), False),
        ({"type": "integer"}, "5.0", 5), ({"type": "int"}, " 7 ", 7), ({"type": "integer"}, 5.0, 5),
        ({"type": "integer"}, "2147483647", 2147483647), ({"type": "integer"}, "-1", -1),
        ({"type": "float"}, "0.60", 0.6), ({"type": "number"}, ".5", 0.5),
        ({"type": "number"}, "1e-3", 0.001), ({"type": "number"}, "3", 3),
        ({"type": "string"}, Written("007", 7), "007"), ({"type": "str"}, 5, "5"),
        ({"type": "string"}, "a\r\nb\rc", "a\nb\nc"), ({"type": "string"}, True, "true"),
        ({"type": "string", "enum": ["auto", "5", "10"]}, 5, "5"),
        ({"type": "string", "enum": ["auto", "5", "10"]}, "5.0", "5"),
        ({"enum": [5, 10]}, "10", 10), ({"enum": [0.5, 1]}, "0.50", 0.5),
        ({"type": "string", "enum": ["720p", "1080p"]}, "720P", "720p"),
        ({"type": "string", "enum": ["a", "A"]}, "A", "A"),
        ({"type": "array", "items": {"type": "string"}}, '["a", "b"]', ["a", "b"]),
        ({"type": "array", "format": "image_uris"}, "https://x.y/a b.png".replace(" ", ""),
         ["https://x.y/ab.png"]),
        ({"type": "array", "items": {"type": "integer"}}, ["1", Written("2", 2)], [1, 2]),
        ({"type": "object", "properties": {"n": {"type": "float"}}}, '{"n": "0.5", "m": [1]}',
         {"n": 0.5, "m": [1]}),
        ({"format": "image_uri"}, " https://x.y/a.png ", "https://x.y/a.png"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "3", 3),
        ({"type": ["integer", "string"]}, "auto", "auto"),
        ({"type": ["integer", "string"]}, "3", 3), ({}, Written("yes", True), True),
        ({}, "3", 3), ({}, "abc", "abc"), ({}, '{"a": 1}', {"a": 1}),
        ({"type": "colour"}, "abc", "abc"),
    ],
)  # fmt: skip
def test_values_come_to_the_schemas_type(
    raw: dict[str, object], value: object, expected: object
) -> None:
    """Cells, YAML scalars and JSON values alike; an unknown type is no obstacle."""
    result = coerce(prop(**raw), value)  # type: ignore[arg-type]
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("raw", "value", "message"),
    [
        ({"type": "integer"}, "5.5", "expected a whole number, got '5.5'; 6 would be one"),
        ({"type": "integer"}, "five", "expected a whole number, got 'five'"),
        ({"type": "integer"}, True, "expected a whole number, got 'true'"),
        ({"type": "integer"}, "9" * 20, f"'{'9' * 20}' is too large a whole number"),
        ({"type": "number"}, "0,5", "expected a number, got '0,5'; write '0.5'"),
        ({"type": "boolean"}, "perhaps", "expected true or false, got 'perhaps'"),
        ({"type": "string"}, ["a"], "expected text, got '[\"a\"]'"),
        ({"type": "string"}, "a\0b", "has the control character U+0000 at place 2; remove it"),
        ({"type": "array"}, "a, b", 'expected a list as JSON, such as ["a", "b"], got \'a, b\''),
        ({"type": "array", "items": {"type": "integer"}}, "[1, \"x\"]",
         "entry 2: expected a whole number, got 'x'"),
        ({"type": "object"}, "[1]", 'expected an object as JSON, such as {"key": 1}, got \'[1]\''),
        ({"type": "object", "properties": {"n": {"type": "int"}}}, '{"n": "x"}',
         "n: expected a whole number, got 'x'"),
        ({"format": "image_uri"}, "http://a.b/c",
         "'http://a.b/c' is not an https address; expected a public https:// address"),
        ({"format": "image_uri"}, "https:///c",
         "'https:///c' names no host; expected a public https:// address"),
        ({"format": "image_uri"}, "https://u:p@a.b/c",
         "'https://u:p@a.b/c' carries a user name or password; expected a public https:// address"),
        ({"format": "image_uri"}, "https://127.0.0.1\\@a.b/c",
         ("'https://127.0.0.1\\\\@a.b/c' has a blank, control character or backslash in it; "
          "expected a public https:// address")),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_reported_in_plain_words(
    raw: dict[str, object], value: object, message: str
) -> None:
    """With the fault, and with what would be right."""
    with pytest.raises(InvalidValue) as unfit:
        coerce(prop(**raw), value)  # type: ignore[arg-type]
    assert str(unfit.value) == message


def test_decimal_commas_are_read_only_in_files_that_use_them() -> None:
    """`0,5` is a half in a file that writes numbers so."""
    assert coerce(prop(type="float"), "0,5", decimal_comma=True) == 0.5
    assert coerce(prop(enum=["a,b", "c"]), "a,b", decimal_comma=True) == "a,b"


@pytest.mark.parametrize(
    ("raw", "value", "message"),
    [
        ({"type": "float", "minimum": 0, "maximum": 1}, 1.5,
         "1.5 is above the maximum 1; allowed 0 to 1"),
        ({"type": "float", "minimum": 0}, -1, "-1 is below the minimum 0; allowed 0 or more"),
        ({"type": "integer", "maximum": 9}, 10, "10 is above the maximum 9; allowed up to 9"),
        ({"exclusiveMinimum": 0}, 0, "0 is not above 0"),
        ({"exclusiveMaximum": 1}, 1, "1 is not below 1"),
        ({"multipleOf": 8}, 9, "9 is not a multiple of 8; nearest are 8 and 16"),
        ({"type": "string", "maxLength": 2}, "🦊🦊🦊",
         "has 3 characters, at most 2 are allowed: '🦊🦊🦊'"),
        ({"type": "string", "minLength": 3}, "ab", "has 2 characters, at least 3 are needed"),
        ({"type": "string", "minLength": 1}, "", "is empty"),
        ({"type": "array", "maxItems": 1}, ["a", "b"], "has 2 entries, at most 1 are allowed"),
        ({"type": "array", "minItems": 2}, ["a"], "has 1 entry, at least 2 are needed"),
        ({"type": "array", "uniqueItems": True}, ["a", "a"], "has the same entry twice"),
        ({"enum": ["a", "b"]}, "c", "'c' is not allowed; allowed: a, b"),
        ({"type": "integer"}, "x", "expected a whole number, got 'x'"),
        ({"type": ["integer", "null"]}, "x", "expected a whole number or nothing, got 'x'"),
        ({"type": "string", "pattern": "^a+$"}, "b", "'b' does not have the form ^a+$"),
        ({"type": "array", "items": {"type": "object", "properties": {"n": {"maximum": 1}}}},
         [{"n": 0}, {"n": 2}], "[2].n: 2 is above the maximum 1; allowed up to 1"),
    ],
)  # fmt: skip
def test_limits_are_reported_in_plain_words(
    raw: dict[str, object], value: object, message: str
) -> None:
    """No wording of the validator itself is printed."""
    schema = Schema({"properties": {"extra": raw}})
    (fault,) = schema.check({"extra": value})  # type: ignore[dict-item]
    assert (fault.parameter, str(fault)) == ("extra", message)


def test_all_faults_of_an_input_are_found(dreamina: Schema) -> None:
    """Not only the first."""
    faults = dreamina.check({"scale": 2, "force_single": 1})
    assert {(fault.parameter, fault.is_missing) for fault in faults} == {
        ("scale", False), ("force_single", False), ("prompt", True),
    }  # fmt: skip


def test_required_may_name_what_does_not_exist() -> None:
    """That is a note and refuses no row."""
    raw = {"required": ["prompt", "image_urls"], "properties": {"prompt": {"type": "string"}}}
    schema = Schema(raw)
    assert schema.check({"prompt": "a"}) == ()
    assert schema.required == ("prompt",)
    assert schema.notes == ("requires 'image_urls', which it does not describe; not checked",)


def test_the_text_parameter_is_the_prompt_or_the_required_text() -> None:
    """Addresses and choices are not prompts."""
    text, url = {"type": "string"}, {"type": "string", "format": "image_uri"}
    assert Schema({"properties": {"prompt": text, "text": text}}).text_parameter == "prompt"
    raw = {"required": ["image_url", "lyrics"], "properties": {"image_url": url, "lyrics": text}}
    assert Schema(raw).text_parameter == "lyrics"
    assert Schema({"properties": {"image_url": url}}).text_parameter is None


@pytest.mark.parametrize(
    "name", ["size", "Resolution", "width_height", "widthXheight", "Width×Height"]
)
def test_the_size_key_has_aliases(dreamina: Schema, name: str) -> None:
    """They lead to the API's own key, with U+00D7."""
    assert dreamina.parameter(name) == "width\u00d7height"


def test_an_own_parameter_comes_before_an_alias() -> None:
    """A model with a `resolution` of its own means that."""
    schema = Schema({"properties": {"width×height": {}, "resolution": {}}})
    assert schema.parameter("resolution") == "resolution"
    assert schema.parameter("size") == "width×height"
    assert "resolution" not in schema.aliases


STRANGE = [
    {"properties": None}, {"properties": []}, {"properties": {"a": None}}, {"required": "prompt"},
    {"properties": {"a": {"type": 5}}}, {"properties": {"a": {"type": ["string", 5, None]}}},
    {"properties": {"a": {"minimum": "0", "maximum": None, "maxLength": -1, "multipleOf": 0}}},
    {"properties": {"a": {"exclusiveMinimum": True}}}, {"properties": {"a": {"enum": []}}},
    {"properties": {"a": {"enum": [None, {}, [1]]}}}, {"properties": {"a": {"pattern": "(("}}},
    {"properties": {"a": {"pattern": "(?<=a+)b"}}}, {"properties": {"a": {"items": [1, 2]}}},
    {"properties": {"a": {"$ref": "https://example.com/x.json"}}}, {"$ref": "#/nowhere"},
    {"properties": {"a": {"anyOf": [None, 5]}}}, {"properties": {"a": {"anyOf": "x"}}},
    {"properties": {"a": {"properties": {"b": 1}, "required": [5, "b"]}}}, {"allOf": [True, False]},
    {"properties": {"a": {"default": {"x": 1}, "validations": [1], "format": 7}}},
    {"properties": {"a": {"minimum": 1e400}}}, {"properties": {"a": {"type": "String"}}},
]  # fmt: skip


@pytest.mark.parametrize("raw", STRANGE, ids=lambda raw: json.dumps(raw, default=str)[:50])
def test_strange_schemas_stop_nothing(raw: dict[str, object]) -> None:
    """A part that is not understood is not checked; the rest is."""
    schema = Schema(raw)
    with contextlib.suppress(InvalidValue):
        coerce(schema.properties.get("a", Property(name="a")), "x")
    schema.check({"a": "x"})


KEYWORD = st.sampled_from(
    ["type", "enum", "minimum", "maxLength", "items", "properties", "required", "format", "anyOf",
     "a", "pattern", "const", "multipleOf", "nullable"]
) | st.text(max_size=3)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORD, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(raw=st.dictionaries(KEYWORD, JSON), cell=st.text(max_size=20))
def test_any_json_can_be_a_schema(raw: dict[str, object], cell: str) -> None:
    """No schema of any shape makes this program crash."""
    schema = Schema({"properties": {"a": raw}, **raw})
    for name, one in schema.properties.items():
        try:
            value = coerce(one, cell)
        except InvalidValue:
            continue
        schema.check({name: value})


@pytest.mark.parametrize("depth", [15, 30, 5000])
def test_deep_schemas_are_cut(depth: int) -> None:
    """A schema that nests without end is read as far as real ones go."""
    raw: dict[str, object] = {"type": "string"}
    for _ in range(depth):
        raw = {"type": "array", "items": raw}
    Schema({"properties": {"a": raw}}).check({"a": []})


def test_published_schemas_take_their_own_examples(shared: Path) -> None:
    """Every known schema is read, and its published sample request is right by it."""
    for path in sorted((shared / "schemas").glob("*.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        schema = Schema(entry["input_schema"])
        assert set(schema.properties) == set(entry["input_schema"]["properties"])
        for key, value in entry.get("example_request", {}).items():
            coerced = coerce(schema.properties[key], value)
            assert not [f for f in schema.check({key: coerced}) if not f.is_missing], path.name
        defaults = {
            key: coerce(schema.properties[key], one["default"])
            for key, one in entry["input_schema"]["properties"].items()
            if one.get("default") not in (None, "")
        }
        assert not [f for f in schema.check(defaults) if not f.is_missing], path.name
