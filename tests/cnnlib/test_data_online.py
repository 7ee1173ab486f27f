"""The online sets, on small files in each set's own format from a server on this machine."""

import dataclasses
import gzip
import hashlib
import http.server
import io
import os
import pickle
import re
import shutil
import struct
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from data_archives import tar_bytes
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

from cnnlib.data import DownloadError, FormatError, load
from cnnlib.data import download as download_module
from cnnlib.data.download import data_folder, fetch, mirrors
from cnnlib.data.formats import read_cifar, read_idx
from cnnlib.data.online import ONLINE

# --- small files in the formats of the publishers ------------------------------------------------

TRAIN, TEST, HELD_OUT = 12, 5, 4


def idx_gz(array):
    """The idx format as its publisher describes it: magic number, sizes big-endian, bytes."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def idx_files(seed):
    rng = np.random.default_rng(seed)
    arrays, files = {}, {}
    for prefix, count in (("train", TRAIN), ("t10k", TEST)):
        arrays[prefix] = rng.integers(0, 256, (count, 28, 28)), rng.integers(0, 10, count)
        files[f"{prefix}-images-idx3-ubyte.gz"] = idx_gz(arrays[prefix][0])
        files[f"{prefix}-labels-idx1-ubyte.gz"] = idx_gz(arrays[prefix][1])
    return arrays, files


def cifar_archive(batches):
    return tar_bytes({f"{CIFAR10.base_folder}/{name}": batches[name] for name in batches}, "gz")


def cifar_batch(rng, count):
    """A batch with the keys of the real ones, pickled with protocol 2 as they are."""
    content = {
        "batch_label": "a batch",
        "labels": rng.integers(0, 10, count).tolist(),
        "data": rng.integers(0, 256, (count, 3072)).astype(np.uint8),
        "filenames": [f"{index}.png" for index in range(count)],
    }
    return content, pickle.dumps(content, protocol=2)


def cifar_files():
    rng = np.random.default_rng(0)
    contents, members = {}, {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        contents[name], members[name] = cifar_batch(rng, 4)
    return contents, {CIFAR10.filename: cifar_archive(members)}


# --- a server that stops by itself ---------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        answer = self.server.answers.get(self.path)
        if answer is None:
            self.send_error(404)
            return
        content, declared_length = answer
        self.send_response(200)
        self.send_header("Content-Length", str(declared_length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Keep the test output quiet."""


@pytest.fixture
def server(monkeypatch):
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.answers, running.asked = {}, []
    running.base = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def serve(server, folder, files):
    for name, content in files.items():
        server.answers[f"/{folder}/{name}"] = content, len(content)


def use_small_files(monkeypatch, name, files):
    """Replace the checksums of the real files by those of the small ones; nothing else changes."""
    sums = tuple((file, hashlib.md5(content).hexdigest()) for file, content in files.items())
    small = dataclasses.replace(ONLINE[name], files=sums, held_out=HELD_OUT)
    monkeypatch.setitem(ONLINE, name, small)


@pytest.fixture
def mnist(monkeypatch, server, tmp_path):
    """A small MNIST served at the mirror; gives its arrays."""
    arrays, files = idx_files(seed=0)
    use_small_files(monkeypatch, "mnist", files)
    serve(server, "mnist", files)
    monkeypatch.setenv("CNNLIB_MIRROR", server.base)
    monkeypatch.setenv("CNNLIB_DATA", str(tmp_path / "data"))
    return arrays


def files_in(folder):
    return sorted(path.name for path in Path(folder).rglob("*") if path.is_file())


# --- what comes out ------------------------------------------------------------------------------


def test_mnist_from_a_mirror(mnist, capsys):
    pixels, labels = mnist["train"]
    train, val, test = (load("mnist", part) for part in ("train", "val", "test"))
    assert train.images.shape == (TRAIN - HELD_OUT, 1, 32, 32)
    assert val.images.shape == (HELD_OUT, 1, 32, 32)
    joined = torch.cat([train.images, val.images])[:, 0, 2:-2, 2:-2]
    assert np.allclose(joined.numpy() * 255, pixels, atol=1e-4)
    assert torch.cat([train.labels, val.labels]).tolist() == labels.tolist()
    assert test.labels.tolist() == mnist["t10k"][1].tolist()
    assert train.classes == [str(digit) for digit in range(10)]
    everything = load("mnist", "all", image_size=28)
    assert everything.images.shape == (TRAIN + TEST, 1, 28, 28)
    output = capsys.readouterr()
    assert output.err == ""
    assert "train-images-idx3-ubyte.gz" in output.out
    assert "done" in output.out


