"""Pairs, triplets and batches, and the measures of a comparison, against scikit-learn and loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve
from torch import nn

from cnnlib.data import ImageSet, load
from cnnlib.metric_learning import (
    ClassBalancedBatches,
    check_unseen,
    equal_error_rate,
    error_rates,
    one_shot_accuracy,
    pair_sampler,
    threshold_at,
    triplet_sampler,
    verification_roc,
)
from cnnlib.models import SiameseNetwork, batch_hard_triplet_loss, contrastive_loss, triplet_loss

seeds = st.integers(0, 2**31 - 1)
repeatable = settings(derandomize=True, deadline=None, max_examples=40)


def image_set(labels, names="abcdefgh", name="letters"):
    """Images of 1×1 pixel whose value is their index, so that a batch shows what was drawn."""
    labels = torch.tensor(labels)
    pixels = torch.arange(len(labels), dtype=torch.float32).view(-1, 1, 1, 1)
    return ImageSet(pixels, labels, list(names), name)


@pytest.fixture
def uneven():
    """Four classes of 1, 2, 3 and 30 images, mixed; class "c" of five names has none."""
    labels = [0, 1, 3, 1, 3, 4, 3, *[4] * 29]
    return image_set(labels, "abcde")


label_lists = st.lists(st.integers(0, 4), min_size=3, max_size=20).filter(
    lambda labels: 2 <= len(set(labels)) < len(labels)
)

# --- drawing ------------------------------------------------------------------------------------


@repeatable
@given(labels=label_lists, count=st.integers(1, 60), share=st.floats(0, 1), seed=seeds)
def test_pairs_are_what_they_say(labels, count, share, seed):
    data = image_set(labels)
    pairs = pair_sampler(data, count, same_share=share, seed=seed)
    assert len(pairs) == count
    assert torch.equal(pairs.same, data.labels[pairs.first] == data.labels[pairs.second])
    assert pairs.same.sum() == round(share * count)
    assert (pairs.first != pairs.second).all()
    again = pair_sampler(data, count, same_share=share, seed=seed)
    assert torch.equal(again.first, pairs.first)
    assert torch.equal(again.second, pairs.second)


@repeatable
@given(labels=label_lists, count=st.integers(1, 60), seed=seeds)
def test_triplets_are_what_they_say(labels, count, seed):
    data = image_set(labels)
    triplets = triplet_sampler(data, count, seed=seed)
    own = data.labels[triplets.anchor]
    assert len(triplets) == count
    assert torch.equal(own, data.labels[triplets.positive])
    assert (own != data.labels[triplets.negative]).all()
    assert (triplets.anchor != triplets.positive).all()


def test_every_class_and_every_image_is_drawn_evenly(uneven):
    pairs = pair_sampler(uneven, 20_000, seed=1)
    classes = uneven.labels[pairs.first]
    same = classes[pairs.same].bincount(minlength=5) / pairs.same.sum()
    # The class with one image has no pair of its own; the others share, whatever their size.
    torch.testing.assert_close(same, torch.tensor([0, 1, 0, 1, 1]) / 3, atol=0.02, rtol=0)
    for of_pair in (pairs.first, pairs.second):
        different = uneven.labels[of_pair[~pairs.same]].bincount(minlength=5) / (~pairs.same).sum()
        torch.testing.assert_close(different, torch.tensor([1, 1, 0, 1, 1]) / 4, atol=0.02, rtol=0)
    images = pairs.first[pairs.same & (classes == 4)].bincount(minlength=len(uneven))
    assert images[uneven.labels == 4].min() > 0.5 * images.max() > 0
    triplets = triplet_sampler(uneven, 20_000, seed=1)
    negatives = uneven.labels[triplets.negative[uneven.labels[triplets.anchor] == 4]]
    torch.testing.assert_close(
        negatives.bincount(minlength=5) / len(negatives),
        torch.tensor([1, 1, 0, 1, 0]) / 3,
        atol=0.02,
        rtol=0,
    )


def test_other_seeds_give_other_pairs(uneven):
    first, other = (pair_sampler(uneven, 50, seed=seed) for seed in (0, 1))
    assert not torch.equal(first.first, other.first)
    assert not torch.equal(first.same, other.same)


def test_images_and_distances_of_pairs(uneven):
    pairs = pair_sampler(uneven, 10, seed=2)
    first, second, same = pairs[:]
    assert first.shape == second.shape == (10, 1, 1, 1)
    assert torch.equal(first.flatten().long(), pairs.first)
    assert torch.equal(same, pairs.same)
    batches = list(pairs.batches(4))
    assert [len(batch[2]) for batch in batches] == [4, 4, 2]
    assert torch.equal(torch.cat([batch[1] for batch in batches]), second)
    z = uneven.images.flatten(1) * torch.tensor([3.0, 4.0])  # one step apart is a distance of 5
    expected = 5.0 * (pairs.first - pairs.second).abs()
    torch.testing.assert_close(pairs.distances(z), expected)
    assert contrastive_loss(z[pairs.first], z[pairs.second], same).isfinite()
    with pytest.raises(ValueError, match=r"36 images need embeddings of shape \(36, D\)"):
        pairs.distances(z[:10])


def test_images_of_triplets(uneven):
    triplets = triplet_sampler(uneven, 10, seed=2)
    (batch,) = triplets.batches(16)
    chosen = (triplets.anchor, triplets.positive, triplets.negative)
    for images, index in zip(batch, chosen, strict=True):
        assert torch.equal(images.flatten().long(), index)
    assert triplet_loss(*(images.flatten(1) for images in batch)).isfinite()


def test_batches_of_p_classes_with_k_images(uneven):
    batches = ClassBalancedBatches(uneven, classes=2, images=3, batches=90, seed=3)
    seen = set()
    for images, labels in batches:
        assert images.shape == (6, 1, 1, 1)
        assert torch.equal(uneven.labels[images.flatten().long()], labels)
        assert labels.unique(return_counts=True)[1].tolist() == [3, 3]
        assert len(images.unique()) == 6
        seen |= set(images.flatten().tolist())
        assert batch_hard_triplet_loss(images.flatten(1), labels).isfinite()
    assert len(batches) == 90
    assert len(seen) == 33  # only the classes of 3 and of 30 images are large enough
    default = ClassBalancedBatches(uneven, classes=2, images=2)
    assert len(default) == len(list(default)) == 35 // 4


def test_passes_differ_and_seeds_repeat_them(uneven):
    def passes(seed):
        batches = ClassBalancedBatches(uneven, 2, 2, batches=3, seed=seed)
        return [torch.cat([images for images, _ in batches]).flatten().tolist() for _ in range(2)]

    first, second = passes(5)
    assert first != second
    assert passes(5) == [first, second]
    assert passes(6) != [first, second]


def test_a_test_of_seen_classes_is_refused():
    train = image_set([0, 0, 1, 1], "abc", "train")
    unseen = image_set([0, 0, 1, 1], "de", "unseen")
    overlapping = image_set([0, 0, 1, 1], "db", "overlapping")
    # "c" is in the list of names only: no image of it was seen.
    only_named = image_set([0, 0, 1, 1], "cd", "new")
    check_unseen(unseen, train, only_named.subset([0]))
    for allowed in (unseen, only_named):
        pair_sampler(allowed, 4, unseen_by=train)
        triplet_sampler(allowed, 4, unseen_by=train)
        one_shot_accuracy(nn.Flatten(), allowed, ways=2, episodes=2, unseen_by=train)
    message = r"'overlapping' shares 1 of its 2 classes with 'train' \(b\)"
    for refused in (
        lambda: check_unseen(overlapping, unseen.subset([2]), train),
        lambda: pair_sampler(overlapping, 4, unseen_by=train),
        lambda: triplet_sampler(overlapping, 4, unseen_by=train),
        lambda: one_shot_accuracy(nn.Flatten(), overlapping, ways=2, unseen_by=train),
    ):
        with pytest.raises(ValueError, match=message):
            refused()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: pair_sampler(d, 0), "count must be at least 1; got 0"),
        (lambda d: triplet_sampler(d, -1), "count must be at least 1; got -1"),
        (lambda d: pair_sampler(d, 4, same_share=1.1), "same_share must be from 0 to 1; got 1.1"),
        (lambda d: pair_sampler(d.subset([]), 4), "no images to draw from"),
        (lambda d: pair_sampler(d.subset([1, 3]), 4), "all are of one class"),
        (lambda d: pair_sampler(d.subset([0, 1]), 4), "no class has 2 images"),
        (lambda d: triplet_sampler(d.subset([0, 1]), 4), "no class has 2 images"),
        (lambda d: next(pair_sampler(d, 4).batches(0)), "batch_size must be at least 1; got 0"),
        (lambda d: ClassBalancedBatches(d, 1, 2), "classes must be at least 2"),
        (lambda d: ClassBalancedBatches(d, 2, 1), "images must be at least 2"),
        (lambda d: ClassBalancedBatches(d, 2, 2, batches=0), "batches must be at least 1; got 0"),
        (lambda d: ClassBalancedBatches(d, 3, 3), "'letters' has 2 such classes"),
    ],
)
def test_bad_arguments_of_samplers_are_explained(call, message, uneven):
    with pytest.raises(ValueError, match=message):
        call(uneven)


# --- the same or not ----------------------------------------------------------------------------

# Few different values, so that ties occur.
compared = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40).filter(
    lambda pairs: len({same for _, same in pairs}) == 2
)


def columns(pairs):
    distances, same = zip(*pairs, strict=True)
    return torch.tensor(distances) / 4, torch.tensor(same)


@repeatable
@given(pairs=compared)
def test_roc_equals_that_of_scikit_learn(pairs):
    distances, same = columns(pairs)
    ours = verification_roc(distances, same)
    false_accept, true_accept, scores = roc_curve(
        same.numpy(), -distances.numpy(), drop_intermediate=False
    )
    np.testing.assert_allclose(ours.false_accept, false_accept)
    np.testing.assert_allclose(ours.true_accept, true_accept)
    np.testing.assert_allclose(ours.thresholds, -scores)  # the first is −∞


@repeatable
@given(pairs=compared)
def test_equal_error_rate_lies_where_the_curve_meets_the_diagonal(pairs):
    distances, same = columns(pairs)
    false_accept, true_accept, _ = roc_curve(
        same.numpy(), -distances.numpy(), drop_intermediate=False
    )
    # Walk along scikit-learn's curve from corner to corner: strangers accepted become more,
    # friends turned away fewer. Halve the way until both are the same.
    places = np.arange(len(false_accept))
    low, high = 0.0, len(false_accept) - 1.0
    for _ in range(60):
        middle = (low + high) / 2
        accepted = np.interp(middle, places, false_accept)
        rejected = 1 - np.interp(middle, places, true_accept)
        low, high = (middle, high) if accepted < rejected else (low, middle)
    assert equal_error_rate(distances, same) == pytest.approx(accepted, abs=1e-9)


def test_equal_error_rate_by_hand():
    same = [True, True, True, True, False, False, False, False]
    assert equal_error_rate(np.array([1, 2, 3, 4, 5, 6, 7, 8]), np.array(same)) == 0
    assert equal_error_rate(np.array([1, 2, 3, 6, 5, 7, 8, 9]), np.array(same)) == 0.25
    assert equal_error_rate(np.array([5, 6, 7, 8, 1, 2, 3, 4]), np.array(same)) == 1
    assert equal_error_rate(np.ones(8), np.array(same)) == 0.5


@repeatable
@given(pairs=compared, rate=st.floats(0, 1))
def test_threshold_is_the_most_generous_that_keeps_the_rate(pairs, rate):
    distances, same = columns(pairs)
    threshold = threshold_at(distances, same, false_accept_rate=rate)
    errors = error_rates(distances, same, threshold)
    assert errors.false_accept <= rate
    strangers = distances[~same].tolist()
    assert errors.false_accept == pytest.approx(np.mean([d <= threshold for d in strangers]))
    friends = distances[same].tolist()
    assert errors.false_reject == pytest.approx(np.mean([d > threshold for d in friends]))
    larger = [d for d in distances.tolist() if d > threshold]
    if larger:
        assert error_rates(distances, same, min(larger)).false_accept > rate


def test_a_threshold_may_accept_nothing():
    distances, same = torch.tensor([0.5, 1.0, 2.0]), torch.tensor([False, True, False])
    assert threshold_at(distances, same, false_accept_rate=0.4) == -np.inf
    assert error_rates(distances, same, -np.inf) == (0, 1)
    assert threshold_at(distances, same, false_accept_rate=0.5) == 1
    assert threshold_at(distances, same, false_accept_rate=1) == 2


@pytest.mark.parametrize(
    ("distances", "same", "message"),
    [
        ([1.0, 2.0], [True], r"shape \(N,\); got \(2,\) and \(1,\)"),
        ([[1.0], [2.0]], [[True], [False]], r"shape \(N,\); got \(2, 1\)"),
        ([1.0, float("nan")], [True, False], "not finite"),
        ([1.0, float("inf")], [True, False], "not finite"),
        ([1.0, 2.0], [2, 0], "True or False"),
        ([1.0, 2.0], [True, True], "all of these are of the same"),
        ([1.0, 2.0], [0, 0], "all of these are different"),
        ([], [], "different or missing"),
    ],
)
def test_bad_pairs_are_explained(distances, same, message):
    for measure in (verification_roc, equal_error_rate):
        with pytest.raises(ValueError, match=message):
            measure(torch.tensor(distances), torch.tensor(same))


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_an_impossible_rate_or_threshold_is_explained(rate):
    pairs = torch.tensor([1.0, 2.0]), torch.tensor([True, False])
    with pytest.raises(ValueError, match="false_accept_rate must be from 0 to 1"):
        threshold_at(*pairs, false_accept_rate=rate)
    with pytest.raises(ValueError, match="threshold is not a number"):
        error_rates(*pairs, float("nan"))


def test_the_loss_of_the_encoder_may_still_hang_on_the_distances():
    distances = torch.tensor([1.0, 2.0], requires_grad=True)
    assert equal_error_rate(distances, torch.tensor([1, 0])) == 0


# --- which of these -----------------------------------------------------------------------------


def clusters(spread, seed=0, classes=8, images=5):
    """Images of 1×2 pixels: each class lies around a point of its own on a circle."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat(images)
    angle = 2 * torch.pi * labels / classes
    points = torch.stack([angle.cos(), angle.sin()], dim=1)
    points = points + spread * torch.randn(points.shape, generator=generator)
    return ImageSet(points.view(-1, 1, 1, 2), labels, list("abcdefgh"), "clusters")


