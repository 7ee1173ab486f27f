import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score
from sklearn.utils.class_weight import compute_class_weight

from cnnlib.segmentation import (
    class_dice,
    class_iou,
    class_weights,
    confusion,
    dice_loss,
    mean_iou,
    pixel_accuracy,
    soft_dice,
    weight_map,
    weighted_cross_entropy,
)

quick = settings(derandomize=True, deadline=None, max_examples=40)


@st.composite
def answers(draw):
    """Predicted and true classes of a few pixels, of which some classes may be absent."""
    classes = draw(st.integers(2, 5))
    count = draw(st.integers(1, 40))
    column = st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)
    return torch.tensor(draw(column)), torch.tensor(draw(column)), classes


@quick
@given(answers())
def test_measures_agree_with_scikit_learn(case):
    predictions, labels, classes = case
    table = confusion(predictions, labels, classes)
    names = list(range(classes))
    assert torch.equal(table, torch.from_numpy(confusion_matrix(labels, predictions, labels=names)))
    there = sorted({*predictions.tolist(), *labels.tolist()})
    absent = [name for name in names if name not in there]
    iou, dice = class_iou(table), class_dice(table)
    # scikit-learn gives 0 to a class that is absent: that is what mIoU must not average over.
    expected = jaccard_score(labels, predictions, labels=there, average=None)
    assert np.allclose(iou[there], expected)
    assert iou[absent].isnan().all()
    assert mean_iou(table) == pytest.approx(expected.mean())
    f1 = f1_score(labels, predictions, labels=there, average=None)
    assert np.allclose(dice[there], f1)
    assert dice[absent].isnan().all()
    assert torch.allclose(dice[there], 2 * iou[there] / (1 + iou[there]))
    assert pixel_accuracy(table) == pytest.approx(accuracy_score(labels, predictions))


@pytest.mark.slow  # torchmetrics takes its time to import
@settings(derandomize=True, deadline=None, max_examples=25)
@given(answers())
def test_measures_agree_with_torchmetrics(case):
    from torchmetrics.classification import MulticlassF1Score, MulticlassJaccardIndex

    predictions, labels, classes = case
    table = confusion(predictions, labels, classes)
    there = class_iou(table).isfinite()  # torchmetrics has a number for absent classes, too
    for ours, theirs in ((class_iou, MulticlassJaccardIndex), (class_dice, MulticlassF1Score)):
        expected = theirs(classes, average=None)(predictions, labels).double()
        torch.testing.assert_close(ours(table)[there], expected[there], rtol=1e-6, atol=0)


def test_tables_of_batches_add_up_but_their_means_do_not():
    predictions = torch.tensor([[[1, 1, 0, 0]], [[1, 0, 0, 0]]])
    labels = torch.tensor([[[1, 1, 1, 1]], [[1, 0, 0, 0]]])
    whole = confusion(predictions, labels, 2)
    parts = [confusion(p, t, 2) for p, t in zip(predictions, labels, strict=True)]
    assert torch.equal(sum(parts), whole)
    assert class_iou(whole)[1] == 3 / 5
    assert torch.stack([class_iou(part)[1] for part in parts]).mean() == 0.75


def test_ignored_pixels_do_not_count():
    labels = torch.tensor([0, 1, -100, -100])
    assert confusion(torch.tensor([0, 1, 0, 1]), labels, 2).tolist() == [[1, 0], [0, 1]]
    void = torch.tensor([0, 1, 255, 255])
    table = confusion(torch.tensor([0, 1, 0, 1]), void, 2, ignore_index=255)
    assert table.tolist() == [[1, 0], [0, 1]]
    assert math.isnan(mean_iou(confusion(labels[:0], labels[:0], 2)))


def random_case(classes, seed=0, size=(2, 5, 7)):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size[0], classes, *size[1:], generator=generator, dtype=torch.float64)
    labels = torch.randint(max(classes, 2), size, generator=generator)
    return 2 * logits, labels


