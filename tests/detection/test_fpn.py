"""The feature pyramid against torchvision's with the same weights."""

from collections import OrderedDict

import pytest
import torch
from detection_cases import randn
from torchvision.ops import FeaturePyramidNetwork as Reference
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from cnnlib.detection.fpn import FeaturePyramidNetwork

CHANNELS = (8, 16, 32)


def maps():
    # 13 → 7 → 4: odd sizes, as a picture of any size gives them.
    return [randn(2, c, s, s + 1, seed=c) for c, s in zip(CHANNELS, (13, 7, 4), strict=True)]


def with_the_same_weights(extra_level=False):
    torch.manual_seed(0)
    ours = FeaturePyramidNetwork(CHANNELS, 12, extra_level=extra_level).double()
    extra = LastLevelMaxPool() if extra_level else None
    theirs = Reference(list(CHANNELS), 12, extra).double()
    state = {}
    for level in range(3):
        for ours_name, their_name in (("lateral", "inner_blocks"), ("output", "layer_blocks")):
            for part in ("weight", "bias"):
                value = ours.state_dict()[f"{ours_name}.{level}.{part}"]
                state[f"{their_name}.{level}.0.{part}"] = value
    theirs.load_state_dict(state)
    return ours, theirs


@pytest.mark.parametrize("extra_level", [False, True])
def test_agrees_with_torchvision(extra_level):
    ours, theirs = with_the_same_weights(extra_level)
    pyramid = ours(maps())
    expected = theirs(OrderedDict((str(i), m) for i, m in enumerate(maps())))
    assert len(pyramid) == len(expected) == 3 + extra_level
    for mine, reference in zip(pyramid, expected.values(), strict=True):
        torch.testing.assert_close(mine, reference)


def test_gradients_agree_with_torchvision():
    ours, theirs = with_the_same_weights()
    mine, reference = ([m.requires_grad_() for m in maps()] for _ in range(2))
    sum(m.square().sum() for m in ours(mine)).backward()
    features = OrderedDict((str(i), m) for i, m in enumerate(reference))
    sum(m.square().sum() for m in theirs(features).values()).backward()
    for a, b in zip(mine, reference, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_knowledge_flows_down_only():
    """The finest level depends on the coarsest map, but not the other way round."""
    pyramid = FeaturePyramidNetwork(CHANNELS, 12).double()
    before = pyramid(maps())
    changed = maps()
    changed[2] += 1
    assert all(not torch.equal(a, b) for a, b in zip(before, pyramid(changed), strict=True))
    changed = maps()
    changed[0] += 1
    after = pyramid(changed)
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert torch.equal(before[2], after[2])


def test_parameters_of_the_pyramid_on_resnet50():
    pyramid = FeaturePyramidNetwork((256, 512, 1024, 2048))
    lateral = (256 + 512 + 1024 + 2048) * 256 + 4 * 256
    output = 4 * (256 * 256 * 9 + 256)
    assert sum(p.numel() for p in pyramid.parameters()) == lateral + output == 3_344_384


def test_initialisation_keeps_the_variance_and_starts_without_bias():
    torch.manual_seed(0)
    pyramid = FeaturePyramidNetwork((256, 512))
    for conv in (*pyramid.lateral, *pyramid.output):
        fan_in = conv.weight[0].numel()
        assert conv.weight.var().item() * fan_in == pytest.approx(1, rel=0.05)
        assert (conv.bias == 0).all()


def test_rejects():
    with pytest.raises(ValueError, match="at least one level"):
        FeaturePyramidNetwork(())
    with pytest.raises(ValueError, match="channels be at least 1"):
        FeaturePyramidNetwork((8, 0))
    with pytest.raises(ValueError, match="2 feature maps for 3 levels"):
        FeaturePyramidNetwork(CHANNELS)(maps()[:2])
