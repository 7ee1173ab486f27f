"""Loss functions of the papers that are more than one call of PyTorch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class LabelSmoothingLoss(nn.Module):
    """Cross-entropy with smoothed targets.

    The target q(k) = 1 for the right class and 0 elsewhere becomes
    q'(k) = (1 - epsilon) q(k) + epsilon u(k) with the uniform distribution u(k) = 1/K. So
    H(q', p) = (1 - epsilon) H(q, p) + epsilon H(u, p): the second term punishes a prediction p that
    is far from uniform, that is, too sure of itself.

    Shape: logits (N, K) and labels (N,) of type int64 to a scalar, the mean over the batch.

    Args:
        epsilon: Share of the target that is spread over all classes; 0.1 in the paper.

    Raises:
        ValueError: `epsilon` is not at least 0 and below 1.

    Reference: Szegedy et al., "Rethinking the Inception architecture for computer vision",
    arXiv:1512.00567, section 7.
    """

    def __init__(self, epsilon: float = 0.1) -> None:
        number = isinstance(epsilon, int | float) and not isinstance(epsilon, bool)
        if not number or not 0 <= epsilon < 1:
            raise ValueError(f"epsilon must be a number with 0 <= epsilon < 1; got {epsilon!r}")
        super().__init__()
        self.epsilon = epsilon

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """H(q', p), with p the softmax of the logits."""
        log_p = F.log_softmax(logits, dim=1)  # (N, K)
        h_q = -log_p.gather(1, labels.unsqueeze(1)).squeeze(1)  # H(q, p), (N,)
        h_u = -log_p.mean(dim=1)  # H(u, p), (N,)
        return ((1 - self.epsilon) * h_q + self.epsilon * h_u).mean()
