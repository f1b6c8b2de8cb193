"""Run a spreadsheet of prompts against the RunComfy Model API, without paying twice."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from batchgen.core.errors import (
        BatchgenError,
        DirectoryNotFound,
        Interrupted,
        LedgerDamaged,
        LedgerError,
        LedgerForeign,
        LedgerMissing,
        LedgerNotWhereItWas,
        LocalIOError,
        LockHeld,
        ManifestError,
        ManifestNotFound,
        MissingExtra,
        NoWorkers,
        Problem,
        ServiceUnreachable,
        ShardConflict,
        TokenMissing,
        UsageError,
    )
    from batchgen.python.batch import Batch
    from batchgen.python.results import Job, Plan, Summary
    from batchgen.python.stream import JobStream

_HOMES = {
    "batchgen.python.batch": ("Batch",),
    "batchgen.python.results": ("Job", "Plan", "Summary"),
    "batchgen.python.stream": ("JobStream",),
    "batchgen.core.errors": (
        "BatchgenError", "DirectoryNotFound", "Interrupted", "LedgerDamaged", "LedgerError",
        "LedgerForeign", "LedgerMissing", "LedgerNotWhereItWas", "LocalIOError", "LockHeld",
        "ManifestError", "ManifestNotFound", "MissingExtra", "NoWorkers", "Problem",
        "ServiceUnreachable", "ShardConflict", "TokenMissing", "UsageError",
    ),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Batch", "BatchgenError", "DirectoryNotFound", "Interrupted", "Job", "JobStream",
    "LedgerDamaged", "LedgerError", "LedgerForeign", "LedgerMissing", "LedgerNotWhereItWas",
    "LocalIOError", "LockHeld", "ManifestError", "ManifestNotFound", "MissingExtra", "NoWorkers",
    "Plan", "Problem", "ServiceUnreachable", "ShardConflict", "Summary", "TokenMissing",
    "UsageError", "__version__",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Load a public name when it is first used: `batchgen -h` needs none of them."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'batchgen' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    """Return every public name, loaded or not."""
    return sorted(__all__)
