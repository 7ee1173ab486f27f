"""Intake: everybody's file is found, whatever it is called; nobody's file harms another's."""

import io
import json
import os
import socket
import stat
import struct
import subprocess
import sys
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import pytest
from conftest import MINI, read, released

from grading import intake, owners, uploads
from grading.intake import IntakeError, Refusal, Submission, collect, report, submitted
from grading.uploads import Caps

NAME = "mini"
SOURCE = MINI.read_bytes()
STUB = released(read()).bytes
MORNING, NOON = (2026, 3, 1, 9, 0, 0), (2026, 3, 1, 12, 0, 0)


def utc(time):
    return datetime(*time, tzinfo=timezone.utc)


def entry(name, content=STUB, *, time=NOON, mode=0, **changes):
    """One entry of an archive; ``changes`` are written into its headers as they are."""
    info = zipfile.ZipInfo(name, time)
    info.compress_type = changes.pop("packed", zipfile.ZIP_DEFLATED)
    info.external_attr = mode << 16
    return info, content, changes


def archive(*entries):
    """The bytes of a zip file; an entry is a name or comes from `entry`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for one in entries:
            info, content, changes = entry(one) if isinstance(one, str) else one
            file.writestr(info, content)
            for field, value in changes.items():
                setattr(info, field, value)
    return buffer.getvalue()


@pytest.fixture
def hand_in(tmp_path):
    """Read an archive with these entries, or these bytes."""

    def hand_in(*entries, data=None, **options):
        path = tmp_path / "class.zip"
        path.write_bytes(archive(*entries) if data is None else data)
        return intake.read(path, NAME, **options)

    return hand_in


def students(found):
    return [one.student for one in found.accepted]


def reason(found, student=None):
    """The one reason for a student's refusal."""
    (refusal,) = [one for one in found.refused if one.student == student]
    return refusal.reason


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != intake.LOCK
    }


# --- whose file it is


@pytest.mark.parametrize(
    ("names", "found", "layout"),
    [
        (
            [
                "Ada Lovelace_1234_assignsubmission_file_/mini.ipynb",
                "Bo_Li_1235_assignsubmission_file/part/answer.ipynb",
                "Mei Li_1236_assignsubmission_file_Copy_of_mini (1).ipynb",
                "Group 7_12_assignsubmission_file_/mini.ipynb",
                "Ada Lovelace_1234_assignsubmission_onlinetext_/onlinetext.html",
            ],
            ["Ada Lovelace_1234", "Bo_Li_1235", "Group 7_12", "Mei Li_1236"],
            "moodle",
        ),
        (
            [
                "lovelaceada_12345_67890_mini-1.ipynb",
                "li_LATE_12346_67891_Copy of mini.ipynb",
                "o_brien_12347_67892_2024_7_x.ipynb",
                "anon_Xy12z_67893_mini.ipynb",
                "LATE_anon_Ab34c_67894_mini.ipynb",
            ],
            ["anon_Ab34c", "anon_Xy12z", "li_12346", "lovelaceada_12345", "o_brien_12347"],
            "canvas",
        ),
        (
            ["ada.ipynb", "bo/answer.ipynb", "Copy of mei (1).ipynb", "Kopie von jo.ipynb"],
            ["ada", "bo", "jo", "mei"],
            "plain",
        ),
        (["class/ada.ipynb", "class/bo.ipynb"], ["ada", "bo"], "plain, inside the folder 'class'"),
        (["all/ada/x.ipynb", "all/bo/x.ipynb"], ["ada", "bo"], "plain, inside the folder 'all'"),
        (["ada/x.ipynb", "ada/y.ipynb"], ["ada"], "plain"),
        (["ada/mini.ipynb", "ada/mini (1).ipynb"], ["ada"], "plain"),
        (
            [
                "submitted/ada/mini/mini.ipynb",
                "submitted/bo/mini/mini.ipynb",
                "submitted/bo/other/other.ipynb",
            ],
            ["ada", "bo"],
            "nbgrader",
        ),
    ],
)  # fmt: skip
def test_layouts_are_recognised(hand_in, names, found, layout):
    result = hand_in(*names)
    assert (students(result), result.layout, result.refused) == (found, layout, [])
    assert all(one.content == STUB for one in result.accepted)


def test_the_layout_can_be_given_and_is_checked(hand_in):
    one = "li_12_34_x.ipynb"
    assert students(hand_in(one, "ada.ipynb", "bo.ipynb")) == ["ada", "bo", "li_12_34_x"]
    assert students(hand_in(one, "ada.ipynb", layout="canvas")) == ["li_12"]
    with pytest.raises(IntakeError, match="moodle, canvas"):
        hand_in(one, layout="ilias")


def test_nobody_passes_for_somebody_else_by_a_name_inside_their_upload(hand_in):
    moodle = "_assignsubmission_file_"
    result = hand_in(
        f"Mallory_13{moodle}/Ada_12{moodle}/mini.ipynb", f"Bo_14{moodle}/mini.ipynb"
    )  # fmt: skip
    assert students(result) == ["Bo_14", "Mallory_13"]
    result = hand_in(f"mallory_13_9_Ada_12{moodle}x.ipynb", "bo_14_8_x.ipynb", "jo_15_7_x.ipynb")
    assert students(result) == ["bo_14", "jo_15", "mallory_13"]
    result = hand_in("mallory/mini/ada/mini/mini.ipynb", "bo/mini/mini.ipynb")
    assert students(result) == ["bo", "mallory"]


