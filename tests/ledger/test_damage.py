"""Damage: what is read in spite of it, what stops, and that mending never forgets a payment."""

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
from batchgen.ledger import LEDGER_NAME, RecordIndex, replay
from batchgen.ledger.compact import compact
from batchgen.ledger.damage import examine
from batchgen.ledger.repair import Repaired, repair
from tests.ledger.histories import API, Night, night_of, nights, one_life

NOW = "2026-11-22T02:00:00.000Z"
POLICY = Policy(max_attempts=1)


def write(run_dir: Path, data: bytes) -> Path:
    """A ledger of these bytes."""
    run_dir.mkdir(exist_ok=True)
    path = run_dir / LEDGER_NAME
    path.write_bytes(data)
    return path


def mend(run_dir: Path, *, accept_loss: bool = False) -> Repaired:
    """Repair as its command does."""
    return repair(run_dir, now=NOW, accepts_loss=lambda _: accept_loss)


def life() -> Night:
    """One job from row to file, as a night."""
    night = Night()
    for _, event in one_life():
        record = night.known["a"] = apply(night.known.get("a"), event, job="a", ts=NOW)
        night.lines.append(encode(record))
    return night


# What is read in spite of it.


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
def test_what_an_editor_or_a_later_version_adds_is_read_over(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """None of it says anything else of a job, so none of it stops a night."""
    night = life()
    path = write(tmp_path, change(night.data))

    assert replay(path).index.get("a") == night.known["a"]
    assert examine(path).faults == []


def test_a_state_of_a_later_version_is_kept_and_left_alone(tmp_path: Path) -> None:
    """Such a job is neither submitted nor polled, and compaction keeps its line to the byte."""
    strange = life().lines[-1].replace(b'"downloaded"', b'"upscaling","scale":2')
    path = write(tmp_path, life().data + strange)

    record = replay(path).index.get("a")
    compact(tmp_path, now=NOW)

    assert record is not None
    assert record.state is JobState.UNKNOWN
    assert disposition(record, Policy(), fingerprint="f9") is Disposition.NOT_KNOWN
    assert strange in path.read_bytes()
    assert examine(path).unknown_states == 1


def test_a_copy_taken_while_a_run_writes_is_a_ledger(tmp_path: Path) -> None:
    """Every prefix can be read, and says what its whole lines say."""
    night = night_of([("a", 0, "f1"), ("b", 0, "f1"), ("a", 0, "f1"), ("b", 3, "f1")])
    data = night.data

    for cut in range(len(data)):
        copied = replay(write(tmp_path, data[:cut]))
        whole = data[:cut].rpartition(b"\n")[0].split(b"\n")[1:] if b"\n" in data[:cut] else []
        said = {(r := decode(line)).job: r for line in whole}
        assert {r.job: r for r in copied.index.records()} == said
        assert copied.torn_bytes == len(data[:cut].rpartition(b"\n")[2])


@pytest.mark.parametrize("size_bytes", [1, 100, 4096, 3 << 20])
def test_nuls_behind_the_last_line_are_a_torn_tail(tmp_path: Path, size_bytes: int) -> None:
    """A loss of power may lengthen a file by what it never wrote."""
    night = life()
    path = write(tmp_path, night.data + b"\0" * size_bytes)

    found = replay(path)

    assert found.torn_bytes == size_bytes
    assert found.index.get("a") == night.known["a"]


# What stops.


@pytest.mark.parametrize("line", range(1, 6))
def test_a_bad_line_stops_and_is_told_by_line_and_byte(tmp_path: Path, line: int) -> None:
    """By `replay` with the command that mends it, by `examine` with its offset."""
    lines = life().lines
    lines[line] = lines[line][: len(lines[line]) // 2] + b"\n"
    path = write(tmp_path, b"".join(lines))

    with pytest.raises(LedgerDamaged, match=rf"ledger\.jsonl:{line + 1}: .*ledger repair"):
        replay(path)

    (fault,) = examine(path).faults
    assert (fault.line, fault.offset) == (line + 1, len(b"".join(lines[:line])))


def test_a_second_header_stops(tmp_path: Path) -> None:
    """Two ledgers were joined; of one API they can be one, of two they cannot."""
    night, header = life(), life().lines[0]
    path = write(tmp_path, night.data + header + night.lines[-1])

    with pytest.raises(LedgerDamaged, match="second header"):
        replay(path)
    mend(tmp_path)
    assert replay(path).index.get("a") == night.known["a"]

    other = header.replace(API.encode(), b"https://other.example")
    before = write(tmp_path, night.data + other + night.lines[-1]).read_bytes()
    with pytest.raises(LedgerForeign, match=r":7: .*other\.example"):
        mend(tmp_path)
    assert path.read_bytes() == before


def test_a_header_of_another_version_stops_wherever_it_stands(tmp_path: Path) -> None:
    """A later version may mean something else by the lines behind it."""
    night = life()
    newer = night.lines[0].replace(b'"v":1', b'"v":2')

    with pytest.raises(LedgerForeign, match="version 2"):
        replay(write(tmp_path, newer + night.lines[1]))
    path = write(tmp_path, night.data + newer)
    with pytest.raises(LedgerDamaged, match=":7: "):
        replay(path)
    with pytest.raises(LedgerForeign, match="version 2"):
        examine(path)


# Mending.


def test_mending_what_is_whole_changes_nothing(tmp_path: Path) -> None:
    """Not even the time of the file."""
    path = write(tmp_path, life().data)
    before = path.stat()

    assert mend(tmp_path).aside is None
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_bad_bytes_are_kept_and_good_lines_stay_to_the_byte(tmp_path: Path) -> None:
    """Nothing is thrown away: what is set aside and what stays are all of it."""
    lines = life().lines
    lines.insert(3, b"what is this file? do not touch\n")
    write(tmp_path, b"".join(lines) + b'{"ts":"torn')

    done = mend(tmp_path)

    assert done.aside is not None
    assert done.aside.read_bytes() == lines.pop(3) + b'{"ts":"torn'
    assert (tmp_path / LEDGER_NAME).read_bytes() == b"".join(lines)


def test_a_torn_tail_alone_is_mended_as_the_next_run_would(tmp_path: Path) -> None:
    """Cut and kept; and put back where it lost only its newline."""
    night = life()
    path = write(tmp_path, night.data + b'{"ts":"torn')
    aside = mend(tmp_path).aside
    assert aside is not None
    assert (path.read_bytes(), aside.read_bytes()) == (night.data, b'{"ts":"torn')
    assert ".torn-" in aside.name

    (tmp_path / "other").mkdir()
    path = write(tmp_path / "other", night.data[:-1])
    mend(tmp_path / "other")
    assert path.read_bytes() == night.data


def test_lines_that_ran_into_each_other_are_parted(tmp_path: Path) -> None:
    """An editor that took a newline took nothing else."""
    night = life()
    lines = night.lines
    lines[2] = lines[2].rstrip(b"\n")
    write(tmp_path, b"".join(lines))

    mend(tmp_path)

    assert (tmp_path / LEDGER_NAME).read_bytes() == life().data


def test_a_missing_header_is_written_anew(tmp_path: Path) -> None:
    """Without an API, which any run may go on with."""
    night = life()
    write(tmp_path, b"".join(night.lines[1:]))

    mend(tmp_path)

    found = replay(tmp_path / LEDGER_NAME)
    assert found.header is not None
    assert found.header.api is None
    assert found.index.get("a") == night.known["a"]


def test_a_request_id_that_can_still_be_read_is_collected(tmp_path: Path) -> None:
    """The job goes on where it was: no doubt, no second payment."""
    lines = life().lines[:3]
    broken = lines[2][:-10] + b"\n"
    write(tmp_path, lines[0] + broken)

    done = mend(tmp_path)

    assert [(r.job, r.state, r.request_id) for r in done.put_back] == [("a", "in_queue", "r-1")]


def test_an_intent_that_can_still_be_read_is_a_doubt(tmp_path: Path) -> None:
    """With its price, so that a budget counts it."""
    night = night_of([("a", 0, "f1")])
    write(tmp_path, night.lines[0] + night.lines[1][:-10] + b"\n")

    (record,) = mend(tmp_path).put_back

    assert (record.state, record.attempt, record.fingerprint) == ("in_doubt", 1, "f1")
    assert record.error is not None
    assert record.error.kind == "damaged"


def test_a_line_that_names_no_job_needs_a_persons_word(tmp_path: Path) -> None:
    """It may have been the only trace of a payment; nothing is changed before that is said."""
    night = life()
    path = write(tmp_path, night.lines[0] + b"\0" * 400 + b"\n" + night.lines[2])
    before = path.read_bytes()

    with pytest.raises(LedgerDamaged, match="--accept-loss"):
        mend(tmp_path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.glob("*ledger*")] == [LEDGER_NAME]

    assert mend(tmp_path, accept_loss=True).lost == 1
    assert replay(path).index.get("a") is not None


LOST = SalvagedFields(jobs=("a",))
PAID = life().known["a"]
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
    lines = life().lines
    lines[2] = lines[2][:-10] + b"\n"
    write(tmp_path, b"".join(lines))

    assert mend(tmp_path).put_back == []
    assert replay(tmp_path / LEDGER_NAME).index.get("a") == PAID


def test_a_hole_may_hold_more_than_the_job_at_its_edge(tmp_path: Path) -> None:
    """A line that names a job and has room for others in it needs a person's word."""
    night = life()
    write(tmp_path, night.data + night.lines[1][:90] + b"\0" * 300 + b"}\n")

    with pytest.raises(LedgerDamaged, match="--accept-loss"):
        mend(tmp_path)


def pays_again(records: RecordIndex, truth: dict[str, JobRecord]) -> set[str]:
    """Jobs that the next run would submit though it would not have, had nothing been lost."""
    found = set()
    for job, record in truth.items():
        if disposition(record, POLICY, fingerprint=record.fingerprint) in SUBMISSIONS:
            continue
        left = records.get(job)
        mended = disposition(left, POLICY, fingerprint=record.fingerprint)
        if mended in SUBMISSIONS and record.state not in (JobState.FAILED, JobState.PENDING):
            found.add(job)
    return found


kinds = st.sampled_from(["cut", "front", "flip", "nul", "hole"])
hits = st.tuples(st.integers(1, 30), kinds, st.integers(0, 400))


def damaged(line: bytes, kind: str, at: int) -> bytes:
    """The line as a disk or an editor might leave it."""
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
@given(nights, st.lists(hits, min_size=1, max_size=3))
def test_mending_never_forgets_a_payment(
    tmp_path_factory: pytest.TempPathFactory,
    night: Night,
    found: list[tuple[int, str, int]],
) -> None:
    """Whatever lines are hit: a job that was submitted is not submitted again because of it.

    Either the mended ledger still says so, or mending asks a person first.
    """
    lines = list(night.lines)
    for place, (kind, at) in {1 + n % (len(lines) - 1): hit for n, *hit in found}.items():
        lines[place] = damaged(lines[place], kind, at)
    run_dir = tmp_path_factory.mktemp("damage")
    write(run_dir, b"".join(lines))

    try:
        mend(run_dir)
    except LedgerDamaged:
        pass
    else:
        assert pays_again(replay(run_dir / LEDGER_NAME).index, night.known) == set()
    shutil.rmtree(run_dir)


def test_a_compacted_ledger_bears_a_bad_last_line(tmp_path: Path) -> None:
    """The request_id stands in another line too, so what is paid for is collected again."""
    path = write(tmp_path, life().data)
    compact(tmp_path, now=NOW)
    path.write_bytes(path.read_bytes()[:-20])

    found = replay(path).index.get("a")

    assert found is not None
    assert (found.state, found.request_id) == ("in_queue", "r-1")


def test_compaction_keeps_outputs_of_earlier_inputs_and_adoptions(tmp_path: Path) -> None:
    """Going back to an earlier text stays free, and a name that was given up stays free."""
    to_file = [("a", 0, "f1")] * 2 + [("a", 1, "f1"), ("a", 0, "f1")]
    night = night_of([*to_file, ("a", 0, "f2"), ("a", 1, "f1"), ("a", 0, "f1"), ("b", 0, "f1")])
    taken, left = adopted(night.known["b"], job="c", ts=NOW)
    path = write(tmp_path, night.data + encode(taken) + encode(left))
    before = replay(path).index

    compact(tmp_path, now=NOW)

    after = replay(path).index
    assert before.made_before("a", "f1") is not None
    assert after.made_before("a", "f1") == before.made_before("a", "f1")
    assert {r.job for r in after.records()} == {r.job for r in before.records()} == {"a", "c"}
    assert after.get("b") is None
    sent = [line for line in path.read_bytes().splitlines() if b'"input"' in line]
    assert "b" in {decode(line).job for line in sent}, (
        "what was sent for it stands under its old name"
    )


@settings(max_examples=60, deadline=None)
@given(nights)
def test_a_compacted_ledger_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, night: Night
) -> None:
    """Records with their spend and attempts, and the input of each; lines are the old ones."""
    run_dir = tmp_path_factory.mktemp("compact")
    path = write(run_dir, night.data)

    done = compact(run_dir, now=NOW)

    after = path.read_bytes().splitlines(keepends=True)
    rest = iter(night.lines)
    assert all(line in rest for line in after)
    assert {r.job: r for r in replay(path).index.records()} == night.known
    for job, record in night.known.items():
        sent = [line for line in after if b'"input"' in line and decode(line).job == job]
        assert record.attempt in {decode(line).attempt for line in sent}
    assert done.lines == len(after) <= done.lines_before == len(night.lines)
    assert compact(run_dir, now=NOW).lines == len(after)
    shutil.rmtree(run_dir)
