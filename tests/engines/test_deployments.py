"""The files for clusters in docs/scale/ are what their tools read."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import yaml

from batchgen.cli.parser import build_parser

FILES = Path(__file__).parents[2] / "docs" / "scale"


def test_the_job_of_kuberay_runs_a_command_that_exists() -> None:
    """It is YAML, its command has no mistake, and no container but the head sees the token."""
    job = yaml.safe_load((FILES / "kuberay.yaml").read_text())
    words = shlex.split(job["spec"]["entrypoint"])
    args = build_parser(words[1:]).parse_args(words[1:])
    assert (args.engine, args.ray_address) == ("ray", "auto")

    cluster = job["spec"]["rayClusterSpec"]
    for group in cluster["workerGroupSpecs"]:
        assert "secret" not in yaml.safe_dump(group).lower()
    assert "env" not in cluster["headGroupSpec"]["template"]["spec"]["containers"][0]


def test_the_script_of_slurm_is_valid() -> None:
    """Its shell can read it."""
    subprocess.run(["bash", "-n", str(FILES / "slurm.sh")], check=True)