def test_a_pattern_of_ones_own(hand_in):
    names = ("hw-s101-x.ipynb", "hw-s102-y.ipynb", "notes.ipynb")
    result = hand_in(*names, pattern=r"hw-(?P<student_id>s\d+)")
    assert students(result) == ["s101", "s102"]
    assert "does not say whose" in reason(result)
    with pytest.raises(IntakeError, match=r"no regular expression: .*position"):
        hand_in(*names, pattern="hw-(")
    with pytest.raises(IntakeError, match="must name the student, for example"):
        hand_in(*names, pattern="hw-(.*)")


def test_files_that_fit_no_pattern_are_told_with_advice(hand_in):
    result = hand_in("mini.ipynb", "Copy of mini.ipynb", "ada.ipynb", "grades.csv")
    assert students(result) == ["ada"]
    assert sorted(one.origin for one in result.refused) == [
        "Copy of mini.ipynb", "grades.csv", "mini.ipynb",
    ]  # fmt: skip
    text = report(result)
    assert "named like the assignment" in text
    assert "--pattern" in text
    assert "--layout" in text


def test_junk_is_passed_over_in_silence(hand_in):
    result = hand_in(
        "ada.ipynb", "__MACOSX/._ada.ipynb", ".DS_Store", "Thumbs.db",
        "bo/.ipynb_checkpoints/mini-checkpoint.ipynb", "bo/mini.ipynb", "bo/",
    )  # fmt: skip
    assert students(result) == ["ada", "bo"]
    assert (result.refused, result.ignored, result.superseded) == ([], [], [])


def test_who_handed_in_nothing_but_hidden_files_is_told(hand_in):
    name = "_assignsubmission_file_"
    result = hand_in(f"Ada_1{name}/.ipynb", f"Bo_2{name}/x.ipynb", f"Bo_2{name}/.x.ipynb")
    assert students(result) == ["Bo_2"]
    assert "hidden file" in reason(result, "Ada_1")
    assert len(result.refused) == 1


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a+b", "'+'"), ("a\\..\\b", "leads out"), ("../ada", "leads out"), ("ab:c", "':'"),
        ("a*", "'*'"), ("a[1]", "'['"), ("ada.", "dot"), ("con", "device"), ("Com1.x", "device"),
        ("a\u202eb", "202E"), ("a\nb", "control"), ("x" * 129, "128"), ("x" * 2000, "1000"),
        ("ü" * 101, "128"), (" ", "empty"),
    ],
)  # fmt: skip
def test_an_id_that_no_folder_or_gradebook_takes_is_refused(hand_in, name, shown):
    result = hand_in(f"{name}/mini.ipynb", "bo/mini.ipynb")
    assert students(result) == ["bo"]
    assert shown in reason(result)


def test_an_absolute_name_and_a_drive_are_refused(hand_in):
    for name in ("/etc/x.ipynb", "C:\\x.ipynb", "\\\\server\\share\\x.ipynb"):
        result = hand_in(name, "bo.ipynb")
        assert students(result) == ["bo"]
        assert "absolute" in reason(result)


def test_a_false_name_costs_its_student_nothing_but_that_file(hand_in):
    """The platform wrote the outer part, so the student is known and told."""
    name = "Ada_1_assignsubmission_file_"
    result = hand_in(f"{name}/../../x.ipynb", f"Bo_2{name[5:]}/x.ipynb")
    assert students(result) == ["Bo_2"]
    assert "leads out" in reason(result, "Ada_1")


def test_what_ids_may_hold():
    for name in ("Seán O'Brien_12", "李明_3", "a.b@uni.org", "Lovelace, Ada_1", "-x", "a\u200cb"):
        assert owners.student_id(f" {name} ") == name
    assert owners.student_id("e\u0301") == "\u00e9", "macOS writes accents apart"


def test_ids_that_differ_only_in_case_are_one_folder_on_many_systems(hand_in):
    result = hand_in("Ada.ipynb", "ada.ipynb", "bo.ipynb")
    assert students(result) == ["bo"]
    assert "capital" in reason(result, "ada")
    assert "capital" in reason(result, "Ada")


@pytest.mark.parametrize(
    ("raw", "options", "student"),
    [
        ("Zoë", {}, "Zoë"),  # macOS: UTF-8 without saying so
        ("Zoë", {"encoding": "latin-1"}, "Zoë"),
        ("Zoë", {"encoding": "cp437"}, "Zoë"),
        ("李明", {"encoding": "gbk", "name_encoding": "gbk"}, "李明"),
        ("李明", {}, "李明"),
    ],
)
def test_names_in_other_encodings(hand_in, raw, options, student):
    """zipfile can only write ASCII or flagged UTF-8, so the bytes are put in afterwards."""
    encoded = raw.encode(options.pop("encoding", "utf-8"))
    data = archive(f"{'#' * len(encoded)}.ipynb").replace(b"#" * len(encoded), encoded)
    assert students(hand_in(data=data, **options)) == [student]


def test_a_name_that_is_not_the_utf8_it_claims_to_be_harms_only_its_entry(hand_in):
    data = archive("Zo\u00eb.ipynb", "bo.ipynb").replace("Zo\u00eb".encode(), b"Zo\xff\xfe")
    result = hand_in(data=data)
    assert students(result) == ["bo"]
    assert "damaged" in result.refused[0].reason
    with pytest.raises(IntakeError, match="no encoding called"):
        hand_in("ada.ipynb", name_encoding="klingon")


