"""Files that are replaced in one step or not at all."""

import os

import pytest

from cnnlib.files import atomic_write


def test_a_new_file_in_a_new_folder(tmp_path):
    path = tmp_path / "a" / "b" / "numbers.bin"
    with atomic_write(path) as file:
        file.write(b"12")
        assert not path.exists()
        file.write(b"34")
    assert path.read_bytes() == b"1234"
    assert os.listdir(path.parent) == ["numbers.bin"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_interruption_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "numbers.bin"
    path.write_bytes(b"old")

    def interrupted():
        with atomic_write(path) as file:
            file.write(b"half of the n")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["numbers.bin"]


def test_a_name_that_cannot_be_taken(tmp_path):
    """The last step fails: a folder has that name."""
    path = tmp_path / "numbers.bin"
    path.mkdir()
    with pytest.raises(OSError, match="numbers"), atomic_write(path) as file:
        file.write(b"1234")
    assert path.is_dir()
    assert os.listdir(tmp_path) == ["numbers.bin"]


def test_the_temporary_file_can_be_read_by_its_name(tmp_path):
    with atomic_write(tmp_path / "numbers.bin") as file:
        file.write(b"1234")
        file.flush()
        with open(file.name, "rb") as same:
            assert same.read() == b"1234"
        assert os.path.dirname(file.name) == str(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")
def test_others_may_read_it(tmp_path):
    with atomic_write(tmp_path / "numbers.bin") as file:
        file.write(b"1234")
    assert (tmp_path / "numbers.bin").stat().st_mode & 0o777 == 0o644
