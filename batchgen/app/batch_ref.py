"""The batch that a command is about, as the command line names it."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

from batchgen.core.errors import UsageError
from batchgen.core.manifest_address import address_fault, is_address, shown_address
from batchgen.manifest.row_options import RowOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRef:
    """A manifest, how its rows become jobs, and where its run directory is if a flag says so."""

    manifest: str
    """Path, address, or `-` for stdin."""
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
                assets=args.assets,
                shard=args.shard,
                allow_outside=args.allow_outside,
            ),
        )

    def __post_init__(self) -> None:
        """Raise `UsageError` for an address that is not fetched at all, or that needs a flag."""
        if not self.is_address:
            return
        if fault := address_fault(self.manifest):
            raise UsageError(f"{self.shown}: {fault}")
        if self.run_dir is None:
            raise UsageError("a manifest at an address needs --run-dir DIR")

    @property
    def is_address(self) -> bool:
        """Tell whether the manifest is fetched."""
        return is_address(self.manifest)

    @property
    def shown(self) -> str:
        """The manifest for messages and files: of an address not what may be a secret."""
        return shown_address(self.manifest) if self.is_address else self.manifest

    def command_line(self, command: str) -> str:
        """Return the line with which another command looks at the same batch."""
        words = ["batchgen", command, self.shown]
        if self.run_dir is not None:
            words += ["--run-dir", str(self.run_dir)]
        if self.row_options.shard is not None:
            words += ["--shard", str(self.row_options.shard)]
        return shlex.join([*words, *(["--sandbox"] if self.sandbox else [])])

    @property
    def is_stdin(self) -> bool:
        """Tell whether the manifest comes through a pipe, so that it can be read only once."""
        return self.manifest == "-"
