"""Damaged ledgers: what can still be read, what stops, and that repair never forgets a payment."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.core.errors import LedgerDamaged, LedgerForeign
from batchgen.core.ledger_codec import decode, encode
from batchgen.core.ledger_salvage import SalvagedFields, put_back
from batchgen.core.lifecycle import JobRecord, JobState, adopted, apply
from batchgen.core.plan import SUBMISSIONS, Disposition, Policy, disposition
from batchgen.ledger.compact import compact
from batchgen.ledger.damage import examine
from batchgen.ledger.record_index import RecordIndex
from batchgen.ledger.repair import Repaired, repair
from batchgen.ledger.replay import replay
from batchgen.system.run_directory import RunDirectory
from tests.ledger.histories import API, History, events_of_a_job, histories, history_of

NOW = "2026-11-22T02:00:00.000Z"
POLICY = Policy(max_attempts=1)


def write(run_dir: Path, data: bytes) -> Path:
    """Write a ledger of these bytes."""
    run_dir.mkdir(exist_ok=True)
    path = RunDirectory(run_dir).ledger
    path.write_bytes(data)
    return path


def repaired(run_dir: Path, *, accept_loss: bool = False) -> Repaired:
    """Repair a ledger as the command does."""
    return repair(run_dir, now=NOW, accepts_loss=lambda _: accept_loss)


def finished_job() -> History:
    """Return a ledger with one job from row to file."""
    history = History()
    for _, event in events_of_a_job():
        record = history.known["a"] = apply(history.known.get("a"), event, job="a", ts=NOW)
        history.lines.append(encode(record))
    return history


# What can still be read.


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data + b"\n\n  \n",
        lambda data: data.replace(b'"attempt":1', b'"attempt":1,"priority":{"of":["a","b"]}'),
    ],
    ids=["CRLF", "byte order mark", "blank lines", "unknown keys"],
)
def test_what_an_editor_or_a_later_version_adds_is_ignored(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """None of it says anything else of a job, so none of it stops a run."""
    history = finished_job()
    path = write(tmp_path, change(history.data))

    assert replay(path).index.get("a") == history.known["a"]
    assert examine(path).faults == []


def test_a_state_of_a_later_version_is_kept_and_left_alone(tmp_path: Path) -> None:
    """Such a job is neither submitted nor polled, and compaction keeps its line to the byte."""
    strange = finished_job().lines[-1].replace(b'"downloaded"', b'"upscaling","scale":2')
    path = write(tmp_path, finished_job().data + strange)

    record = replay(path).index.get("a")
    compact(tmp_path, now=NOW)

    assert record is not None
    assert record.state is JobState.UNKNOWN
    assert disposition(record, Policy(), fingerprint="f9") is Disposition.NOT_KNOWN
    assert strange in path.read_bytes()
    assert examine(path).unknown_states == 1


def test_a_copy_taken_while_a_run_writes_is_a_ledger(tmp_path: Path) -> None:
    """Every prefix can be read, and says what its whole lines say."""
    history = history_of([("a", 0, "f1"), ("b", 0, "f1"), ("a", 0, "f1"), ("b", 3, "f1")])
    data = history.data

    for cut in range(len(data)):
        copied = replay(write(tmp_path, data[:cut]))
        whole = data[:cut].rpartition(b"\n")[0].split(b"\n")[1:] if b"\n" in data[:cut] else []
        expected = {(r := decode(line)).job: r for line in whole}
        assert {r.job: r for r in copied.index.records()} == expected
        assert copied.torn_bytes == len(data[:cut].rpartition(b"\n")[2])


@pytest.mark.parametrize("size_bytes", [1, 100, 4096, 3 << 20])
def test_nuls_behind_the_last_line_are_a_torn_tail(tmp_path: Path, size_bytes: int) -> None:
    """A loss of power may lengthen a file by what it never wrote."""
    history = finished_job()
    path = write(tmp_path, history.data + b"\0" * size_bytes)

    found = replay(path)

    assert found.torn_bytes == size_bytes
    assert found.index.get("a") == history.known["a"]


# What stops.


@pytest.mark.parametrize("line", range(1, 6))
def test_a_bad_line_stops_with_its_line_and_byte(tmp_path: Path, line: int) -> None:
    """`replay` names the command that repairs it, `examine` its offset."""
    lines = finished_job().lines
    lines[line] = lines[line][: len(lines[line]) // 2] + b"\n"
    path = write(tmp_path, b"".join(lines))

    with pytest.raises(LedgerDamaged, match=rf"ledger\.jsonl:{line + 1}: .*ledger repair"):
        replay(path)

    (fault,) = examine(path).faults
    assert (fault.line, fault.offset) == (line + 1, len(b"".join(lines[:line])))


def test_a_second_header_stops(tmp_path: Path) -> None:
    """Two ledgers were joined; of one API they can be one, of two they cannot."""
    history, header = finished_job(), finished_job().lines[0]
    path = write(tmp_path, history.data + header + history.lines[-1])

    with pytest.raises(LedgerDamaged, match="second header"):
        replay(path)
    repaired(tmp_path)
    assert replay(path).index.get("a") == history.known["a"]

    other = header.replace(API.encode(), b"https://other.example")
    before = write(tmp_path, history.data + other + history.lines[-1]).read_bytes()
    with pytest.raises(LedgerForeign, match=r":7: .*other\.example"):
        repaired(tmp_path)
    assert path.read_bytes() == before


def test_a_header_of_another_version_stops_wherever_it_is(tmp_path: Path) -> None:
    """A later version may mean something else by the lines behind it."""
    history = finished_job()
    newer = history.lines[0].replace(b'"v":1', b'"v":2')

    with pytest.raises(LedgerForeign, match="version 2"):
        replay(write(tmp_path, newer + history.lines[1]))
    path = write(tmp_path, history.data + newer)
    with pytest.raises(LedgerDamaged, match=":7: "):
        replay(path)
    with pytest.raises(LedgerForeign, match="version 2"):
        examine(path)


# Repair.


def test_repairing_an_intact_ledger_changes_nothing(tmp_path: Path) -> None:
    """Not even the time of the file."""
    path = write(tmp_path, finished_job().data)
    before = path.stat()

    assert repaired(tmp_path).aside is None
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_bad_bytes_are_kept_and_good_lines_stay_to_the_byte(tmp_path: Path) -> None:
    """Nothing is thrown away: what is set aside and what stays are all of it."""
    lines = finished_job().lines
    lines.insert(3, b"what is this file? do not touch\n")
    write(tmp_path, b"".join(lines) + b'{"ts":"torn')

    done = repaired(tmp_path)

    assert done.aside is not None
    assert done.aside.read_bytes() == lines.pop(3) + b'{"ts":"torn'
    assert (RunDirectory(tmp_path).ledger).read_bytes() == b"".join(lines)


def test_a_torn_tail_alone_is_repaired_as_the_next_run_would(tmp_path: Path) -> None:
    """Cut and kept; and put back if it lost only its newline."""
    history = finished_job()
    path = write(tmp_path, history.data + b'{"ts":"torn')
    aside = repaired(tmp_path).aside
    assert aside is not None
    assert (path.read_bytes(), aside.read_bytes()) == (history.data, b'{"ts":"torn')
    assert ".torn-" in aside.name

    (tmp_path / "other").mkdir()
    path = write(tmp_path / "other", history.data[:-1])
    repaired(tmp_path / "other")
    assert path.read_bytes() == history.data


def test_lines_that_ran_into_each_other_are_separated(tmp_path: Path) -> None:
    """An editor that took a newline took nothing else."""
    history = finished_job()
    lines = history.lines
    lines[2] = lines[2].rstrip(b"\n")
    write(tmp_path, b"".join(lines))

    repaired(tmp_path)

    assert (RunDirectory(tmp_path).ledger).read_bytes() == finished_job().data


def test_a_missing_header_is_written_again(tmp_path: Path) -> None:
    """Without an API, which any run may go on with."""
    history = finished_job()
    write(tmp_path, b"".join(history.lines[1:]))

    repaired(tmp_path)

    found = replay(RunDirectory(tmp_path).ledger)
    assert found.header is not None
    assert found.header.api is None
    assert found.index.get("a") == history.known["a"]


def test_a_request_id_that_can_still_be_read_is_collected(tmp_path: Path) -> None:
    """The job continues where it was: no doubt, no second payment."""
    lines = finished_job().lines[:3]
    broken = lines[2][:-10] + b"\n"
    write(tmp_path, lines[0] + broken)

    done = repaired(tmp_path)

    assert [(r.job, r.state, r.request_id) for r in done.put_back] == [("a", "in_queue", "r-1")]


def test_an_intent_that_can_still_be_read_is_a_doubt(tmp_path: Path) -> None:
    """With its price, so that a budget counts it."""
    history = history_of([("a", 0, "f1")])
    write(tmp_path, history.lines[0] + history.lines[1][:-10] + b"\n")

    (record,) = repaired(tmp_path).put_back

    assert (record.state, record.attempt, record.fingerprint) == ("in_doubt", 1, "f1")
    assert record.error is not None
    assert record.error.kind == "damaged"


def test_a_line_that_names_no_job_needs_the_users_decision(tmp_path: Path) -> None:
    """It may have been the only trace of a payment; nothing is changed without --accept-loss."""
    history = finished_job()
    path = write(tmp_path, history.lines[0] + b"\0" * 400 + b"\n" + history.lines[2])
    before = path.read_bytes()

    with pytest.raises(LedgerDamaged, match="--accept-loss"):
        repaired(tmp_path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.glob("*ledger*")] == ["ledger.jsonl"]

    assert repaired(tmp_path, accept_loss=True).lost == 1
    assert replay(path).index.get("a") is not None


LOST = SalvagedFields(jobs=("a",))
PAID = finished_job().known["a"]
FAILED = msgspec.structs.replace(PAID, state=JobState.FAILED, files=(), outputs=())


@pytest.mark.parametrize(
    ("before", "remains", "state"),
    [
        (None, LOST, "in_doubt"),
        (None, SalvagedFields(jobs=("a",), state="pending"), None),
        (None, SalvagedFields(jobs=("a",), request_id="r-9"), "in_queue"),
        (FAILED, LOST, "in_doubt"),
        (FAILED, SalvagedFields(jobs=("a",), request_id="r-1"), None),
        (FAILED, SalvagedFields(jobs=("a",), request_id="r-9"), "in_queue"),
        (PAID, LOST, "in_doubt"),
        (PAID, SalvagedFields(jobs=("a",), fingerprint="f1"), None),
        (PAID, SalvagedFields(jobs=("a",), fingerprint="f2"), "in_doubt"),
        (PAID, SalvagedFields(jobs=("a",), fingerprint="f2", request_id="r-9"), "in_queue"),
        (msgspec.structs.replace(PAID, state=JobState.IN_QUEUE), LOST, None),
        (msgspec.structs.replace(PAID, state=JobState.SUBMITTING), LOST, None),
    ],
)
def test_what_is_put_back(
    before: JobRecord | None, remains: SalvagedFields, state: str | None
) -> None:
    """Only what may have been the trace of a submission that nothing else shows."""
    record = put_back(before, remains, job="a", ts=NOW, aside="x")

    assert (record and record.state) == state
    assert record is None or record.request_id == remains.request_id


def test_a_bad_line_with_a_good_one_behind_it_changes_nothing(tmp_path: Path) -> None:
    """The job's last line is its state, whatever was lost before it."""
    lines = finished_job().lines
    lines[2] = lines[2][:-10] + b"\n"
    write(tmp_path, b"".join(lines))

    assert repaired(tmp_path).put_back == []
    assert replay(RunDirectory(tmp_path).ledger).index.get("a") == PAID


