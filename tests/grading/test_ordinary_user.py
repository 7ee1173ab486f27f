"""Grading needs no root: the same command, run by an account without any rights."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FULL, MINI, read, released

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
# Python's own account of itself: user, capabilities, and where it finds its library. Without the
# right to read its own, it may take that of another Python.
WHO = (
    "import os, sys; status = open('/proc/self/status').read();"
    "print(os.geteuid(), int(status.split('CapEff:')[1].split()[0], 16), sys.base_prefix)"
)


def run(*command, home):
    return subprocess.run(
        command,
        cwd=ROOT,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def opened(*needed):
    """A view of the machine in which everybody may read the folders ``needed``.

    Root's Python is often in root's home, which is closed to all others.
    """
    closed = {
        parent
        for path in needed
        for parent in path.parents
        if not parent.stat().st_mode & stat.S_IXOTH
    }
    view = ["bwrap", "--dev-bind", "/", "/"]
    for folder in sorted(closed):
        if not any(parent in closed for parent in folder.parents):
            view += ["--perms", "0755", "--tmpfs", str(folder)]
    for path in needed:
        hidden = [parent for parent in path.parents if closed & {parent, *parent.parents}]
        for parent in reversed(hidden):
            view += ["--perms", "0755", "--dir", str(parent)]
        view += ["--bind", str(path), str(path)] if hidden else []
    return [*view, "--"]


@pytest.fixture
def become(tmp_path):
    """The command that makes an ordinary user run what follows it."""
    if os.geteuid() != 0:
        pytest.skip("the tests run as an ordinary user already: every other test shows the same")
    if shutil.which("bwrap") is None and not os.environ.get("CI"):
        pytest.skip("needs bubblewrap")  # a newcomer's machine may lack it; CI must have it
    tmp_path.chmod(0o777)  # it is the home of that user
    view = opened(ROOT, Path(sys.prefix), Path(sys.base_prefix), tmp_path)
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    found = run(*view, *user, sys.executable, "-c", WHO, home=tmp_path)
    assert found.stdout == f"{NOBODY} 0 {sys.base_prefix}\n", found.stderr
    return [*view, *user]


@pytest.mark.slow
def test_an_ordinary_user_grades_with_isolation(become, tmp_path):
    looking = "import os\nassert not os.path.exists('/course/tests')\n"
    marks = {}
    for name, notebook in {"right": read().insert(looking), "stub": released(read())}.items():
        path, found = tmp_path / f"{name}.ipynb", tmp_path / f"{name}.json"
        path.write_bytes(notebook.bytes)
        path.chmod(0o644)
        command = [sys.executable, "-m", "grading", "run", str(MINI), str(path)]
        ended = run(*become, *command, "--json", str(found), home=tmp_path)
        assert ended.returncode == 0, ended.stderr
        marks[name] = json.loads(found.read_text())
    assert marks["right"]["manifest"]["isolation"] == "bubblewrap"
    assert {t["grade_id"]: t["points"] for t in marks["right"]["tests"]} == FULL
    assert marks["stub"]["score"] == 0
    assert marks["stub"]["manifest"]["students_processes"] >= 1