@quick
@given(st.integers(1, 4), st.integers(0, 1000), st.booleans(), st.sampled_from([0.0, 1.0, 1e-3]))
def test_dice_loss_is_the_formula_class_by_class(classes, seed, squared, smooth):
    logits, labels = random_case(classes, seed)
    if classes == 1:
        p = {1: 1 / (1 + (-logits[:, 0]).exp())}
    else:
        shares = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
        p = {k: shares[:, k] for k in range(classes)}
    scores = []
    for k, probability in p.items():
        g = (labels == k).double()
        common = sum((probability * g).flatten().tolist())
        a, b = (probability**2, g**2) if squared else (probability, g)
        both = sum(a.flatten().tolist()) + sum(b.flatten().tolist())
        scores.append((2 * common + smooth) / (both + smooth))
    loss = dice_loss(logits, labels, smooth=smooth, squared=squared)
    assert loss.item() == pytest.approx(1 - sum(scores) / len(scores))
    assert 0 <= loss <= 1


def test_sure_answers_give_dice_itself():
    _, labels = random_case(3, size=(2, 8, 8))
    guess = labels.clone()
    guess[0, :5] = 2
    logits = 1e4 * F.one_hot(guess, 3).movedim(-1, 1).double()
    expected = 1 - class_dice(confusion(guess, labels, 3)).mean()
    assert torch.allclose(dice_loss(logits, labels, smooth=0), expected)
    right = 1e4 * F.one_hot(labels, 3).movedim(-1, 1).double()
    assert dice_loss(right, labels) == 0
    # One channel and the sigmoid: only the object's Dice.
    binary = (labels > 0).long()
    one = torch.where(guess > 0, 1e4, -1e4).double().unsqueeze(1)
    table = confusion((guess > 0).long(), binary, 2)
    assert torch.allclose(dice_loss(one, binary, smooth=0), 1 - class_dice(table)[1])


def test_dice_loss_does_not_change_with_what_softmax_ignores():
    """A number added to all logits of a pixel is nothing; on logits as such it would be a lot."""
    logits, labels = random_case(3)
    shifted = logits + 100 * torch.randn(2, 1, 5, 7, dtype=torch.float64)
    assert torch.allclose(dice_loss(logits, labels), dice_loss(shifted, labels))


def test_gradients():
    logits, labels = random_case(3, size=(2, 3, 3))
    labels[0, 0, 0] = -100
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: dice_loss(x, labels), logits)
    gradient = torch.autograd.grad(dice_loss(logits, labels), logits)[0]
    assert (gradient[0, :, 0, 0] == 0).all()
    assert (gradient[0, :, 0, 1] != 0).all()


def test_a_class_that_is_nowhere():
    """No NaN, and the gradient lowers its probability."""
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, :2] = 1
    loss = dice_loss(logits, labels)
    loss.backward()
    assert loss.isfinite()
    assert (logits.grad[:, 2] > 0).all()


def test_soft_dice_of_halves():
    p = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    g = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
    assert soft_dice(p, g, smooth=0).tolist() == pytest.approx([2 * 1.5 / 4.5])
    assert soft_dice(p, g, smooth=0, squared=True).tolist() == pytest.approx([2 * 1.5 / 4.25])


@quick
@given(st.integers(2, 4), st.integers(0, 1000), st.booleans())
def test_weighted_cross_entropy_agrees_with_torch(classes, seed, ignore):
    logits, labels = random_case(classes, seed)
    if ignore:
        labels[:, :2] = -100
    per_class = torch.rand(classes, generator=torch.Generator().manual_seed(seed)).double() + 0.1
    weights = per_class[labels.clamp(min=0)]
    # torch's mean with class weights divides by the weights' sum as well
    assert torch.allclose(
        weighted_cross_entropy(logits, labels, weights),
        F.cross_entropy(logits, labels, weight=per_class),
    )
    places = torch.rand(labels.shape, generator=torch.Generator().manual_seed(seed)).double()
    of_pixels = F.cross_entropy(logits, labels, reduction="none")
    expected = (of_pixels * places).sum() / places[labels >= 0].sum()
    assert torch.allclose(weighted_cross_entropy(logits, labels, places), expected)
    assert weighted_cross_entropy(logits, labels, 0 * places) == 0


