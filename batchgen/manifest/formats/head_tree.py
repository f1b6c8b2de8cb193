"""The head of a manifest as a mapping that knows its lines, from YAML or JSON."""

from __future__ import annotations

from pathlib import Path

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.schema import Given
from batchgen.manifest.formats.encoding import detect
from batchgen.manifest.formats.json_file import JSONFile, checked_json
from batchgen.manifest.formats.yaml_tree import Listed, Mapped, NotYAML, read_yaml

MAX_BYTES = 64 << 20
"""Of a file with a head; more rows than that belong in a spreadsheet or JSON lines."""


def read_tree(path: Path, shown: str, kind: str) -> Mapped | None:
    """The mapping at the top of a manifest; None for a file that has only rows.

    Raises `ManifestError` for a file that is neither.
    """
    if kind == "yaml":
        return _yaml_tree(path, shown)
    if kind == "json":
        return _json_tree(path, shown)
    return None


def _yaml_tree(path: Path, shown: str) -> Mapped:
    _refuse_large(path, shown)
    with detect(path, shown).open(path) as file:
        document = read_yaml(file.read(), shown)
    if isinstance(document, Mapped):
        return document
    if document is not None and not isinstance(document, Listed):
        _refuse(shown, "is no manifest; write `prompts:` with a list, or name a file there")
    tree = Mapped(1)
    tree["prompts"] = document if document is not None else Listed(1)
    return tree


def _json_tree(path: Path, shown: str) -> Mapped | None:
    file = JSONFile(path, shown)
    first = file.starts_with()
    if first == "[":
        return None
    if first != "{":
        _refuse(shown, "is empty" if not first else "is no JSON list or object")
    _refuse_large(path, shown)
    text = file.text()
    value = checked_json(text, shown)
    try:
        document = read_yaml(text, shown)
    except NotYAML:
        document = _without_lines(value)
    return document if isinstance(document, Mapped) else None


def _without_lines(value: object) -> Given:
    """JSON that is no YAML (tabs, escaped pairs): the same tree, all of it on line 1."""
    if isinstance(value, dict):
        mapping = Mapped(1)
        mapping.update({str(key): _without_lines(item) for key, item in value.items()})
        mapping.lines.update(dict.fromkeys(mapping, 1))
        return mapping
    if isinstance(value, list):
        entries = Listed(1)
        entries.extend(_without_lines(item) for item in value)
        entries.lines.extend([1] * len(value))
        return entries
    return value if isinstance(value, (str, bool, int, float)) else None


def _refuse_large(path: Path, shown: str) -> None:
    if path.stat().st_size > MAX_BYTES:
        what = f"is larger than {MAX_BYTES >> 20} MiB; keep that many rows in a CSV file"
        _refuse(shown, what)


def _refuse(shown: str, what: str) -> None:
    raise ManifestError([Problem(shown, what)])
