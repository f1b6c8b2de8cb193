"""The metrics file: the numbers of the last run in the text format of Prometheus."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from batchgen.core.errors import LocalIOError
from batchgen.system.files import open_regular, replace_file

LAST_SUCCESS = "batchgen_last_success_timestamp_seconds"
_HELP = {
    "batchgen_jobs": "Jobs of the batch by state.",
    "batchgen_cost_usd": "What the API reported as the cost of the batch.",
    "batchgen_run_seconds": "How long the last run took.",
    "batchgen_exit_code": "The exit code of the last run.",
    "batchgen_last_run_timestamp_seconds": "When the last run ended.",
    LAST_SUCCESS: "When a run last ended with exit code 0.",
}
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMetrics:
    """The numbers of one run; `jobs` and `cost_usd` are None if nothing is known of the batch."""

    manifest: str
    exit_code: int
    run_seconds: float
    ended_s: float
    jobs: Mapping[str, int] | None = None
    cost_usd: float | None = None


def write_metrics(path: Path, metrics: RunMetrics) -> str:
    """Replace the file, whole or not at all; return why that failed, or "".

    After a failed run the time of the last success is the one that the file had.
    """
    ended_s = round(metrics.ended_s, 3)
    success_s = ended_s if metrics.exit_code == 0 else _last_success_s(path, metrics)
    text = "".join(_lines(metrics, success_s))
    try:
        replace_file(path, lambda file: file.write(text))
    except LocalIOError as error:
        return str(error)
    return ""


def _lines(metrics: RunMetrics, success_s: float | None) -> Iterator[str]:
    label = f'manifest="{_escaped(metrics.manifest)}"'
    if metrics.jobs is not None:
        yield from _head("batchgen_jobs")
        for state, count in metrics.jobs.items():
            yield f'batchgen_jobs{{{label},state="{state}"}} {count}\n'
    values = {
        "batchgen_cost_usd": metrics.cost_usd,
        "batchgen_run_seconds": round(metrics.run_seconds, 3),
        "batchgen_exit_code": metrics.exit_code,
        "batchgen_last_run_timestamp_seconds": round(metrics.ended_s, 3),
        LAST_SUCCESS: success_s,
    }
    for name, value in values.items():
        if value is not None:
            yield from _head(name)
            yield f"{name}{{{label}}} {value}\n"


def _head(name: str) -> Iterator[str]:
    yield f"# HELP {name} {_HELP[name]}\n"
    yield f"# TYPE {name} gauge\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _last_success_s(path: Path, metrics: RunMetrics) -> float | None:
    """Return the time of the last success that the file has for this manifest."""
    try:
        with os.fdopen(open_regular(path), encoding="utf-8", errors="replace") as file:
            text = file.read(_MAX_BYTES)
    except OSError:
        return None
    label = re.escape(f'manifest="{_escaped(metrics.manifest)}"')
    found = re.search(rf"^{LAST_SUCCESS}\{{{label}\}} (\d+(?:\.\d+)?)$", text, re.MULTILINE)
    return float(found[1]) if found else None