@quick
@given(answers())
def test_class_weights_agree_with_scikit_learn(case):
    _, labels, classes = case
    there = sorted(set(labels.tolist()))
    weights = class_weights(labels, classes)
    expected = compute_class_weight("balanced", classes=np.array(there), y=labels.numpy())
    assert np.allclose(weights[there], expected)
    assert weights.count_nonzero() == len(there)
    assert weights[labels].mean().item() == pytest.approx(1)


@st.composite
def objects(draw):
    rows, columns = draw(st.integers(3, 9)), draw(st.integers(3, 9))
    row = st.lists(st.sampled_from([0, 0, 0, 1, 2, 5]), min_size=columns, max_size=columns)
    return torch.tensor(draw(st.lists(row, min_size=rows, max_size=rows)))


@quick
@given(objects(), st.booleans(), st.floats(1, 8))
def test_weight_map_is_equation_2(numbers, everywhere, sigma):
    got = weight_map(numbers, w0=7.0, sigma=sigma, balanced=False, everywhere=everywhere)
    members = {n: (numbers == n).nonzero().double() for n in (1, 2, 5) if (numbers == n).any()}
    expected = torch.ones(numbers.shape, dtype=torch.float64)
    for y, x in torch.cartesian_prod(*map(torch.arange, numbers.shape)).tolist():
        here = torch.tensor([[y, x]]).double()
        distances = sorted(torch.cdist(here, pixels).min().item() for pixels in members.values())
        if len(distances) >= 2 and (everywhere or numbers[y, x] == 0):
            d1, d2 = distances[:2]
            expected[y, x] += 7 * math.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    assert torch.allclose(got.double(), expected, atol=1e-5)
    masks = torch.stack([numbers == n for n in (1, 2, 5)])
    again = weight_map(masks, w0=7.0, sigma=sigma, balanced=False, everywhere=everywhere)
    assert torch.equal(got, again)


def test_weight_map_with_the_numbers_of_the_paper():
    """A gap of one pixel between two halves: distance 1 to each."""
    numbers = torch.zeros(5, 9, dtype=torch.int64)
    numbers[:, :4], numbers[:, 5:] = 1, 2
    w = weight_map(numbers)
    # 5 of 45 pixels are background: weights 45 / (2 · 5) and 45 / (2 · 40)
    assert w[2, 4].item() == pytest.approx(4.5 + 10 * math.exp(-4 / 50))
    assert w[2, 0].item() == pytest.approx(45 / 80)
    one = weight_map((numbers == 1).long(), balanced=False)
    assert torch.equal(one, torch.ones(5, 9))
    assert torch.equal(weight_map(torch.zeros(0, 5, 9, dtype=torch.bool)), torch.ones(5, 9))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dice_loss(torch.zeros(2, 3), torch.zeros(2).long()), "labels"),
        (lambda: dice_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4).long()), "labels"),
        (lambda: dice_loss(torch.zeros(1, 2, 1, 1), torch.tensor([[[2]]])), "from 0 to 1"),
        (lambda: dice_loss(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1)), "int64"),
        (lambda: soft_dice(torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 3, 3)), "shape"),
        (
            lambda: weighted_cross_entropy(
                torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3).long(), torch.ones(3, 3)
            ),
            "weights",
        ),
        (lambda: confusion(torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3).long(), 2), "argmax"),
        (lambda: confusion(torch.tensor([3]), torch.tensor([0]), 2), "predictions must be from 0"),
        (lambda: confusion(torch.tensor([0.5]), torch.tensor([0]), 2), "int64"),
        (lambda: class_iou(torch.zeros(2, 3)), "K, K"),
        (lambda: weight_map(torch.zeros(3)), "H, W"),
        (lambda: weight_map(torch.zeros(3, 3), sigma=0), "sigma"),
    ],
)
def test_wrong_arguments_are_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()
