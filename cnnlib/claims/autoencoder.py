"""Recomputations of the notes' chapter on autoencoders."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from cnnlib import arithmetic
from cnnlib.claims.helpers import layers
from cnnlib.claims.registry import Values, recomputes
from cnnlib.data import load
from cnnlib.models import conv_autoencoder, dense_autoencoder


@recomputes("autoencoder.c01")
def training_without_labels() -> Values:
    """Train on pictures alone, and compare with showing every digit the mean picture."""
    digits = load("digits", "train", image_size=8).images
    unseen = load("digits", "test", image_size=8).images
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = dense_autoencoder(image_size=8, hidden=(128,), latent_size=8, variant="modern")
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for step in range(300):
            batch = digits[torch.arange(64 * step, 64 * (step + 1)) % len(digits)]
            loss = F.mse_loss(model(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        error = F.mse_loss(model.eval()(unseen), unseen).item()
        mean = F.mse_loss(digits.mean(0).expand_as(unseen), unseen).item()
    assert error < mean / 2
    return {
        "length of the code": 8,
        "error on unseen digits below half that of the mean": error < mean / 2,
    }


@recomputes("autoencoder.c02", quoted=(2,))
def transposed_convolution_size() -> Values:
    """Compare the formula with PyTorch over a grid, and look into the decoder."""
    compared = 0
    for size, kernel, stride, padding in [
        (w, f, s, p) for w in (4, 7, 28) for f in (2, 3, 4) for s in (1, 2, 3) for p in (0, 1)
    ]:
        with torch.device("meta"):
            layer = nn.ConvTranspose2d(1, 1, kernel, stride, padding)
            got = layer(torch.empty(1, 1, size, size)).shape[-1]
        assert got == (size - 1) * stride - 2 * padding + kernel
        compared += 1
    assert arithmetic.conv_transpose_output_size(28, 2, 2) == 56
    decoder = layers(conv_autoencoder().decoder, nn.ConvTranspose2d)
    assert decoder
    return {
        "layers compared with PyTorch": compared,
        "transposed convolutions in our decoder": len(decoder),
    }
