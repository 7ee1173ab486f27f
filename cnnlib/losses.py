"""Loss functions of the papers that are more than one call of PyTorch."""

from __future__ import annotations

import torch
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


def equation_9(scores: Tensor, labels: Tensor, j: float = 10.0) -> Tensor:
    """The loss of LeNet-5: mean of y_correct + log(exp(-j) + Σ_i exp(-y_i)), with y = -scores.

    Without exp(-j) this is cross-entropy, which looks at differences between classes only: it is
    content when all ten drawings are equally bad but the right one is the least bad. The constant
    acts as an eleventh answer, "none of these", at the fixed distance j. To beat it, F6 must come
    nearer than j to the right code; and codes farther away than j are not pushed any farther.

    Args:
        scores: Output of `lenet5()`, shape (N, classes).
        labels: Right classes, int64 of shape (N,).
        j: The squared distance at which "none of these" lies; the paper only says that it is
            positive. Two codes that differ in k pixels are 4k apart.

    Returns:
        The mean over the batch, a scalar.

    Reference: LeCun et al., "Gradient-based learning applied to document recognition", Proceedings
    of the IEEE 86(11), 1998, equation 9.
    """
    none_of_these = scores.new_full((len(scores), 1), -j)
    return F.cross_entropy(torch.cat([scores, none_of_these], dim=1), labels)
