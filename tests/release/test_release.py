"""Releasing an assignment, and the public tree: nothing hidden may come through."""

import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from grading import __main__ as cli
from grading import public, release
from tools import course, notebooks

SECRET_TEST = "assert double(21) == 42, 'the hidden test of doubling'"
SECRET_SOLUTION = "    answer_that_students_must_find = 2 * x"


def graded(source, grade_id, *, solution=False, points=0):
    metadata = {
        "nbgrader": {
            "grade": bool(points),
            "grade_id": grade_id,
            "locked": not solution,
            "points": points,
            "schema_version": 3,
            "solution": solution,
            "task": False,
        }
    }
    if not points:
        del metadata["nbgrader"]["points"]
    return nbformat.v4.new_code_cell(source, id=grade_id, metadata=metadata)


def tiny_notebook():
    setup = notebooks.setup_source(course.read_site().base_url)
    solution = (
        "def double(x):\n    ### BEGIN SOLUTION\n"
        f"{SECRET_SOLUTION}\n    return answer_that_students_must_find\n    ### END SOLUTION"
    )
    test = f"assert double(1) == 2\n### BEGIN HIDDEN TESTS\n{SECRET_TEST}\n### END HIDDEN TESTS"
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(setup, id="setup"),
            graded(solution, "double", solution=True),
            graded(test, "double-test", points=3),
        ]
    )
    return notebooks.normalise(notebook, setup)


@pytest.fixture
def tiny_course(tmp_path):
    """A course folder with one small assignment, `tiny`."""
    root = tmp_path / "course"
    (root / "solutions" / "tiny").mkdir(parents=True)
    shutil.copy(course.ROOT / "nbgrader_config.py", root)
    notebooks.write(tiny_notebook(), root / "solutions" / "tiny" / "tiny.ipynb")
    return root


def release_tiny(root):
    return release.release("tiny", root=root, db_url=f"sqlite:///{root}/gradebook.db")


def commit(root):
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)


@pytest.mark.slow
def test_release_hides_solutions_and_hidden_tests(tiny_course):
    folder = release_tiny(tiny_course)
    assert folder == tiny_course / "exercises" / "tiny"
    text = (folder / "tiny.ipynb").read_text()
    assert "NotImplementedError" in text
    assert "assert double(1) == 2" in text
    for secret in ("answer_that_students_must_find", "double(21)", "BEGIN SOLUTION", "HIDDEN"):
        assert secret not in text
    first = (folder / "tiny.ipynb").read_bytes()
    release_tiny(tiny_course)
    assert (folder / "tiny.ipynb").read_bytes() == first
    assert {path.name for path in tiny_course.iterdir()} == {
        "exercises", "gradebook.db", "nbgrader_config.py", "solutions",
    }  # fmt: skip


@pytest.mark.slow
def test_a_hidden_test_outside_its_markers_stops_the_release(tiny_course):
    release_tiny(tiny_course)
    before = (tiny_course / "exercises" / "tiny" / "tiny.ipynb").read_bytes()
    path = tiny_course / "solutions" / "tiny" / "tiny.ipynb"
    notebook = notebooks.read(path)
    # A cell's stored output is where a hidden line really slips through.
    notebook.cells.append(
        nbformat.v4.new_markdown_cell("### BEGIN HIDDEN TESTS left open by mistake", id="slip")
    )
    notebooks.write(notebook, path)
    with pytest.raises(release.ReleaseError, match=r"nbgrader refused|would give away"):
        release_tiny(tiny_course)
    assert (tiny_course / "exercises" / "tiny" / "tiny.ipynb").read_bytes() == before


def test_leaks_are_found_by_marker_and_by_line():
    hidden = release.secrets(tiny_notebook())
    assert hidden == {SECRET_TEST, SECRET_SOLUTION.strip(), "return answer_that_students_must_find"}
    assert release.secrets(tiny_notebook(), solutions=False) == {SECRET_TEST}
    assert release.leaks("def double(x):\n    return 2 * x", hidden) == []
    assert release.leaks(f"    {SECRET_TEST}", hidden) == [SECRET_TEST]
    assert release.leaks("# ### END SOLUTION", hidden) == ["END SOLUTION"]


def test_a_line_the_student_sees_anyway_is_no_secret():
    notebook = tiny_notebook()
    notebook.cells.append(nbformat.v4.new_code_cell(SECRET_TEST, id="example"))
    assert SECRET_TEST not in release.secrets(notebook)


def test_unknown_assignments_are_named(tiny_course, capsys):
    with pytest.raises(release.ReleaseError, match=r"no solutions/a9/a9.ipynb .*tiny"):
        release.release("a9", root=tiny_course)
    assert cli.main(["release", "no_such_assignment"]) == 1
    assert "there is no solutions/no_such_assignment" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("assignment", course.assignments())
