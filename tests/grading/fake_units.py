"""Stand-ins for `grading.pool.grade_unit`, quick and with every kind of trouble.

The submission's bytes say what happens. Worker processes import this module, so it imports little.
"""

import json
import os
import signal
import time
from pathlib import Path

from grading import results
from grading.sandbox import IsolationError


def echo(source, submission, seed, options):
    """Obeys the submission's words; the result says what came in."""
    word, _, argument = submission.decode().partition(" ")
    if word == "sleep":
        time.sleep(float(argument))
    elif word == "exit":
        os._exit(int(argument))
    elif word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "raise":
        raise ZeroDivisionError("a defect of the grader")
    elif word == "isolation":
        raise IsolationError("no walls here")
    elif word == "once":
        # Ends the first worker that sees it; a file remembers.
        mark = Path(argument)
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    elif word == "wait":
        # Tells that it runs, then waits to be allowed to end.
        mark = Path(argument)
        mark.write_text(str(os.getpid()))
        while not mark.with_suffix(".go").exists():
            time.sleep(0.02)
    answer = {"pid": os.getpid(), "source": source.decode(), "said": submission.decode()}
    return json.dumps(answer | {"seed": seed, "options": options}).encode()


def graded(source, submission, seed, options):
    """A result in the contract's form, whose points follow from submission and seed."""
    delay = options.get("delay", 0)
    if delay:
        time.sleep(delay)
    log = options.get("log")
    if log:
        with open(log, "a") as file:
            file.write(results.sha256(submission) + "\n")
    result = results.not_graded(source, "graded", "", submission)
    del result["reason"]
    result["notes"] = []
    for number, test in enumerate(result["tests"]):
        if test["grade_id"] in options.get("manual", ()):
            test["status"] = "manual"
            continue
        right = results.sha256(submission + seed.encode() + bytes([number]))[0] in "01234567"
        test["status"] = "passed" if right else "failed"
        test["points"] = test["max_points"] if right else 0.0
        test["message"] = "" if right else "expected 28, but got 27"
    result["score"] = sum(test["points"] for test in result["tests"])
    result["manifest"] |= {"isolation": "none", "seconds": delay, "ended": []}
    result["manifest"] |= results.execution_facts(result, f"fake:{os.getpid()}")
    return json.dumps(result).encode()