def test_a_hole_may_hold_more_than_the_job_at_its_edge(tmp_path: Path) -> None:
    """A line that names a job and has room for others in it needs the user's decision."""
    history = finished_job()
    write(tmp_path, history.data + history.lines[1][:90] + b"\0" * 300 + b"}\n")

    with pytest.raises(LedgerDamaged, match="--accept-loss"):
        repaired(tmp_path)


def pays_again(records: RecordIndex, truth: dict[str, JobRecord]) -> set[str]:
    """Return the jobs that the next run would submit only because lines were lost."""
    found = set()
    for job, record in truth.items():
        if disposition(record, POLICY, fingerprint=record.fingerprint) in SUBMISSIONS:
            continue
        left = records.get(job)
        after = disposition(left, POLICY, fingerprint=record.fingerprint)
        if after in SUBMISSIONS and record.state not in (JobState.FAILED, JobState.PENDING):
            found.add(job)
    return found


def test_a_granted_attempt_whose_intent_was_cut_is_in_doubt(tmp_path: Path) -> None:
    """The user allowed one more attempt, and what is left of the line may be that attempt."""
    history = history_of([("a", 0, "f1"), ("a", 3, "f1"), ("a", 3, "f1"), ("a", 0, "f1")])
    lines = [*history.lines[:-1], history.lines[-1][:42] + b"\n"]
    write(tmp_path, b"".join(lines))

    repaired(tmp_path)
    index = replay(RunDirectory(tmp_path).ledger).index
    assert pays_again(index, history.known) == set()
    record = index.get("a")
    assert record is not None
    assert (record.state, record.attempt, record.granted) == (JobState.IN_DOUBT, 2, False)


