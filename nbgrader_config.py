"""nbgrader configuration of the course (run nbgrader commands in this folder)."""

import os

c = get_config()  # noqa: F821 -- nbgrader puts it there

c.CourseDirectory.course_id = "cnn"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
# The gradebook holds personal data: it is ignored by git, and may live elsewhere.
c.CourseDirectory.db_url = os.environ.get("COURSE_DB", "sqlite:///gradebook.db")
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "*.part"]

c.ClearSolutions.code_stub = {
    "python": 'raise NotImplementedError("Write your answer here, then remove this line.")'
}
c.ClearSolutions.text_stub = "*Write your answer here.*"

# Submissions come from Colab: new kernel names, a copied notebook, a renamed file.
c.ExecutePreprocessor.kernel_name = "python3"
c.ExecutePreprocessor.timeout = 120
c.ExecutePreprocessor.startup_timeout = 120

# What Moodle writes into the zip of all submissions, for example
# "Ada Lovelace_1234_assignsubmission_file_/…", also when the student's browser made it "Copy of …"
# or "… (1)". The number belongs to the name: two students may have the same surname.
c.FileNameCollectorPlugin.named_regexp = (
    r"(?:.*/)?(?P<student_id>[^/]+_[0-9]+)_assignsubmission_file_?/?"
    r"(?:Copy[ _]of[ _])?(?P<file_id>[A-Za-z0-9_\-]+?)(?:[ _]?\([0-9]+\))?\.ipynb$"
)