@pytest.mark.parametrize(
    "changes",
    [
        {"extract_version": 64},
        {"extra": b"\x01\x00\xff\xffxx"},
        {"extra": b"\x75\x70\x02\x00xx"},
        {"extra": b"\x01\x00\x04\x00xxxx", "file_size": 2**32 - 1},
    ],
    ids=["version", "length", "unicode path", "zip64"],
)
def test_one_damaged_line_of_the_table_of_contents_harms_only_its_entry(hand_in, changes):
    """Each of these alone makes zipfile refuse the whole archive."""
    # ada's line is the first of the table; its name ends 55 bytes after its start.
    data = bytearray(archive("ada.ipynb", "bo.ipynb"))
    table = data.index(b"PK\x01\x02")
    data[table + 6] = changes.get("extract_version", 20)
    extra = changes.get("extra", b"")
    data[table + 55 : table + 55] = extra
    data[table + 30 : table + 32] = struct.pack("<H", len(extra))
    if "file_size" in changes:
        data[table + 24 : table + 28] = b"\xff" * 4
    end = data.index(b"PK\x05\x06")
    size = struct.unpack_from("<I", data, end + 12)[0] + len(extra)
    struct.pack_into("<I", data, end + 12, size)
    if extra[:2] != b"\x75\x70":  # a field that Python reads since 3.12
        with pytest.raises((zipfile.BadZipFile, NotImplementedError)):
            zipfile.ZipFile(io.BytesIO(data))
    result = hand_in(data=bytes(data))
    assert "bo" in students(result)
    assert len(result.accepted) + len(result.refused) == 2


# --- one per student


def test_the_latest_wins_and_the_other_is_kept(hand_in):
    early, late = STUB, STUB + b" "
    for order in (1, -1):
        entries = [
            entry("ada/first.ipynb", early, time=MORNING), entry("ada/a.ipynb", late, time=NOON),
        ]  # fmt: skip
        result = hand_in(*entries[::order])
        assert [(one.content, one.received) for one in result.accepted] == [(late, utc(NOON))]
        assert [(one.content, one.received) for one in result.superseded] == [(early, utc(MORNING))]


def test_a_tie_is_decided_by_the_number_then_the_name(hand_in):
    names = ["li_1_99_b.ipynb", "li_1_100_a.ipynb", "li_1_98_mini.ipynb"]
    for turn in range(3):
        result = hand_in(*names[turn:], *names[:turn])
        assert result.accepted[0].origin == "li_1_100_a.ipynb"
        assert len(result.superseded) == 2
    names = ["ada/z.ipynb", "ada/mini.ipynb", "ada/a.ipynb"]
    for turn in range(3):
        result = hand_in(*names[turn:], *names[:turn])
        assert result.accepted[0].origin == "ada/mini.ipynb"


def test_another_assignments_notebook_does_not_displace_the_right_one(hand_in):
    other = STUB.replace(b'"grade_id": "', b'"grade_id": "x').replace(b"def ", b"def x")
    other = other.replace(b"class ", b"class X")
    entries = entry("ada/mini.ipynb", time=MORNING), entry("ada/other.ipynb", other)
    result = hand_in(*entries, source=SOURCE)
    assert result.accepted[0].content == STUB
    assert "another assignment" in result.notes[0]
    alone = hand_in(entries[1], entry("bo/mini.ipynb"), source=SOURCE)
    assert students(alone) == ["ada", "bo"], "the grader rejects it, with the reason"
    assert "ada: will be rejected by the grader: this seems to be another" in alone.notes[0]


def test_what_would_take_long_to_judge_is_left_to_the_grader(hand_in, monkeypatch):
    other = {"cells": [{"cell_type": "code", "source": "y = 1  # no answer"}]}
    wrong = entry("ada.ipynb", json.dumps(other).encode())
    assert "no solution was found" in hand_in(wrong, source=SOURCE).notes[0]
    monkeypatch.setattr(intake, "MAX_JUDGED_CODE", 5)
    assert hand_in(wrong, source=SOURCE).notes == []
    monkeypatch.setattr(intake, "MAX_JUDGED_BYTES", 0)
    found = hand_in(entry("ada.ipynb", b"{"))
    assert (students(found), found.notes) == (["ada"], [])


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"", "empty"),
        (b"{", "not JSON"),
        (b"<html>", "web page"),
        (b"\xff\xfe\x00", "not text"),
        (b"{}", "not a notebook"),
        (archive("x"), "archive"),
    ],
)
def test_files_that_are_no_notebooks_are_accepted_with_a_note(hand_in, content, note):
    """So that the student appears in the results, rejected, and the file can be looked at."""
    result = hand_in(entry("ada.ipynb", content), "bo.ipynb", source=SOURCE)
    assert students(result) == ["ada", "bo"]
    assert result.accepted[0].content == content
    assert len(result.notes) == 1
    assert note in result.notes[0]


