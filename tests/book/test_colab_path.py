"""A student's way through Colab, played from the published site to the mark.

Colab is a clean Python environment with torch and the usual packages, but without cnnlib and
nbgrader, and with no way to the internet but the course's site. The released notebook installs
cnnlib from the wheel inside the site, the reference answers are pasted in, the notebook is run,
saved the way Colab saves it, and graded by nbgrader.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.plugins import FileNameCollectorPlugin  # noqa: F401 - named in the configuration
from traitlets.config import PyFileConfigLoader

from tools import course, notebooks

pytestmark = [
    pytest.mark.slow,
    # Inside nbgrader.
    pytest.mark.filterwarnings("ignore:Object of type:sqlalchemy.exc.SAWarning"),
]

PACKAGES = Path(sysconfig.get_path("purelib"))
# Not in Colab. Files of editable installs must go too: they would make cnnlib importable again.
HIDDEN = ("cnnlib", "nbgrader", "__editable__")
STUDENT = "ada"


# The machine in the cloud


@dataclass(frozen=True)
class Colab:
    """A clean environment: its interpreter, where it installs packages, and what it may see."""

    python: Path
    installed: Path
    environment: dict[str, str]

    def output(self, code: str) -> str:
        """What `code` prints there, run outside the checkout."""
        result = subprocess.run(
            [self.python, "-c", code],
            cwd=self.installed,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def names(self) -> set[str]:
        return {path.name for path in self.installed.iterdir()} - {"__pycache__"}


@pytest.fixture
def colab(tmp_path):
    """A new virtual environment that borrows the installed packages of this one, but for HIDDEN."""
    borrowed = tmp_path / "borrowed"
    borrowed.mkdir()
    for entry in PACKAGES.iterdir():
        # A .pth file has no effect here: Python reads them in site-packages folders only.
        if not entry.name.startswith(HIDDEN) and entry.suffix != ".pth":
            (borrowed / entry.name).symlink_to(entry)
    folder = tmp_path / "colab"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    installed = folder / "lib" / version / "site-packages"
    (installed / "borrowed.pth").write_text(f"{borrowed}\n", encoding="utf-8")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("PYTHON", "PIP_", "UV_", "VIRTUAL_ENV", "JUPYTER"))
        and not name.upper().endswith("_PROXY")
    }
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONNOUSERSITE": "1"}
    return Colab(folder / "bin" / "python", installed, environment)


def fingerprints(names: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file of some installed packages."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for name in names
        for top in PACKAGES.glob(f"{name}*")
        for path in top.rglob("*")
        if path.suffix not in (".pyc",) and path.is_file()
    }


def run_in(colab, notebook, folder, *, allow_errors=False):
    """Run every cell of `notebook` in a kernel of the clean environment, in place."""
    specs = folder / "kernels"
    (specs / "colab").mkdir(parents=True)
    command = [str(colab.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Colab", "language": "python"}
    (specs / "colab" / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    manager = AsyncKernelManager(
        kernel_name="colab",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(specs)]),
    )
    work = folder / "content"
    work.mkdir()
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=300,
        allow_errors=allow_errors,
        resources={"metadata": {"path": str(work)}},
    )
    client.execute(env=colab.environment)


# The student


def role(cell):
    return cell.metadata.get("nbgrader", {})


def paste_answers(released, answers):
    """Put `answers`, a text by grade_id, into the solution cells of a released notebook."""
    pasted = 0
    for cell in released.cells:
        if role(cell).get("solution"):
            cell.source = answers[role(cell)["grade_id"]]
            pasted += 1
    assert pasted > 0, "the released notebook has no cell to fill in"


def reference_answers(source):
    """The text of each solution cell of a source notebook, without nbgrader's marks."""
    marks = ("### BEGIN SOLUTION", "### END SOLUTION")
    return {
        role(cell)["grade_id"]: "\n".join(
            line for line in cell.source.splitlines() if line.strip() not in marks
        )
        for cell in source.cells
        if role(cell).get("solution")
    }


PROBE = """\
import importlib.metadata, importlib.util, json, os
import numpy, torch, torchvision
found = importlib.util.find_spec("cnnlib")
print(json.dumps({
    "process": os.getpid(),
    "versions": [importlib.metadata.version(name) for name in ("torch", "torchvision", "numpy")],
    "files": [torch.__file__, torchvision.__file__, numpy.__file__],
    "cnnlib": found and found.origin,
    "changed": found and os.stat(found.origin).st_ctime_ns,
}))"""


def with_probes(notebook, site_url):
    """The notebook as it is run here: the local site's address, setup cell again, and probes."""
    base_url = course.read_site().base_url
    copy = nbformat.from_dict(notebook)
    index = next(i for i, cell in enumerate(copy.cells) if cell.get("id") == notebooks.SETUP_ID)
    setup = copy.cells[index]
    assert setup.source.count(base_url) == 1
    setup.source = setup.source.replace(base_url, site_url)
    probes = [nbformat.v4.new_code_cell(PROBE) for _ in range(3)]
    again = nbformat.v4.new_code_cell(setup.source)
    copy.cells[index : index + 1] = [probes[0], setup, probes[1], again, probes[2]]
    first_code = next(cell for cell in copy.cells if cell.cell_type == "code")
    assert first_code is probes[0], "a cell runs before the setup cell"
    return copy, again, probes


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


