"""The offline digits: what they hold, how they are split, and the order that makes it matter."""

import doctest

import numpy as np
import pytest
import skimage.transform
import torch
from sklearn.datasets import load_digits

import cnnlib.data
from cnnlib.data import ImageSet, load, photograph
from cnnlib.data.digits import FORM_STARTS
from cnnlib.data.resize import resize


def test_all_holds_the_pictures_of_scikit_learn_in_their_order():
    raw = load_digits()
    whole = load("digits", "all", image_size=8)
    assert whole.images.shape == (1797, 1, 8, 8)
    assert whole.images.dtype == torch.float32
    assert np.array_equal(whole.images.squeeze(1).numpy() * 16, raw.images)
    assert np.array_equal(whole.labels.numpy(), raw.target)
    assert whole.classes == [str(digit) for digit in range(10)]


def test_upscaling_is_bilinear_as_scikit_image_does_it():
    large = load("digits", "all", image_size=32).images
    assert large.shape == (1797, 1, 32, 32)
    assert 0 <= large.min() < large.max() <= 1
    for index in (0, 700, 1796):
        small = load_digits().images[index] / 16
        expected = skimage.transform.resize(small, (32, 32), order=1, mode="edge")
        assert np.allclose(large[index, 0].numpy(), expected, atol=1e-6)


def test_form_starts_are_what_the_labels_say():
    # Every form asks for the same 130 digits. Align all labels with 14 copies of the first form by
    # their edit distance (Levenshtein): a digit missing, surplus or replaced costs 1. The sequences
    # never drift apart by more than 30 digits, so a band around the diagonal is enough.
    labels, template = load_digits().target, np.tile(load_digits().target[:130], 14)
    cost = {(0, j): j for j in range(31)}
    for i in range(1, len(labels) + 1):
        for j in range(max(0, i - 5), min(i + 30, len(template)) + 1):
            options = [cost.get((i - 1, j), np.inf) + 1, cost.get((i, j - 1), np.inf) + 1]
            if j > 0:
                differs = labels[i - 1] != template[j - 1]
                options.append(cost.get((i - 1, j - 1), np.inf) + differs)
            cost[i, j] = min(options)
    i, j = len(labels), len(template)
    assert cost[i, j] == 24  # 23 digits left out on 14 forms, and one written in place of another
    form = np.zeros(len(labels), dtype=int)
    while i > 0:
        differs = labels[i - 1] != template[j - 1]
        if cost.get((i - 1, j - 1), np.inf) + differs == cost[i, j]:
            form[i - 1] = (j - 1) // 130
            i, j = i - 1, j - 1
        elif cost.get((i, j - 1), np.inf) + 1 == cost[i, j]:
            j -= 1
        else:
            form[i - 1] = j // 130
            i -= 1
    starts = np.searchsorted(form, np.arange(14))
    assert tuple(starts.tolist()) == FORM_STARTS


@pytest.mark.parametrize("split_by", ["writer", "random"])
@pytest.mark.parametrize("seed", [0, 5])
def test_parts_are_disjoint_and_cover_everything(split_by, seed):
    whole = load("digits", "all", image_size=8)
    parts = [
        load("digits", part, image_size=8, split_by=split_by, seed=seed)
        for part in ("train", "val", "test")
    ]
    assert sum(map(len, parts)) == 1797
    joined = torch.cat([part.images.flatten(1) for part in parts])
    # Equal as collections of pictures: sort the rows of both.
    assert torch.equal(
        torch.unique(joined, dim=0, return_counts=True)[1],
        torch.unique(whole.images.flatten(1), dim=0, return_counts=True)[1],
    )


def test_split_by_writer_keeps_every_form_whole():
    for seed in range(14):
        forms = [
            set(load("digits", part, image_size=8, seed=seed).groups.tolist())
            for part in ("train", "val", "test")
        ]
        assert [len(part) for part in forms] == [8, 3, 3]
        assert set.union(*forms) == set(range(14))


def test_the_fourteen_seeds_give_fourteen_test_sets():
    tests = {
        frozenset(load("digits", "test", image_size=8, seed=seed).groups.tolist())
        for seed in range(14)
    }
    assert len(tests) == 14


