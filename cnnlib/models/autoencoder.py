"""Autoencoders: learn a code for images by reconstructing them, without labels (2006 to 2011).

Idea: an encoder f maps the image x to a small code h = f(x), a decoder g maps it back, and the loss
is the difference between g(h) and x. Because h is too small to hold every pixel, it must hold what
the images have in common. Three kinds:

* *Deep, fully connected* (Hinton and Salakhutdinov 2006): 784-1000-500-250-30 units and back;
  2,837,314 parameters.
* *Convolutional* (after Masci et al. 2011): the code is a small map. The encoder halves the size
  with convolutions of stride 2, the decoder doubles it with transposed convolutions.
* *Denoising* (Vincent et al. 2008): damage the input, reconstruct the undamaged image. The identity
  no longer solves the task, so even a large code must learn what images look like.

| convolutional, 1×32×32 image   | output  |
|--------------------------------|---------|
| conv 16 of 3×3, stride 2       | 16×16×16 |
| conv 32 of 3×3, stride 2       | 32×8×8  |
| conv 8 of 3×3, stride 2: code  | 8×4×4, an eighth of the image's values |
| transposed 32 of 2×2, stride 2 | 32×8×8  |
| transposed 16 of 2×2, stride 2 | 16×16×16 |
| transposed 1 of 2×2, stride 2  | 1×32×32 |

Deviations: Hinton and Salakhutdinov pretrained each layer as a restricted Boltzmann machine; here
all layers are trained together from Glorot's initialisation. Masci et al. pooled and shared the
weights of encoder and decoder.

References: Hinton, Salakhutdinov, "Reducing the dimensionality of data with neural networks",
Science 313, 2006. Vincent et al., "Extracting and composing robust features with denoising
autoencoders", ICML 2008. Masci et al., "Stacked convolutional auto-encoders for hierarchical
feature extraction", ICANN 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from cnnlib.blocks import ConvNormActivation, xavier_initialization
from cnnlib.models._checks import check_choice, check_positive, check_probability

ACTIVATIONS = {"2006": nn.Sigmoid, "modern": nn.ReLU}
NOISE = ("masking", "gaussian", "salt and pepper")


class DenseAutoencoder(nn.Module):
    """Deep autoencoder of fully connected layers.

    Shape: images (N, in_channels, image_size, image_size) with values in [0, 1] to the same; the
    code is (N, latent_size).

    Args:
        in_channels: Channels of the image.
        image_size: Side of the image.
        hidden: Units of the encoder's layers; the decoder has them in reverse.
        latent_size: Length of the code.
        variant: "2006" has sigmoid units, "modern" ReLU, which trains without pretraining. The code
            itself is linear and the last layer a sigmoid in both.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self,
        in_channels: int = 1,
        *,
        image_size: int = 28,
        hidden: Sequence[int] = (1000, 500, 250),
        latent_size: int = 30,
        variant: str = "2006",
    ) -> None:
        check_choice("variant", variant, ACTIVATIONS)
        named = {"in_channels": in_channels, "image_size": image_size, "latent_size": latent_size}
        for name, value in named.items():
            check_positive(name, value)
        for units in hidden:
            check_positive("every entry of hidden", units)
        super().__init__()
        self.image_shape = (in_channels, image_size, image_size)
        activation = ACTIVATIONS[variant]
        sizes = [in_channels * image_size**2, *hidden, latent_size]  # 784, 1000, 500, 250, 30
        encoder: list[nn.Module] = [nn.Flatten()]
        decoder: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            encoder += [nn.Linear(n_in, n_out), activation()]
        for n_in, n_out in pairwise(reversed(sizes)):
            decoder += [nn.Linear(n_in, n_out), activation()]
        decoder[-1] = nn.Sigmoid()
        self.encoder = nn.Sequential(*encoder[:-1])  # the code is linear
        self.decoder = nn.Sequential(*decoder, nn.Unflatten(1, self.image_shape))
        xavier_initialization(self)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct images."""
        if x.shape[1:] != self.image_shape:
            raise ValueError(
                f"this autoencoder was built for images of shape {self.image_shape}; got "
                f"{tuple(x.shape[1:])}; set in_channels and image_size"
            )
        h = self.encoder(x)  # (N, 1, 28, 28) -> (N, 30)
        return self.decoder(h)  # (N, 1, 28, 28)


class ConvAutoencoder(nn.Module):
    """Convolutional autoencoder.

    Shape: images (N, in_channels, H, W) with values in [0, 1] to the same, any size; the code is
    (N, channels[-1], H', W') where H' is H halved and rounded up once per entry of `channels`.

    Args:
        in_channels: Channels of the image.
        channels: Channels after each halving; the last are the code's.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(self, in_channels: int = 1, *, channels: Sequence[int] = (16, 32, 8)) -> None:
        check_positive("in_channels", in_channels)
        if not channels:
            raise ValueError("channels must have at least one entry; got none")
        for c in channels:
            check_positive("every entry of channels", c)
        super().__init__()
        sizes = [in_channels, *channels]  # 1, 16, 32, 8
        encoder: list[nn.Module] = []
        decoder: list[nn.Module] = []
        for c_in, c_out in pairwise(sizes):
            encoder.append(ConvNormActivation(c_in, c_out, 3, stride=2, norm=None))
        for c_in, c_out in pairwise(reversed(sizes)):
            decoder += [nn.ConvTranspose2d(c_in, c_out, 2, stride=2), nn.ReLU(inplace=True)]
        decoder[-1] = nn.Sigmoid()
        self.encoder = nn.Sequential(*encoder)
        self.decoder = nn.Sequential(*decoder)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct images."""
        height, width = x.shape[2:]
        h = self.encoder(x)  # 1×32×32 -> 16×16×16 -> 32×8×8 -> 8×4×4
        x = self.decoder(h)  # 32×8×8 -> 16×16×16 -> 1×32×32
        return x[:, :, :height, :width]  # an odd size was rounded up on the way


def corrupt(
    x: Tensor, noise: str = "masking", level: float = 0.25, generator: torch.Generator | None = None
) -> Tensor:
    """Damage images with values in [0, 1]; returns new ones of the same shape.

    Args:
        x: Images, any shape.
        noise: "masking" sets values to 0, "salt and pepper" to 0 or 1, "gaussian" adds noise and
            clips to [0, 1].
        level: Share of the values that are hit, or the standard deviation of the Gaussian.
        generator: Where the random numbers come from; None is PyTorch's own.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """
    check_choice("noise", noise, NOISE)
    check_probability("level", level)
    if noise == "gaussian":
        added = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return (x + level * added).clamp(0, 1)
    u = torch.rand(x.shape, generator=generator, device=x.device)
    damaged = torch.zeros_like(x)
    if noise == "salt and pepper":
        damaged = (u < level / 2).to(x.dtype)  # of the values hit, half become 1
    return torch.where(u < level, damaged, x)


