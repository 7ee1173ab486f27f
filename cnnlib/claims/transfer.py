"""Recomputations of the notes' chapter on transfer learning.

What the notes say of ImageNet is measured on the small network that the course has trained on
letters: handwritten digits are the similar task, patches of photographs the different one. The rows
say which is better and not by how much: a percentage differs from processor to processor.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
import torchvision
from skimage import data as skimage_data
from torch import Tensor, nn

from cnnlib.claims.registry import Values, recomputes
from cnnlib.data import ImageSet, load
from cnnlib.pretrained import letter_net
from cnnlib.transfer import features, linear_probe

LAYERS = ("stem", "stage1", "stage2", "stage3", "stage4")
LABELS = 5  # for each class


@functools.cache
def encoder() -> nn.Module:
    """The network that reads letters."""
    return letter_net(weights="letters").eval()


def textures(split: str) -> ImageSet:
    """Patches of brick, grass and gravel with one mean and contrast; two halves, two splits."""
    patches = []
    for name in ("brick", "grass", "gravel"):
        photograph = torch.from_numpy(getattr(skimage_data, name)()).float()[None] / 255
        photograph = F.avg_pool2d(photograph, 2)[0]  # 256×256
        half = photograph[:, :128] if split == "train" else photograph[:, 128:]
        patches.append(half.unfold(0, 16, 16).unfold(1, 16, 16).reshape(-1, 16, 16))
    images = torch.cat(patches)[:, None]  # (384, 1, 16, 16)
    images = images - images.mean((2, 3), keepdim=True)
    images = 0.5 + 0.2 * images / images.std((2, 3), keepdim=True)
    labels = torch.arange(3).repeat_interleave(len(patches[0]))
    return ImageSet(images.clamp(0, 1), labels, ["brick", "grass", "gravel"], "textures")


def few_labels(data: ImageSet, seed: int) -> ImageSet:
    """A random choice of `LABELS` images of each class."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return data.subset(
        torch.cat([order[data.labels[order] == c][:LABELS] for c in range(len(data.classes))])
    )


def right(train: Tensor, labels: Tensor, queries: Tensor, truth: Tensor) -> float:
    """Share of queries that a linear classifier on these features gets right, in percent."""
    return 100 * (linear_probe(train, labels, queries) == truth).double().mean().item()


@functools.cache
def by_layer(task: str) -> dict[str, float]:
    """Percent right of a linear classifier on each layer, mean of three choices of labels."""
    if task == "textures":
        train, test = textures("train"), textures("test")
    elif task == "digits":
        train, test = (load("digits", split, image_size=16) for split in ("train", "test"))
    else:
        letters = {"image_size": 16, "scripts": ["latin"], "per_class": 10, "seed": 3}
        train, test = (load("glyphs", split, **letters) for split in ("train", "test"))
    scores: dict[str, list[float]] = {layer: [] for layer in LAYERS}
    for seed in range(3):
        few = few_labels(train, seed)
        for layer in LAYERS:
            described, asked = (
                features(encoder(), layer, part).mean((2, 3)) for part in (few, test)
            )
            scores[layer].append(right(described, few.labels, asked, test.labels))
    return {layer: round(sum(values) / len(values), 1) for layer, values in scores.items()}


@recomputes("transfer.c02")
def generic_and_specific() -> Values:
    """Fit a linear classifier on each layer of the letter network, for three tasks."""
    gain = {}
    for task in ("letters", "digits", "textures"):
        scores = by_layer(task)
        gain[task] = scores["stage4"] - scores["stage1"]
    found = {
        "old task, letters: the last layer is better than an early one": gain["letters"] > 20,
        "digits: better too, but by less": 3 < gain["digits"] < gain["letters"] - 10,
        "textures: worse": gain["textures"] < -5,
    }
    assert all(found.values()), gain
    return found


@recomputes("transfer.c03")
def how_much_to_replace() -> Values:
    """Find the layer that is the best to put a new linear layer on, for two tasks."""
    best = {task: max(LAYERS, key=by_layer(task).get) for task in ("digits", "textures")}
    late = {"stage3", "stage4"}
    found = {
        f"best layer to build on, {task}": "a late one" if layer in late else "an early one"
        for task, layer in best.items()
    }
    assert list(found.values()) == ["a late one", "an early one"], best
    return found


@recomputes("transfer.c04", quoted=(1, 4))
def similar_task() -> Values:
    """Compare a linear classifier on the letter network's last features with one on pixels."""
    train, test = (load("digits", split, image_size=16) for split in ("train", "test"))
    few = few_labels(train, seed=0)
    pixels = right(few.images, few.labels, test.images, test.labels)
    top = by_layer("digits")["stage4"]
    better = top > pixels + 2
    assert better, (top, pixels)
    return {f"digits, {LABELS} labels a class: the last features are better than pixels": better}


@recomputes("transfer.c05")
def different_task() -> Values:
    """Compare a linear classifier on early and on late features, with few labels of textures."""
    scores = by_layer("textures")
    better = min(scores["stem"], scores["stage1"]) > scores["stage4"] + 5
    assert better, scores
    return {f"textures, {LABELS} labels a class: early features are better than the last": better}


@recomputes("transfer.c06")
def pretrained_models() -> Values:
    """List torchvision's classification networks that have published weights."""
    names = torchvision.models.list_models(module=torchvision.models)
    with_weights = [n for n in names if len(torchvision.models.get_model_weights(n))]
    assert {"resnet50", "vgg16", "mobilenet_v2"} <= set(with_weights)
    return {
        "classification networks in torchvision": len(names),
        "with published weights": len(with_weights),
    }


@recomputes("vgg.c15")
def features_before_the_head() -> Values:
    """Probe a stand-in, the letter network on digits: VGG's own weights need a download."""
    scores = by_layer("digits")
    better = scores["stage4"] > scores["stem"] + 10
    assert better, scores
    return {
        "VGG-16's own FC7": "not computed here, the verdict is the paper's",
        "stand-in, letter network on digits: last features much better than the first": better,
    }
