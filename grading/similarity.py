"""Pairs of answers that are more alike than the task explains.

Nothing here proves anything. A short task has one natural solution, and everybody who finds it
writes nearly the same; the question can only be whether two answers are more alike *than the
others*. So answers are compared within a task, and what everybody shares is taken away first:

1. Comments, docstrings and the names that a student chose are left out of the comparison; keywords,
   operators and the names of functions that are called stay, one symbol each.
2. Lines of the released stub, of the reference solution, and lines that at least half of the class
   wrote are removed.
3. The rest is compared by its longest common subsequence (RapidFuzz's normalised Indel
   similarity). A pair is listed if it shares at least four fifths and both are much closer to
   each other than to the class: a fifth more than either has in common with anybody outside a
   small group. So the threshold follows the task, and where there are several natural ways to
   solve it, each with many students, nobody on them is listed.
4. What was left out in step 1 is evidence of another kind: two students who invent the same unusual
   names, comments and messages. A word is unusual if hardly anybody else in the class uses it and
   the notebook does not. A pair that shares several is listed, however natural its solution.

RapidFuzz and not copydetect, which was tried: copydetect picks fingerprints by Python's salted
hash of strings, so a score changes from run to run, reads files instead of text, and knows no
threshold but a fixed one.

Threat model. Answers are arbitrary text. They are split by one regular expression that looks at
each character once, never parsed or run, and cut at `MAX_CHARACTERS`.
"""

from __future__ import annotations

import builtins
import itertools
import keyword
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from grading import rebuild

MAX_CHARACTERS = 20_000
LEAST_SYMBOLS = 30  # shorter rests are alike by chance
LEAST_SIMILARITY = 0.8
MARGIN = 0.2
LARGEST_GROUP = 5
SIMILARITY_OF_FEW = 0.95  # where there is no class to compare with
LEAST_WORDS, LEAST_SHARE_OF_WORDS = 3, 0.5

_TOKEN = re.compile(
    r"""(?P<newline>\n)|(?P<comment>\#[^\n]*)|(?P<triple>\"{3}|'{3})
    |(?P<string>"(?:\\[^\n]|[^"\\\n])*"|'(?:\\[^\n]|[^'\\\n])*')
    |(?P<number>\d[\w.]*)|(?P<name>[^\W\d]\w*)|(?P<escape>\\.)|(?P<operator>\S)""",
    re.X,
)
_BUILTIN = frozenset(dir(builtins))


@dataclass
class Answer:
    """What is compared of one student's answer.

    Attributes:
        lines: For each line of the text, its symbols: one character per token.
        words: Names, comments and texts that the student chose.
        symbols: All symbols that are left after taking away what everybody shares.
    """

    lines: list[str]
    words: frozenset[str]
    symbols: str = ""


@dataclass(frozen=True)
class Finding:
    """Why two answers to one task are listed.

    Attributes:
        task: grade_id of the solution cell.
        similarity: Of what is left of both, from 0 to 1; None if too little is left.
        others: The most that either has in common with anybody outside a small group; None if
            there are too few answers to tell.
        words: Unusual words that both use.
        same_lines: For both answers, the lines (from 0) that the other one has too and that
            are not everybody's.
    """

    task: str
    similarity: float | None
    others: float | None
    words: tuple[str, ...]
    same_lines: tuple[frozenset[int], frozenset[int]]

    @property
    def strength(self) -> float:
        """For the order in the list: how far from the others, and how many words."""
        beyond = 0.0
        if self.similarity is not None and self.others is not None:
            beyond = max(0.0, self.similarity - self.others - MARGIN)
        return len(self.words) + 10 * beyond


@dataclass
class Pair:
    """Two students, and the tasks in which their answers are listed."""

    students: tuple[str, str]
    findings: list[Finding] = field(default_factory=list)

    @property
    def strength(self) -> tuple[int, float]:
        """For the order in the list: more tasks first."""
        return len(self.findings), sum(finding.strength for finding in self.findings)


