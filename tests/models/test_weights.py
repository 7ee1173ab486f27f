"""`weights="imagenet"` without a network: files in torchvision's format, served locally."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
import torchvision
from model_harness import images, on_meta, randomize_norms

import cnnlib.models
from cnnlib.models import _weights
from cnnlib.models._weights import PublishedFile, WeightsError, fetch, paired_names, published_file

# constructor: options for ours, options for torchvision's
SHARED = {
    "alexnet": ({"variant": "torchvision"}, {}),
    **{f"vgg{d}{n}": ({}, {}) for d in (11, 13, 16, 19) for n in ("", "_bn")},
    "googlenet": ({"variant": "torchvision"}, {"aux_logits": False, "init_weights": False}),
    "inception_v3": ({}, {"aux_logits": True, "init_weights": False}),
    **{f"resnet{d}": ({}, {}) for d in (18, 34, 50, 101, 152)},
    "resnext50_32x4d": ({}, {}),
    "resnext101_32x8d": ({}, {}),
    "resnext101_64x4d": ({}, {}),
    "wide_resnet50_2": ({}, {}),
    "wide_resnet101_2": ({}, {}),
    **{f"densenet{d}": ({}, {}) for d in (121, 161, 169, 201)},
    "squeezenet1_0": ({}, {}),
    "squeezenet1_1": ({}, {}),
    "mobilenet_v2": ({}, {}),
    "mobilenet_v3_large": ({}, {}),
    "mobilenet_v3_small": ({}, {}),
    **{f"shufflenet_v2_x{w}": ({}, {}) for w in ("0_5", "1_0", "1_5", "2_0")},
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty data folder of our own; its folder for weights exists."""
    monkeypatch.setenv("CNNLIB_DATA", str(tmp_path))
    monkeypatch.delenv("CNNLIB_MIRROR", raising=False)
    folder = tmp_path / "weights"
    folder.mkdir()
    return folder


@pytest.fixture
def no_network(monkeypatch):
    """A mirror at which nothing listens: connections are refused."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    monkeypatch.setenv("CNNLIB_MIRROR", f"http://127.0.0.1:{port}")


class Server(ThreadingHTTPServer):
    """Serves `body` at /weights/<any name>, perhaps announcing more than it sends."""

    body: bytes | None = None
    missing_bytes = 0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked = []


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.server.body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body) + self.server.missing_bytes))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("CNNLIB_MIRROR", f"http://127.0.0.1:{running.server_port}/")
        yield running
        running.shutdown()
        thread.join()


def put(folder, architecture, state, monkeypatch):
    """Save a state dict where the published file belongs, and publish its checksum."""
    path = folder / published_file(architecture).name
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = PublishedFile(published_file(architecture).url, digest[:8])
    monkeypatch.setattr(_weights, "published_file", lambda name: {architecture: file}[name])
    return path


def uneven(architecture, **options):
    """Torchvision's network with uneven values everywhere."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, architecture)(**options)
    randomize_norms(model)
    return model.eval()


@pytest.mark.parametrize("architecture", SHARED)
def test_every_published_file_has_a_checksum_in_its_name(architecture):
    file = published_file(architecture)
    assert re.fullmatch(rf".*-{file.sha256_prefix}\.pth", file.name)
    assert file.url == f"https://download.pytorch.org/models/{file.name}"
    assert len(file.sha256_prefix) >= 8  # ten for ShuffleNet v2


@pytest.mark.slow
@pytest.mark.parametrize("architecture", SHARED)
def test_every_entry_pairs_with_one_of_the_same_shape(architecture):
    options, their_options = SHARED[architecture]
    ours = on_meta(getattr(cnnlib.models, architecture), **options)
    theirs = on_meta(getattr(torchvision.models, architecture), **their_options).state_dict()
    names = paired_names(ours, architecture, their_options)
    assert len(set(names.values())) == len(names) == len(theirs)
    published = {_weights._published_name(name): value.shape for name, value in theirs.items()}
    for name, value in ours.state_dict().items():
        assert value.shape == published[names[name]], name


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(name, marks=[] if name == "squeezenet1_1" else pytest.mark.slow)
        for name in (
            "squeezenet1_1",
            "alexnet",
            "vgg11_bn",
            "resnet18",
            "resnet50",
            "resnext50_32x4d",
            "densenet121",
        )
    ],
)
def test_loaded_network_equals_torchvisions(architecture, cache, no_network, monkeypatch):
    options, their_options = SHARED[architecture]
    theirs = uneven(architecture, **their_options)
    state = theirs.state_dict()
    if architecture == "densenet121":  # the published file still has the old names
        state = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", k): v for k, v in state.items()}
        # and was written before batches were counted
        state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
        assert "features.denseblock1.denselayer1.norm.1.weight" in state
    put(cache, architecture, state, monkeypatch)
    ours = getattr(cnnlib.models, architecture)(weights="imagenet", **options).eval()
    x = images(2, 3, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("architecture", "aux_heads"),
    [
        ("googlenet", False),
        pytest.param("googlenet", True, marks=pytest.mark.slow),
        pytest.param("inception_v3", False, marks=pytest.mark.slow),
        pytest.param("inception_v3", True, marks=pytest.mark.slow),
    ],
)
def test_googles_networks_also_take_images_normalised_for_imagenet(
    architecture, aux_heads, cache, no_network, monkeypatch
):
    theirs = uneven(architecture, aux_logits=True, init_weights=False, transform_input=True)
    put(cache, architecture, theirs.state_dict(), monkeypatch)
    options = {"variant": "torchvision"} if architecture == "googlenet" else {}
    build = getattr(cnnlib.models, architecture)
    ours = build(weights="imagenet", aux_heads=aux_heads, **options)
    x = images(2, 3, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs(x))
    if aux_heads:
        ours_aux = ours.aux1 if architecture == "googlenet" else ours.aux
        theirs_aux = theirs.aux1 if architecture == "googlenet" else theirs.AuxLogits
        for p, q in zip(ours_aux.parameters(), theirs_aux.parameters(), strict=True):
            assert torch.equal(p, q)


