"""The token: found in every spelling, and not searched for in what certainly lacks it."""

from __future__ import annotations

import base64
import json

from hypothesis import example, given
from hypothesis import strategies as st

from batchgen.core.secret import Secret

TOKEN = "sk-Live+7f/3aB9zQ"
SECRET = Secret(TOKEN)

SPELLINGS = st.sampled_from([
    TOKEN, TOKEN.upper(), " ".join(TOKEN), "\t".join(TOKEN), "\x00".join(TOKEN),
    TOKEN.encode().hex(), TOKEN.encode().hex().upper(),
    base64.b64encode(TOKEN.encode()).decode(), base64.b64encode(b"x" + TOKEN.encode()).decode(),
    base64.urlsafe_b64encode(b"xy" + TOKEN.encode()).decode(),
    "".join(f"%{ord(char):02x}" for char in TOKEN), "".join(f"&#{ord(char)};" for char in TOKEN),
    "\u200b".join(TOKEN), TOKEN[:-1], "x",
])  # fmt: skip


@given(
    st.lists(SPELLINGS | st.text(max_size=8), max_size=4),
    st.booleans(),
    st.sampled_from([None, 1]),
)
@example([TOKEN], True, None)
def test_what_is_to_be_redacted_is_never_overlooked(
    parts: list[str], is_ascii: bool, indent: int | None
) -> None:
    """Whatever form of the token is in a JSON text, the quick look at its bytes sees it."""
    value = {"detail": ["".join(parts)], "".join(parts): 1}
    raw = json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode(errors="replace")

    if SECRET.redact_all(value) != value:
        assert SECRET.may_be_in(raw)


def test_an_ordinary_answer_needs_no_redaction() -> None:
    """An id, a state, an address without a query."""
    body = {"request_id": "9b2e7f7e-0e3e-4a75", "output": {"image": "https://x.net/a.png"}}

    assert not SECRET.may_be_in(json.dumps(body).encode())