# What Colab does to a file when it saves it


def as_colab_saves(notebook, *, old_format=False):
    """The text of `notebook` with everything Colab adds.

    In the old format, which Colab writes most, a cell's id stands in its metadata alone. In the new
    one, the first cell the student filled in has lost its id.
    """
    saved = json.loads(nbformat.writes(notebook))
    saved["metadata"] |= {
        "accelerator": "GPU",
        "colab": {
            "name": "Copy of a notebook.ipynb",
            "provenance": [{"file_id": "1aB", "timestamp": 1700000000000}],
            "collapsed_sections": ["aBcD"],
            "gpuType": "T4",
            "toc_visible": True,
            "include_colab_link": True,
        },
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "widgets": {
            "application/vnd.jupyter.widget-state+json": {
                "5d4c": {
                    "model_module": "@jupyter-widgets/controls",
                    "model_name": "HBoxModel",
                    "model_module_version": "1.5.0",
                    "state": {"_dom_classes": [], "children": ["IPY_MODEL_77"]},
                }
            }
        },
    }
    for number, cell in enumerate(saved["cells"]):
        cell["metadata"]["id"] = f"colab{number:07d}"
        if cell["cell_type"] == "code":
            cell["metadata"] |= {
                "outputId": f"0aa{number:05d}-7b1c-4e5f-9a3d-2f4b6c8d0e1f",
                "colab": {"base_uri": "https://localhost:8080/", "height": 35},
                "executionInfo": {
                    "status": "ok",
                    "timestamp": 1700000000000 + number,
                    "user_tz": -60,
                    "elapsed": 12,
                    "user": {"displayName": "Ada Lovelace", "userId": "0123456789"},
                },
            }
            for output in cell["outputs"]:
                if "metadata" in output:
                    output["metadata"] = {"tags": None}
    badge = {
        "cell_type": "markdown",
        "id": "view-in-github",
        "metadata": {"id": "view-in-github", "colab_type": "text"},
        "source": ['<a href="https://colab.research.google.com/"><img alt="Open"/></a>'],
    }
    saved["cells"].insert(0, badge)
    if old_format:
        saved["nbformat_minor"] = 0
        for cell in saved["cells"]:
            del cell["id"]
    else:
        filled = next(
            c for c in saved["cells"] if c["metadata"].get("nbgrader", {}).get("solution")
        )
        del filled["id"]
    return json.dumps(saved, indent=2)


# The instructor


def grade(assignment, source, submission, folder):
    """Grade the text of one submission with nbgrader in a course of its own: score, maximum."""
    root = folder / "course"
    (root / "solutions" / assignment).mkdir(parents=True)
    shutil.copy2(source, root / "solutions" / assignment)
    handed_in = root / "submitted" / STUDENT / assignment
    handed_in.mkdir(parents=True)
    (handed_in / f"{assignment}.ipynb").write_text(submission, encoding="utf-8")

    config = PyFileConfigLoader("nbgrader_config.py", path=str(course.ROOT)).load_config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.db_url = f"sqlite:///{root}/gradebook.db"
    api = NbGraderAPI(config=config)
    for result in (
        api.generate_assignment(assignment, force=True, create=True),
        api.autograde(assignment, STUDENT, force=True, create=True),
    ):
        assert result["success"], result["error"] or result["log"]
    with Gradebook(config.CourseDirectory.db_url) as gradebook:
        graded = gradebook.find_submission(assignment, STUDENT)
        lost = {
            mark.name: (mark.auto_score, mark.max_score)
            for notebook in graded.notebooks
            for mark in notebook.grades
            if mark.auto_score != mark.max_score
        }
        return graded.score, graded.max_score, lost


@pytest.fixture(autouse=True)
def alembic_on_the_path(monkeypatch):
    """Nbgrader makes its database with the `alembic` command of this environment."""
    folder = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def walk(
    assignment,
    source_path,
    released_path,
    colab,
    site_url,
    folder,
    *,
    answers=None,
    old_format=False,
):
    """The whole way; gives the executed cells that were added to look, and the mark."""
    source = nbformat.read(source_path, 4)
    released = nbformat.read(released_path, 4)
    paste_answers(released, answers or reference_answers(source))
    looked, again, probes = with_probes(released, site_url)
    run_in(colab, looked, folder, allow_errors=answers is not None)
    added = {id(cell) for cell in (again, *probes)}
    looked.cells = [cell for cell in looked.cells if id(cell) not in added]
    saved = as_colab_saves(looked, old_format=old_format)
    mark = grade(assignment, source_path, saved, folder)
    return again, [json.loads(printed(probe)) for probe in probes], mark