def test_file_of_another_network(cache, no_network, monkeypatch):
    put(cache, "squeezenet1_1", {"features.0.weight": torch.zeros(1)}, monkeypatch)
    with pytest.raises(WeightsError, match=r"features\.0\.weight has shape \(1,\).*needs \(64, 3"):
        cnnlib.models.squeezenet1_1(weights="imagenet")
    put(cache, "squeezenet1_1", {"fc.weight": torch.zeros(1)}, monkeypatch)
    with pytest.raises(WeightsError, match=r"no entry features\.0\.weight.*not squeezenet1_1's"):
        cnnlib.models.squeezenet1_1(weights="imagenet")
    put(cache, "squeezenet1_1", [1, 2], monkeypatch)
    with pytest.raises(WeightsError, match="holds a list, not a state dict"):
        cnnlib.models.squeezenet1_1(weights="imagenet")


def test_other_layers_than_the_published_ones(cache, no_network, monkeypatch):
    put(cache, "resnet18", uneven("resnet18").state_dict(), monkeypatch)
    with pytest.raises(WeightsError, match="it is not the published network"):
        cnnlib.models.resnet18(weights="imagenet", shortcut="A")


class _Explosive:
    def __reduce__(self):
        return (exec, ("import builtins; builtins.exploded = True",))


def test_code_in_a_file_is_not_run(cache, no_network, monkeypatch):
    import builtins

    put(cache, "squeezenet1_1", {"features.0.weight": _Explosive()}, monkeypatch)
    with pytest.raises(WeightsError, match="not only tensors"):
        cnnlib.models.squeezenet1_1(weights="imagenet")
    assert not hasattr(builtins, "exploded")


# Fetching

BODY = b"weights " * 40_000
FILE = PublishedFile(
    "https://download.pytorch.org/models/net-0.pth", hashlib.sha256(BODY).hexdigest()[:8]
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_download_is_kept_under_its_name_and_fetched_once(cache, server):
    server.body = BODY
    path = fetch(FILE)
    assert path == cache / "net-0.pth"
    assert path.read_bytes() == BODY
    assert fetch(FILE) == path
    assert server.asked == ["/weights/net-0.pth"]
    assert names(cache) == ["net-0.pth"]


def test_download_with_a_wrong_checksum_is_not_kept(cache, server):
    server.body = BODY + b"!"
    digits = hashlib.sha256(server.body).hexdigest()[:8]
    problem = rf"wrong checksum \({digits}, expected {FILE.sha256_prefix}\)"
    with pytest.raises(WeightsError, match=problem):
        fetch(FILE)
    assert names(cache) == []


def test_download_that_breaks_off_is_not_kept(cache, server):
    server.body, server.missing_bytes = BODY, 100
    with pytest.raises(WeightsError, match=r"320,000 of 320,100 bytes|IncompleteRead"):
        fetch(FILE)
    assert names(cache) == []


def test_file_that_no_server_has(cache, server):
    with pytest.raises(WeightsError, match="404"):
        fetch(FILE)
    assert names(cache) == []


def test_no_network(cache, no_network):
    with pytest.raises(WeightsError) as caught:
        fetch(FILE)
    message = str(caught.value)
    assert "refused" in message
    assert str(cache / "net-0.pth") in message  # where to put the file by hand
    for way_out in ("CNNLIB_MIRROR", "CNNLIB_DATA", "weights=None"):
        assert way_out in message
    assert names(cache) == []


def test_truncated_file_in_the_cache_without_a_network(cache, no_network):
    (cache / "net-0.pth").write_bytes(BODY[:1000])
    with pytest.raises(WeightsError, match=r"\(1000 bytes\) is damaged or cut short"):
        fetch(FILE)
    assert (cache / "net-0.pth").read_bytes() == BODY[:1000]


def test_damaged_file_in_the_cache_is_replaced(cache, server):
    (cache / "net-0.pth").write_bytes(b"half")
    server.body = BODY
    assert fetch(FILE).read_bytes() == BODY
    assert names(cache) == ["net-0.pth"]


def test_data_folder_that_cannot_be_written(tmp_path, monkeypatch, server):
    server.body = BODY
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("CNNLIB_DATA", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"cannot write to .*CNNLIB_DATA"):
        fetch(FILE)


def test_second_mirror_is_asked_when_the_first_fails(cache, server, monkeypatch):
    server.body = BODY
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    good = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("CNNLIB_MIRROR", f"http://127.0.0.1:{port} {good}")
    assert fetch(FILE).read_bytes() == BODY
