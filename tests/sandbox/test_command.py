"""`batchgen sandbox` as a process: what it prints, how it ends, what it runs."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

import batchgen
from batchgen.commands.sandbox import add_arguments, config_of, serve
from batchgen.core.errors import LocalIOError, UsageError
from batchgen.sandbox import Sandbox, SandboxConfig
from batchgen.sandbox.config import USUAL_QUEUE_S

MAIN = """
import argparse, asyncio, sys
from batchgen.core.errors import BatchgenError
from batchgen.commands.sandbox import add_arguments; from batchgen.commands.sandbox import serve
parser = argparse.ArgumentParser()
add_arguments(parser.add_subparsers().add_parser("sandbox"))
try:
    sys.exit(asyncio.run(serve(parser.parse_args())))
except BatchgenError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""
ROOT = Path(batchgen.__file__).parents[1]


def sandbox(*arguments: str) -> subprocess.Popen[str]:
    """The command in a session of its own, so that no terminal has a part in it."""
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, "sandbox", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
        start_new_session=True,
    )


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_lines_to_copy_and_a_clean_end(number: signal.Signals) -> None:
    """It prints exactly the two exports, answers under them, and ends with 0 on a signal."""
    with sandbox("--token", "my-token") as process:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        base = first.removeprefix("export RUNCOMFY_MODEL_API_BASE=").strip()
        assert first.startswith("export RUNCOMFY_MODEL_API_BASE=http://127.0.0.1:")
        assert base.endswith("/v1")
        assert second == "export RUNCOMFY_TOKEN=my-token\n"
        headers = {"Authorization": "Bearer my-token"}
        with urllib.request.urlopen(
            urllib.request.Request(f"{base}/models", headers=headers)
        ) as got:
            assert got.status == 200
        process.send_signal(number)
        rest, talk = process.communicate(timeout=20)
    assert (rest, process.returncode) == ("", 0)
    assert "Traceback" not in talk


def test_a_command_runs_inside_and_decides_the_exit_code() -> None:
    """COMMAND sees both variables, has standard output to itself, and its code is ours."""
    script = (
        "import os, sys, urllib.request as u;"
        "b, t = os.environ['RUNCOMFY_MODEL_API_BASE'], os.environ['RUNCOMFY_TOKEN'];"
        "r = u.Request(b + '/models', headers={'Authorization': 'Bearer ' + t});"
        "print(u.urlopen(r).status, sys.argv[1:]);"
        "sys.exit(7)"
    )
    with sandbox("--seed", "3", "--", sys.executable, "-c", script, "--port", "--", "x") as process:
        out, talk = process.communicate(timeout=20)
    assert out == "200 ['--port', '--', 'x']\n", talk
    assert process.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_go_on_to_the_command(number: signal.Signals) -> None:
    """The command gets the signal and may end as it likes; its end is ours."""
    script = (
        "import signal, sys, time;"
        "[signal.signal(n, lambda n, _: sys.exit(40 + n)) for n in (2, 15)];"
        "print('ready', flush=True); time.sleep(60)"
    )
    with sandbox("--", sys.executable, "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        process.communicate(timeout=20)
    assert process.returncode == 40 + number


def test_a_command_that_dies_of_a_signal() -> None:
    """128 and the number of the signal, as a shell has it."""
    with sandbox("--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)") as process:
        process.communicate(timeout=20)
    assert process.returncode == 137


async def test_a_command_that_does_not_exist() -> None:
    """A usage error that names it, and the sandbox is gone."""
    with pytest.raises(UsageError, match="no-such-program"):
        await serve(parse("--", "no-such-program"))


async def test_a_port_in_use() -> None:
    """The second on one port gets an error with the port in a sentence, exit code 74."""
    async with Sandbox(SandboxConfig()) as first:
        port = int(first.origin.rpartition(":")[2])
        with pytest.raises(LocalIOError, match=f"127.0.0.1:{port}: Address") as caught:
            await serve(parse("--port", str(port)))
    assert caught.value.exit_code == 74
    with pytest.raises(UsageError, match="port 70000"):
        await serve(parse("--port", "70000"))


def test_options_become_settings(tmp_path: Path) -> None:
    """Every option reaches its setting; rules of the file come after those of flags."""
    faults = tmp_path / "faults.json"
    faults.write_text('["status:504"]')
    config = config_of(
        parse(
            *("--token", "t", "--capacity", "3", "--duration", "1-2.5", "--balance", "7"),
            *("--queue", "3-4.5"),
            *("--images", "2", "--fault", "submit:429", "--faults", str(faults), "--seed", "9"),
            *("--models", "a.json", "--models", "b", "--journal", "j.jsonl", "--chaos", "0.3"),
            *("--error-style", "statuses", "--success-word", "completed"),
        )
    )
    assert (config.token, config.capacity, config.balance_usd, config.images) == ("t", 3, 7, 2)
    assert (config.duration_min_s, config.duration_max_s, config.seed) == (1, 2.5, 9)
    assert (config.queue_min_s, config.queue_max_s) == (3, 4.5)
    assert config.faults[0] == "submit:429"
    assert not isinstance(config.faults[1], str)
    assert config.faults[1].on == "status"
    assert config.models == (Path("a.json"), Path("b"))
    assert config.journal == Path("j.jsonl")
    assert (config.chaos, config.error_style) == (0.3, "statuses")
    assert config.success_word == "completed"


def test_nothing_given_is_the_default() -> None:
    """Without options the settings are those of the Python API, but with a short queue."""
    shortest_s, longest_s = USUAL_QUEUE_S
    assert 0 < shortest_s < longest_s
    assert config_of(parse()) == SandboxConfig(queue_min_s=shortest_s, queue_max_s=longest_s)
    assert config_of(parse("--duration", "3")).duration_max_s == 3


@pytest.mark.parametrize("text", ["", "x", "1-", "2-1", "-1", "1-2-3"])
@pytest.mark.parametrize("option", ["--duration", "--queue"])
def test_durations_that_are_none(option: str, text: str) -> None:
    """A usage error that shows the right form."""
    with pytest.raises(UsageError, match="MIN-MAX"):
        config_of(parse(f"{option}={text}"))


async def test_only_loopback_is_bound() -> None:
    """It listens on 127.0.0.1 and nowhere else."""
    async with Sandbox(SandboxConfig()) as one:
        assert one.base_url == f"{one.origin}/v1"
        listener = one._listener
        assert listener is not None
        assert [address[0] for address in listener._runner.addresses] == ["127.0.0.1"]


def test_a_malformed_request_prints_nothing() -> None:
    """Whatever is sent to the port, no traceback appears on the terminal of the sandbox."""
    words = [sys.executable, "-m", "batchgen", "sandbox"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().strip().rpartition(":")[2].removesuffix("/v1"))
            for raw in (
                b"GARBAGE\r\n\r\n", b"\0\xff" * 50 + b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                b"GET /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
                b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
            ):  # fmt: skip
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(raw)
                    connection.settimeout(10)
                    with suppress(OSError):
                        while connection.recv(65536):
                            pass
        finally:
            process.terminate()
            _, err = process.communicate(timeout=20)
    assert "Traceback" not in err
    assert "Error" not in err