kinds = st.sampled_from(["cut", "front", "flip", "nul", "hole"])
hits = st.tuples(st.integers(1, 30), kinds, st.integers(0, 400))


def damaged(line: bytes, kind: str, at: int) -> bytes:
    """Return the line as a disk or an editor might leave it."""
    body = line.rstrip(b"\n")
    at = 1 + at % max(1, len(body) - 1)  # a line that is gone without a trace cannot be missed
    match kind:
        case "cut":
            return body[:at] + b"\n"
        case "front":
            return body[at:] + b"\n"
        case "flip":
            return (
                body[:at] + bytes([body[at] ^ 0x80]).replace(b"\n", b"?") + body[at + 1 :] + b"\n"
            )
        case "nul":
            return b"\0" * len(body) + b"\n"
        case _:
            return body[:at] + b"\0" * 7 + body[at + 7 :] + b"\n"


@settings(max_examples=200, deadline=None)
@given(histories, st.lists(hits, min_size=1, max_size=3))
def test_repair_never_forgets_a_payment(
    tmp_path_factory: pytest.TempPathFactory,
    history: History,
    found: list[tuple[int, str, int]],
) -> None:
    """Whatever lines are hit: a job that was submitted is not submitted again because of it.

    Either the repaired ledger still says so, or repair asks the user first.
    """
    lines = list(history.lines)
    for place, (kind, at) in {1 + n % (len(lines) - 1): hit for n, *hit in found}.items():
        lines[place] = damaged(lines[place], kind, at)
    run_dir = tmp_path_factory.mktemp("damage")
    write(run_dir, b"".join(lines))

    try:
        repaired(run_dir)
    except LedgerDamaged:
        pass
    else:
        assert pays_again(replay(RunDirectory(run_dir).ledger).index, history.known) == set()
    shutil.rmtree(run_dir)