def similar_pairs(
    cells: Sequence[rebuild.Cell], answers: Mapping[str, Mapping[str, str]]
) -> list[Pair]:
    """The pairs of students to look at, the most conspicuous first.

    Args:
        cells: Cells of the source notebook.
        answers: Student, then grade_id of the solution cell, then text.

    Returns:
        Pairs with at least one finding.
    """
    known = _words_of_notebook(cells)
    pairs: dict[tuple[str, str], Pair] = {}
    for cell in cells:
        if not (cell.solution and cell.kind == "code" and cell.grade_id):
            continue
        texts = {name: texts[cell.grade_id] for name, texts in answers.items()
                 if texts.get(cell.grade_id, "").strip()}  # fmt: skip
        for students, finding in _findings(cell, texts, known):
            pairs.setdefault(students, Pair(students)).findings.append(finding)
    for pair in pairs.values():
        pair.findings.sort(key=lambda finding: -finding.strength)
    return sorted(pairs.values(), key=lambda pair: pair.strength, reverse=True)


def _words_of_notebook(cells: Iterable[rebuild.Cell]) -> frozenset[str]:
    """Every word that students may have from the notebook, its reference and its text included."""
    alphabet = _Alphabet()
    words: set[str] = set()
    for cell in cells:
        words |= set(re.findall(r"[^\W\d]\w*", cell.source))
        words |= alphabet.read(cell.source, strings_of_docstrings=True).words
    return frozenset(words)


def _findings(
    cell: rebuild.Cell, texts: Mapping[str, str], known: frozenset[str]
) -> Iterable[tuple[tuple[str, str], Finding]]:
    alphabet = _Alphabet()
    read = {text: alphabet.read(text) for text in dict.fromkeys(texts.values())}
    answers = {student: read[text] for student, text in texts.items()}
    stub = rebuild.released_text(cell.source, solution=True)
    common = _common_lines(
        [alphabet.read(stub), alphabet.read(cell.source)], list(answers.values())
    )
    for answer in read.values():
        answer.symbols = "".join(line for line in answer.lines if line not in common)
    students = sorted(answers)
    similarities = _similarities([answers[s].symbols for s in students])
    outside = _outside_the_group(similarities)
    beyond = _beyond(similarities, outside)
    by_words = _shared_words(answers, known)
    place = {student: index for index, student in enumerate(students)}
    listed = {(students[i], students[j]) for i, j in np.argwhere(np.triu(beyond, k=1))}
    for pair in sorted(listed | by_words.keys()):
        i, j = place[pair[0]], place[pair[1]]
        yield (
            pair,
            Finding(
                task=cell.grade_id,
                similarity=_number(similarities[i, j]),
                others=_number(outside[i, j]),
                words=tuple(by_words.get(pair, ())),
                same_lines=_same_lines(answers[pair[0]], answers[pair[1]], common),
            ),
        )