def test_odd_but_usable_notebooks_need_no_note(hand_in):
    old = {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": "x = 1"}]}]}
    result = hand_in(
        entry("ada.ipynb", b"\xef\xbb\xbf" + STUB),
        entry("bo.ipynb", STUB.decode().encode("utf-16")),
        entry("jo.ipynb", json.dumps(json.loads(STUB), indent=1).replace("\n", "\r\n").encode()),
        entry("mei.IPYNB"),
        entry("li/x.ipynb.txt"),
        entry("vu/x.ipynb.json"),
        entry("wu.ipynb", json.dumps(old).encode()),
    )
    assert students(result) == ["ada", "bo", "jo", "li", "mei", "vu", "wu"]
    assert result.notes == []


def test_other_files_are_a_reason_only_for_who_has_nothing_else(hand_in):
    moodle = "assignsubmission"
    result = hand_in(
        f"Ada_1_{moodle}_file_/mini.ipynb", f"Ada_1_{moodle}_file_/plot.png",
        f"Bo_2_{moodle}_file_/mini.pdf", f"Jo_3_{moodle}_onlinetext_/onlinetext.html",
    )  # fmt: skip
    assert students(result) == ["Ada_1"]
    assert result.ignored == [f"Ada_1_{moodle}_file_/plot.png"]
    assert "not a notebook" in reason(result, "Bo_2")
    assert "typed into" in reason(result, "Jo_3")


def test_a_zip_with_one_notebook_handed_in_as_a_zip(hand_in):
    inner = archive("work/x.ipynb", entry("work/data.csv", b"1"), "__MACOSX/work/._x.ipynb")
    result = hand_in(entry("li_1_9_work.zip", inner), "bo_2_8_mini.ipynb")
    assert students(result) == ["bo_2", "li_1"]
    li = result.accepted[1]
    assert (li.content, li.origin, li.received) == (STUB, "li_1_9_work.zip/work/x.ipynb", utc(NOON))


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        (archive(entry("x.py", b"1")), "no notebook"),
        (archive(entry("x.zip", archive("x.ipynb"))), "only another archive"),
        (b"PK\x03\x04 cut off", "damaged archive or no zip"),
        (archive("../x.ipynb"), "leads out"),
        (archive(*(f"{n}.ipynb" for n in range(31))), "31 notebooks"),
        (archive(*(entry(f"{n}.txt", b"") for n in range(1001))), "more than 1000 entries"),
        (archive(entry("x.ipynb", bytes(33 * 2**20))), "zip bomb"),
    ],
    ids=["nothing", "zip", "damaged", "slip", "many", "entries", "bomb"],
)
def test_a_bad_zip_in_the_zip_is_its_students_problem(hand_in, inner, why):
    result = hand_in(entry("li_1_9_work.zip", inner), "bo_2_8_mini.ipynb")
    assert students(result) == ["bo_2"]
    assert why in reason(result, "li_1")


# --- hostile archives


def test_links_and_devices_in_an_archive_are_refused(hand_in):
    for mode in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK):
        result = hand_in(entry("ada.ipynb", b"/etc/passwd", mode=mode | 0o777), "bo.ipynb")
        assert students(result) == ["bo"]
        assert "not a file" in reason(result, "ada")


def test_an_encrypted_entry_is_refused(hand_in):
    result = hand_in(entry("ada.ipynb", flag_bits=1), "bo.ipynb")
    assert students(result) == ["bo"]
    assert "password" in reason(result, "ada")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9])
def test_other_ways_of_packing_are_refused(hand_in, method):
    """Their decoders hand out a thousand times the input in one piece."""
    changes = {"compress_type": method} if method == 9 else {"packed": method}
    result = hand_in(entry("ada.ipynb", **changes), "bo.ipynb")
    assert students(result) == ["bo"]
    assert f"method {method}" in reason(result, "ada")


def test_a_bomb_is_refused_by_its_ratio(hand_in):
    result = hand_in(entry("ada.ipynb", bytes(9 * 2**20)), "bo.ipynb")
    assert students(result) == ["bo"]
    assert "zip bomb" in reason(result, "ada")


def test_a_large_file_is_refused_unread(hand_in, tmp_path):
    caps = Caps(file=len(STUB))
    result = hand_in(entry("ada.ipynb", STUB + b" "), "bo.ipynb", caps=caps)
    assert students(result) == ["bo"]
    assert "clear the outputs" in reason(result, "ada")
    folder = tmp_path / "class"
    folder.mkdir()
    with (folder / "ada.ipynb").open("wb") as file:
        file.truncate(2**40)  # a sparse file: a terabyte that takes no room
    (folder / "bo.ipynb").write_bytes(STUB)
    result = intake.read(folder, NAME)
    assert students(result) == ["bo"]
    assert "too large" in reason(result, "ada")


def test_caps_per_student_and_in_total_hit_who_brings_much(hand_in):
    big = STUB + bytes(4 * len(STUB))
    entries = [entry(f"ada/{n}.ipynb", big) for n in range(4)]
    result = hand_in(*entries, "bo.ipynb", caps=Caps(student=2 * len(big)))
    assert students(result) == ["ada", "bo"]
    assert len(result.superseded) == 1
    assert [one.student for one in result.refused] == ["ada", "ada"]
    result = hand_in(*entries, "bo.ipynb", caps=Caps(total=len(big)))
    assert students(result) == ["bo"]
    assert all("collect in parts" in one.reason for one in result.refused)
    entries = [entry(f"ada/{n}.ipynb", str(n).encode()) for n in range(40)]
    result = hand_in(*entries, "bo.ipynb")
    assert (len(result.superseded), len(result.refused)) == (29, 10)
    assert "more than 30 files" in result.refused[0].reason


