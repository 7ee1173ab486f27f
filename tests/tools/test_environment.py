"""The installer tells a newcomer what is wrong instead of showing a traceback."""

import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from tools import course, environment

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 4), (3, 13, 9)])
def test_supported_pythons_pass(version):
    assert environment.check_python(version) is None


@pytest.mark.parametrize("version", [(3, 8, 1), (3, 10, 14), (3, 14, 0)])
def test_other_pythons_are_refused_by_name(version):
    message = rf"Python 3\.{version[1]} found.*3\.11 to 3\.13"
    with pytest.raises(environment.SetupError, match=message):
        environment.check_python(version)


def test_short_disk_is_refused_with_figures(tmp_path):
    with pytest.raises(environment.SetupError, match=r"2\.0 GB free in .*installing takes 9 GB"):
        environment.check_disk(tmp_path, 9, usage=lambda _: Usage(10e9, 8e9, 2e9))
    assert environment.check_disk(tmp_path, 9, usage=lambda _: Usage(1e11, 0, 9.1e9)) is None


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (
            "NewConnectionError: [Errno -2] Name or service not known",
            "index could",
        ),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        (
            "ERROR: (from versions: 2.1.0)\nERROR: No matching distribution found for torch",
            "does not exist for this",
        ),
        ("ERROR: something else", "own message is above"),
    ],
)
def test_failures_of_pip_are_explained(log, sentence):
    assert sentence in environment.explain(log)


def test_the_cpu_index_drops_only_torch_and_cuda():
    text = (course.ROOT / "requirements.txt").read_text(encoding="utf-8")
    reduced = environment.without_cuda(text)
    before = {line.split("==")[0] for line in text.splitlines() if "==" in line}
    after = {line.split("==")[0] for line in reduced.splitlines() if "==" in line}
    dropped = before - after
    assert {"torch", "torchvision", "triton", "cuda-toolkit", "nvidia-cublas"} <= dropped
    assert all(name.startswith(("nvidia-", "cuda-", "torch", "triton")) for name in dropped)
    assert "torchinfo" in after
    assert environment.pinned(text, "torch") == ["torch==2.15.0"]


@pytest.mark.slow  # it makes a virtual environment
def test_unreachable_index_ends_with_a_sentence_and_no_stamp(tmp_path):
    stamp = tmp_path / "stamp"
    # The environment exists already: no disk check, straight to pip. Port 9 answers nobody.
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    result = subprocess.run(
        [
            *(sys.executable, str(course.ROOT / "tools" / "environment.py")),
            *("--venv", str(tmp_path / "venv"), "--stamp", str(stamp)),
        ],
        env={
            "PATH": str(Path(sys.executable).parent),
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_RETRIES": "0",
            "PIP_TIMEOUT": "2",
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert "package index could not be reached" in result.stderr
    assert "Traceback" not in result.stderr
    assert not stamp.exists()


def test_every_direct_dependency_is_pinned_exactly():
    direct = [
        line.split("==")[0].split("<")[0].strip()
        for line in (course.ROOT / "requirements.in").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    lines = (course.ROOT / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert all("==" in pin for pin in pins)
    names = {pin.split("==")[0] for pin in pins}
    assert set(direct) <= names
    assert not [line for line in lines if "://" in line]