def _common_lines(of_notebook: list[Answer], answers: list[Answer]) -> frozenset[str]:
    """Lines of symbols that say nothing about who wrote them."""
    common = {line for answer in of_notebook for line in answer.lines}
    counts = Counter(line for answer in answers for line in set(answer.lines))
    least = max(3, (len(answers) + 1) // 2)
    return frozenset(common | {line for line, count in counts.items() if count >= least} | {""})


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _similarities(symbols: list[str]) -> np.ndarray:
    """Similarity of every pair; nan where too little is left of one, and of each with itself."""
    size = len(symbols)
    result = np.full((size, size), np.nan)
    long_enough = [i for i, text in enumerate(symbols) if len(text) >= LEAST_SYMBOLS]
    if len(long_enough) >= 2:
        chosen = [symbols[i] for i in long_enough]
        table = cdist(chosen, chosen, scorer=Indel.normalized_similarity, dtype=np.float32)
        result[np.ix_(long_enough, long_enough)] = table
    np.fill_diagonal(result, np.nan)
    return result


def _outside_the_group(similarities: np.ndarray) -> np.ndarray:
    """For every pair, the most that either has in common with somebody outside a small group."""
    size = len(similarities)
    nearest = -np.sort(-np.nan_to_num(similarities, nan=-1.0), axis=1)  # falling in each row
    group = largest_group(size)
    if size <= group:
        return np.full((size, size), np.nan)
    # The first values of a row may be those of the group's other members; this one is not.
    next_one = nearest[:, group - 1]
    next_one = np.where(next_one < 0, np.nan, next_one)
    return np.maximum(next_one[:, None], next_one[None, :])


def _beyond(similarities: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """The pairs that are listed for their structure."""
    least = np.maximum(LEAST_SIMILARITY, outside + MARGIN)
    return similarities >= np.where(np.isnan(least), SIMILARITY_OF_FEW, least)


def largest_group(students: int, least: int = 2) -> int:
    """How many of so many students may share something that still counts as unusual.

    A tenth, and never more than `LARGEST_GROUP`; `least` in a small class, where that is at most
    a third of it.
    """
    return max(2, min(LARGEST_GROUP, max(least, students // 10), students // 3))


def _shared_words(
    answers: Mapping[str, Answer], known: frozenset[str]
) -> dict[tuple[str, str], list[str]]:
    """Pairs that share several unusual words, with these words."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    for student in sorted(answers):
        for word in answers[student].words - known:
            users[word].append(student)
    most = largest_group(len(answers), least=3)
    unusual = {word: names for word, names in users.items() if len(names) <= most}
    own = Counter(student for names in unusual.values() for student in names)
    shared: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for word, names in sorted(unusual.items()):
        for pair in itertools.combinations(names, 2):
            shared[pair].append(word)
    return {
        pair: words
        for pair, words in shared.items()
        if len(words) >= LEAST_WORDS
        and len(words) >= LEAST_SHARE_OF_WORDS * min(own[pair[0]], own[pair[1]])
    }


def _same_lines(
    left: Answer, right: Answer, common: frozenset[str]
) -> tuple[frozenset[int], frozenset[int]]:
    def of(one: Answer, other: Answer) -> frozenset[int]:
        theirs = set(other.lines) - common
        return frozenset(i for i, line in enumerate(one.lines) if line in theirs)

    return of(left, right), of(right, left)


class _Alphabet:
    """Gives every kind of token a character, so that code becomes a string to compare."""

    def __init__(self) -> None:
        self.characters: dict[str, str] = {}

    def symbol(self, text: str) -> str:
        return self.characters.setdefault(text, chr(0x4E00 + len(self.characters) % 50_000))

    def read(self, text: str, *, strings_of_docstrings: bool = False) -> Answer:
        """Split code into lines of symbols, and collect the words in it."""
        lines, words = [""], set()
        inside = ""  # the quotes of the long string that we are in
        before = ""  # the last token but one matters after a dot
        text = text[:MAX_CHARACTERS].expandtabs(4)
        for match in _TOKEN.finditer(text):
            kind, token = match.lastgroup, match[0]
            if kind == "newline":
                lines.append("")
                continue
            if inside or kind == "triple":
                # A long string is a docstring nearly always: text, not structure.
                if kind == "triple" and inside in ("", token):
                    inside = "" if inside else token
                elif strings_of_docstrings:
                    words.add(token)
                continue
            if kind == "comment":
                comment = " ".join(token.strip("# ").casefold().split())
                words |= {f"# {comment}"} if len(comment) >= 8 else set()
                continue
            if kind == "string":
                words |= {token} if len(token) >= 10 else set()
                lines[-1] += self.symbol("text")
            elif kind == "number":
                lines[-1] += self.symbol("number")
            elif kind == "name" and not keyword.iskeyword(token):
                called = text[match.end() : match.end() + 1] == "("
                if before == "." or called or token in _BUILTIN:
                    lines[-1] += self.symbol(token)
                else:
                    lines[-1] += self.symbol("name")
                    words |= {token} if len(token) > 2 else set()
            else:
                lines[-1] += self.symbol(token)
            before = token
        return Answer(lines, frozenset(words))