@pytest.mark.parametrize(("field", "size"), [("file_size", 10), ("file_size", 2**31)])
def test_a_false_size_gives_a_damaged_or_too_large_file(hand_in, field, size):
    result = hand_in(entry("ada.ipynb", **{field: size}), "bo.ipynb")
    assert students(result) == ["bo"]
    assert ("damaged" if size == 10 else "zip bomb") in reason(result, "ada")


def test_wrong_bytes_of_one_entry_are_its_students_problem(hand_in):
    data = bytearray(archive(entry("ada.ipynb"), entry("bo.ipynb")))
    data[60:70] = bytes(10)
    result = hand_in(data=bytes(data))
    assert students(result) == ["bo"]
    assert "damaged" in reason(result, "ada")


def test_overlapping_entries_are_refused(hand_in):
    """As in the bomb that needs no nesting: many entries share one packed block."""
    result = hand_in("ada.ipynb", entry("bo.ipynb", header_offset=0), "jo.ipynb")
    assert students(result) == ["jo"]
    assert "shares its bytes" in reason(result, "ada")
    assert "shares its bytes" in reason(result, "bo")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"PK", archive("ada.ipynb")[:-30],
        # a table of contents of 4 GiB, by its own account
        b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 2**32 - 2, 0, 0),
        b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 46, 2**32 - 2, 0),
    ],
)  # fmt: skip
def test_a_damaged_class_archive_is_a_clear_error(hand_in, data):
    with pytest.raises(IntakeError, match=r"class.zip .*(damaged|too large)"):
        hand_in(data=data)


def test_too_many_entries(hand_in, tmp_path):
    with pytest.raises(IntakeError, match="more than 2 entries"):
        hand_in("a.ipynb", "b.ipynb", "c.ipynb", caps=Caps(files=2))
    with pytest.raises(IntakeError, match="too large"):
        hand_in("a.ipynb", "b.ipynb", "c.ipynb", caps=Caps(table=100))
    for name in "abc":
        (tmp_path / f"{name}.ipynb").touch()
    with pytest.raises(IntakeError, match="is it the right folder"):
        intake.read(tmp_path, NAME, caps=Caps(files=2))


@pytest.mark.slow
def test_memory_stays_below_the_caps(tmp_path):
    """Measured from outside: 40 MiB that claim to be 1, and 30 of a student who may have 9."""
    entries = [entry("jo.ipynb", bytes(40 * 2**20), file_size=2**20)]
    entries += [entry(f"ada/{n}.ipynb", bytes(3 * 2**20)) for n in range(10)]
    (tmp_path / "class.zip").write_bytes(archive(*entries, "bo.ipynb"))
    script = (
        "import sys; from pathlib import Path; from grading import intake, uploads\n"
        "status = Path('/proc/self/status')\n"
        "def most(): return int(status.read_text().split('VmHWM:')[1].split()[0])\n"
        "before = most()\n"
        "caps = uploads.Caps(file=4 * 2**20, student=9 * 2**20)\n"
        "found = intake.read(Path(sys.argv[1]), 'mini', caps=caps)\n"
        "print(most() - before, *(one.student for one in found.accepted))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "class.zip")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert output[1:] == ["ada", "bo"]
    assert int(output[0]) < 30 * 1024, "KiB: 9 MiB, and what reading and looking takes for a while"


# --- times


def test_times_in_archives(hand_in):
    def received(*entries, **options):
        return hand_in(*entries, **options).accepted[0].received

    assert received(entry("ada.ipynb", time=NOON)) == utc(NOON)
    assert received(entry("ada.ipynb"), time_zone="Europe/Berlin") == utc((2026, 3, 1, 11, 0, 0))
    assert received(entry("ada.ipynb", time=(1980, 1, 1, 0, 0, 0))) is None
    exact = entry("ada.ipynb")
    exact[0].extra = struct.pack("<HHBi", 0x5455, 5, 1, 1_700_000_001)
    assert received(exact) == datetime.fromtimestamp(1_700_000_001, timezone.utc)
    nonsense = archive(entry("ada.ipynb")).replace(struct.pack("<HH", 0x6000, 0x5C61), b"\xff" * 4)
    assert received(data=nonsense) is None
    with pytest.raises(IntakeError, match="Europe/Berlin"):
        received("ada.ipynb", time_zone="Mars/Olympus")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-01 12:00:00 UTC", NOON),
        ("2026-03-01 12:00:00.123456 UTC", NOON),
        ("2026-03-01 12:00:00", NOON),
        ("2026-03-01T12:00:00Z\n", NOON),
        ("2026-03-01 13:00:00 +0100", NOON),
        ("2026-03-01 13:00:00+01:00", NOON),
        ("2026-03-01 13:00:00 Europe/Berlin", NOON),
        ("2026-02-31 12:00:00 UTC", None),
        ("2026-03-01 12:00:00 ../../etc/passwd", None),
        ("9999-12-31 23:59:59 -1400", None),
        ("yesterday", None),
    ],
)
def test_times_in_timestamp_files(text, time):
    assert intake.parse_time(text) == (time and utc(time))


# --- folders and single files


def test_a_folder(tmp_path):
    folder = tmp_path / "class"
    (folder / "bo").mkdir(parents=True)
    for name in ("ada.ipynb", "bo/x.ipynb"):
        (folder / name).write_bytes(STUB)
        os.utime(folder / name, (1_700_000_000.5, 1_700_000_000.5))
    result = intake.read(folder, NAME)
    assert students(result) == ["ada", "bo"]
    assert result.accepted[0].received == datetime.fromtimestamp(1_700_000_000, timezone.utc)


