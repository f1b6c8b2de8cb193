"""`batchgen doctor`: everything that could keep a run from beginning, each with what to do."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.core.units import count_text
from batchgen.doctor.examination import examine, examined, verdict_of
from batchgen.doctor.finding import Finding, Level
from batchgen.reports.terminal import tame


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Examine machine and batch; return 0 if a run could begin, or else the code of that run."""
    ref = BatchRef.of(args) if args.manifest else None
    findings = examined(examine(ref, context))
    code, reasons = verdict_of(findings)
    if args.json:
        found = [one.as_json() for one in findings]
        context.console.print_json({"findings": found, "exit_code": code, "reasons": reasons})
    else:
        context.console.print_lines(*_lines(findings), _last_line(findings, code))
    return code


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = max(len(one.check) for one in findings)
    for one in findings:
        first, *rest = tame(one.text).splitlines() or [""]
        yield f"{one.level.value:<8} {one.check:<{width}}  {first}"
        indent = " " * (9 + width)
        for line in rest:
            yield f"{indent}  {line}"
        if one.advice:
            yield f"{indent}  -> {tame(one.advice)}"


def _last_line(findings: Sequence[Finding], code: int) -> str:
    counts = Counter(one.level for one in findings)
    found = ", ".join(
        count_text(counts[level], level.value)
        for level in (Level.FAULT, Level.WARNING)
        if counts[level]
    )
    end = f"a run would end with exit code {code}" if code else "a run could begin"
    return f"{found or 'nothing wrong'}; {end}"
