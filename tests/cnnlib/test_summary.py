import copy
import re
from html.parser import HTMLParser

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models as tv

from cnnlib.summary import Row, summarize

FAST = [
    "alexnet",
    "vgg16",
    "googlenet",
    "resnet18",
    "resnet50",
    "squeezenet1_0",
    "mobilenet_v3_small",
    "shufflenet_v2_x1_0",
]
# Every classification network of torchvision, except RegNet, whose constructor computes with
# tensors and so cannot be built on the meta device.
ALL = [name for name in tv.list_models(module=tv) if not name.startswith("regnet")]
MODELS = [*FAST, *(pytest.param(n, marks=pytest.mark.slow) for n in ALL if n not in FAST)]


def build(name, device="meta"):
    extra = {}
    if name in ("googlenet", "inception_v3"):
        extra["init_weights"] = False
    if name == "googlenet":
        extra["aux_logits"] = False
    with torch.device(device):
        return tv.get_model(name, **extra).eval()


def own_and_inner(summary, name):
    return sum(r.macs for r in summary.rows if r.name == name or r.name.startswith(f"{name}."))


@pytest.mark.parametrize("name", MODELS)
def test_torchvision_models_against_flop_counter_and_published_numbers(name):
    # Weights may be published for several image sizes; the default network is the smallest's.
    meta = min(tv.get_model_weights(name), key=lambda weights: weights.transforms().crop_size[0])
    size = meta.transforms().crop_size[0]
    model = build(name)
    summary = summarize(model, (3, size, size))

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, size, size, device="meta"))
    assert 2 * summary.macs == counter.get_total_flops()
    prefix = type(model).__name__ + "."
    flops = {k: sum(v.values()) for k, v in counter.get_flop_counts().items()}
    layers = {k.removeprefix(prefix): v for k, v in flops.items() if k.startswith(prefix)}
    # If nothing is left here, the names no longer agree and nothing is compared.
    assert len(layers) >= 8
    for layer, count in layers.items():
        assert 2 * own_and_inner(summary, layer) == count, layer

    # torchvision publishes giga multiply-accumulates, rounded to three digits.
    assert summary.macs / 1e9 == pytest.approx(meta.meta["_ops"], abs=0.00051)
    assert summary.parameters == meta.meta["num_params"]
    assert summary.parameter_bytes == 4 * meta.meta["num_params"]


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "squeezenet1_0",
        "mobilenet_v2",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ["alexnet", "vgg16", "googlenet", "resnet50", "densenet121"]
        ),
    ],
)
def test_shapes_and_activations_against_hooks_on_real_tensors(name):
    model = build(name, "cpu")
    size = 224 if name in ("alexnet", "vgg16") else 128
    calls, memory, kept = [], {}, []

    def storage(tensor):
        kept.append(tensor)  # or its address could be given out again
        return tensor.untyped_storage().data_ptr()

    def leave(layer):
        def hook(module, args, output):
            given = args[0]  # DenseNet's layers take a list
            shapes = (
                [tuple(x.shape) for x in given] if isinstance(given, list) else tuple(given.shape)
            )
            calls.append((layer, shapes, tuple(output.shape)))
            # What forward makes by a function call is seen as the input of the next layer.
            for tensor in [*(given if isinstance(given, list) else [given]), output]:
                memory.setdefault(storage(tensor), tensor.nbytes)

        return hook

    for layer, module in model.named_modules():
        module.register_forward_hook(leave(layer))
    image = torch.randn(1, 3, size, size)
    with torch.no_grad():
        model(image)

    summary = summarize(model, (3, size, size))
    rows = [(r.name, r.input_shape, r.output_shape) for r in summary.rows[1:]]
    assert sorted(rows, key=str) == sorted(calls, key=str)
    # The one place where the convention leaves PyTorch: adaptive pooling to the same size copies.
    copied = {"alexnet": 256 * 6 * 6, "vgg16": 512 * 7 * 7}.get(name, 0)
    assert summary.activation_bytes == sum(memory.values()) - 4 * copied


