"""Truncated SVD: fully connected layers that cost less, without training (Fast R-CNN, 2015).

A picture has one backbone pass and perhaps 2,000 regions, and each goes through the fully connected
layers: in Fast R-CNN nearly half of the time. So a layer is replaced by two thin ones. Any weight
matrix W (u × v) is a sum of rank-1 matrices, the singular value decomposition

    W = U Σ Vᵀ = Σ_i  σ_i · u_i v_iᵀ        σ_1 ≥ σ_2 ≥ …

and of all matrices of rank t, the first t terms are the nearest to W (Eckart and Young, 1936).

    x (v) ── W (u × v), bias ── (u)              u·v weights
    x (v) ── Σ_t V_tᵀ (t × v) ── U_t (u × t), bias ── (u)         t·(u + v) weights

That is fewer if t < u·v / (u + v). No nonlinearity stands between the two layers.

Reference: Girshick, "Fast R-CNN", arXiv:1504.08083, section 3.1.
"""

from __future__ import annotations

import torch
from torch import nn


def truncated_svd(linear: nn.Linear, rank: int) -> nn.Sequential:
    """Replace a linear layer by two whose product is the nearest matrix of a lower rank.

    The largest error over all inputs of length 1 is σ_{t+1}, the first singular value left out,
    and the Frobenius norm of the error is the root of the sum of the squares of all those.

    Args:
        linear: A layer with weights (u, v). It is not changed.
        rank: t, from 1 to min(u, v).

    Returns:
        `nn.Sequential` of a layer without bias (t, v) and one (u, t) with the bias of `linear`, on
        its device and in its type.

    Raises:
        ValueError: `linear` is not a linear layer or the rank is out of range.

    Reference: arXiv:1504.08083, equation 5.
    """
    if not isinstance(linear, nn.Linear):
        raise ValueError(f"only nn.Linear can be split; got {type(linear).__name__}")
    out_features, in_features = linear.weight.shape
    most = min(out_features, in_features)
    if not 1 <= rank <= most:
        raise ValueError(f"rank must be from 1 to {most}, the smaller side; got {rank}")
    u, s, v_t = torch.linalg.svd(linear.weight.detach().double(), full_matrices=False)
    how = {"device": linear.weight.device, "dtype": linear.weight.dtype}
    thin = nn.Linear(in_features, rank, bias=False, **how)
    wide = nn.Linear(rank, out_features, bias=linear.bias is not None, **how)
    with torch.no_grad():
        thin.weight.copy_(s[:rank, None] * v_t[:rank])
        wide.weight.copy_(u[:, :rank])
        if linear.bias is not None:
            wide.bias.copy_(linear.bias)
    return nn.Sequential(thin, wide)
