"""The instructor's tool: ``python -m grading --help``."""
