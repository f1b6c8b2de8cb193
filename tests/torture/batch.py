"""One batch under torture: runs that are killed, damage between them, and the final check."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from random import Random

from batchgen.system.crash_points import CrashPoint
from tests.kit import crashing
from tests.kit.accounts import Decisions, findings
from tests.kit.ledger_view import LedgerView
from tests.kit.live import Live, command
from tests.torture.damage import tear
from tests.torture.decisions import Decision, End, Narrowing, Round, dice
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
        self._arguments = ["run", str(sheet.manifest), "--concurrency", str(concurrency), "--quiet"]
        self._kept_bytes: dict[Path, int] = {}
        """By directory: bytes of the ledger that no crash can lose.

        A compaction or a decision of the user reported them as stored, while no run was active.
        """
        self._reasons: dict[tuple[Path, str], str] = {}
        """By directory and job: what put it in doubt."""
        self._decisions = Decisions()
        self.ends = 0
        """Number of runs that came to their end by themselves."""

    @property
    def _directories(self) -> list[Path]:
        """The run directories, in the order in which they were begun."""
        path = self._sheet.path
        dated = sorted(path.with_suffix(".runs").glob("*"))
        return dated or [path.with_suffix(".run")]

    @property
    def _run_dir(self) -> Path:
        return self._directories[-1]

    @property
    def _ledger(self) -> Path:
        return self._run_dir / "ledger.jsonl"

    # One round.

    def play(self, one: Round, seed: int, *, compacts: bool) -> None:
        """Start a run and end it, then do the other things that can happen to a run directory."""
        chance = dice(seed, self._sheet.path.stem, one.number, "edits")
        self._run(one, self._narrowed(one, chance))
        self._note_doubts("a kill between intent and answer")
        torn = one.tear and tear(
            self._ledger,
            one.tear,
            one.share,
            kept_bytes=self._kept_bytes.get(self._run_dir, 0),
        )
        if torn:
            self._figures.steps[f"torn: {one.tear}"] += 1
            self._note_doubts("the line with the answer was torn")
        if one.compact and compacts:
            self._compact(one.compact_point)
        if one.decision:
            self._decide(one.decision, chance)
        if one.review:
            self._review(one.review_point, chance)
        if one.next_day:
            self._next_day()
        for edit in one.edits:
            self._sheet.edit(edit, chance, one.share)
            self._figures.steps[f"spreadsheet: {edit}"] += 1
        if one.edits:
            self._sheet.save()

    def _narrowed(self, one: Round, chance: Random) -> list[str]:
        """Return flags that narrow this run; a selection is stored, so the others clear it."""
        if one.narrowing is not None:
            self._figures.steps[f"{one.narrowing} of one run"] += 1
        match one.narrowing:
            case Narrowing.SELECT:
                return ["--select", "word = calm"]
            case Narrowing.LIMIT:
                return ["--select", "", "--limit", str(1 + chance.randrange(40))]
            case Narrowing.JOB:
                return ["--select", "", "--job", chance.choice(self._sheet.jobs)]
            case Narrowing.NO_DOWNLOAD:
                return ["--select", "", "--no-download"]
        return ["--select", ""]

    def _decide(self, decision: Decision, chance: Random) -> None:
        """Decide about one job in doubt; only what is found remotely can be attached."""
        doubts = [
            (run_dir, job)
            for run_dir in self._directories
            for job in sorted(LedgerView.read(run_dir).in_state("in_doubt"))
        ]
        if not doubts:
            return
        run_dir, job = chance.choice(doubts)
        found = self._remote_request_of(run_dir, job)
        steps = {
            Decision.ATTACH: ("--request-id",),
            Decision.GIVE_UP: ("--give-up",),
            Decision.RESUBMIT: ("--resubmit",),
            Decision.RESUBMIT_THEN_ATTACH: ("--resubmit", "--request-id"),
        }[decision]
        taken: list[str] = []
        for flag in steps:
            if flag == "--request-id" and found is None:
                continue
            value = [found] if flag == "--request-id" and found else []
            if flag == "--resubmit" and job not in self._sheet.reviewable:
                continue  # refused: there is nothing to submit
            where = ["--run-dir", str(run_dir), "--job", job, flag, *value]
            arguments = command("resolve", self._sheet.manifest, *where)
            if code := self._start(arguments, f"resolve {flag}").wait(READER_S):
                self._blame(f"resolve {flag} of {job} in {run_dir.name} ended with {code}")
                return
            self._figures.steps[f"resolve {flag}"] += 1
            taken.append(flag)
            self._kept_bytes[run_dir] = (run_dir / "ledger.jsonl").stat().st_size
        self._note_decision(taken, (run_dir, job))

    def _review(self, point: CrashPoint | None, chance: Random) -> None:
        """Give verdicts on some outputs of the last directory; half of them ask for another take.

        Whatever a killed review left in reviews.jsonl counts as asked for.
        """
        downloaded = LedgerView.read(self._run_dir).in_state("downloaded")
        made = sorted(downloaded & self._sheet.reviewable)
        chosen = chance.sample(made, min(len(made), 4))
        if not chosen:
            return
        path = self._sheet.path.with_suffix(".review.csv")
        words = [chance.choice(("redo", "redo", "keep", "reject")) for _ in chosen]
        lines = (f"{job},{word}\n" for job, word in zip(chosen, words, strict=True))
        path.write_text("job,verdict\n" + "".join(lines), encoding="utf-8")
        arguments = [
            "review",
            str(self._sheet.manifest),
            str(path),
            "--run-dir",
            str(self._run_dir),
        ]
        line = crashing.command(point, 1, *arguments) if point else command(*arguments)
        code = self._start(line, "review").wait(READER_S)
        if point and code < 0:
            self._figures.kills[point.value] += 1
        elif code:
            self._blame(f"a review of {chosen} ended with {code}")
        self._figures.steps["review"] += 1

    def _note_decision(self, taken: list[str], key: tuple[Path, str]) -> None:
        """Note what the last decision allows or explains."""
        if taken[-1:] == ["--resubmit"]:
            self._decisions.resubmitted[key] += 1
        elif taken[-1:] == ["--give-up"]:
            self._decisions.given_up.add(key)

    def _remote_request_of(self, run_dir: Path, job: str) -> str | None:
        """Return a request of this doubt that no ledger names, as the user would find it."""
        asked = [line["input"] for line in LedgerView.read(run_dir).records
                 if line["job"] == job and "input" in line]  # fmt: skip
        known = {
            one for run_dir in self._directories for one in LedgerView.read(run_dir).request_ids()
        }
        of_job = (one for one in self._sandbox.audit.requests if one.input == asked[-1])
        return next((one.request_id for one in of_job if one.request_id not in known), None)

    def _next_day(self) -> None:
        """Let a day pass: each dated directory gets the name of the day before."""
        if not self._sheet.is_dated:
            return
        for run_dir in self._directories if self._run_dir.exists() else ():
            earlier = date.fromisoformat(run_dir.name) - timedelta(days=1)
            renamed = run_dir.with_name(earlier.isoformat())
            run_dir.rename(renamed)
            self._decisions.move(run_dir, renamed)
            self._kept_bytes[renamed] = self._kept_bytes.pop(run_dir, 0)
            moved = {key: why for key, why in self._reasons.items() if key[0] == run_dir}
            self._reasons |= {(renamed, job): why for (_, job), why in moved.items()}
        self._figures.steps["a day passed"] += 1

    def _run(self, one: Round, narrowing: list[str]) -> None:
        before, open_before = self._ledger_bytes(), self._without_answer()
        at_point = one.end is End.POINT
        arguments = (
            crashing.command(one.point, one.passage, *self._arguments, *narrowing)
            if at_point
            else command(*self._arguments, *narrowing)
        )
        self._figures.runs += 1
        with self._start(arguments, f"round {one.number}: {one.end}") as run:
            reads = bool(one.beside) and run.lives(one.beside_after_s)
            beside = (
                self._start(command(one.beside, self._sheet.manifest), one.beside)
                if reads
                else None
            )
            code = run.end(one)
        if beside:
            self._check_beside(one, beside)
        by = one.point.value if at_point and not run.was_signalled else one.end.value
        if run.was_signalled or code < 0:
            self._figures.kills["SIGKILL" if by == End.POINT else by] += 1
            self._figures.at_work += self._ledger_bytes() != before
        if code in (130, 143) and self._without_answer() - open_before:
            self._blame(f"a run that was stopped ({code}) left a submission without its answer")
        self._check_code(one, code, signalled=run.was_signalled)

    def _check_code(self, one: Round, code: int, *, signalled: bool) -> None:
        stopped = {-9, -15, -2, 130, 143} if signalled or one.end is End.POINT else set()
        if code == -9 and one.end in (End.TERM, End.INT):
            self._blame(f"round {one.number}: a run did not end {DRAIN_S:g} s after {one.end}")
        if code in stopped:
            return
        self._figures.codes[code] += 1
        if code in REACHED_ITS_END:
            self.ends += 1
        elif code != RESUMABLE:
            self._blame(f"round {one.number}: a run ended with {code}")

    def _without_answer(self) -> set[tuple[Path, str]]:
        """Return the submissions of which neither an answer nor a doubt is on record."""
        return {
            (run_dir, job)
            for run_dir in self._directories
            for job in LedgerView.read(run_dir).in_state("submitting")
        }

    def _check_beside(self, one: Round, other: Run) -> None:
        self._figures.steps[f"{one.beside} beside a run"] += 1
        if code := other.wait(READER_S):
            self._blame(f"round {one.number}: {one.beside} beside a run ended with {code}")

    def _compact(self, point: CrashPoint | None) -> None:
        if not self._ledger_bytes():
            return
        before, was = LedgerView.read(self._run_dir).last, self._ledger.stat().st_ino
        arguments = ["ledger", "compact", str(self._sheet.manifest)]
        killed = point is not None and point in crashing.placed()
        line = crashing.command(point, 1, *arguments) if killed and point else command(*arguments)
        code = self._start(line, "compaction").wait(READER_S)
        if killed and point and code < 0:
            self._figures.kills[point.value] += 1
        elif code:
            self._blame(f"compaction ended with {code}")
        self._figures.steps["compaction"] += 1
        if self._ledger.stat().st_ino != was:
            self._kept_bytes[self._run_dir] = self._ledger_bytes()
        after = LedgerView.read(self._run_dir).last
        for job in before:
            if any(before[job].get(key) != after.get(job, {}).get(key) for key in _FIXED):
                self._blame(f"compaction changed the record of {job}")

    def _note_doubts(self, why: str) -> None:
        """Note why the jobs between intent and answer will be in doubt; no run is active now."""
        self._reasons |= dict.fromkeys(self._without_answer(), why)

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
        # An earlier dated directory without work left is not run again; its doubts do not count.
        same = (0, code) if len(self._directories) > 1 else (code,)
        if (again := self._whole_run()) not in same:
            self._blame(f"a run with nothing to do ended with {again}, the one before with {code}")
        calls = self._sandbox.audit.call_count - calls
        if calls:
            self._blame(f"a run with nothing to do made {calls} calls")
        self._figures.final_calls += calls
        self._check_all()

    def _whole_run(self) -> int:
        self._figures.runs += 1
        arguments = command(*self._arguments, "--select", "")
        code = self._start(arguments, "to the end").wait(FINAL_RUN_S)
        self._figures.codes[code] += 1
        return code

    def _check_all(self) -> None:
        figures = self._figures
        ledgers = [LedgerView.read(run_dir) for run_dir in self._directories]
        audit = self._sandbox.audit
        requests = [one for one in audit.requests if self._sheet.is_of(one.prompt)]
        for wrong in findings(ledgers, requests, self._sheet.prompts, self._decisions):
            self._blame(wrong)
        known = {one for ledger in ledgers for one in ledger.request_ids()}
        figures.unnamed += sum(request.request_id not in known for request in requests)
        figures.batches += 1
        figures.directories += len(ledgers)
        figures.accepted += len(requests)
        for ledger in ledgers:
            for job in sorted(ledger.in_state("in_doubt")):
                figures.doubts[self._explanation(job, ledger)] += 1
            figures.parts += len(ledger.parts())
            figures.jobs += len(ledger.last)
            figures.states += ledger.counts()
            figures.files += sum(len(line.get("files", ())) for line in ledger.records)

    def _explanation(self, job: str, ledger: LedgerView) -> str:
        kind = (ledger.last[job].get("error") or {}).get("kind")
        if kind == "lost_answer" and self._sheet.is_lossy(job):
            return "the sandbox lost the answer"
        if kind == "crash" and (ledger.run_dir, job) in self._reasons:
            return self._reasons[ledger.run_dir, job]
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