def test_links_pipes_devices_and_sockets_in_a_folder_are_never_followed_or_waited_for(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "x.ipynb").write_bytes(STUB)
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "bo.ipynb").write_bytes(STUB)
    (folder / "link.ipynb").symlink_to(secret / "x.ipynb")
    (folder / "dangling.ipynb").symlink_to("nowhere")
    (folder / "loop.ipynb").symlink_to("loop.ipynb")
    (folder / "inside").symlink_to(secret)
    os.mkfifo(folder / "pipe.ipynb")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path must be short
        server.bind("socket.ipynb")
        os.chdir(here)
        result = intake.read(folder, NAME)
    assert students(result) == ["bo"]
    told = {one.origin: one.reason for one in result.refused}
    assert told.keys() == {
        "link.ipynb", "dangling.ipynb", "loop.ipynb", "inside", "pipe.ipynb", "socket.ipynb",
    }  # fmt: skip
    assert all("not a file" in text for text in told.values())


def test_a_link_put_there_after_the_look_is_not_followed_either(tmp_path):
    path = tmp_path / "ada.ipynb"
    path.write_bytes(STUB)
    file = uploads.file_on_disk(path, ("ada.ipynb",))
    path.unlink()
    path.symlink_to(MINI)
    with pytest.raises(uploads.Unreadable, match="symbolic link"):
        file.load(10**6)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(uploads.Unreadable, match="not an ordinary file"):
        file.load(10**6)


def test_an_unreadable_file_and_folder_are_their_students_problem(tmp_path, monkeypatch):
    for name in ("ada", "bo", "jo"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.ipynb").write_bytes(STUB)
    opened, listed = os.open, os.scandir

    def open_(path, *rest, **options):
        if str(path).endswith("ada/x.ipynb"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *rest, **options)

    def scandir(path):
        if str(path).endswith("/jo"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    # Permissions mean nothing to root, who may run this.
    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "scandir", scandir)
    result = intake.read(tmp_path, NAME)
    assert students(result) == ["bo"]
    assert "Permission denied" in reason(result, "ada")
    assert "Permission denied" in reason(result, "jo")


def test_a_folder_of_too_many_files_or_levels_is_its_students_problem(tmp_path):
    (tmp_path / "bo").mkdir()
    (tmp_path / "bo" / "x.ipynb").write_bytes(STUB)
    for number in range(4):
        (tmp_path / "ada").mkdir(exist_ok=True)
        (tmp_path / "ada" / f"{number}.txt").touch()
    (tmp_path / "jo" / "1" / "2" / "3").mkdir(parents=True)
    result = intake.read(tmp_path, NAME, caps=Caps(folder=3, depth=2))
    assert students(result) == ["bo"]
    assert "more than 3 files" in reason(result, "ada")
    assert "too deeply" in reason(result, "jo")


def test_names_on_disk_that_are_not_utf8(tmp_path):
    os.makedirs(os.fsencode(tmp_path) + b"/Zo\xeb")
    with open(os.fsencode(tmp_path) + b"/Zo\xeb/x.ipynb", "wb") as file:
        file.write(STUB)
    assert students(intake.read(tmp_path, NAME)) == ["Zoë"]


def test_one_file(tmp_path):
    path = tmp_path / "Copy of ada.ipynb"
    path.write_bytes(STUB)
    assert students(intake.read(path, NAME)) == ["ada"]
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(IntakeError, match="cannot be read: No such file"):
        intake.read(tmp_path / "nothing.zip", NAME)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IntakeError, match="neither a folder nor"):
        intake.read(tmp_path / "pipe", NAME)
    (tmp_path / "class.tar.gz").write_bytes(b"\x1f\x8b\x08")
    with pytest.raises(IntakeError, match="not a zip: unpack"):
        intake.read(tmp_path / "class.tar.gz", NAME)


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a+b", ".a", " a"])
def test_names_of_assignments_are_checked(tmp_path, name):
    for call in (
        lambda: intake.read(tmp_path, name),
        lambda: collect(intake.Intake(), name, tmp_path),
        lambda: submitted(tmp_path, name),
    ):
        with pytest.raises(IntakeError, match="assignment's name"):
            call()


# --- writing


def one(content=STUB, time=NOON, student="ada", **fields):
    found = intake.Intake(**fields)
    found.accepted.append(Submission(student, content, f"{student}.ipynb", time and utc(time)))
    return found


@pytest.mark.slow
def test_collect_writes_what_nbgrader_reads(tmp_path, hand_in):
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    name = "_assignsubmission_file_/x.ipynb"
    found = hand_in(f"Ada Lovelace_1{name}", entry(f"Zoë, O'Neil_2{name}", time=MORNING))
    paths = collect(found, NAME, tmp_path / "submitted")
    assert paths == [
        tmp_path / f"submitted/{one.student}/{NAME}/{NAME}.ipynb" for one in found.accepted
    ]
    assert all(path.read_bytes() == STUB for path in paths)
    collect(
        one(b"later", (2026, 3, 2, 9, 0, 0), found.accepted[0].student),
        NAME,
        tmp_path / "submitted",
    )

    course = CourseDirectory(root=str(tmp_path))
    api = NbGraderAPI(coursedir=course)
    assert api.get_submitted_students(NAME) == {one.student for one in found.accepted}
    assert api.get_submitted_students("*") == {one.student for one in found.accepted}
    assert api.get_submitted_timestamp(NAME, found.accepted[1].student) == datetime(*MORNING)
    folder = course.format_path("submitted", found.accepted[1].student, NAME)
    assert course.get_existing_timestamp(folder) == datetime(*MORNING)
    text = (Path(folder) / "timestamp.txt").read_text()
    assert text == "2026-03-01 09:00:00 UTC"


