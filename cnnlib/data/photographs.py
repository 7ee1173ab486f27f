"""Two photographs that scikit-learn carries, for showing what filters do to a real picture."""

from __future__ import annotations

import torch
from sklearn.datasets import load_sample_image
from torch import Tensor

PHOTOGRAPHS = ("china", "flower")


def photograph(name: str = "china") -> Tensor:
    """A colour photograph.

    Both are published under CC BY 2.0: "china" (the Summer Palace, by Yuting Kwok) and "flower" (a
    dahlia, by tanakawho); see `sklearn.datasets.load_sample_images`.

    Args:
        name: "china" or "flower".

    Returns:
        Float32 tensor of shape (3, 427, 640) with values from 0 to 1.

    Raises:
        ValueError: `name` is neither of the two.
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f"photographs are {', '.join(PHOTOGRAPHS)}; got {name!r}")
    pixels = torch.from_numpy(load_sample_image(f"{name}.jpg").copy())
    return pixels.permute(2, 0, 1).to(torch.float32).div(255)
