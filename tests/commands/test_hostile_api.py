"""An API that lies: each odd answer is a value for its job, and the other jobs do not notice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kit.cases import few
from tests.kit.ledger_view import states
from tests.kit.live import write_csv
from tests.kit.lying_api import json_reply, lying_api, redirect, reply
from tests.outputs.host import PNG

ODD_URLS = {
    "DEL in the path": "https://files.runcomfy.net/a\x7f.png",
    "DEL in the host": "https://fi\x7fles.runcomfy.net/a.png",
    "C1 control": "https://files.runcomfy.net/\x9b31m.png",
    "long label": f"https://{'a' * 64}.runcomfy.net/a.png",
    "long name": f"https://{'a.' * 130}runcomfy.net/a.png",
    "empty label": "https://a..runcomfy.net/a.png",
    "leading dot": "https://.runcomfy.net/a.png",
    "open bracket": "https://[",
    "no port": "https://files.runcomfy.net:99999/a.png",
    "port in words": "https://files.runcomfy.net:https/a.png",
    "bad IDN": "https://xn--a-ecp.runcomfy.net/a.png",
    "soft hyphen": "https://fi\xadles.runcomfy.net/a.png",
    "line separator": "https://files.runcomfy.net/a\u2028.png",
    "one hundred thousand characters": f"https://files.runcomfy.net/{'a' * 100_000}.png",
}
ODD_LOCATIONS = {
    "open bracket": b"http://[",
    "no port": b"http://127.0.0.1:99999/a.png",
    "long label": b"http://" + b"a" * 64 + b".runcomfy.net/a.png",
    "empty label": b"http://a..runcomfy.net/",
    "ESC": b"http://127.0.0.1/\x1b[31m",
    "DEL": b"http://127.0.0.1/\x7f",
    "C1": b"http://127.0.0.1/\xc2\x9b",
    "not UTF-8": b"http://127.0.0.1/\xff\xfe",
    "bad userinfo": b"http://@:@/",
    "scheme only": b"http:",
}
DEPTHS = (65, 400, 600, 980, 1_000, 5_000, 100_000)
NUMBERS = (b"1" + b"0" * 400, b"1e308", b"-1e308", b"1e400", b"9" * 5_000, b"-1", b"10001")


def nested(depth: int) -> bytes:
    """Return JSON that is nested this deeply, under every key that is read."""
    deep = b"[" * depth + b'"x"' + b"]" * depth
    keys = b"request_id status output error message detail models model_id input_schema cost"
    return b"{" + b",".join(b'"%b":%b' % (key, deep) for key in keys.split()) + b"}"


def test_odd_urls_are_left_for_later_and_the_others_are_collected(tmp_path: Path) -> None:
    """Each job with one stays `completed`, exit 75, and its neighbours are downloaded; twice."""
    odd = {f"odd{number:02}": url for number, url in enumerate(ODD_URLS.values())}
    manifest = write_csv(tmp_path / "m.csv", [f"{name},{name}" for name in ("a", *odd, "z")])

    with lying_api() as api:

        def result(about: str) -> bytes:
            output = odd.get(about) or api.output(about)
            return json_reply({"status": "succeeded", "output": {"image": output}})

        api.lies["result"] = result
        runs = [api.batchgen("run", manifest) for _ in range(2)]

    for done in runs:
        assert done.code == 75, done.err
        assert "defect" not in done.err
    expected = {"a": "downloaded", **dict.fromkeys(odd, "completed"), "z": "downloaded"}
    assert states(tmp_path / "m.run") == expected


def test_odd_redirects_are_left_for_later_and_the_others_are_collected(tmp_path: Path) -> None:
    """A download host that redirects nowhere costs its own file only."""
    odd = {f"odd{number:02}": place for number, place in enumerate(ODD_LOCATIONS.values())}
    manifest = write_csv(tmp_path / "m.csv", [f"{name},{name}" for name in ("a", *odd, "z")])

    def file(path: str) -> bytes:
        name = path.rpartition("/")[2].removesuffix(".png")
        return redirect(odd[name]) if name in odd else reply(PNG, content_type="image/png")

    with lying_api(file=file) as api:
        done = api.batchgen("run", manifest)

    assert done.code == 75, done.err
    assert "defect" not in done.err
    expected = {"a": "downloaded", **dict.fromkeys(odd, "completed"), "z": "downloaded"}
    assert states(tmp_path / "m.run") == expected


@pytest.mark.parametrize(
    ("endpoint", "code", "state"),
    [("submit", 1, "in_doubt"), ("status", 0, "downloaded"), ("result", 0, "downloaded")],
)
def test_nested_answers_are_doubt_or_another_poll(
    tmp_path: Path, endpoint: str, code: int, state: str
) -> None:
    """After a POST they are a doubt; a poll is made again, and the next answer counts."""
    manifest = write_csv(tmp_path / "m.csv", [f"j{depth},{depth}" for depth in DEPTHS])
    lied: set[str] = set()

    with lying_api() as api:

        def once(about: str) -> bytes:
            if about in lied:
                return json_reply(api.truth(endpoint, about))
            lied.add(about)
            return reply(nested(int(about)))

        api.lies[endpoint] = once
        done = api.batchgen("run", manifest)

    assert done.code == code, done.err
    assert "defect" not in done.err
    assert states(tmp_path / "m.run") == {f"j{depth}": state for depth in DEPTHS}


@pytest.mark.parametrize("depth", [400, 600, 5_000])
def test_a_nested_catalogue_keeps_no_run_from_its_work(tmp_path: Path, depth: int) -> None:
    """What the catalogue cannot tell, the package does."""
    manifest = write_csv(tmp_path / "m.csv", ["a,a"])
    body = reply(nested(depth))

    with lying_api(entry=lambda _: body, list=lambda _: body) as api:
        listed = api.batchgen("models")
        done = api.batchgen("run", manifest)

    assert done.code == 0, done.err
    assert "defect" not in listed.err + done.err
    assert states(tmp_path / "m.run") == {"a": "downloaded"}


@pytest.mark.parametrize("depth", [20, 300, 900])
@pytest.mark.slow
def test_a_schema_of_many_levels_keeps_no_run_from_its_work(tmp_path: Path, depth: int) -> None:
    """What is below the levels that are read is not checked."""
    begins = ('{"type":"array","items":', '{"type":"object","properties":{"x":', '{"anyOf":[',
              '{"allOf":[')  # fmt: skip
    named = ",".join(f'"deep{n}":{_nested_schema(begin, depth)}' for n, begin in enumerate(begins))
    entry = (
        '{"model_id":"bytedance/dreamina-4-0/text-to-image","input_schema":{"type":"object",'
        f'"properties":{{"prompt":{{"type":"string"}},{named}}}}}}}'
    )
    manifest = write_csv(tmp_path / "m.csv", ["a,a"])

    with lying_api(entry=lambda _: reply(entry.encode())) as api:
        shown = api.batchgen("models", "bytedance/dreamina-4-0/text-to-image")
        done = api.batchgen("run", manifest)

    assert (shown.code, done.code) == (0, 0), shown.err + done.err


@pytest.mark.parametrize("word", few(["succeeded", "failed"]))
@pytest.mark.slow
def test_a_cost_that_is_not_an_amount_is_ignored_with_a_note(tmp_path: Path, word: str) -> None:
    """The price of the catalogue stands for it, and the next run has the budget it should have."""
    rows = [f"j{number},{number}" for number in range(len(NUMBERS))]
    manifest = write_csv(tmp_path / "m.csv", rows)

    with lying_api() as api:

        def result(about: str) -> bytes:
            image, number = api.output(about).encode(), NUMBERS[int(about)]
            return reply(
                b'{"status":"%b","output":{"image":"%b"},"cost":%b,"queue_position":%b,"code":%b}'
                % (word.encode(), image, number, number, number)
            )

        def status(about: str) -> bytes:
            return reply(b'{"status":"completed","queue_position":%b}' % NUMBERS[int(about)])

        api.lies |= {"result": result, "status": status}
        limits = ("--max-cost", "0.60/day", "--max-attempts", "1", "--job-timeout", "3s")
        runs = [api.batchgen("run", manifest, *limits) for _ in range(2)]
        shown = api.batchgen("status", manifest, "--json")

    for done in runs:
        assert done.code in (0, 1, 75), done.err
        assert "defect" not in done.err
    assert runs[0].err.count("is not an amount") == runs[0].err.count("it is ignored") > 0
    assert json.loads(shown.out)["cost_usd"] == 0


def _nested_schema(begin: str, depth: int) -> str:
    ends = "".join({"{": "}", "[": "]"}[char] for char in reversed(begin) if char in "{[")
    return begin * depth + "{}" + ends * depth