def test_collecting_again_changes_nothing(tmp_path, hand_in):
    entries = [entry("ada/a.ipynb", b"old", time=MORNING), entry("ada/b.ipynb"), "bo.ipynb"]
    folder = tmp_path / "submitted"
    assert len(collect(hand_in(*entries), NAME, folder)) == 2
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert collect(hand_in(*entries), NAME, folder) == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
    again = [replace_time(one, (2026, 5, 5, 5, 5, 4)) for one in entries]
    assert collect(hand_in(*again), NAME, folder) == [], "the same files, packed again later"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def replace_time(one, time):
    info, content, _ = entry(one) if isinstance(one, str) else one
    return entry(info.filename, content, time=time)


def test_a_newer_one_replaces_and_an_older_never_does(tmp_path):
    path = tmp_path / "ada" / NAME / f"{NAME}.ipynb"
    assert collect(one(b"noon"), NAME, tmp_path) == [path]
    late = one(b"morning", MORNING)
    assert collect(late, NAME, tmp_path) == []
    assert path.read_bytes() == b"noon"
    assert "stays" in late.notes[0]
    assert collect(one(b"timeless", None), NAME, tmp_path) == []
    assert collect(one(b"same second"), NAME, tmp_path) == []
    assert collect(one(b"evening", (2026, 3, 1, 20, 0, 0)), NAME, tmp_path) == [path]
    back = submitted(tmp_path, NAME)
    assert [(one.content, one.received) for one in back.accepted] == [
        (b"evening", utc((2026, 3, 1, 20, 0, 0)))
    ]
    assert {one.content for one in back.superseded} == {
        b"noon", b"morning", b"timeless", b"same second",
    }  # fmt: skip
    assert {one.received for one in back.superseded} == {utc(NOON), utc(MORNING), None}


def test_without_any_times_the_one_collected_last_is_taken(tmp_path):
    collect(one(b"first", None), NAME, tmp_path)
    assert len(collect(one(b"second", None), NAME, tmp_path)) == 1
    back = submitted(tmp_path, NAME)
    assert [one.content for one in back.accepted + back.superseded] == [b"second", b"first"]
    assert back.accepted[0].received is None


@pytest.mark.parametrize("calls", range(12))
def test_interrupted_anywhere_it_leaves_whole_files_and_is_completed(tmp_path, monkeypatch, calls):
    def run(folder):
        collect(
            one(b"new" * 1000, NOON, superseded=[Submission("ada", b"old", "", None)]), NAME, folder
        )

    for folder in (tmp_path / "whole", tmp_path / "cut"):
        collect(one(b"before" * 1000, MORNING), NAME, folder)
    run(tmp_path / "whole")
    left = calls

    def killed(name):
        original = getattr(os, name)

        def call(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "fsync"):
            patch.setattr(os, name, killed(name))
        try:
            run(tmp_path / "cut")
            assert left >= 0
        except KeyboardInterrupt:
            files = tree(tmp_path / "cut")
            whole = {b"new" * 1000, b"before" * 1000, b"old"}
            assert all(files[n] in whole for n in files if n.endswith(".ipynb"))
            assert b"before" * 1000 in files.values(), "nothing is lost"
    run(tmp_path / "cut")
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


@pytest.mark.parametrize(
    "place", ["ada", f"ada/{NAME}", f"ada/{NAME}/{NAME}.ipynb", "ada/.superseded"]
)
@pytest.mark.parametrize("kind", ["link", "file", "pipe"])
def test_nothing_is_written_through_a_link_or_onto_something_else(tmp_path, place, kind):
    outside, folder = tmp_path / "outside", tmp_path / "submitted"
    outside.mkdir()
    (outside / "x").write_bytes(b"precious")
    path = folder / place
    path.parent.mkdir(parents=True)
    if kind == "link":
        path.symlink_to(outside / "x" if place.endswith("ipynb") else outside)
    elif kind == "pipe":
        os.mkfifo(path)
    elif place.endswith("ipynb"):
        path.mkdir()
    else:
        path.write_bytes(b"precious")
    found = one(superseded=[Submission("ada", b"old", "", None)])
    found.accepted.append(Submission("bo", STUB, "bo.ipynb", None))
    assert collect(found, NAME, folder) == [folder / "bo" / NAME / f"{NAME}.ipynb"]
    assert "was not written" in reason(found, "ada")
    assert students(found) == ["bo"]
    assert tree(outside) == {"x": b"precious"}
    assert students(submitted(folder, NAME)) == ["bo"]
    assert [one.student for one in submitted(folder, NAME).refused] == ["ada"]


def test_a_link_among_the_kept_ones_is_noted_not_read(tmp_path):
    collect(one(), NAME, tmp_path)
    shelf = tmp_path / "ada" / intake.SUPERSEDED / NAME
    shelf.mkdir(parents=True)
    (shelf / "unknown_0.ipynb").symlink_to(MINI)
    back = submitted(tmp_path, NAME)
    assert (students(back), back.superseded) == (["ada"], [])
    assert "ada" in back.notes[0]