def test_random_split_mixes_forms_and_has_the_same_sizes():
    by_writer = load("digits", "test", image_size=8)
    mixed = load("digits", "test", image_size=8, split_by="random")
    assert len(by_writer) == len(mixed)
    assert set(mixed.groups.tolist()) == set(range(14))


def test_random_split_depends_on_the_seed_alone():
    first = load("digits", "train", image_size=8, split_by="random", seed=1)
    again = load("digits", "train", image_size=8, split_by="random", seed=1)
    other = load("digits", "train", image_size=8, split_by="random", seed=2)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "minst"},
            r"known are 'digits', 'glyphs', 'mnist', 'fashion_mnist', 'cifar10', .*'omniglot'$",
        ),
        ({"name": "digits", "split": "training"}, '"train", "val", "test" or "all"'),
        ({"name": "digits", "split_by": "person"}, '"writer" or "random"'),
        ({"name": "digits", "image_size": 0}, "at least 1 pixel"),
        ({"name": "mnist", "split": "validation"}, '"train", "val", "test" or "all"'),
        ({"name": "mnist", "split_by": "person"}, '"writer" or "random"'),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        load(**arguments)


def test_resize_adds_a_border_of_zeros_around_28():
    images = torch.rand(3, 1, 28, 28)
    padded = resize(images, 32)
    assert torch.equal(padded[:, :, 2:-2, 2:-2], images)
    assert padded.sum() == pytest.approx(images.sum().item(), rel=1e-6)


@pytest.mark.parametrize("size", [8, 16, 64])
def test_resize_keeps_a_constant_image_constant(size):
    assert torch.allclose(resize(torch.full((1, 3, 32, 32), 0.4), size), torch.tensor(0.4))


def test_image_set_indexing_and_subset():
    whole = load("digits", "all", image_size=8)
    image, label = whole[3]
    assert image.shape == (1, 8, 8)
    assert label.item() == 3
    images, labels = whole[[5, 2]]
    assert images.shape == (2, 1, 8, 8)
    assert labels.tolist() == [5, 2]
    odd = whole.subset(whole.labels % 2 == 1, "odd digits")
    assert set(odd.labels.tolist()) == {1, 3, 5, 7, 9}
    assert odd.name == "odd digits"
    assert len(odd.groups) == len(odd)


def test_image_set_rejects_what_does_not_belong_together():
    images = torch.zeros(4, 1, 8, 8)
    labels = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"shape \(N, C, H, W\)"):
        ImageSet(images[0], labels, ["0"], "bad")
    with pytest.raises(ValueError, match="4 images need labels"):
        ImageSet(images, labels[:3], ["0"], "bad")
    with pytest.raises(ValueError, match="int64"):
        ImageSet(images, labels.float(), ["0"], "bad")
    with pytest.raises(ValueError, match="4 images need groups"):
        ImageSet(images, labels, ["0"], "bad", torch.zeros(5))


def test_loader_visits_every_image_once_and_repeats_with_its_seed():
    part = load("digits", "val", image_size=8)
    batches = list(part.loader(50))
    assert [len(labels) for _, labels in batches] == [50] * (len(part) // 50) + [len(part) % 50]
    assert torch.equal(torch.cat([images for images, _ in batches]), part.images)

    loader = part.loader(50, shuffle=True, seed=3)
    first = torch.cat([labels for _, labels in loader])
    second = torch.cat([labels for _, labels in loader])
    again = torch.cat([labels for _, labels in part.loader(50, shuffle=True, seed=3)])
    assert torch.equal(first, again)
    assert not torch.equal(first, second)  # a new order in every pass
    assert torch.equal(first.sort().values, part.labels.sort().values)


def test_loader_rejects_empty_batches():
    with pytest.raises(ValueError, match="batch_size"):
        load("digits", "val", image_size=8).loader(0)


@pytest.mark.parametrize("name", ["china", "flower"])
def test_photographs(name):
    picture = photograph(name)
    assert picture.shape == (3, 427, 640)
    assert 0 <= picture.min() < 0.1 < 0.9 < picture.max() <= 1


def test_unknown_photograph_is_named():
    with pytest.raises(ValueError, match="china, flower; got 'moon'"):
        photograph("moon")


def test_docstring_examples():
    results = doctest.testmod(cnnlib.data)
    assert results.attempted > 0
    assert results.failed == 0