def test_perfect_and_collapsed_embeddings():
    data = clusters(0.01)
    perfect = one_shot_accuracy(nn.Flatten(), data, episodes=20)
    assert (perfect.accuracy, perfect.margin, perfect.interval) == (1, 0, (1, 1))
    collapsed = one_shot_accuracy(lambda x: torch.zeros(len(x), 3), data, ways=4, episodes=20)
    assert collapsed.accuracy == 0.25
    assert str(collapsed) == "4-way 1-shot: 25.0 ± 0.0 %"


def slow_episodes(data, ways, shots, episodes, seed):
    """The same episodes one query at a time, in plain loops."""
    generator = torch.Generator().manual_seed(seed)
    points = data.images.flatten(1).numpy().astype(float)
    by_class = [np.flatnonzero(data.labels.numpy() == c) for c in range(len(data.classes))]
    right = []
    for _ in range(episodes):
        means, queries = [], []
        for c in torch.randperm(len(by_class), generator=generator)[:ways].tolist():
            order = torch.randperm(len(by_class[c]), generator=generator)[: shots + 1].tolist()
            drawn = [by_class[c][place] for place in order]
            means.append(np.mean([points[i] for i in drawn[:shots]], axis=0))
            queries.append(points[drawn[shots]])
        answers = [min(range(ways), key=lambda w: np.linalg.norm(q - means[w])) for q in queries]
        right.append(np.mean([answer == way for way, answer in enumerate(answers)]))
    return right


