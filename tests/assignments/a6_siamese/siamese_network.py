"""Answers to a6_siamese, task 1."""

import copy

import torch
from torch import nn


def refuse_twins(x1, x2, z):
    if len(x1) != len(x2) or z.ndim != 2:
        raise ValueError(f"{x1.shape}, {x2.shape}, {z.shape}")


class right_one_pass(nn.Module):
    """Both batches in one pile, one pass, and cut apart again."""

    def __init__(self, encoder):
        super().__init__()
        self.body = nn.Sequential(encoder)

    def forward(self, x1, x2):
        z = self.body(torch.cat((x1, x2)))
        refuse_twins(x1, x2, z)
        z1, z2 = z.chunk(2)
        return ((z1 - z2) ** 2).sum(-1).clamp(min=1e-12).sqrt()


class right_two_wheres(nn.Module):
    """The zero is kept away from the root, and put back behind it."""

    def __init__(self, encoder):
        super().__init__()
        self.f = encoder

    def forward(self, x1, x2):
        z1, z2 = (self.f(x) for x in (x1, x2))
        refuse_twins(x1, x2, z1)
        squared = torch.einsum("nd,nd->n", z1 - z2, z1 - z2)
        apart = squared > 0
        return torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0)


class right_two_names(nn.Module):
    """One encoder under two names: still one module."""

    def __init__(self, encoder):
        super().__init__()
        self.left = encoder
        self.right = encoder

    def forward(self, x1, x2):
        z1, z2 = self.left(x1), self.right(x2)
        refuse_twins(x1, x2, z1)
        distances = z1.new_zeros(len(z1))
        apart = (z1 != z2).any(dim=1)
        distances[apart] = (z1[apart] - z2[apart]).pow(2).sum(dim=1).sqrt()
        return distances


class TwinLayers(nn.Module):
    """What most of the wrong answers share."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def embed(self, x1, x2):
        return self.encoder(x1), self.encoder(x2)

    def between(self, z1, z2):
        return ((z1 - z2).square().sum(1) + 1e-12).sqrt()

    def forward(self, x1, x2):
        z1, z2 = self.embed(x1, x2)
        refuse_twins(x1, x2, z1)
        return self.between(z1, z2)


class wrong_two_encoders(TwinLayers):
    """Draws the figure: a second network, equal at first.

    Named: there is one encoder, which is used twice
    """

    def __init__(self, encoder):
        super().__init__(encoder)
        self.other = copy.deepcopy(encoder)

    def embed(self, x1, x2):
        return self.encoder(x1), self.other(x2)


class wrong_hidden_second_encoder(TwinLayers):
    """A copy in a list, whose parameters nobody finds.

    Named: do not share their weights: the second is a copy
    """

    def __init__(self, encoder):
        super().__init__(encoder)
        self.others = [copy.deepcopy(encoder)]

    def embed(self, x1, x2):
        return self.encoder(x1), self.others[0](x2)


class wrong_copied_in_each_pass(TwinLayers):
    """Copies the weights to the second branch before each pass: equal, but without gradient.

    Named: this is the gradient from the first branch alone
    """

    def embed(self, x1, x2):
        return self.encoder(x1), copy.deepcopy(self.encoder)(x2)


class wrong_first_branch_fixed(TwinLayers):
    """A target network: no gradient through the first branch.

    Named: this is the gradient from the second branch alone
    """

    def embed(self, x1, x2):
        with torch.no_grad():
            z1 = self.encoder(x1)
        return z1, self.encoder(x2)


class wrong_second_branch_detached(TwinLayers):
    """Takes the second embedding for a target.

    Named: this is the gradient from the first branch alone
    """

    def embed(self, x1, x2):
        return self.encoder(x1), self.encoder(x2).detach()


class wrong_copy_of_the_encoder(TwinLayers):
    """One encoder for both, but not the one that was given.

    Named: the network uses a copy of the encoder
    """

    def __init__(self, encoder):
        super().__init__(copy.deepcopy(encoder))


class wrong_not_registered(TwinLayers):
    """Hides the encoder in a list: an optimiser finds nothing.

    Named: so that its parameters are found
    """

    def __init__(self, encoder):
        super().__init__(None)
        self.encoders = [encoder]

    def embed(self, x1, x2):
        return self.encoders[0](x1), self.encoders[0](x2)


class wrong_extra_head(TwinLayers):
    """Adds a layer that learns to compare."""

    def __init__(self, encoder):
        super().__init__(encoder)
        self.head = nn.Linear(1, 1)


class wrong_no_root(TwinLayers):
    """The squared distance.

    Named: the root is missing
    """

    def between(self, z1, z2):
        return (z1 - z2).square().sum(1)


class wrong_plain_root(TwinLayers):
    """A root with an infinite slope at 0.

    Named: infinity times 0 is NaN
    """

    def between(self, z1, z2):
        return (z1 - z2).square().sum(1).sqrt()


class wrong_where_behind_the_root(TwinLayers):
    """Replaces the value, but not the gradient.

    Named: infinity times 0 is NaN
    """

    def between(self, z1, z2):
        squared = (z1 - z2).square().sum(1)
        return torch.where(squared > 0, squared.sqrt(), 0.0)


class wrong_clamped_behind_the_root(TwinLayers):
    """Clamps the root instead of what stands under it.

    Named: see that no 0 comes to the root
    """

    def between(self, z1, z2):
        return (z1 - z2).square().sum(1).sqrt().clamp(min=1e-6)


class wrong_large_eps(TwinLayers):
    """A root without NaN, but with an error of 0.1."""

    def between(self, z1, z2):
        return ((z1 - z2).square().sum(1) + 0.01).sqrt()


class wrong_city_block(TwinLayers):
    """Sums the absolute differences.

    Named: the Euclidean distance squares them
    """

    def between(self, z1, z2):
        return (z1 - z2).abs().sum(1)


class wrong_mean(TwinLayers):
    """Averages over the numbers of the embedding.

    Named: summed, not averaged
    """

    def between(self, z1, z2):
        return ((z1 - z2).square().mean(1) + 1e-12).sqrt()


class wrong_cosine(TwinLayers):
    """The cosine, which is large for equal things.

    Named: a distance is wanted
    """

    def between(self, z1, z2):
        return torch.cosine_similarity(z1, z2)


class wrong_unit_length(TwinLayers):
    """Scales the embeddings to length 1, as FaceNet does.

    Named: not scaled to length 1
    """

    def between(self, z1, z2):
        return super().between(nn.functional.normalize(z1), nn.functional.normalize(z2))


class wrong_one_distance(TwinLayers):
    """One number for the whole batch."""

    def between(self, z1, z2):
        return ((z1 - z2).square().sum() + 1e-12).sqrt()


class wrong_table(TwinLayers):
    """Every picture with every other."""

    def between(self, z1, z2):
        return ((z1[:, None] - z2[None]).square().sum(2) + 1e-12).sqrt()


class wrong_without_gradient(TwinLayers):
    """Only good for use, not for training.

    Named: whether gradients pass
    """

    @torch.no_grad()
    def forward(self, x1, x2):
        return super().forward(x1, x2)


class wrong_broadcast(TwinLayers):
    """Compares a single picture with all.

    Named: expected a ValueError
    """

    def forward(self, x1, x2):
        return self.between(*self.embed(x1, x2))


class wrong_any_encoder(TwinLayers):
    """Takes maps for embeddings."""

    def forward(self, x1, x2):
        if len(x1) != len(x2):
            raise ValueError("lengths")
        return self.between(*self.embed(x1, x2))
