"""A course folder with a small assignment that needs no torch, and what its gradebook says."""

import copy
import json
import shutil
from pathlib import Path

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

ROOT = Path(__file__).resolve().parents[2]
NAME = "tiny"
SECRET = b"s" * 64


def mark(name, *, points=None, solution=False, task=False):
    """nbgrader's metadata; with points and without solution it is a test cell."""
    grade = points is not None and not task
    info = {"grade": grade, "grade_id": name, "locked": not solution}
    info |= {"schema_version": 3, "solution": solution, "task": task}
    return {"nbgrader": info | ({} if points is None else {"points": points})}


def cell(kind, text, name, **info):
    make = new_code_cell if kind == "code" else new_markdown_cell
    return make(text, id=name, metadata=mark(name, **info) if info else {})


def solution_text(body):
    return f"### BEGIN SOLUTION\n{body}\n### END SOLUTION"


def tiny():
    """Every kind of cell that nbgrader has."""
    hidden = "### BEGIN HIDDEN TESTS\nassert double(21) == 42\n### END HIDDEN TESTS"
    notebook = new_notebook(
        cells=[
            cell("markdown", "# Tiny", "title"),
            cell("code", "import math", "imports"),
            cell("code", f"def double(x):\n    {solution_text('    return 2 * x').strip()}".replace(
                "\n### END", "\n    ### END"), "double", solution=True),
            cell("code", f"assert double(2) == 4\n{hidden}", "test_double", points=3),
            cell("code", solution_text("half = 0.5"), "half", solution=True),
            cell("code", "assert half == 1 / 2", "test_half", points=2),
            cell("markdown", solution_text("Because."), "why", points=4, solution=True),
            cell("code", solution_text("plot = None"), "plot", points=5, solution=True),
            cell("markdown", "Draw something below.", "draw", points=6, task=True),
            cell("markdown", "The end.", "end"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "P", "language": "python"}},
    )  # fmt: skip
    return notebook


ANSWERS = {
    "double": "def double(x):\n    return x + x",
    "half": "half = 0.5",
    "why": "Because I say so.",
    "plot": "plot = 'a curve'",
}


def submission(notebook, **answers):
    """What a student hands in; without answers, as it was released."""
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

    from grading import release

    released = copy.deepcopy(notebook)
    for preprocessor in (ClearSolutions, ClearHiddenTests):
        released, _ = preprocessor(config=release.nbgrader_config(ROOT))(released, {})
    released = json.loads(writes(released))
    for one in released["cells"]:
        name = one["metadata"].get("nbgrader", {}).get("grade_id")
        if name in answers:
            one["source"] = answers[name]
    return json.dumps(released).encode()


def make(folder, notebook=None, name=NAME):
    """Write the course's configuration and source notebook; returns the notebook's bytes."""
    notebook = notebook or tiny()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    path = folder / "solutions" / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(writes(notebook) + "\n", encoding="utf-8")
    return path.read_bytes()


def submit(folder, student, content, when=None, name=NAME):
    """Put a file where ``collect`` puts it."""
    path = folder / "submitted" / student / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if when:
        path.with_name("timestamp.txt").write_text(when)
    return path


def gradebook_content(db_url, name=NAME):
    """Everything that matters in a gradebook, as plain data."""
    from nbgrader.api import Gradebook, MissingEntry

    with Gradebook(db_url) as gradebook:
        try:
            gradebook.find_assignment(name)
        except MissingEntry:
            return {}
        return {
            one.student.id: {
                "time": None if one.timestamp is None else one.timestamp.isoformat(),
                "score": (one.score, one.max_score),
                "penalty": one.notebooks[0].late_submission_penalty,
                "grades": {
                    grade.name: (grade.auto_score, grade.manual_score, grade.needs_manual_grade)
                    for grade in one.notebooks[0].grades
                },
                "comments": {
                    comment.name: (comment.auto_comment, comment.manual_comment)
                    for comment in one.notebooks[0].comments
                },
            }
            for one in gradebook.assignment_submissions(name)
        }
