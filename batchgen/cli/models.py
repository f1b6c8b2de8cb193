"""`batchgen models`."""

from __future__ import annotations

import argparse

import msgspec

from batchgen.core.errors import UsageError
from batchgen.core.models import ModelEntry
from batchgen.packaged import packaged_models


def handle(args: argparse.Namespace) -> int:
    """List the packaged models, or show the parameters of one."""
    models = packaged_models()
    if args.model is None:
        shown: list[dict[str, object]] = [
            {"model_id": entry.model_id, "name": entry.display_name} for entry in models.values()
        ]
        lines = [f"{entry.model_id}  {entry.display_name}" for entry in models.values()]
    else:
        entry = models.get(args.model)
        if entry is None:
            known = ", ".join(models)
            raise UsageError(f"no packaged description of {args.model!r}; there is one of {known}")
        shown = [{"model_id": entry.model_id, "input_schema": dict(entry.input_schema or {})}]
        lines = list(_table(entry))
    print(msgspec.json.encode(shown).decode() if args.json else "\n".join(lines))
    return 0


def _table(entry: ModelEntry) -> list[str]:
    lines = [f"{entry.model_id}  {entry.display_name}", entry.model_url, ""]
    properties = (entry.input_schema or {}).get("properties")
    required = (entry.input_schema or {}).get("required")
    for name, rules in properties.items() if isinstance(properties, dict) else ():
        needed = "required" if isinstance(required, list) and name in required else "optional"
        lines.append(f"{name}  {rules.get('type', '')}, {needed}")
        lines.extend(f"    {line}" for line in _limits(rules))
    return lines


def _limits(rules: dict[str, object]) -> list[str]:
    lines = []
    if "maxLength" in rules:
        lines.append(f"at most {rules['maxLength']} characters")
    if "minimum" in rules or "maximum" in rules:
        lines.append(f"{rules.get('minimum', '')} to {rules.get('maximum', '')}")
    if isinstance(choices := rules.get("enum"), list):
        lines.append("one of " + ", ".join(str(choice) for choice in choices))
    return lines
