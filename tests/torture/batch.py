"""One batch under torture: runs that are killed, damage between them, and the final check."""

from __future__ import annotations

from batchgen.system.crash_points import CrashPoint
from tests.kit import crashing
from tests.kit.accounts import findings
from tests.kit.ledger_view import LedgerView
from tests.kit.live import Live, command
from tests.torture.damage import tear
from tests.torture.decisions import End, Round, dice
from tests.torture.figures import Figures
from tests.torture.run import DRAIN_S, Run
from tests.torture.sheet import Sheet

REACHED_ITS_END = (0, 1)
RESUMABLE = 75
FINAL_TRIES = 8
READER_S = 60.0
FINAL_RUN_S = 300.0


class Batch:
    """A run directory of its own; every finding becomes a sentence in `figures.wrong`."""

    def __init__(self, sandbox: Live, sheet: Sheet, figures: Figures, *, concurrency: int) -> None:
        self._sandbox, self._sheet, self._figures = sandbox, sheet, figures
        self._arguments = ["run", str(sheet.path), "--concurrency", str(concurrency), "--quiet"]
        self._run_dir = sheet.path.with_suffix(".run")
        self._ledger = self._run_dir / "ledger.jsonl"
        self._compacted_bytes = 0
        """Number of bytes of the ledger that a compaction wrote."""
        self._reasons: dict[str, str] = {}
        """By job: what first put it in doubt; no run here takes it out again."""
        self.ends = 0
        """Number of runs that came to their end by themselves."""

    # One round.

    def play(self, one: Round, seed: int, *, compacts: bool) -> None:
        """Start a run and end it, then do the other things that can happen to a run directory."""
        self._run(one)
        self._note_doubts("a kill between intent and answer")
        torn = one.tear and tear(
            self._ledger, one.tear, one.share, compacted_bytes=self._compacted_bytes
        )
        if torn:
            self._figures.steps[f"torn: {one.tear}"] += 1
            self._note_doubts("the line with the answer was torn")
        if one.compact and compacts:
            self._compact(one.compact_point)
        chance = dice(seed, self._sheet.path.stem, one.number, "edits")
        for edit in one.edits:
            self._sheet.edit(edit, chance, one.share)
            self._figures.steps[f"spreadsheet: {edit}"] += 1
        if one.edits:
            self._sheet.save()

    def _run(self, one: Round) -> None:
        before = self._ledger_bytes()
        at_point = one.end is End.POINT
        arguments = (
            crashing.command(one.point, one.passage, *self._arguments)
            if at_point
            else command(*self._arguments)
        )
        self._figures.runs += 1
        with self._start(arguments, f"round {one.number}: {one.end}") as run:
            reads = bool(one.beside) and run.lives(one.beside_after_s)
            beside = (
                self._start(command(one.beside, self._sheet.path), one.beside) if reads else None
            )
            code = run.end(one)
        if beside:
            self._check_beside(one, beside)
        by = one.point.value if at_point and not run.was_signalled else one.end.value
        if run.was_signalled or code < 0:
            self._figures.kills["SIGKILL" if by == End.POINT else by] += 1
            self._figures.at_work += self._ledger_bytes() != before
        self._check_code(one, code, signalled=run.was_signalled)

    def _check_code(self, one: Round, code: int, *, signalled: bool) -> None:
        stopped = {-9, -15, -2, 130, 143} if signalled or one.end is End.POINT else set()
        if code == -9 and one.end in (End.TERM, End.INT):
            self._blame(f"round {one.number}: a run did not end {DRAIN_S:g} s after {one.end}")
        if code in (130, 143) and LedgerView.read(self._run_dir).in_state("submitting"):
            self._blame(f"a run that was stopped ({code}) left a submission without its answer")
        if code in stopped:
            return
        self._figures.codes[code] += 1
        if code in REACHED_ITS_END:
            self.ends += 1
        elif code != RESUMABLE:
            self._blame(f"round {one.number}: a run ended with {code}")

    def _check_beside(self, one: Round, other: Run) -> None:
        self._figures.steps[f"{one.beside} beside a run"] += 1
        if code := other.wait(READER_S):
            self._blame(f"round {one.number}: {one.beside} beside a run ended with {code}")

    def _compact(self, point: CrashPoint | None) -> None:
        if not self._ledger_bytes():
            return
        before, was = LedgerView.read(self._run_dir).last, self._ledger.stat().st_ino
        arguments = ["ledger", "compact", str(self._sheet.path)]
        killed = point is not None and point in crashing.placed()
        line = crashing.command(point, 1, *arguments) if killed and point else command(*arguments)
        code = self._start(line, "compaction").wait(READER_S)
        if killed and point and code < 0:
            self._figures.kills[point.value] += 1
        elif code:
            self._blame(f"compaction ended with {code}")
        self._figures.steps["compaction"] += 1
        if self._ledger.stat().st_ino != was:
            self._compacted_bytes = self._ledger_bytes()
        after = LedgerView.read(self._run_dir).last
        for job in before:
            if any(before[job].get(key) != after.get(job, {}).get(key) for key in _FIXED):
                self._blame(f"compaction changed the record of {job}")

    def _note_doubts(self, why: str) -> None:
        """Note why the jobs between intent and answer will be in doubt; no run is active now."""
        for job in LedgerView.read(self._run_dir).in_state("submitting"):
            self._reasons.setdefault(job, why)

    # The final check.

    def finish(self) -> None:
        """Run to the end undisturbed, then check everything."""
        code = RESUMABLE
        for _ in range(FINAL_TRIES):
            code = self._whole_run()
            if code != RESUMABLE:
                break
        if code not in REACHED_ITS_END:
            self._blame(f"the last run ended with {code}")
        calls = self._sandbox.audit.call_count
        if (again := self._whole_run()) != code:
            self._blame(f"a run with nothing to do ended with {again}, the one before with {code}")
        calls = self._sandbox.audit.call_count - calls
        if calls:
            self._blame(f"a run with nothing to do made {calls} calls")
        self._figures.final_calls += calls
        self._check_all()

    def _whole_run(self) -> int:
        self._figures.runs += 1
        code = self._start(command(*self._arguments), "to the end").wait(FINAL_RUN_S)
        self._figures.codes[code] += 1
        return code

    def _check_all(self) -> None:
        figures, ledger = self._figures, LedgerView.read(self._run_dir)
        audit = self._sandbox.audit
        requests = [one for one in audit.requests if self._sheet.is_of(one.prompt)]
        for wrong in findings(ledger, requests, self._sheet.prompts):
            self._blame(wrong)
        for job in sorted(ledger.in_state("in_doubt")):
            figures.doubts[self._explanation(job, ledger)] += 1
        known = ledger.request_ids()
        figures.unnamed += sum(request.request_id not in known for request in requests)
        figures.parts += len(ledger.parts())
        figures.batches += 1
        figures.jobs += len(self._sheet.prompts)
        figures.accepted += len(requests)
        figures.states += ledger.counts()
        figures.files += sum(len(line.get("files", ())) for line in ledger.records)

    def _explanation(self, job: str, ledger: LedgerView) -> str:
        kind = (ledger.last[job].get("error") or {}).get("kind")
        if kind == "lost_answer" and job in self._sheet.lossy_jobs:
            return "the sandbox lost the answer"
        if kind == "crash" and job in self._reasons:
            return self._reasons[job]
        self._blame(f"DOUBT: {job} is in doubt ({kind}) and nothing explains it")
        return "nothing explains it"

    def _blame(self, what: str) -> None:
        self._figures.wrong.append(f"{self._sheet.path.stem}: {what}")

    def _start(self, arguments: list[str], title: str) -> Run:
        log = self._sheet.path.with_suffix(".log")
        with log.open("a", encoding="utf-8") as file:
            file.write(f"--- {title}\n")
        return Run.start(arguments, log, self._sandbox)

    def _ledger_bytes(self) -> int:
        return self._ledger.stat().st_size if self._ledger.exists() else 0


_FIXED = ("state", "attempt", "request_id", "outputs", "files", "fingerprint", "cost_usd")
"""Keys that a compaction must not change."""