def test_exercises_are_what_release_makes(assignment, tmp_path):
    """`exercises/` was regenerated after the last change of `solutions/` (make release)."""
    shutil.copy(course.ROOT / "nbgrader_config.py", tmp_path)
    shutil.copytree(course.ROOT / "solutions" / assignment, tmp_path / "solutions" / assignment)
    made = release.release(assignment, root=tmp_path, db_url=f"sqlite:///{tmp_path}/g.db")
    committed = course.ROOT / "exercises" / assignment
    names = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    assert names == sorted(
        path.relative_to(committed)
        for path in committed.rglob("*")
        if path.is_file() and ".ipynb_checkpoints" not in path.parts
    )
    for name in names:
        assert (made / name).read_bytes() == (committed / name).read_bytes(), name


@pytest.mark.parametrize("assignment", course.assignments())
def test_committed_exercises_hide_everything(assignment):
    source = notebooks.read(course.ROOT / "solutions" / assignment / f"{assignment}.ipynb")
    hidden = release.secrets(source)
    assert len(hidden) >= 10
    for path in (course.ROOT / "exercises" / assignment).rglob("*.ipynb"):
        text = "\n".join(cell.source for cell in notebooks.read(path).cells)
        assert release.leaks(text, hidden) == []


def test_an_import_is_nobodys_secret():
    hidden = "\n".join(
        [
            "### BEGIN HIDDEN TESTS",
            "from cnnlib.models import squeezenet",
            "from cnnlib import models; assert models.answer == 4711",
            "### END HIDDEN TESTS",
        ]
    )
    source = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(hidden)])
    assert release.secrets(source) == {"from cnnlib import models; assert models.answer == 4711"}


def test_public_tree_holds_no_solution_and_no_hidden_test(tmp_path):
    destination = tmp_path / "public"
    count = public.write_public(destination)
    names = {path.relative_to(destination).as_posix() for path in destination.rglob("*")}
    # All that was counted, and the mark.
    assert count == len([path for path in destination.rglob("*") if path.is_file()]) - 1
    assert {"book", "exercises", "cnnlib", "README.md"} <= names
    assert not {"solutions", ".git", "grading", "tests/assignments", ".ci"} & names
    hidden = public.hidden_lines(course.ROOT)
    assert len(hidden) >= 10
    for path in (path for path in destination.rglob("*") if path.is_file()):
        lines = {line.strip(' ",\\n') for line in path.read_text(errors="replace").splitlines()}
        assert not hidden & lines, path
        if path.suffix == ".ipynb":
            assert "BEGIN SOLUTION" not in path.read_text(), path


def test_public_tree_replaces_only_itself(tiny_course, tmp_path):
    (tiny_course / "cnnlib").mkdir()
    (tiny_course / "cnnlib" / "old.py").write_text("x = 1\n")
    commit(tiny_course)
    destination = tmp_path / "public"
    public.write_public(destination, root=tiny_course)
    assert (destination / "cnnlib" / "old.py").exists()
    (destination / ".git").mkdir()
    (destination / ".git" / "history").write_text("kept")
    move = ["git", "-C", str(tiny_course), "mv", "cnnlib/old.py", "cnnlib/new.py"]
    subprocess.run(move, check=True)
    public.write_public(destination, root=tiny_course)
    assert sorted(path.name for path in (destination / "cnnlib").iterdir()) == ["new.py"]
    assert (destination / ".git" / "history").read_text() == "kept"


def test_public_tree_refuses_leaks_and_foreign_folders(tiny_course, tmp_path):
    (tiny_course / "book").mkdir()
    (tiny_course / "book" / "slip.md").write_text(f"Look:\n\n    {SECRET_TEST}\n")
    commit(tiny_course)
    destination = tmp_path / "public"
    with pytest.raises(public.PublicError, match=r"book/slip.md would give away"):
        public.write_public(destination, root=tiny_course)
    assert not destination.exists()
    destination.mkdir()
    (destination / "thesis.tex").write_text("ten years of work")
    with pytest.raises(public.PublicError, match="not empty"):
        public.write_public(destination, root=tiny_course)
    assert (destination / "thesis.tex").read_text() == "ten years of work"
    with pytest.raises(public.PublicError, match="inside the private repository"):
        public.write_public(tiny_course / "out", root=tiny_course)


def test_no_scratch_folder_is_left_behind(tmp_path):
    public.write_public(tmp_path / "public")
    assert [path.name for path in Path(tmp_path).iterdir()] == ["public"]
