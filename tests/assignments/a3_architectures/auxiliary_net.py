"""Answers to a3_architectures, task 6."""

import torch
import torch.nn.functional as F
from torch import nn


class right_two_ways(nn.Module):
    """Keeps its parts in a dict of modules, and sums a list of losses."""

    def __init__(self, lower, auxiliary, upper, weight=0.3):
        super().__init__()
        if not weight >= 0:
            raise ValueError("negative")
        self.parts = nn.ModuleDict({"upper": upper, "aux": auxiliary, "lower": lower})
        self.w = weight

    def forward(self, x):
        x = self.parts["lower"](x)
        if self.training:
            return self.parts["upper"](x), self.parts["aux"](x)
        return self.parts["upper"](x)

    def loss(self, x, labels):
        out = self.forward(x)
        out = out if self.training else (out,)
        losses = [F.nll_loss(F.log_softmax(scores, 1), labels) for scores in out]
        return sum(w * term for w, term in zip((1, self.w), losses, strict=False))


class right_criterion(nn.Module):
    """A loss layer, and the type of the output says which mode it was."""

    def __init__(self, lower, auxiliary, upper, weight=0.3):
        if weight < 0:
            raise ValueError(weight)
        super().__init__()
        self.stem, self.head, self.side, self.factor = lower, upper, auxiliary, weight
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, pictures):
        maps = self.stem(pictures)
        if not self.training:
            return self.head(maps)
        return tuple(part(maps) for part in (self.head, self.side))

    def loss(self, pictures, labels):
        scores = self(pictures)
        if torch.is_tensor(scores):
            return self.criterion(scores, labels)
        main, second = (self.criterion(s, labels) for s in scores)
        return torch.add(main, second, alpha=self.factor)


class AuxParts(nn.Module):
    """What most of the wrong answers share."""

    def __init__(self, lower, auxiliary, upper, weight=0.3):
        super().__init__()
        if weight < 0:
            raise ValueError("negative")
        self.lower, self.auxiliary, self.upper, self.weight = lower, auxiliary, upper, weight

    def forward(self, x):
        maps = self.lower(x)
        if self.training:
            return self.upper(maps), self.auxiliary(maps)
        return self.upper(maps)

    def losses(self, x, labels):
        maps = self.lower(x)
        first = F.cross_entropy(self.upper(maps), labels)
        if not self.training:
            return first, torch.zeros(())
        return first, F.cross_entropy(self.auxiliary(maps), labels)

    def loss(self, x, labels):
        first, second = self.losses(x, labels)
        return first + self.weight * second


class wrong_tuple_always(AuxParts):
    """Returns both logits in evaluation mode too.

    Named: where only the logits are wanted
    """

    def forward(self, x):
        maps = self.lower(x)
        return self.upper(maps), self.auxiliary(maps)


class wrong_order(AuxParts):
    """Returns the auxiliary logits first.

    Named: the logits of the network come first
    """

    def forward(self, x):
        maps = self.lower(x)
        return (self.auxiliary(maps), self.upper(maps)) if self.training else self.upper(maps)


class wrong_head_on_the_logits(AuxParts):
    """The auxiliary head sees the logits.

    Named: the auxiliary head sees the maps of lower
    """

    def forward(self, x):
        logits = self.upper(self.lower(x))
        return (logits, self.auxiliary(logits)) if self.training else logits


class wrong_runs_in_evaluation(AuxParts):
    """Runs the auxiliary head in evaluation mode, and throws its logits away."""

    def forward(self, x):
        maps = self.lower(x)
        outputs = self.upper(maps), self.auxiliary(maps)
        return outputs if self.training else outputs[0]


class wrong_loss_in_evaluation(AuxParts):
    """Adds the auxiliary loss in evaluation mode too.

    Named: in evaluation the auxiliary loss does not count
    """

    def losses(self, x, labels):
        maps = self.lower(x)
        outputs = self.upper(maps), self.auxiliary(maps)
        return tuple(F.cross_entropy(out, labels) for out in outputs)


class wrong_no_auxiliary_loss(AuxParts):
    """Trains with the loss of the network alone.

    Named: the auxiliary loss is missing
    """

    def loss(self, x, labels):
        return self.losses(x, labels)[0]


class wrong_no_weight(AuxParts):
    """Adds both losses in full.

    Named: the auxiliary loss has the weight 0.3
    """

    def loss(self, x, labels):
        return sum(self.losses(x, labels))


class wrong_weighted_mean(AuxParts):
    """The weights of both losses sum to 1.

    Named: the loss of the network counts in full
    """

    def loss(self, x, labels):
        first, second = self.losses(x, labels)
        return torch.lerp(first, second, self.weight) if self.training else first


class wrong_weight_on_the_first(AuxParts):
    """The weight is at the wrong loss.

    Named: the weight belongs to the auxiliary loss
    """

    def loss(self, x, labels):
        first, second = self.losses(x, labels)
        return self.weight * first + second if self.training else first


class wrong_softmax_twice(AuxParts):
    """Gives probabilities to the cross-entropy.

    Named: cross_entropy applies the softmax itself
    """

    def loss(self, x, labels):
        if not self.training:
            return F.cross_entropy(self(x).softmax(1), labels)
        first, second = (F.cross_entropy(out.softmax(1), labels) for out in self(x))
        return first + self.weight * second


class wrong_fixed_weight(AuxParts):
    """Always 0.3, whatever weight it was given."""

    def loss(self, x, labels):
        first, second = self.losses(x, labels)
        return first + 0.3 * second


class wrong_detached(AuxParts):
    """Cuts the short way: the auxiliary loss does not reach the lower part."""

    def losses(self, x, labels):
        maps = self.lower(x)
        first = F.cross_entropy(self.upper(maps), labels)
        if not self.training:
            return first, torch.zeros(())
        return first, F.cross_entropy(self.auxiliary(maps.detach()), labels)


class wrong_sum_over_the_batch(AuxParts):
    """Sums over the batch instead of averaging."""

    def loss(self, x, labels):
        return super().loss(x, labels) * len(labels)


class wrong_number(AuxParts):
    """Returns the loss as a number without a gradient.

    Named: expected a torch tensor
    """

    def loss(self, x, labels):
        return super().loss(x, labels).item()


class wrong_weight_unchecked(AuxParts):
    """Takes a negative weight.

    Named: expected a ValueError
    """

    def __init__(self, lower, auxiliary, upper, weight=0.3):
        super().__init__(lower, auxiliary, upper, abs(weight))
