"""Intake under random archives and names: its own error or a result, never more than the caps."""

import contextlib
import io
import os
import struct
import tempfile
import unicodedata
import zipfile
from pathlib import Path

import pytest
from conftest import read, released
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grading import intake, owners, uploads
from grading.uploads import Caps

NAME = "mini"
STUB = released(read()).bytes
CAPS = Caps(
    file=20_000, student=30_000, total=50_000, table=10_000, files=50, nested_files=10,
    student_files=5, ratio_from=1_000,
)  # fmt: skip
FIELDS = (
    "header_offset", "compress_size", "file_size", "CRC", "flag_bits", "compress_type",
    "extract_version", "external_attr", "create_system", "internal_attr", "volume",
)  # fmt: skip
few = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "40")), deadline=None, derandomize=True
)


def archive(names, content=STUB, changes=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(zipfile.ZipInfo(name, (2026, 3, 1, 12, 0, 0)), content)
        for index, field, value in changes:
            setattr(file.filelist[index % len(file.filelist)], field, value)
        with contextlib.suppress(struct.error, ValueError, OverflowError, RuntimeError):
            file.close()  # may refuse to write what was asked for; then half a table is the input
    return buffer.getvalue()


INNER = archive(["work/x.ipynb"])
VALID = archive(["li_1_9_mini.ipynb", "bo_2_8_mini.ipynb"])
with io.BytesIO(archive(["li_1_9_mini.ipynb", "bo_2_8_mini.ipynb"])) as _buffer:
    with zipfile.ZipFile(_buffer, "a") as _file:
        _file.writestr("jo_3_7_work.zip", INNER)
    VALID = _buffer.getvalue()


def take_in(data, **options):
    """Read and write an archive, checking what holds whatever it contains."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        path = root / "class.zip"
        path.write_bytes(data)
        submitted = root / "deep" / "course" / "submitted"
        try:
            found = intake.read(path, NAME, caps=CAPS, **options)
        except intake.IntakeError:
            return None
        contents = [one.content for one in [*found.accepted, *found.superseded]]
        assert sum(map(len, contents)) <= CAPS.total
        assert all(len(content) <= CAPS.file for content in contents)
        students = [one.student for one in found.accepted]
        assert len({owners.folded(student) for student in students}) == len(students)
        assert all(one.reason for one in found.refused)
        written = intake.collect(found, NAME, submitted)
        assert [path.parent.parent.name for path in written] == students
        places = {path.relative_to(root).parts for path in root.rglob("*") if path.is_file()}
        for place in places - {("class.zip",)}:
            assert place[:3] == ("deep", "course", "submitted")
            assert place[3] in {*students, intake.REFUSED, intake.LOCK}
        text = intake.report(found)
        assert all(c.isprintable() or c == "\n" for c in text)
        back = intake.submitted(submitted, NAME)
        assert [(one.student, one.content) for one in back.accepted] == [
            (one.student, one.content) for one in found.accepted
        ]
        return found


def test_the_unharmed_archive_is_taken_in_whole():
    found = take_in(VALID)
    assert [one.student for one in found.accepted] == ["bo_2", "jo_3", "li_1"]
    assert found.refused == []


@few
@given(st.binary(max_size=300), st.booleans())
def test_random_bytes(data, marked):
    take_in(b"PK\x03\x04" + data if marked else data)


@pytest.mark.slow
@few
@given(
    st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, 3 * len(VALID)),
)
@example([], 22)
def test_changed_bytes(changes, cut):
    data = bytearray(VALID)
    for place, value in changes:
        data[place] = value
    take_in(bytes(data[: len(data) - cut] if 0 < cut < len(data) else data))


@pytest.mark.slow
@few
@given(
    # Near the end lie the headers, which random places in the whole would seldom hit.
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 255)), min_size=1, max_size=6)
)
def test_changed_tables(changes):
    data = bytearray(VALID)
    for place, value in changes:
        data[-place] = value
    take_in(bytes(data))


@pytest.mark.slow
@few
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from(FIELDS), st.one_of(
                st.sampled_from([0, 1, 8, 63, 64, 0x800, 2**16 - 1, 2**31, 2**32 - 1]),
                st.integers(0, 2**32 - 1),
            ),
        ),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_false_headers(changes):
    names = ["li_1_9_mini.ipynb", "bo_2_8_mini.ipynb", "jo_3_7_mini.ipynb"]
    take_in(archive(names, changes=changes))


pieces = st.sampled_from(
    ["..", ".", "", "/", "\\", "C:", "~", "mini", "Ada_1_assignsubmission_file_", "li_1_2_", "con",
     "submitted", "__MACOSX", ".git", ".superseded", "x.ipynb", "x.zip", "\u202e", "\0", "e\u0301"]
)  # fmt: skip
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.lists(st.one_of(pieces, texts), min_size=1, max_size=5).flatmap(
    lambda parts: st.sampled_from(["/".join(parts), "".join(parts), "\\".join(parts)])
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Duplicate name")
@few
@given(
    st.lists(st.tuples(names, st.sampled_from(["", ".ipynb"])), min_size=1, max_size=6),
    st.sampled_from(intake.LAYOUTS),
)
def test_random_names(listed, layout):
    chosen = [name + ending for name, ending in listed]
    found = take_in(archive([name for name in chosen if name and name[0] != "\0"]), layout=layout)
    assert found is None or len(found.accepted) <= len(chosen)


@few
@given(st.one_of(names, st.text(max_size=300)))
def test_a_student_id_is_one_harmless_part_of_a_path(text):
    try:
        student = owners.student_id(text)
    except ValueError:
        return
    assert Path(student).parts == (student,)
    assert student[0] != "."
    assert not set(student) & set('/\\+*?[]:"<>|\0')
    assert len(student) <= 128
    assert unicodedata.normalize("NFC", student) == student == owners.student_id(student)


@few
@given(st.text(max_size=40), st.binary(max_size=200))
def test_times_and_names_are_read_or_not_but_never_fail(text, raw):
    time = intake.parse_time(text)
    assert time is None or time.tzinfo is not None
    plain = uploads.Names(None, intake.timezone.utc)
    assert isinstance(plain.decode(raw), str)
    info = zipfile.ZipInfo("x")
    info.extra = raw
    time = plain.time(info)
    assert time is None or time.tzinfo is not None
