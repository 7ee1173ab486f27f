"""Siamese networks: learn a distance by comparing images (1993 to 2017).

Idea: Bromley et al. (1993) compared two signatures with two copies of one network that share their
weights ("Siamese twins"). Each copy maps its image to an embedding z; two images show the same
thing if the distance between their embeddings is small. The classes need not be known in
advance, so the network can judge classes it has never seen. What differs from paper to paper is
the loss, that is, which images are compared:

| loss               | compares                       | from                              |
|--------------------|--------------------------------|-----------------------------------|
| contrastive        | pairs, same or different       | Hadsell et al. 2006, equation 4   |
| triplet            | an anchor, a positive and a negative | Schroff et al. 2015, equation 3 |
| batch-hard triplet | the hardest pairs of a batch   | Hermans et al. 2017, equation 5   |

References: Bromley et al., "Signature verification using a 'Siamese' time delay neural network",
NIPS 1993. Hadsell, Chopra, LeCun, "Dimensionality reduction by learning an invariant mapping",
CVPR 2006. Schroff, Kalenichenko, Philbin, "FaceNet: a unified embedding for face recognition and
clustering", CVPR 2015, arXiv:1503.03832. Hermans, Beyer, Leibe, "In defense of the triplet loss for
person re-identification", arXiv:1703.07737.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SiameseNetwork(nn.Module):
    """One encoder applied to several images: the twins are the same module, not copies.

    Args:
        encoder: Any module that maps images (N, C, H, W) to embeddings (N, D). A classifier
            becomes an encoder with ``num_classes=D``.
        normalize: Scale every embedding to length 1, as FaceNet does. Distances then lie in
            [0, 2]. The network cannot lower the loss by shrinking all embeddings; it still can by
            putting them all into one point of the sphere.
    """

    def __init__(self, encoder: nn.Module, *, normalize: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.normalize = normalize

    def embed(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to embeddings (N, D)."""
        z = self.encoder(x)
        if z.ndim != 2:
            raise ValueError(
                f"the encoder must return embeddings of shape (N, D); got {tuple(z.shape)}; "
                "end it with pooling and nn.Flatten()"
            )
        return F.normalize(z, dim=1) if self.normalize else z

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Embed two images (pairs), three (triplets) or any other number of batches.

        The batches pass one after the other, as in the figure: in training mode each updates
        the running statistics of batch normalisation for itself.
        """
        return tuple(self.embed(x) for x in images)  # each (N, D)

    def distance(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Euclidean distance between the embeddings of x1[i] and x2[i], shape (N,)."""
        z1, z2 = self(x1, x2)
        return euclidean_distance(z1, z2)


def euclidean_distance(z1: Tensor, z2: Tensor) -> Tensor:
    """Distance along the last axis; its gradient at distance zero is zero instead of NaN."""
    squared = (z1 - z2).square().sum(dim=-1)
    # sqrt has an infinite slope at 0. The first `where` keeps 0 away from it, the second puts
    # the 0 back into the result, so that backward multiplies zero with a finite number.
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)


def contrastive_loss(z1: Tensor, z2: Tensor, same: Tensor, margin: float = 1.0) -> Tensor:
    """Pull pairs of the same class together; push others apart until `margin` (eq. 4).

    L = same · D²/2 + (1 − same) · max(0, margin − D)²/2, averaged over the batch. The paper's
    label is Y = 1 − `same`.

    Args:
        z1: Embeddings (N, D).
        z2: Embeddings (N, D).
        same: (N,), 1 or True where both show the same class, 0 or False elsewhere.
        margin: Pairs of different classes farther apart than this cost nothing.

    Raises:
        ValueError: If the shapes do not fit or the margin is not positive.
    """
    _check_margin(margin)
    if z1.shape != z2.shape or same.shape != z1.shape[:1]:
        raise ValueError(
            "z1 and z2 must both be (N, D) and same (N,); got "
            f"{tuple(z1.shape)}, {tuple(z2.shape)} and {tuple(same.shape)}"
        )
    same = same.to(z1.dtype)
    d = euclidean_distance(z1, z2)  # (N,)
    return (same * d.square() + (1 - same) * F.relu(margin - d).square()).mean() / 2


def triplet_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, *, squared: bool = True
) -> Tensor:
    """The negative must be farther from the anchor than the positive, by `margin` (eq. 3).

    L = max(0, D(a, p) − D(a, n) + margin), averaged. FaceNet compares squared distances;
    ``squared=False`` compares plain ones, as Hermans et al. and ``nn.TripletMarginLoss`` do.

    Args:
        anchor: Embeddings (N, D).
        positive: Embeddings (N, D) of the anchors' classes.
        negative: Embeddings (N, D) of other classes.
        margin: FaceNet used 0.2 on embeddings of length 1.
        squared: Compare squared distances.

    Raises:
        ValueError: If the shapes differ or the margin is not positive.
    """
    _check_margin(margin)
    if not anchor.shape == positive.shape == negative.shape:
        raise ValueError(
            "anchor, positive and negative must have one shape (N, D); got "
            f"{tuple(anchor.shape)}, {tuple(positive.shape)} and {tuple(negative.shape)}"
        )
    d_ap = euclidean_distance(anchor, positive)
    d_an = euclidean_distance(anchor, negative)
    if squared:
        d_ap, d_an = d_ap.square(), d_an.square()
    return F.relu(d_ap - d_an + margin).mean()


def batch_hard_triplet_loss(z: Tensor, labels: Tensor, margin: float | None = 0.2) -> Tensor:
    """Triplet loss of every image with its hardest positive and negative in the batch (eq. 5).

    Random triplets are soon too easy to teach anything. Fill a batch with P classes of K images
    each instead; every image is an anchor once, compared with the farthest image of its own
    class and the nearest image of another.

    Args:
        z: Embeddings (N, D).
        labels: Classes (N,), integers.
        margin: None stands for the soft margin log(1 + exp(D(a, p) − D(a, n))), which keeps
            pulling after the margin is reached.

    Raises:
        ValueError: If shapes do not fit or no image has both a positive and a negative.
    """
    if margin is not None:
        _check_margin(margin)
    if z.ndim != 2 or labels.shape != z.shape[:1]:
        raise ValueError(
            f"z must be (N, D) and labels (N,); got {tuple(z.shape)} and {tuple(labels.shape)}"
        )
    d = euclidean_distance(z[:, None], z[None, :])  # (N, N)
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    has_both = (same & ~itself).any(dim=1) & (~same).any(dim=1)
    if not has_both.any():
        raise ValueError(
            "a batch-hard loss needs at least two images of one class and one of another; "
            "draw P classes with K >= 2 images each"
        )
    hardest_positive = d.masked_fill(~same, -torch.inf).amax(dim=1)  # itself counts as distance 0
    hardest_negative = d.masked_fill(same, torch.inf).amin(dim=1)
    difference = (hardest_positive - hardest_negative)[has_both]
    return (F.softplus(difference) if margin is None else F.relu(difference + margin)).mean()


def _check_margin(margin: float) -> None:
    if not margin > 0:
        raise ValueError(f"margin must be greater than 0; got {margin}")
