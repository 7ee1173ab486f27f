"""Recomputations of the notes' remark on Siamese networks."""

from __future__ import annotations

import torch
from torch import nn

from cnnlib.claims.helpers import count, random_numbers
from cnnlib.claims.registry import Values, recomputes
from cnnlib.models import SiameseNetwork, contrastive_loss


@recomputes("siamese.c01")
def twins_share_their_weights() -> Values:
    """Build the twins, compare their parameters, and train the distance of two pairs."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
    siamese = SiameseNetwork(encoder)
    left, right = (random_numbers(2, 1, 4, 4, seed=s, dtype=torch.float32) for s in (1, 2))
    same = torch.tensor([True, False])
    assert torch.equal(siamese(left, left)[0], siamese(left, left)[1])

    optimizer = torch.optim.SGD(siamese.parameters(), lr=0.1)
    losses = []
    for _ in range(200):
        loss = contrastive_loss(*siamese(left, right), same)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    near, far = siamese.distance(left, right).tolist()
    assert losses[-1] < 0.1 * losses[0]
    assert near < far
    return {
        "inputs": len(siamese(left, right)),
        "parameters of one encoder": count(encoder),
        "parameters of the twins": count(siamese),
        "same pair nearer than the other after training": near < far,
    }
