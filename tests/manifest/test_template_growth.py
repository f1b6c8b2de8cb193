"""Templates that multiply: refused before they are rendered, in bounded time and memory."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.core.schema.values import InvalidValue
from batchgen.manifest.templates import MAX_RENDERED, Template

LARGE = "x" * MAX_RENDERED

GREEDY = {
    "concatenated": "{{ " + " ~ ".join(["p"] * 2_000) + " }}",
    "one after another": "{{p}}" * 1_900,
    "added": "{{ " + " + ".join(["p"] * 55) + " }}",
    "added too often": "{{ " + " + ".join(["p"] * 3_000) + " }}",
    "added in brackets": "{{ " + "(" * 500 + "p" + " ~ p)" * 500 + " }}",
    "filtered": "{{ p" + "|upper|lower" * 20 + " }}",
    "filtered too often": "{{ p" + "|upper" * 2_000 + " }}",
    "replaced": "{{ p" + "|replace('x', 'yyyy')" * 20 + " }}",
    "replaced side by side": "{{ " + " ~ ".join(["p|replace('x', 'yyyy')"] * 500) + " }}",
    "default": "{{ " + " ~ ".join(["q|default(p ~ p ~ p)"] * 500) + " }}",
    "tested": "{% if p == 'a' %}" * 40 + "{{ p ~ p ~ p ~ p ~ p ~ p }}" + "{% endif %}" * 40,
    "branches": "{% if p %}" + "{{ p ~ p }}" * 500 + "{% else %}b{% endif %}",
    "nested branches": "{% if p %}" * 1_500 + "a" + "{% endif %}" * 1_500,
    "signs": "{{ " + "-" * 15_000 + "1 }}",
    "digits": "{{ " + "9" * 19_000 + " }}",
    "digits in a list": "{{ p[" + "9" * 5_000 + "] }}",
    "sum of digits": "{{ " + " + ".join(["9" * 4_000] * 4) + " }}",
    "text to number": "{{ d|int + d|int }}",
    "text to float": "{{ d|float|int }}",
    "exponent": "{{ 1e308|int }}",
}


@pytest.mark.parametrize("source", GREEDY.values(), ids=GREEDY)
def test_a_greedy_template_is_a_sentence_in_bounded_time_and_memory(source: str) -> None:
    """Over a cell of a million characters: a text within the limit, or the reason why not."""
    begun_s = time.process_time()
    tracemalloc.start()
    try:
        rendered = Template(source).render({"p": LARGE, "d": "9" * 100_000})
    except InvalidValue:
        rendered = ""
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert len(rendered) <= MAX_RENDERED
    assert peak < 100_000_000
    assert time.process_time() - begun_s < 10


@pytest.mark.parametrize(
    ("source", "length"),
    [("{{ p }}", MAX_RENDERED), ("{{ p|truncate(10) }}", 10), ("{{ p[:5] }}", 5),
     ("{{ (p ~ p)|truncate(20) }}", 20), ("{{ p if p else p }}", MAX_RENDERED),
     ("{{ p|title }}", MAX_RENDERED), ("{{ p|length }}", 7)],
)  # fmt: skip
def test_what_stays_within_the_limit_is_rendered(source: str, length: int) -> None:
    """The estimate refuses nothing that is short in the end."""
    assert len(Template(source).render({"p": LARGE})) == length


EXPRESSIONS = st.recursive(
    st.sampled_from(["p", "q", "'lit'", "7"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]} ~ {two[1]})"),
        inner.map(lambda one: f"({one})|string|upper"),
        inner.map(lambda one: f"({one})|string|replace('a', 'bcd')"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} if {two[1]} else {two[0]})"),
    ),
    max_leaves=12,
)


@given(expression=EXPRESSIONS, text=st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_an_ordinary_template_is_never_refused(expression: str, text: str) -> None:
    """Whatever small expressions are put together, the text is rendered."""
    values = {"p": text, "q": "a" * 50}
    with suppress(InvalidValue):  # nested too deeply, and nothing else
        template = Template("{{ " + expression + " }}")
        assert template.render(values) is not None