def test_mnist_random_hold_out_is_a_seeded_partition(mnist):
    parts = [load("mnist", part, split_by="random", seed=3) for part in ("train", "val")]
    again = load("mnist", "train", split_by="random", seed=3)
    assert torch.equal(parts[0].images, again.images)
    sums = torch.cat([part.images.sum((1, 2, 3)) for part in parts])
    expected = torch.from_numpy(mnist["train"][0].sum((1, 2)) / 255).float()
    assert torch.allclose(sums.sort().values, expected.sort().values, rtol=1e-4)
    assert not torch.allclose(sums, expected, rtol=1e-4)


def test_torchvision_reads_the_folder_too(mnist, tmp_path):
    # The layout is torchvision's: its own class finds and accepts what `load` has fetched.
    load("mnist", "all")
    raw = tmp_path / "data" / "MNIST" / "raw"
    for packed in raw.glob("*.gz"):
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    theirs = MNIST(tmp_path / "data", train=True)
    assert np.array_equal(theirs.data.numpy(), mnist["train"][0])


def test_fashion_mnist_from_a_mirror(monkeypatch, server, tmp_path):
    arrays, files = idx_files(seed=1)
    use_small_files(monkeypatch, "fashion_mnist", files)
    serve(server, "fashion_mnist", files)
    monkeypatch.setenv("CNNLIB_MIRROR", server.base + "/")  # a slash at the end changes nothing
    monkeypatch.setenv("CNNLIB_DATA", str(tmp_path))
    test = load("fashion_mnist", "test", image_size=28)
    assert np.allclose(test.images[:, 0].numpy() * 255, arrays["t10k"][0], atol=1e-4)
    assert test.classes == FashionMNIST.classes
    # Only the part that was asked for is fetched.
    assert [path.rsplit("/", 1)[1][:4] for path in server.asked] == ["t10k", "t10k"]


def test_cifar10_from_a_mirror(monkeypatch, server, tmp_path):
    contents, files = cifar_files()
    use_small_files(monkeypatch, "cifar10", files)
    serve(server, "cifar10", files)
    monkeypatch.setenv("CNNLIB_MIRROR", server.base)
    monkeypatch.setenv("CNNLIB_DATA", str(tmp_path))
    train, val, test = (load("cifar10", part) for part in ("train", "val", "test"))
    assert train.images.shape == (20 - HELD_OUT, 3, 32, 32)
    rows = np.concatenate([contents[f"data_batch_{i}"]["data"] for i in range(1, 6)])
    joined = torch.cat([train.images, val.images]).flatten(1)
    assert np.allclose(joined.numpy() * 255, rows, atol=1e-4)
    assert test.labels.tolist() == contents["test_batch"]["labels"]
    assert test.classes[3] == "cat"
    # The archive is read where it is; nothing of it is unpacked.
    assert files_in(tmp_path) == [CIFAR10.filename]


def test_second_load_needs_no_network(mnist, server):
    first = load("mnist", "test")
    server.answers.clear()
    asked = len(server.asked)
    again = load("mnist", "test")
    assert torch.equal(first.images, again.images)
    assert len(server.asked) == asked


def test_real_checksums_and_first_mirrors_are_torchvisions():
    assert dict(ONLINE["mnist"].files) == dict(MNIST.resources)
    assert dict(ONLINE["fashion_mnist"].files) == dict(FashionMNIST.resources)
    assert dict(ONLINE["cifar10"].files) == {CIFAR10.filename: CIFAR10.tgz_md5}
    assert CIFAR10.url.startswith(ONLINE["cifar10"].mirrors[0])
    assert list(ONLINE["mnist"].mirrors[: len(MNIST.mirrors)]) == MNIST.mirrors
    for source in ONLINE.values():
        assert len(source.mirrors) >= 2
        assert all(base.endswith("/") for base in source.mirrors)


# --- what goes wrong -----------------------------------------------------------------------------


def test_dead_first_mirror_and_good_second(mnist, server, monkeypatch, capsys):
    dead = "http://127.0.0.1:9"  # the discard port: nobody listens
    monkeypatch.setenv("CNNLIB_MIRROR", f"{dead} {server.base}")
    assert len(load("mnist", "test")) == TEST
    assert "127.0.0.1:9/mnist/t10k-images-idx3-ubyte.gz: " in capsys.readouterr().out