@pytest.mark.parametrize(("ways", "shots"), [(5, 1), (3, 2), (8, 4)])
def test_accuracy_and_interval_equal_plain_loops(ways, shots):
    data = clusters(0.6)
    result = one_shot_accuracy(nn.Flatten(), data, ways, shots, episodes=40, seed=7)
    right = slow_episodes(data, ways, shots, 40, 7)
    assert result.accuracy == pytest.approx(np.mean(right))
    assert result.margin == pytest.approx(1.96 * np.std(right, ddof=1) / np.sqrt(40))
    assert 1 / ways < result.accuracy < 1
    low, high = result.interval
    assert 0 <= low < result.accuracy < high <= 1
    assert (result.ways, result.shots, result.episodes) == (ways, shots, 40)


def test_the_interval_holds_what_many_episodes_give():
    data = clusters(0.6)
    truth = one_shot_accuracy(nn.Flatten(), data, episodes=2000, seed=100).accuracy
    inside = 0
    for seed in range(40):
        low, high = one_shot_accuracy(nn.Flatten(), data, episodes=40, seed=seed).interval
        inside += low <= truth <= high
    assert inside >= 33  # 38 are expected


def test_more_shots_help_and_more_ways_hurt():
    data = clusters(0.6)

    def accuracy(ways, shots):
        return one_shot_accuracy(nn.Flatten(), data, ways, shots, episodes=300).accuracy

    assert accuracy(5, 4) > accuracy(5, 1) + 0.03
    assert accuracy(3, 1) > accuracy(8, 1) + 0.1


