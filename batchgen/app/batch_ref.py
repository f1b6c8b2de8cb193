"""The batch that a command is about, as the command line names it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from batchgen.manifest.settings import RowOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRef:
    """A manifest, how its rows become jobs, and where its run directory is if a flag says so."""

    manifest: str
    """Path, or `-` for stdin."""
    row_options: RowOptions
    run_dir: Path | None = None
    sandbox: bool = False

    @classmethod
    def of(cls, args: argparse.Namespace) -> BatchRef:
        """Return the batch that parsed arguments name; flags a command lacks count as not given."""
        return cls(
            manifest=args.manifest,
            run_dir=Path(args.run_dir) if args.run_dir else None,
            sandbox=getattr(args, "sandbox", False),
            row_options=RowOptions(
                model=args.model,
                params=dict(args.param),
                columns=dict(args.column),
                format=args.format,
                encoding=args.encoding,
                sheet=args.sheet,
                header_row=args.header_row,
                drop=tuple(args.drop),
                include_hidden=args.include_hidden,
                select=args.select,
                allow_outside=args.allow_outside,
            ),
        )

    @property
    def is_stdin(self) -> bool:
        """Tell whether the manifest comes through a pipe, so that it can be read only once."""
        return self.manifest == "-"