def test_an_id_that_differs_in_case_from_a_folder_that_is_there_is_refused(tmp_path):
    collect(one(), NAME, tmp_path)
    found = one(b"other", (2026, 4, 1, 0, 0, 0), "Ada")
    assert collect(found, NAME, tmp_path) == []
    assert "capital" in reason(found, "Ada")
    assert [one.content for one in submitted(tmp_path, NAME).accepted] == [STUB]


def test_two_at_once_are_one_too_many(tmp_path):
    with intake._writing_to(tmp_path), pytest.raises(IntakeError, match="another collect"):
        collect(one(), NAME, tmp_path)


def test_refusals_are_remembered_until_something_usable_comes(tmp_path):
    found = one(refused=[Refusal("bo", "bo.zip", "is damaged"), Refusal(None, "x", "nobody's")])
    collect(found, NAME, tmp_path)
    back = submitted(tmp_path, NAME)
    assert students(back) == ["ada"]
    assert back.refused == found.refused
    collect(one(student="jo"), NAME, tmp_path)
    assert [one.student for one in submitted(tmp_path, NAME).refused] == ["bo"]
    collect(one(student="bo"), NAME, tmp_path)
    back = submitted(tmp_path, NAME)
    assert (students(back), back.refused) == (["ada", "bo", "jo"], [])
    (tmp_path / intake.REFUSED / f"{NAME}.json").write_text("[1")
    with pytest.raises(IntakeError, match="delete it and collect again"):
        submitted(tmp_path, NAME)


def test_submitted_reads_nbgraders_own_tree(tmp_path):
    for student, name in [("ada", "mini.ipynb"), ("bo", "Copy of mini.ipynb"), ("jo", "notes.txt")]:
        folder = tmp_path / student / NAME
        folder.mkdir(parents=True)
        (folder / name).write_bytes(STUB)
        (folder / "timestamp.txt").write_text("2026-03-01 12:00:00.250000 UTC")
    (tmp_path / "ada" / NAME / "helper.ipynb").write_bytes(b"later, but not the notebook")
    (tmp_path / "mei" / "other").mkdir(parents=True)
    back = submitted(tmp_path, NAME)
    assert [(one.student, one.received) for one in back.accepted] == [
        ("ada", utc(NOON)), ("bo", utc(NOON)),
    ]  # fmt: skip
    assert [one.student for one in back.refused] == ["jo"]
    moved = intake.read(tmp_path, NAME, layout="nbgrader")
    assert [(one.student, one.received) for one in moved.accepted] == [
        ("ada", utc(NOON)), ("bo", utc(NOON)),
    ]  # fmt: skip
    with pytest.raises(IntakeError, match="collect the submissions first"):
        submitted(tmp_path / "nothing", NAME)


# --- telling


def test_the_report_shows_everything_and_no_control_characters(hand_in):
    result = hand_in(
        entry("李明/a.ipynb", b"x", time=MORNING), "李明/b.ipynb", "李明/plot.png",
        entry("ada.ipynb", b"{"), entry("bo.ipynb", mode=stat.S_IFLNK), "evil\x1b[31m.ipynb",
    )  # fmt: skip
    text = report(result)
    assert "2 submissions (names read as plain), 1 superseded, 2 files refused" in text
    assert "\x1b" not in text
    assert "evil\\x1b" in text
    for part in ("2026-03-01 09:00:00 UTC", "plot.png", "will be rejected", "symbolic link"):
        assert part in text
    collected = [line for line in text.splitlines() if line.endswith(("b.ipynb", "  ada.ipynb"))]
    columns = {len(line[: line.index("2026")].encode("gbk")) for line in collected}
    assert len(columns) == 1, "aligned, where a Chinese character takes two columns"


@pytest.fixture
def course(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "solutions" / NAME).mkdir(parents=True)
    (tmp_path / "solutions" / NAME / f"{NAME}.ipynb").write_bytes(SOURCE)


def command(*words):
    import argparse

    parser = argparse.ArgumentParser()
    intake.add_command(parser.add_subparsers(required=True))
    options = parser.parse_args(["collect", *map(str, words)])
    return options.run(options)


def test_the_command(tmp_path, course, capsys):
    (tmp_path / "class.zip").write_bytes(archive("ada.ipynb", "mini.ipynb"))
    assert command(NAME, "class.zip", "--dry-run") == 0
    assert not (tmp_path / "submitted").exists()
    assert command(NAME, "class.zip") == 0
    assert "1 written to submitted, 0 not newer" in capsys.readouterr().out
    assert (tmp_path / "submitted" / "ada" / NAME / f"{NAME}.ipynb").read_bytes() == STUB
    assert command(NAME, "class.zip") == 0
    assert "0 written to submitted, 1 not newer" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert command(NAME, "empty") == 1
    with pytest.raises(IntakeError, match="no assignment 'minni'"):
        command("minni", "class.zip")


def test_a_checksum_is_checked(hand_in):
    """Deflate's own end mark may come before the damage; the CRC sees it."""
    result = hand_in(entry("ada.ipynb", packed=zipfile.ZIP_STORED, CRC=0), "bo.ipynb")
    assert students(result) == ["bo"]
    assert "CRC" in reason(result, "ada")