def test_a_compacted_ledger_survives_a_bad_last_line(tmp_path: Path) -> None:
    """The request_id is in another line too, so what is paid for is collected again."""
    path = write(tmp_path, finished_job().data)
    compact(tmp_path, now=NOW)
    path.write_bytes(path.read_bytes()[:-20])

    found = replay(path).index.get("a")

    assert found is not None
    assert (found.state, found.request_id) == ("in_queue", "r-1")


def test_compaction_keeps_outputs_of_earlier_inputs_and_adoptions(tmp_path: Path) -> None:
    """Going back to an earlier text stays free, and a name that was given up stays free."""
    to_file = [("a", 0, "f1")] * 2 + [("a", 1, "f1"), ("a", 0, "f1")]
    history = history_of([*to_file, ("a", 0, "f2"), ("a", 0, "f2"), ("a", 1, "f2"), ("b", 0, "f1")])
    taken, left = adopted(history.known["b"], job="c", ts=NOW)
    path = write(tmp_path, history.data + encode(taken) + encode(left))
    before = replay(path).index

    compact(tmp_path, now=NOW)

    after = replay(path).index
    assert before.made_before("a", "f1") is not None
    assert after.made_before("a", "f1") == before.made_before("a", "f1")
    assert {r.job for r in after.records()} == {r.job for r in before.records()} == {"a", "c"}
    assert after.get("b") is None
    sent = [line for line in path.read_bytes().splitlines() if b'"input"' in line]
    assert "b" in {decode(line).job for line in sent}, (
        "what was sent for it is recorded under its old name"
    )


@settings(max_examples=60, deadline=None)
@given(histories)
def test_a_compacted_ledger_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, history: History
) -> None:
    """Records with their spend and attempts, and the input of each; lines are the old ones."""
    run_dir = tmp_path_factory.mktemp("compact")
    path = write(run_dir, history.data)

    old, new = compact(run_dir, now=NOW)

    after = path.read_bytes().splitlines(keepends=True)
    rest = iter(history.lines)
    assert all(line in rest for line in after)
    assert {r.job: r for r in replay(path).index.records()} == history.known
    for job, record in history.known.items():
        sent = [line for line in after if b'"input"' in line and decode(line).job == job]
        assert record.fingerprint in {decode(line).fingerprint for line in sent}
    assert new.line == len(after) <= old.line == len(history.lines)
    assert compact(run_dir, now=NOW)[1] == new
    shutil.rmtree(run_dir)