def test_no_network_names_every_mirror_and_the_offline_choice(mnist, monkeypatch, tmp_path):
    monkeypatch.setenv("CNNLIB_MIRROR", "http://127.0.0.1:9/a http://127.0.0.1:9/b")
    with pytest.raises(DownloadError) as caught:
        load("mnist", "test")
    message = str(caught.value)
    assert 'load("digits")' in message
    assert "http://127.0.0.1:9/a/mnist/t10k-images-idx3-ubyte.gz: Connection refused" in message
    assert "http://127.0.0.1:9/b/mnist/t10k-images-idx3-ubyte.gz: Connection refused" in message
    assert "CNNLIB_MIRROR" in message
    assert "CNNLIB_DATA" in message
    assert files_in(tmp_path) == []


def test_missing_file_and_malformed_mirror(mnist, server, monkeypatch):
    server.answers.clear()
    monkeypatch.setenv("CNNLIB_MIRROR", f"{server.base} nonsense")
    with pytest.raises(DownloadError, match=r"HTTP 404(.|\n)*unknown url type"):
        load("mnist", "test")


def test_corrupt_download_leaves_nothing(mnist, server, tmp_path):
    path = "/mnist/t10k-images-idx3-ubyte.gz"
    content = bytearray(server.answers[path][0])
    content[-1] ^= 1
    server.answers[path] = bytes(content), len(content)
    with pytest.raises(DownloadError, match="wrong checksum"):
        load("mnist", "test")
    assert files_in(tmp_path) == []


def test_truncated_download_says_how_much_came(mnist, server, tmp_path):
    path = "/mnist/t10k-images-idx3-ubyte.gz"
    content = server.answers[path][0]
    server.answers[path] = content[:100], len(content)
    with pytest.raises(DownloadError, match=f"broke off after 100 of {len(content):,} bytes"):
        load("mnist", "test")
    assert files_in(tmp_path) == []


