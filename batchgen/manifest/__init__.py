"""Spreadsheets, text files and YAML to jobs: every row checked before a cent is spent.

    open_manifest   a path (or `-`) to a `Manifest`; raises for what its head has wrong
    Manifest        its head, its columns, and `rows()`: jobs and bad rows, streaming
    Shape           what the command line says about how rows become jobs
    SchemaSource    where schemas come from
    BadRow          a row that cannot become a job, with every reason
    Selection       a parsed `--select`

What belongs in here: formats, encodings, columns, templates, expansion and identity. What does
not: anything that happens to a job later.
"""

from __future__ import annotations

from batchgen.manifest.header import BadRow
from batchgen.manifest.manifest import Manifest, open_manifest
from batchgen.manifest.select_expression import Selection, parse_selection
from batchgen.manifest.settings import ManifestSettings, OutputSettings, RowOptions, SchemaSource

__all__ = [
    "BadRow",
    "Manifest",
    "ManifestSettings",
    "OutputSettings",
    "RowOptions",
    "SchemaSource",
    "Selection",
    "open_manifest",
    "parse_selection",
]
