"""Answers to a5_encoder_decoder, task 3."""

import torch


def refuse_tents(channels, factor):
    if channels < 1 or factor < 1:
        raise ValueError("at least 1")


def tent_of(factor, centre=None):
    k = 2 * factor - factor % 2
    centre = (k - 1) / 2 if centre is None else centre
    return torch.tensor([1 - abs(i - centre) / factor for i in range(k)])


def on_diagonal(channels, kernel):
    weight = torch.zeros(channels, channels, *kernel.shape)
    for c in range(channels):
        weight[c, c] = kernel
    return weight


def square(tent):
    return tent[:, None] * tent


def right_loops(channels, factor):
    """Kernel by kernel, tap by tap."""
    refuse_tents(channels, factor)
    return on_diagonal(channels, square(tent_of(factor)))


def right_boxes(channels, factor):
    """A tent is a box convolved with a box: the taps count how often two boxes overlap."""
    refuse_tents(channels, factor)
    k = 2 * factor - factor % 2
    if factor % 2:
        counts = [min(i + 1, k - i) for i in range(k)]
        tent = torch.tensor(counts) / factor
    else:
        counts = [2 * min(i + 1, k - i) - 1 for i in range(k)]
        tent = torch.tensor(counts) / (2 * factor)
    kernel = torch.einsum("i,j->ij", tent, tent)
    return torch.einsum("co,ij->coij", torch.eye(channels), kernel)


def wrong_not_normalised(channels, factor):
    """Whole numbers, as on paper: 1 3 3 1.

    Named: are not normalised
    """
    refuse_tents(channels, factor)
    tent = tent_of(factor)
    return on_diagonal(channels, square(tent / tent.min()))


def wrong_not_divided(channels, factor):
    """Forgets to divide the distance: tents of the height of the factor.

    Named: are not normalised
    """
    refuse_tents(channels, factor)
    return on_diagonal(channels, square(tent_of(factor))) * factor**2


def wrong_sum_of_one(channels, factor):
    """Normalised like a filter that smooths.

    Named: a kernel that adds up to 1 smooths
    """
    refuse_tents(channels, factor)
    kernel = square(tent_of(factor))
    return on_diagonal(channels, kernel / kernel.sum())


def wrong_mixes_channels(channels, factor):
    """The same kernel for each pair of channels.

    Named: each channel is made of itself alone
    """
    refuse_tents(channels, factor)
    return square(tent_of(factor)).repeat(channels, channels, 1, 1)


def wrong_depthwise_shape(channels, factor):
    """A weight for as many groups as channels.

    Named: without groups
    """
    refuse_tents(channels, factor)
    return square(tent_of(factor)).repeat(channels, 1, 1, 1)


def wrong_centre(channels, factor):
    """The centre of an odd kernel for even ones too.

    Named: the centre of 4 taps is at 1.5
    """
    refuse_tents(channels, factor)
    k = 2 * factor - factor % 2
    return on_diagonal(channels, square(tent_of(factor, k // 2)))


def wrong_centre_before(channels, factor):
    """Rounds the centre down.

    Named: not at 1
    """
    refuse_tents(channels, factor)
    k = 2 * factor - factor % 2
    return on_diagonal(channels, square(tent_of(factor, (k - 1) // 2)))


def wrong_nearest(channels, factor):
    """Repeats pixels.

    Named: this repeats each pixel
    """
    refuse_tents(channels, factor)
    k = 2 * factor - factor % 2
    return on_diagonal(channels, torch.ones(k, k))


def wrong_box_of_the_factor(channels, factor):
    """A kernel as large as the factor, as in U-Net."""
    refuse_tents(channels, factor)
    return on_diagonal(channels, torch.ones(factor, factor))


def wrong_pyramid(channels, factor):
    """Adds the tents of row and column.

    Named: multiply the tents
    """
    refuse_tents(channels, factor)
    tent = tent_of(factor)
    return on_diagonal(channels, (tent[:, None] + tent) / 2)


def wrong_even_kernel(channels, factor):
    """Twice the factor, for odd factors too.

    Named: the kernel of an odd factor is odd
    """
    refuse_tents(channels, factor)
    k = 2 * factor
    tent = 1 - (torch.arange(k) - (k - 1) / 2).abs() / factor
    return on_diagonal(channels, square(tent))


def wrong_float64(channels, factor):
    """Double precision, which no float32 layer takes.

    Named: expected a tensor of float32
    """
    refuse_tents(channels, factor)
    return on_diagonal(channels, square(tent_of(factor))).double()


def wrong_nothing_refused(channels, factor):
    """An empty kernel for a factor of 0.

    Named: expected a ValueError
    """
    if factor < 1:
        return torch.zeros(channels, channels, 0, 0)
    return on_diagonal(channels, square(tent_of(factor)))
