"""Small archives and pictures in memory, and a mirror of this machine that serves them.

The same members always give the same bytes: no time is written into them.

A test file that uses the fixture takes it over: `mirror = data_archives.mirror`.
"""

import gzip
import hashlib
import io
import tarfile
import zipfile

import pytest


def zip_bytes(members):
    """A zip file of (name, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tar_bytes(members, compression=""):
    """A tar file of (name, content); `compression` is "gz" or "" for none."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    whole = buffer.getvalue()
    return gzip.compress(whole, mtime=0) if compression == "gz" else whole


def picture_bytes(picture, form="PNG", **options):
    """A picture of Pillow as a file; the options are those of its writer."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def mirror(monkeypatch, tmp_path):
    """A mirror in a folder of this machine, and an empty data folder `tmp_path / "data"`.

    Gives a function of a data set's module and of {file name: content} that serves these files,
    with their checksums in place of the published ones.
    """
    monkeypatch.setenv("CNNLIB_MIRROR", (tmp_path / "mirror").as_uri())
    monkeypatch.setenv("CNNLIB_DATA", str(tmp_path / "data"))

    def serve(module, files):
        folder = tmp_path / "mirror" / module.NAME
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
            if hasattr(module, "CHECKSUMS"):  # not every publisher gives one
                monkeypatch.setitem(module.CHECKSUMS, name, hashlib.md5(content).hexdigest())

    return serve
