"""The instructor's tool: ``python -m grading --help``."""

import sys

# nbformat uses jsonschema, which, if it finds this package, builds a grammar of internationalised
# addresses while it is imported: two seconds before every command, for a check that nobody makes.
# Without the package jsonschema leaves that one check out.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
