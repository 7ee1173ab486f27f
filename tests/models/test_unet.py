"""U-Net: sizes by arithmetic, the paper's figure, symmetry, and a second implementation."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from model_harness import (
    Case,
    check_autocast,
    check_channels_last,
    check_compile,
    check_evaluation,
    check_round_trip,
)
from torch import nn

from cnnlib.models import UNet, unet, unet_output_size
from cnnlib.models.unet import center_crop


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_sizes_of_the_figure():
    with torch.device("meta"):
        model = unet()
    sizes = {}

    def record(name):
        return lambda module, inputs, output: sizes.__setitem__(name, tuple(output.shape[1:]))

    for name, module in model.named_modules():
        module.register_forward_hook(record(name))
    assert model(torch.empty(1, 1, 572, 572, device="meta")).shape == (1, 2, 388, 388)

    contracting = [(64, 570, 568), (128, 282, 280), (256, 138, 136), (512, 66, 64)]
    for level, (channels, first, second) in enumerate(contracting):
        assert sizes[f"down.{level}.0"] == (channels, first, first)
        assert sizes[f"down.{level}.1"] == (channels, second, second)
    assert sizes["bottom.0"] == (1024, 30, 30)
    assert sizes["bottom.1"] == (1024, 28, 28)
    expanding = [(512, 56, 54, 52), (256, 104, 102, 100), (128, 200, 198, 196), (64, 392, 390, 388)]
    for level, (channels, up, first, second) in enumerate(expanding):
        assert sizes[f"up.{level}"] == (channels, up, up)
        assert sizes[f"merge.{level}.0"] == (channels, first, first)
        assert sizes[f"merge.{level}.1"] == (channels, second, second)


def test_23_convolutions_and_their_parameters():
    with torch.device("meta"):
        model = unet()
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convolutions) == 23
    # By hand from the figure: 3×3 convolutions, up-convolutions of 2×2 and the 1×1 at the end.
    channels = [64, 128, 256, 512, 1024]
    expected = 0
    for c_in, c_out in zip([1, *channels], channels, strict=False):
        expected += 9 * c_in * c_out + c_out + 9 * c_out * c_out + c_out
    for c in channels[:0:-1]:
        half = c // 2
        expected += 4 * c * half + half + 9 * c * half + half + 9 * half * half + half
    expected += 64 * 2 + 2
    assert count(model) == expected == 31_030_658


def simulated_output_size(size, depth):
    """The size rule, step by step; None where a map with an odd side would be pooled."""
    for _ in range(depth):
        size -= 4
        if size % 2 or size < 2:
            return None
        size //= 2
    size -= 4
    for _ in range(depth):
        size = 2 * size - 4
        if size < 1:
            return None
    return size


@settings(derandomize=True, deadline=None, max_examples=200)
@given(size=st.integers(1, 700), depth=st.integers(1, 4))
def test_output_size_rule(size, depth):
    expected = simulated_output_size(size, depth)
    if expected is None:
        with pytest.raises(ValueError, match="use ") as error:
            unet_output_size(size, depth)
        # The two sizes that the message proposes do work.
        proposed = str(error.value).split("use ")[1].split(", or")[0].split(" or ")
        assert all(unet_output_size(int(s), depth) > 0 for s in proposed)
    else:
        assert unet_output_size(size, depth) == expected


@pytest.mark.parametrize("size", [44, 48, 52])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_network_has_the_size_the_rule_says(size, upsampling):
    model = unet(num_classes=3, base_channels=2, depth=2, upsampling=upsampling).eval()
    other = size + 4
    expected = (unet_output_size(size, 2), unet_output_size(other, 2))
    assert model(torch.rand(1, 1, size, other)).shape == (1, 3, *expected)


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
@pytest.mark.parametrize("size", [(16, 16), (17, 23), (31, 8), (4, 5)])
def test_padded_output_is_as_large_as_the_image(size, upsampling):
    model = unet(5, 3, variant="padded", upsampling=upsampling, base_channels=4, depth=2).eval()
    assert model(torch.rand(2, 3, *size)).shape == (2, 5, *size)


def unet_reference(x, state, depth, *, padded):
    """The figure with plain functions; reads the parameters in the order of the state dict."""
    tape = iter(state.values())

    def double_conv(x, parameters):
        for _ in range(2):
            x = F.conv2d(x, *parameters[:2], padding=0) if not padded else conv_bn(x, parameters)
            x = x.relu()
            parameters = parameters[6 if padded else 2 :]
        return x

    def conv_bn(x, parameters):
        weight, gamma, beta, mean, variance, _ = parameters[:6]
        x = F.conv2d(x, weight, padding=1)
        scale = gamma / (variance + 1e-5).sqrt()
        return (x - mean[:, None, None]) * scale[:, None, None] + beta[:, None, None]

    def take(n):
        return [next(tape) for _ in range(n)]

    size = 12 if padded else 4
    down = [take(size) for _ in range(depth)]
    bottom = take(size)
    up = [take(2) for _ in range(depth)]
    merge = [take(size) for _ in range(depth)]
    copies = []
    for parameters in down:
        x = double_conv(x, parameters)
        copies.append(x)
        x = F.max_pool2d(x, 2)
    x = double_conv(x, bottom)
    for up_parameters, parameters in zip(up, merge, strict=True):
        x = F.conv_transpose2d(x, *up_parameters, stride=2)
        copy = copies.pop()
        margin = (copy.shape[-1] - x.shape[-1]) // 2
        copy = copy[..., margin : margin + x.shape[-1], margin : margin + x.shape[-1]]
        x = double_conv(torch.cat([copy, x], 1), parameters)
    return F.conv2d(x, *take(2))


@pytest.mark.parametrize(("variant", "size"), [("2015", 44), ("padded", 16)])
def test_equals_a_second_implementation(variant, size):
    torch.manual_seed(0)
    model = unet(2, 1, variant=variant, base_channels=3, depth=2).double().eval()
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    x = torch.randn(2, 1, size, size, dtype=torch.float64)
    expected = unet_reference(x, model.state_dict(), 2, padded=variant == "padded")
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_mirrored_image_gives_mirrored_output(upsampling):
    """With symmetric filters this holds only if the copies are cropped in the middle."""
    torch.manual_seed(0)
    model = unet(base_channels=2, depth=2, upsampling=upsampling).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 4:
                parameter.copy_((parameter + parameter.flip(3)) / 2)
    x = torch.randn(1, 1, 44, 44, dtype=torch.float64)
    torch.testing.assert_close(model(x.flip(3)), model(x).flip(3))


def test_tiles_of_a_large_image_join_without_a_seam():
    """Figure 2 of the paper: valid convolutions let a large image be segmented tile by tile."""
    torch.manual_seed(0)
    model = unet(base_channels=2, depth=2).double().eval()
    image = torch.randn(1, 1, 60, 44, dtype=torch.float64)
    whole = model(image)  # 20×4
    tile = model(image[:, :, 8:52])  # 4×4, eight pixels further down
    torch.testing.assert_close(whole[:, :, 8:12], tile)


def test_center_crop():
    numbers = torch.arange(36).reshape(1, 1, 6, 6)
    cropped = center_crop(numbers, torch.empty(1, 1, 2, 4))
    assert cropped.tolist() == [[[[13, 14, 15, 16], [19, 20, 21, 22]]]]


def test_skip_connections_carry_detail_past_the_bottleneck():
    """Cut the path through the bottleneck: position still arrives through the copies."""
    model = unet(variant="padded", base_channels=4, depth=2).double().eval()
    with torch.no_grad():
        for parameter in model.bottom.parameters():
            parameter.zero_()
    x = torch.rand(1, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    model(x)[0, 0, 8, 8].backward()
    assert x.grad[0, 0, 6:11, 6:11].abs().sum() > 0


def test_initial_variance_is_two_over_the_inputs():
    torch.manual_seed(0)
    model = unet(base_channels=32, depth=2)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.weight.numel() > 4000:
            inputs = layer.in_channels * (9 if layer.kernel_size == (3, 3) else 1)
            assert layer.weight.var().item() == pytest.approx(2 / inputs, rel=0.08)
            assert layer.bias.abs().max() == 0


def test_dropout_acts_at_the_end_of_the_contracting_path_only_in_training():
    model = unet(variant="padded", base_channels=2, depth=2)
    seen = []
    model.dropout.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    x = torch.rand(2, 1, 16, 16)
    assert not torch.equal(model(x), model(x))
    assert seen == [4, 8, 4, 8]  # channels of levels 2 and 3, twice
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "valid"}, "variant must be one of '2015', 'padded'; got 'valid'"),
        ({"upsampling": "nearest"}, "upsampling must be one of 'transposed', 'bilinear'"),
        ({"depth": 0}, "depth must be a whole number of at least 1; got 0"),
        ({"base_channels": 1.5}, "base_channels must be a whole number"),
        ({"num_classes": 0}, "num_classes"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        UNet(**arguments)


def test_unfitting_image_is_explained():
    with pytest.raises(ValueError, match=r"side 570 does not fit .* use 556 or 572"):
        unet(base_channels=2)(torch.rand(1, 1, 570, 570))
    with pytest.raises(ValueError, match="side 7 is too small for 3 max poolings; use at least 8"):
        unet(variant="padded", base_channels=2, depth=3)(torch.rand(1, 1, 9, 7))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["2015", "padded"])
def test_learns_to_segment(variant):
    """Bright squares in noise: the overlap (intersection over union) on new images is over 0.7."""
    size, inner = (60, 20) if variant == "2015" else (20, 20)

    def scenes(n, seed):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(n, 1, size, size, generator=generator) * 0.5
        mask = torch.zeros(n, size, size, dtype=torch.long)
        border = (size - inner) // 2
        for i, (top, left) in enumerate(torch.randint(1, inner - 8, (n, 2), generator=generator)):
            mask[i, border + top : border + top + 7, border + left : border + left + 7] = 1
        x[:, 0] += mask
        return x, mask[:, border : size - border, border : size - border]

    torch.manual_seed(0)
    model = unet(variant=variant, base_channels=8, depth=2, dropout=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(60):
        x, mask = scenes(8, seed=step)
        optimizer.zero_grad()
        F.cross_entropy(model(x), mask).backward()
        optimizer.step()
    x, mask = scenes(16, seed=1000)
    with torch.no_grad():
        predicted = model.eval()(x).argmax(1)
    assert predicted.shape == mask.shape
    overlap = ((predicted == 1) & (mask == 1)).sum() / ((predicted == 1) | (mask == 1)).sum()
    assert overlap > 0.7


CASES = (
    Case("unet", {"base_channels": 4, "depth": 2}, channels=1, size=60, classifies=False),
    Case(
        "unet",
        {"variant": "padded", "base_channels": 4, "depth": 2},
        channels=1,
        size=37,
        classifies=False,
    ),
    Case(
        "unet",
        {"variant": "padded", "upsampling": "bilinear", "base_channels": 4, "depth": 2},
        channels=1,
        size=32,
        classifies=False,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(
    "check",
    [
        check_evaluation,
        check_round_trip,
        check_channels_last,
        check_autocast,
        pytest.param(check_compile, marks=pytest.mark.slow),
    ],
)
def test_behaviour(check, case):
    check(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_class_one_image_forward_and_backward(case):
    model = case.build(num_classes=1)
    logits = model(case.images(1))
    assert logits.shape[:2] == (1, 1)
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