def check_the_installation(colab, before, again, probes):
    """Cnnlib came from the site, once, and nothing else of the environment changed."""
    clean, installed, still = probes
    assert clean["cnnlib"] is None
    assert Path(installed["cnnlib"]).is_relative_to(colab.installed)
    assert colab.names() - before == {"cnnlib", f"cnnlib-{version_of_cnnlib()}.dist-info"}
    assert before <= colab.names()
    # The same process, the same torch before and after, and the second run installed nothing.
    for key in ("process", "versions", "files"):
        assert clean[key] == installed[key] == still[key]
    assert installed["changed"] == still["changed"]
    assert again.outputs == []


def version_of_cnnlib():
    import cnnlib

    return cnnlib.__version__


@pytest.mark.parametrize("assignment", course.assignments())
def test_a_student_with_the_reference_answers_gets_full_marks(
    assignment, colab, site_url, tmp_path
):
    with pytest.raises(AssertionError, match="No module named 'cnnlib'"):
        colab.output("import cnnlib")
    with pytest.raises(AssertionError, match="No module named 'nbgrader'"):
        colab.output("import nbgrader")
    borrowed = ("torch", "torchvision", "numpy", "matplotlib", "scikit_learn", "sklearn")
    files_before, names_before = fingerprints(borrowed), colab.names()
    assert len(files_before) > 5000

    again, probes, (score, maximum, lost) = walk(
        assignment,
        course.ROOT / "solutions" / assignment / f"{assignment}.ipynb",
        course.ROOT / "exercises" / assignment / f"{assignment}.ipynb",
        colab,
        site_url,
        tmp_path,
    )

    check_the_installation(colab, names_before, again, probes)
    assert fingerprints(borrowed) == files_before
    assert lost == {}
    assert score == maximum > 0


# The same way with an assignment of one task, where the answers may be wrong


@pytest.fixture
def tiny(tmp_path):
    """Source and release of an assignment with one task, and its name."""

    def cell(text, grade_id, **kind):
        made = nbformat.v4.new_code_cell(text, id=grade_id)
        flags = {"grade": False, "solution": False, "task": False, "locked": False}
        made.metadata["nbgrader"] = {"schema_version": 3, "grade_id": grade_id} | flags | kind
        return made

    setup = notebooks.setup_source(course.read_site().base_url)
    source = nbformat.v4.new_notebook(
        metadata={"kernelspec": dict(notebooks.KERNELSPEC)},
        cells=[
            nbformat.v4.new_markdown_cell("# A tiny assignment", id="title"),
            nbformat.v4.new_code_cell(setup, id=notebooks.SETUP_ID),
            cell(
                "def values(layer, size):\n"
                '    """Number of output values."""\n'
                "    ### BEGIN SOLUTION\n"
                "    from cnnlib.summary import summarize\n"
                "    return summarize(layer, size).rows[-1].activation_bytes // 4\n"
                "    ### END SOLUTION",
                "values",
                solution=True,
            ),
            cell(
                "from torch import nn\n"
                "assert values(nn.Conv2d(3, 8, 3), (3, 5, 5)) == 72\n"
                "### BEGIN HIDDEN TESTS\n"
                "assert values(nn.Conv2d(3, 8, 3), (3, 6, 6)) == 128\n"
                "### END HIDDEN TESTS",
                "values_test",
                grade=True,
                locked=True,
                points=3,
            ),
        ],
    )
    root = tmp_path / "tiny"
    path = root / "solutions" / "tiny" / "tiny.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(source, path)
    config = PyFileConfigLoader("nbgrader_config.py", path=str(course.ROOT)).load_config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.db_url = f"sqlite:///{root}/gradebook.db"
    result = NbGraderAPI(config=config).generate_assignment("tiny", force=True, create=True)
    assert result["success"], result["error"] or result["log"]
    return path, root / "exercises" / "tiny" / "tiny.ipynb"


RIGHT = """\
def values(layer, size):
    return layer.out_channels * (size[1] - 2) * (size[2] - 2)"""
WRONG = RIGHT.replace("(size[2] - 2)", "3")  # right for the visible check only


@pytest.mark.parametrize(
    ("answer", "points", "old_format"),
    [(RIGHT, 3, True), (WRONG, 0, False)],
    ids=["right, old format", "wrong, new format"],
)
def test_the_way_tells_right_from_wrong(
    answer, points, old_format, tiny, colab, site_url, tmp_path
):
    before = colab.names()
    again, probes, mark = walk(
        *("tiny", *tiny, colab, site_url, tmp_path),
        answers={"values": answer},
        old_format=old_format,
    )
    check_the_installation(colab, before, again, probes)
    assert mark[:2] == (points, 3)


def test_without_the_site_the_setup_cell_says_so(colab, tmp_path):
    setup = notebooks.setup_source("http://127.0.0.1:9/")  # nothing listens there
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(setup)])
    run_in(colab, notebook, tmp_path, allow_errors=True)
    errors = [o for o in notebook.cells[0].outputs if o.output_type == "error"]
    assert [error.ename for error in errors] == ["RuntimeError"]
    assert "check the network" in errors[0].evalue