def test_vgg16_stores_15_million_values():
    summary = summarize(build("vgg16"), (3, 224, 224))

    def values(*kinds):
        return sum(r.activation_bytes for r in summary.rows if r.kind in kinds) // 4

    assert values("Input") == 3 * 224 * 224
    assert values("Conv2d") == 13_547_520
    assert values("MaxPool2d") == 1_530_368
    assert values("Linear") == 4096 + 4096 + 1000
    assert summary.activation_bytes == 4 * 15_237_608
    assert summary.parameters == 138_357_544


def test_relu_that_is_not_in_place_stores_its_output():
    def net(inplace):
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace), nn.Flatten())

    conv = 8 * 4 * 4 * 4
    assert [r.activation_bytes for r in summarize(net(True), (3, 6, 6)).rows[2:]] == [conv, 0, 0]
    assert [r.activation_bytes for r in summarize(net(False), (3, 6, 6)).rows[2:]] == [
        conv,
        conv,
        0,
    ]


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Conv2d(6, 9, 3, stride=2, padding=1, bias=False), (6, 11, 14)),
        (nn.Conv2d(6, 9, (3, 5), dilation=2, groups=3), (6, 20, 20)),
        (nn.Conv2d(6, 12, 3, groups=6, padding="same"), (6, 9, 9)),
        (nn.Conv1d(4, 7, 5), (4, 30)),
        (nn.Conv3d(2, 3, 3), (2, 2, 5, 6, 7)),
        (nn.ConvTranspose2d(6, 8, 4, stride=2, padding=1), (6, 5, 7)),
        (nn.ConvTranspose2d(6, 8, 3, stride=2, output_padding=1, groups=2), (4, 6, 5, 7)),
        (nn.Linear(12, 5), (12,)),
        (nn.Linear(12, 5), (7, 12)),
        (nn.Linear(12, 5), (2, 3, 4, 12)),
        (nn.Linear(12, 5, bias=False), (7, 2, 12)),
        (nn.LSTM(12, 5), (7, 12)),
    ],
)
def test_single_layers_on_real_tensors(layer, size):
    batch = size if len(size) not in (1, 3) else (1, *size)
    with torch.no_grad():
        output = layer(torch.randn(batch))
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else tuple(output[0].shape)
    summary = summarize(layer, size)
    row = summary.rows[1]
    assert row.input_shape == batch
    assert row.output_shape == shape or row.output_shape[0] == shape
    assert summary.parameters == sum(p.numel() for p in layer.parameters())

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(layer).to("meta")(torch.empty(batch, device="meta"))
    assert counter.get_total_flops() > 0
    assert 2 * row.macs == counter.get_total_flops()


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolution_by_hand(groups):
    layer = nn.Conv2d(8, 12, (3, 5), stride=2, padding=(1, 2), groups=groups)
    summary = summarize(layer, (2, 8, 10, 14))
    # Every one of N·C_out·H·W outputs multiplies a filter of (C_in/groups)·kh·kw weights.
    assert summary.macs == (2 * 12 * 5 * 7) * (8 // groups * 3 * 5)
    assert summary.parameters == 12 * (8 // groups) * 3 * 5 + 12
    assert summary.activation_bytes == 4 * (2 * 8 * 10 * 14 + 2 * 12 * 5 * 7)


class Functional(nn.Module):
    """Direct parameters and function calls instead of modules."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3, 3, 3))
        self.mix = nn.Parameter(torch.zeros(16, 5), requires_grad=False)
        self.register_buffer("scale", torch.ones(4, 1, 1))

    def forward(self, x):
        x = F.relu(F.conv2d(x, self.weight, padding=1)) * self.scale
        x = F.max_pool2d(x, 4)  # (N, 4, 2, 2)
        scores = torch.einsum("nf,fk->nk", x.flatten(1), self.mix)
        return scores @ scores.T


def test_functions_inside_forward_are_counted():
    row = summarize(Functional(), (2, 3, 8, 8)).rows[1]
    conv, matmul, gram = 2 * 4 * 8 * 8 * 27, 2 * 16 * 5, 2 * 2 * 5
    assert row.macs == conv + matmul + gram
    assert (row.parameters, row.trainable) == (4 * 27 + 80, 4 * 27)
    image = 2 * 4 * 8 * 8
    assert row.activation_bytes == 4 * (3 * image + 2 * 4 * 2 * 2 + 2 * 5 + 2 * 2)


def test_matrix_products_of_every_kind():
    class Products(nn.Module):
        def forward(self, a, b):  # (2, 3, 4), (2, 4, 5) with an empty batch dimension in front
            a, b = a[0], b[0]
            v = a[0, 0]  # (4,)
            c = torch.zeros(2, 3, 5)
            return a @ b, a[0] @ v, v @ v, torch.baddbmm(c, a, b), torch.addmv(v[:3], a[0], v)

    row = summarize(Products(), [(2, 3, 4), (2, 4, 5)]).rows[1]
    assert row.output_shape == [(2, 3, 5), (3,), (), (2, 3, 5), (3,)]
    assert row.macs == 2 * (2 * 3 * 4 * 5) + 2 * (3 * 4) + 4


def test_shared_layer_and_tied_weights_are_counted_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.tied = nn.Conv2d(3, 3, 3, padding=1, bias=False)
            self.tied.weight = self.conv.weight

        def forward(self, x):
            return self.tied(self.conv(self.conv(x)))

    model = Twice()
    summary = summarize(model, (3, 5, 5))
    calls = summary.rows[2:]
    assert [r.name for r in calls] == ["conv", "conv", "tied"]
    assert [r.parameters for r in calls] == [84, 0, 0]
    assert [r.macs for r in calls] == [81 * 25] * 3
    assert summary.parameters == sum(p.numel() for p in model.parameters()) == 84


def test_layers_that_are_never_called_are_shown_with_their_parameters():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
            self.head = nn.Sequential(nn.Linear(4, 2), nn.ReLU())

        def forward(self, x):
            return self.blocks[0](x)

    summary = summarize(Unused(), (4,))
    assert [(r.name, r.output_shape, r.parameters) for r in summary.rows[1:]] == [
        ("", (1, 4), 0),
        ("blocks.0", (1, 4), 20),
        ("blocks.1", None, 20),
        ("head", None, 0),
        ("head.0", None, 10),
    ]
    assert summary.parameters == 50
    assert str(summary).count("not called") == 3


def test_depth_folds_rows_and_keeps_the_sums():
    model = build("googlenet")
    full = summarize(model, (3, 224, 224))
    for depth in (0, 1, 2):
        folded = summarize(model, (3, 224, 224), depth=depth)
        assert max(r.depth for r in folded.rows) == depth
        for total in ("parameters", "trainable_parameters", "macs", "activation_bytes"):
            assert getattr(folded, total) == getattr(full, total)
    assert len(summarize(model, (3, 224, 224), depth=0).rows) == 2
    rows = {r.name: r for r in summarize(model, (3, 224, 224), depth=1).rows}
    assert rows["inception3a"].parameters == sum(p.numel() for p in model.inception3a.parameters())


def test_frozen_parameters():
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    model[0].requires_grad_(False)
    summary = summarize(model, (4,))
    assert [r.trainable for r in summary.rows[2:]] == [0, 18]
    assert (summary.parameters, summary.trainable_parameters) == (58, 18)
    assert "18 trainable, 40 frozen" in str(summary)


def test_several_inputs_of_several_types_and_structured_outputs():
    class TwoTowers(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(100, 6)
            self.image = nn.Conv2d(3, 6, 2)

        def forward(self, image, words):
            features = self.image(image)
            return {"image": features, "text": [self.words(words), features.mean((2, 3))]}

    types = [torch.float32, torch.int64]
    summary = summarize(TwoTowers(), [(3, 4, 4), (1, 7)], dtype=types)
    assert summary.rows[0].output_shape == [(1, 3, 4, 4), (1, 7)]
    assert summary.rows[0].activation_bytes == 4 * 48 + 8 * 7
    assert summary.rows[1].input_shape == [(1, 3, 4, 4), (1, 7)]
    assert summary.rows[1].output_shape == {"image": (1, 6, 3, 3), "text": [(1, 7, 6), (1, 6)]}
    assert "image: 1×6×3×3, text: 1×7×6, 1×6" in str(summary)


@pytest.mark.parametrize(
    ("size", "batch"),
    [((5,), (1, 5)), ((2, 5), (2, 5)), ([2, 5], (2, 5)), ([(2, 5)], (2, 5)), ((3, 4, 5), None)],
)
def test_batch_of_one_is_added_to_a_single_sample(size, batch):
    expected = batch or (1, 3, 4, 5)
    assert summarize(nn.Linear(5, 2), size).rows[0].output_shape == expected


def test_half_precision_halves_the_bytes():
    full = summarize(nn.Conv2d(3, 8, 3), (3, 9, 9))
    half = summarize(nn.Conv2d(3, 8, 3).half(), (3, 9, 9), dtype=torch.float16)
    assert 2 * half.activation_bytes == full.activation_bytes
    assert 2 * half.parameter_bytes == full.parameter_bytes
    assert half.macs == full.macs


def test_the_model_and_the_random_state_are_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU())
    model[2].eval()  # a mix of modes
    seen = []
    model[0].register_forward_hook(lambda *_: seen.append("hook"))
    model[1].constant = torch.ones(2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    rng = torch.get_rng_state()

    summarize(model, (3, 8, 8))

    assert torch.equal(torch.get_rng_state(), rng)
    assert [m.training for m in model.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert seen == []
    assert {k: v.device.type for k, v in model.state_dict().items()} == dict.fromkeys(before, "cpu")
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_no_memory_is_needed():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(10**6, 10**6), nn.Linear(10**6, 10))  # 4 TB of weights
    summary = summarize(model, (10**3, 10**6))
    assert summary.macs == 10**3 * (10**12 + 10**7)
    assert summary.parameter_bytes == 4 * (10**12 + 10**6 + 10**7 + 10)


def test_tensors_that_are_no_parameters_follow_to_the_meta_device():
    class Constants(nn.Module):
        def __init__(self):
            super().__init__()
            self.grid = torch.arange(4.0)
            self.hidden = [nn.Linear(4, 4)]  # a mistake: PyTorch does not see these parameters

        def forward(self, x):
            return self.hidden[0](x + self.grid + torch.ones(4))

    summary = summarize(Constants(), (4,))
    assert summary.rows[1].macs == 16
    assert summary.parameters == 0


@pytest.mark.parametrize(
    ("model", "size", "words"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(16, 8, 3)),
            (3, 9, 9),
            ["1×3×9×9", "layer '1'", "Conv2d(16, 8", "1×8×7×7"],
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(100, 2)),
            (3, 5, 5),
            ["1×3×5×5", "layer '1'", "in_features=100", "1×75"],
        ),
        (
            nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2), nn.MaxPool2d(2)),
            (3, 7, 7),
            ["layer '2'", "MaxPool2d", "1×3×1×1", "too small"],
        ),
        (
            nn.Sequential(nn.Sequential(nn.BatchNorm2d(4))),
            (3, 7, 7),
            ["layer '0.0'", "BatchNorm2d(4", "1×3×7×7", "4 channels"],
        ),
        (
            nn.Sequential(nn.ConvTranspose2d(5, 2, 3)),
            (3, 7, 7),
            ["layer '0'", "ConvTranspose2d(5, 2", "expects 5 input channels, not 3"],
        ),
        (Functional(), (3, 4, 4), ["the model's own forward", "Functional", "1×3×4×4"]),
        (Functional(), [(3, 8, 8), (3, 8, 8)], ["positional arguments"]),
        (nn.Embedding(10, 4), (5,), ["Embedding(10, 4)", "1×5", "torch.float32"]),
    ],
)
def test_an_input_that_does_not_fit_names_the_layer_and_the_shapes(model, size, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 — the words are checked below
        summarize(model, size)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_forward_that_needs_values_is_explained():
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="needs the values of a tensor"):
        summarize(Branch(), (4,))


@pytest.mark.parametrize(
    "size", [(), (0, 3), (-1,), (3.0, 4), ("3",), [(3, 4), 5], [(True,)], [()]]
)
def test_sizes_that_are_none(size):
    with pytest.raises(ValueError, match="input_size"):
        summarize(nn.ReLU(), size)


def test_other_bad_arguments():
    with pytest.raises(TypeError, match=r"nn\.Module, not a function"):
        summarize(F.relu, (3,))
    with pytest.raises(ValueError, match="depth"):
        summarize(nn.ReLU(), (3,), depth=-1)
    with pytest.raises(ValueError, match="1 input sizes but 2 dtypes"):
        summarize(nn.ReLU(), (3,), dtype=[torch.float32] * 2)
    with pytest.raises(ValueError, match=r"'weight' has no shape yet"):
        summarize(nn.LazyLinear(3), (3,))


class TableReader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.rows, self.caption = [], [], ""
        self.open = None

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.open = tag

    def handle_data(self, data):
        if self.open in ("td", "th") and data.strip():
            self.rows[-1][-1] += data
        elif self.tags and self.tags[-1][0] in ("caption", "br"):
            self.caption += data

    def handle_endtag(self, tag):
        self.open = None


def test_html_table_holds_the_rows_and_works_in_dark_mode():
    summary = summarize(build("alexnet"), (3, 224, 224))
    reader = TableReader()
    reader.feed(summary._repr_html_())
    head, *body = reader.rows
    assert head == ["layer", "kind", "output", "parameters", "MACs", "activation bytes"]
    assert len(body) == len(summary.rows)
    assert body[3] == [
        "features.0",
        "Conv2d",
        "1×64×55×55",
        "23,296",
        f"{64 * 55 * 55 * 363:,}",
        f"{4 * 64 * 55 * 55:,}",
    ]
    assert "61,100,840" in reader.caption
    assert "AlexNet" in reader.caption
    scopes = [a["scope"] for tag, a in reader.tags if tag == "th"]
    assert scopes == ["col"] * 6 + ["row"] * len(body)
    for _tag, attributes in reader.tags:
        assert not re.search(r"color: (?!inherit)|background", attributes.get("style", ""))
    numbers = [a for tag, a in reader.tags if tag == "td" and "right" in a["style"]]
    assert len(numbers) == 3 * len(body)


def test_html_escapes_names():
    evil = type("<b>", (nn.ReLU,), {})
    text = summarize(nn.Sequential(evil()), (3,))._repr_html_()
    assert "<b>" not in text
    assert "&lt;b&gt;" in text


def test_text_table_is_aligned():
    lines = str(summarize(build("vgg16"), (3, 224, 224))).splitlines()
    assert lines[0] == "VGG"
    rows = [line for line in lines if line.startswith("features.")]
    assert len({len(line) for line in rows}) == 1
    assert "138,357,544" in lines[-3]
    assert "553.43 MB" in lines[-3]
    assert "15,470,264,320 (30,940,528,640 FLOPs)" in lines[-2]
    assert "58.13 MiB" in lines[-1]


def test_rows_are_plain_values():
    row = summarize(nn.Linear(3, 2), (3,)).rows[1]
    assert row == Row("", "Linear", 0, (1, 3), (1, 2), 8, 8, 6, 8)