def test_a_network_is_asked_in_evaluation_mode_and_left_as_it_was():
    data = clusters(0.3)
    net = SiameseNetwork(nn.Sequential(nn.Flatten(), nn.Dropout(0.9)))
    net.forward = net.embed  # one batch in, one tensor out
    plain = one_shot_accuracy(nn.Flatten(), data, episodes=30)
    assert one_shot_accuracy(net, data, episodes=30) == plain
    assert net.training
    net.encoder.eval()  # a frozen part stays as it is
    one_shot_accuracy(net, data, episodes=30)
    assert [module.training for module in (net, net.encoder, net.encoder[1])] == [
        True,
        False,
        False,
    ]
    assert one_shot_accuracy(net.eval().embed, data, episodes=30) == plain
    assert not net.training


def test_small_classes_are_left_out():
    labels = [0, 1, 1, 2, 2, 2]
    data = image_set(labels, "abc")
    assert one_shot_accuracy(nn.Flatten(), data, ways=2, episodes=4).ways == 2
    with pytest.raises(ValueError, match=r"3 ways need as many classes with 2 images; .* has 2"):
        one_shot_accuracy(nn.Flatten(), data, ways=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ways": 1}, "ways must be at least 2; got 1"),
        ({"shots": 0}, "shots must be at least 1; got 0"),
        ({"episodes": 1}, "episodes must be at least 2; got 1"),
        ({"embed": lambda x: x}, r"embeddings \(N, D\); 40 images gave \(40, 1, 1, 2\)"),
        ({"embed": lambda x: x.flatten(1) / 0}, "not finite"),
    ],
)
def test_bad_arguments_of_one_shot_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        one_shot_accuracy(**({"embed": nn.Flatten(), "data": clusters(0.1)} | options))


def test_pixels_of_unseen_letters_are_better_than_chance():
    train, test = (
        load("glyphs", "all", image_size=16, scripts=[script], per_class=5)
        for script in ("latin", "hebrew")
    )
    result = one_shot_accuracy(lambda x: x.flatten(1), test, episodes=60, unseen_by=train)
    assert result.interval[0] > 0.3
