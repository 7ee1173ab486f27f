"""Siamese networks and their losses, against PyTorch's own and against plain loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cnnlib.data import load
from cnnlib.models import (
    SiameseNetwork,
    batch_hard_triplet_loss,
    contrastive_loss,
    mobilenet_v1,
    triplet_loss,
)
from cnnlib.models.siamese import euclidean_distance

seeds = st.integers(0, 2**31 - 1)
repeatable = settings(derandomize=True, deadline=None, max_examples=40)


def embeddings(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True)))


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 4)).double()


def test_twins_share_their_weights(encoder):
    net = SiameseNetwork(encoder)
    x1, x2 = embeddings(1, 5, 1, 6, 6), embeddings(2, 5, 1, 6, 6)
    z1, z2 = net(x1, x2)
    torch.testing.assert_close(z1, encoder(x1))
    torch.testing.assert_close(z2, encoder(x2))
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in encoder.parameters())
    # One update through one twin changes what the other twin computes.
    z1.sum().backward()
    with torch.no_grad():
        for p in encoder.parameters():
            p -= 0.1 * p.grad
    assert not torch.allclose(net.embed(x2), z2)


@pytest.mark.slow
@pytest.mark.parametrize("normalize", [False, True])
def test_behaves_as_every_network_does(normalize):
    """One image; a state dict carries everything; any memory format, precision and compilation."""

    def build(seed):
        torch.manual_seed(seed)
        layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        return SiameseNetwork(nn.Sequential(*layers), normalize=normalize).eval()

    net, other = build(0), build(1)
    x1, x2 = (embeddings(seed, 1, 1, 9, 7).float() for seed in (1, 2))
    expected = net(x1, x2)
    assert all(z.shape == (1, 16) for z in expected)
    assert not torch.equal(other(x1, x2)[0], expected[0])
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(other(x1, x2), expected, rtol=0, atol=0)
    torch.testing.assert_close(build(0)(x1, x2), expected, rtol=0, atol=0)
    inputs = [x.contiguous(memory_format=torch.channels_last) for x in (x1, x2)]
    torch.testing.assert_close(net.to(memory_format=torch.channels_last)(*inputs), expected)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x1, x2), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net(x1, x2)
    torch.testing.assert_close(tuple(z.float() for z in rough), expected, rtol=0.05, atol=0.02)


def test_distance_is_symmetric_and_zero_for_equal_images(encoder):
    net = SiameseNetwork(encoder)
    x1, x2 = embeddings(1, 3, 1, 6, 6), embeddings(2, 3, 1, 6, 6)
    torch.testing.assert_close(net.distance(x1, x2), net.distance(x2, x1))
    assert net.distance(x1, x1).tolist() == [0, 0, 0]
    expected = [plain_distance(a, b) for a, b in zip(encoder(x1), encoder(x2), strict=True)]
    torch.testing.assert_close(net.distance(x1, x2).tolist(), expected)


def test_normalized_embeddings_have_length_one(encoder):
    z1, z2, z3 = SiameseNetwork(encoder, normalize=True)(*embeddings(3, 3, 4, 1, 6, 6))
    torch.testing.assert_close(torch.cat([z1, z2, z3]).norm(dim=1), torch.ones(12).double())


def test_any_classifier_is_an_encoder():
    net = SiameseNetwork(mobilenet_v1(num_classes=16, in_channels=1, width_multiplier=0.25))
    z1, z2 = net(torch.rand(2, 1, 33, 33), torch.rand(2, 1, 33, 33))
    assert z1.shape == z2.shape == (2, 16)


def test_an_encoder_that_returns_maps_is_named_as_the_mistake():
    with pytest.raises(ValueError, match=r"shape \(N, D\); got \(2, 4, 6, 6\)"):
        SiameseNetwork(nn.Conv2d(1, 4, 1))(torch.rand(2, 1, 6, 6))


def test_distance_has_a_finite_gradient_at_zero():
    z = embeddings(4, 3, 5).requires_grad_()
    euclidean_distance(z, z.detach().clone()).sum().backward()
    assert z.grad.tolist() == torch.zeros(3, 5).tolist()


@repeatable
@given(seed=seeds, n=st.integers(1, 6), d=st.integers(1, 5), margin=st.floats(0.1, 4))
def test_contrastive_loss_equals_plain_loop(seed, n, d, margin):
    z1, z2 = embeddings(seed, 2, n, d)
    same = embeddings(seed + 1, n) > 0
    total = 0.0
    for a, b, y in zip(z1, z2, same.tolist(), strict=True):
        distance = plain_distance(a, b)
        total += 0.5 * distance**2 if y else 0.5 * max(0.0, margin - distance) ** 2
    assert contrastive_loss(z1, z2, same, margin).item() == pytest.approx(total / n)
    assert contrastive_loss(z1, z2, same.long(), margin).item() == pytest.approx(total / n)


def test_contrastive_loss_pulls_and_pushes():
    z1 = torch.tensor([[0.0], [0.0], [0.0]])
    z2 = torch.tensor([[0.5], [0.5], [2.0]], requires_grad=True)
    contrastive_loss(z1, z2, torch.tensor([1, 0, 0])).backward()
    pull, push, far = z2.grad.squeeze().tolist()
    assert pull > 0 > push  # a step against the gradient brings the first closer, not the second
    assert far == 0  # beyond the margin nothing is to be done


@repeatable
@given(seed=seeds, n=st.integers(1, 6), d=st.integers(1, 5), margin=st.floats(0.1, 4))
def test_triplet_loss_equals_torch_and_plain_loop(seed, n, d, margin):
    a, p, q = embeddings(seed, 3, n, d)
    ours = triplet_loss(a, p, q, margin, squared=False)
    theirs = nn.TripletMarginLoss(margin=margin, eps=0.0)(a, p, q)
    torch.testing.assert_close(ours, theirs)
    total = 0.0
    for i in range(n):
        total += max(
            0.0, plain_distance(a[i], p[i]) ** 2 - plain_distance(a[i], q[i]) ** 2 + margin
        )
    assert triplet_loss(a, p, q, margin).item() == pytest.approx(total / n)


def brute_force_batch_hard(z, labels, margin):
    losses = []
    for i in range(len(z)):
        positives = [
            plain_distance(z[i], z[j]) for j in range(len(z)) if j != i and labels[j] == labels[i]
        ]
        negatives = [plain_distance(z[i], z[j]) for j in range(len(z)) if labels[j] != labels[i]]
        if not positives or not negatives:
            continue
        difference = max(positives) - min(negatives)
        losses.append(
            math.log1p(math.exp(difference)) if margin is None else max(0.0, difference + margin)
        )
    return sum(losses) / len(losses) if losses else None


@repeatable
@given(
    seed=seeds,
    labels=st.lists(st.integers(0, 2), min_size=2, max_size=8),
    margin=st.one_of(st.none(), st.floats(0.1, 2)),
)
def test_batch_hard_equals_brute_force(seed, labels, margin):
    z = embeddings(seed, len(labels), 3)
    expected = brute_force_batch_hard(z, labels, margin)
    if expected is None:
        with pytest.raises(ValueError, match="at least two images of one class"):
            batch_hard_triplet_loss(z, torch.tensor(labels), margin)
    else:
        loss = batch_hard_triplet_loss(z, torch.tensor(labels), margin)
        assert loss.item() == pytest.approx(expected)


def test_batch_hard_gradient_equals_numerical_gradient():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    z = embeddings(5, 6, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: batch_hard_triplet_loss(z, labels, 0.5), z)


def test_batch_hard_gradient_is_finite_for_a_collapsed_batch():
    z = torch.ones(4, 3, requires_grad=True)
    loss = batch_hard_triplet_loss(z, torch.tensor([0, 0, 1, 1]), 0.2)
    loss.backward()
    assert loss.item() == pytest.approx(0.2)  # all distances are 0: the margin is what is left
    assert z.grad.isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z: contrastive_loss(z, z[:2], torch.ones(3)), r"\(3, 4\), \(2, 4\) and \(3,\)"),
        (lambda z: contrastive_loss(z, z, torch.ones(3, 1)), r"same \(N,\); got .* and \(3, 1\)"),
        (
            lambda z: contrastive_loss(z, z, torch.ones(3), margin=0),
            "margin must be greater than 0",
        ),
        (lambda z: triplet_loss(z, z, z[:, :2]), r"one shape \(N, D\)"),
        (lambda z: triplet_loss(z, z, z, margin=-1.0), "margin must be greater than 0; got -1.0"),
        (lambda z: batch_hard_triplet_loss(z, torch.ones(2)), r"labels \(N,\); got .* and \(2,\)"),
        (lambda z: batch_hard_triplet_loss(z, torch.ones(3), margin=0.0), "greater than 0"),
    ],
)
def test_bad_input_is_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.rand(3, 4))


LOSSES = {
    "contrastive": lambda z, y: contrastive_loss(z[::2], z[1::2], y[::2] == y[1::2]),
    "triplet": lambda z, y: triplet_loss(*triplets(z, y), margin=0.2),
    "batch-hard": lambda z, y: batch_hard_triplet_loss(z, y, margin=0.2),
}


def triplets(z, labels):
    """Every image with the next of its class and the next of another, going round the batch."""
    order = range(len(labels))
    after = [[(i + k) % len(labels) for k in range(1, len(labels))] for i in order]
    positive = [next(j for j in after[i] if labels[j] == labels[i]) for i in order]
    negative = [next(j for j in after[i] if labels[j] != labels[i]) for i in order]
    return z, z[positive], z[negative]


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_learns_a_distance_between_digits(loss):
    """Digits of unseen writers: classes lie farther apart than one class is wide."""
    train, test = (load("digits", split, image_size=None) for split in ("train", "test"))
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(train.images[0].numel(), 64), nn.ReLU(), nn.Linear(64, 16)
    )
    net = SiameseNetwork(encoder, normalize=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    by_class = [(train.labels == c).nonzero().flatten() for c in range(10)]

    def separation():
        """Mean distance between classes divided by the mean distance within one."""
        with torch.no_grad():
            z = net.eval().embed(test.images)
        d = torch.cdist(z, z)
        same = test.labels[:, None] == test.labels
        others = ~torch.eye(len(z), dtype=torch.bool)
        return (d[~same].mean() / d[same & others].mean()).item()

    before = separation()
    for _ in range(150):
        classes = torch.randperm(10, generator=generator)
        chosen = [torch.randperm(len(c), generator=generator)[:4] for c in by_class]
        batch = torch.cat([by_class[c][chosen[c]] for c in classes])  # P = 10, K = 4
        if loss == "contrastive":  # neighbours are pairs: 20 of one class, then 20 at random
            batch = torch.cat([batch, batch[torch.randperm(len(batch), generator=generator)]])
        optimizer.zero_grad()
        LOSSES[loss](net.train().embed(train.images[batch]), train.labels[batch]).backward()
        optimizer.step()
    assert separation() > max(1.5, 1.2 * before)