class DenoisingAutoencoder(nn.Module):
    """An autoencoder that sees damaged images in training; the loss compares with the undamaged.

    In evaluation mode the input is used as it is: hand it images damaged by `corrupt` to see what
    it repairs.

    Shape: that of the wrapped autoencoder.

    Args:
        autoencoder: Any module that maps images to images.
        noise: "masking" (the paper's), "gaussian" or "salt and pepper"; see `corrupt`.
        level: How much noise; the paper had 0.1 to 0.4 with masking.

    Raises:
        ValueError: An argument is not one of the allowed values.
    """

    def __init__(
        self, autoencoder: nn.Module, *, noise: str = "masking", level: float = 0.25
    ) -> None:
        check_choice("noise", noise, NOISE)
        check_probability("level", level)
        super().__init__()
        self.autoencoder = autoencoder
        self.noise = noise
        self.level = level

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct images, in training from a damaged copy."""
        if self.training:
            x = corrupt(x, self.noise, self.level)
        return self.autoencoder(x)


def dense_autoencoder(
    in_channels: int = 1,
    *,
    image_size: int = 28,
    hidden: Sequence[int] = (1000, 500, 250),
    latent_size: int = 30,
    variant: str = "2006",
) -> DenseAutoencoder:
    """Build a deep autoencoder; see `DenseAutoencoder` for the arguments."""
    return DenseAutoencoder(
        in_channels, image_size=image_size, hidden=hidden, latent_size=latent_size, variant=variant
    )


def conv_autoencoder(
    in_channels: int = 1, *, channels: Sequence[int] = (16, 32, 8)
) -> ConvAutoencoder:
    """Build a convolutional autoencoder; see `ConvAutoencoder` for the arguments."""
    return ConvAutoencoder(in_channels, channels=channels)