def test_interrupted_download_leaves_nothing(mnist, monkeypatch, tmp_path):
    def interrupt(self, count):
        raise KeyboardInterrupt

    monkeypatch.setattr(download_module._Progress, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load("mnist", "test")
    assert files_in(tmp_path) == []
    monkeypatch.undo()


def test_damaged_cached_file_is_replaced(mnist, tmp_path, capsys):
    load("mnist", "test")
    cached = tmp_path / "data" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    cached.write_bytes(cached.read_bytes()[:-3])
    assert load("mnist", "test").labels.tolist() == mnist["t10k"][1].tolist()
    assert "damaged (wrong checksum)" in capsys.readouterr().out


def test_damaged_cached_file_without_network_is_kept_and_reported(mnist, monkeypatch, tmp_path):
    load("mnist", "test")
    cached = tmp_path / "data" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    cached.write_bytes(b"mine")
    monkeypatch.setenv("CNNLIB_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="has a wrong checksum and was not used"):
        load("mnist", "test")
    assert cached.read_bytes() == b"mine"


@pytest.fixture
def folder_of_another_user():
    """A folder that this process may read and not write, also where the tests run as root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # nobody; root could write anywhere
    yield folder
    if user == 0:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="Windows has no such folder permissions")
def test_read_only_folder_is_named(mnist, monkeypatch, folder_of_another_user):
    monkeypatch.setenv("CNNLIB_DATA", str(folder_of_another_user))
    with pytest.raises(DownloadError) as caught:
        load("mnist", "test")
    message = str(caught.value)
    assert f"cannot write to {folder_of_another_user}" in message
    assert "Permission denied" in message
    assert "CNNLIB_DATA" in message
    assert 'load("digits")' in message


def test_data_folder_that_is_a_file_is_named(mnist, monkeypatch, tmp_path):
    occupied = tmp_path / "occupied"
    occupied.write_text("a file")
    monkeypatch.setenv("CNNLIB_DATA", str(occupied))
    with pytest.raises(DownloadError, match="cannot write to"):
        load("mnist", "test")


def test_full_disk_is_not_blamed_on_the_mirror(mnist, monkeypatch, tmp_path):
    def full(file, chunk):
        raise DownloadError("cannot write the download: No space left on device")

    class FullDisk(io.BytesIO):
        def write(self, _chunk):
            raise OSError(28, "No space left on device")

    with pytest.raises(DownloadError, match=r"No space left on device.*CNNLIB_DATA"):
        download_module._write(FullDisk(), b"x")
    monkeypatch.setattr(download_module, "_write", full)
    with pytest.raises(DownloadError, match="No space left"):
        load("mnist", "test")
    assert files_in(tmp_path) == []


def test_data_folder_default_and_override(monkeypatch, tmp_path):
    monkeypatch.delenv("CNNLIB_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / ".cache" / "cnnlib"
    monkeypatch.setenv("CNNLIB_DATA", "~/sets")
    assert data_folder() == tmp_path / "sets"


def test_known_mirrors_are_used_without_an_override(monkeypatch):
    monkeypatch.setenv("CNNLIB_MIRROR", " ")
    assert mirrors("mnist", ("https://a.example/",)) == ["https://a.example/"]


def test_fetch_without_any_mirror_explains(tmp_path):
    with pytest.raises(DownloadError, match="no mirror is known"):
        fetch(tmp_path / "file.gz", "0" * 32, "mnist", [])


# --- files that are not what their name says -----------------------------------------------------


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (b"not gzip at all", "not a whole gzip file"),
        (idx_gz(np.zeros((3, 28, 28)))[:-20], "not a whole gzip file"),
        (gzip.compress(b"\x00\x00\x08\x03\x00\x00"), "not an idx file"),
        (gzip.compress(b"\xff\xff\xff\xff" + bytes(100)), "not an idx file"),
        (idx_gz(np.zeros((3, 28))), "not an idx file"),
        (idx_gz(np.zeros((4, 28, 28))), "4 images but .* 3 labels"),
    ],
    # Names, because gzip writes the time into its files, and test ids must not change.
    ids=["plain text", "truncated", "short header", "wrong magic", "two axes", "one image more"],
)
def test_wrong_idx_files_are_explained(tmp_path, images, problem):
    images = write(tmp_path, "train-images-idx3-ubyte.gz", images)
    labels = write(tmp_path, "train-labels-idx1-ubyte.gz", idx_gz(np.zeros(3)))
    with pytest.raises(FormatError, match=problem):
        read_idx(images, labels)


MEMBER = ["cifar-10-batches-py/data_batch_1"]


def test_cifar_pickle_that_calls_a_function_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "broken_in"),)

    archive = write(tmp_path, "a.tar.gz", cifar_archive({"data_batch_1": pickle.dumps(Attack())}))
    with pytest.raises(FormatError, match=r"asks for (posix|nt)\.mkdir"):
        read_cifar(archive, MEMBER)
    assert not (tmp_path / "broken_in").exists()


def test_cifar_accepts_pickles_of_python_2(tmp_path):
    # What Python 2 wrote: text as byte strings (opcode U), numpy.core names. Same array, by hand.
    rows = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
    modern = pickle.dumps({"data": rows, "labels": [3, 7]}, protocol=2)
    old = modern.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    for text in (b"data", b"labels"):
        unicode = b"X" + struct.pack("<I", len(text)) + text
        assert unicode in old
        old = old.replace(unicode, b"U" + bytes([len(text)]) + text)
    archive = write(tmp_path, "a.tar.gz", cifar_archive({"data_batch_1": old}))
    images, labels = read_cifar(archive, MEMBER)
    assert np.array_equal(images.flatten(1).numpy(), rows)
    assert labels.tolist() == [3, 7]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"not an archive", "not a whole tar.gz"),
        (cifar_archive({"data_batch_1": b"no pickle"}), "does not hold CIFAR-10"),
        (cifar_archive({"data_batch_1": pickle.dumps([1, 2])}), "holds a list"),
        (cifar_archive({"data_batch_1": pickle.dumps({"labels": [1]})}), "'data'"),
        (cifar_archive({"other": b""}), "data_batch_1"),
        (
            cifar_archive({"data_batch_1": pickle.dumps({"data": np.zeros((1, 5), np.uint8)})}),
            "rows of 3072 bytes",
        ),
        (
            cifar_archive(
                {
                    "data_batch_1": pickle.dumps(
                        {"data": np.zeros((2, 3072), np.uint8), "labels": [1]}
                    )
                }
            ),
            "2 images but 1 labels",
        ),
    ],
    ids=["text", "no pickle", "a list", "no data", "no batch", "short rows", "one label less"],
)
def test_wrong_cifar_archives_are_explained(tmp_path, content, problem):
    archive = write(tmp_path, "a.tar.gz", content)
    with pytest.raises(FormatError, match=problem):
        read_cifar(archive, MEMBER)


def test_progress_is_short_lines_on_stdout(mnist, capsys):
    load("mnist", "train")
    output = capsys.readouterr()
    assert output.err == ""
    lines = output.out.splitlines()
    assert len(lines) == 2  # one for each file
    assert all(re.fullmatch(r"mnist: \S+ \(0\.0 MB\) from \S+ \.{10} done", line) for line in lines)
