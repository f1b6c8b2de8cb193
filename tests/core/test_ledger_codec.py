"""Ledger lines: there and back, and the scan on every prefix."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.events import JobError, OutputFile
from batchgen.core.ledger_codec import (
    BadLine,
    Position,
    decode,
    decode_header,
    encode,
    encode_header,
    scan,
)
from batchgen.core.lifecycle import JobRecord, JobState

text = st.text(max_size=20)
amount = st.floats(0, 100, allow_nan=False)
records = st.builds(
    JobRecord,
    ts=text,
    job=text,
    state=st.sampled_from(JobState),
    attempt=st.integers(1, 99),
    request_id=st.none() | text,
    outputs=st.lists(text, max_size=3).map(tuple),
    fingerprint=text,
    submitted_at=st.none() | text,
    finished_at=st.none() | text,
    cost_usd=st.none() | amount,
    price_usd=st.none() | amount,
    earlier_cost_usd=amount,
    earlier_price_usd=amount,
    given_up=st.booleans(),
    granted=st.booleans(),
    adopted_by=st.none() | text,
    files=st.lists(
        st.builds(OutputFile, path=text, bytes=st.integers(0, 2**40), sha256=text), max_size=2
    ).map(tuple),
    error=st.none()
    | st.builds(JobError, kind=text, message=text, http_status=st.none() | st.just(500)),
)


@given(records)
def test_a_record_survives_its_line(record: JobRecord) -> None:
    """What is written is what is read."""
    line = encode(record)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == record


def test_every_line_has_the_keys_that_others_rely_on() -> None:
    """Programs and people read these six keys in every record."""
    line = json.loads(encode(JobRecord(ts="t", job="j", state=JobState.SUBMITTING)))

    assert line["request_id"] is None
    assert line["outputs"] == []
    assert [line[key] for key in ("ts", "job", "state", "attempt")] == ["t", "j", "submitting", 1]


def test_an_intent_carries_model_and_input() -> None:
    """The submitting line alone says what was sent."""
    record = JobRecord(ts="t", job="j", state=JobState.SUBMITTING)

    line = json.loads(encode(record, model="a/b", values={"width×height": "1x1"}))

    assert (line["model"], line["input"]) == ("a/b", {"width×height": "1x1"})


def test_unknown_keys_are_ignored() -> None:
    """A later version may write more."""
    assert decode(b'{"ts":"t","job":"j","state":"failed","new":{"a":1}}').state == "failed"


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"null", b'{"ts":"t"}', b'{"job":1,"ts":"t","state":"failed"}', b"\0" * 9],
)
def test_what_is_no_record_is_a_bad_line(line: bytes) -> None:
    """No line is half understood."""
    with pytest.raises(BadLine):
        decode(line)


def test_headers() -> None:
    """A header of this format is read; another program's or version's is refused by name."""
    assert decode_header(encode_header(api="https://a", created="t")).api == "https://a"
    assert decode_header(b'{"ledger":"batchgen","v":1}').api is None
    with pytest.raises(BadLine, match="version 2"):
        decode_header(b'{"ledger":"batchgen","v":2}')
    with pytest.raises(BadLine, match="other"):
        decode_header(b'{"ledger":"other","v":1}')


@given(st.lists(records, min_size=1, max_size=4), st.integers(1, 40), st.data())
def test_every_prefix_gives_its_whole_lines(
    written: list[JobRecord], block_bytes: int, data: st.DataObject
) -> None:
    """However a ledger is cut and read, whole lines come out and the rest is the tail."""
    lines = [encode(record) for record in written]
    whole = b"".join(lines)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    blocks = (cut[i : i + block_bytes] for i in range(0, len(cut), block_bytes))
    position = Position()

    got = [decode(line) for line in scan(blocks, position)]

    complete = cut.count(b"\n")
    assert got == written[:complete]
    assert position.line == complete
    assert position.offset == sum(len(line) for line in lines[:complete])


def test_position_stays_before_a_bad_line() -> None:
    """The place of a fault is known: lines and bytes before it."""
    good = encode(JobRecord(ts="t", job="j", state=JobState.FAILED))
    position = Position()

    lines = map(decode, scan(iter([good, b"{oops\n", good]), position))
    with pytest.raises(BadLine):
        list(lines)

    assert (position.line, position.offset) == (1, len(good))
