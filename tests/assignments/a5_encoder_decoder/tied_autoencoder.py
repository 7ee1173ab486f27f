"""Answers to a5_encoder_decoder, task 4."""

import torch
import torch.nn.functional as F
from torch import nn


class right_matrix_products(nn.Module):
    """Bare parameters and products; the biases registered first."""

    def __init__(self, features, code):
        if min(features, code) <= 0:
            raise ValueError("nothing there")
        super().__init__()
        self.c = nn.Parameter(torch.rand(features))
        self.b = nn.Parameter(torch.rand(code))
        self.W = nn.Parameter(torch.randn(code, features))

    def encode(self, x):
        return (x @ self.W.t() + self.b).clamp(min=0)

    def decode(self, h):
        return h @ self.W + self.c

    def forward(self, x):
        return self.decode(self.encode(x))


class right_shared_parameter(nn.Module):
    """Two layers; the second has the parameter of the first in a place of its own."""

    def __init__(self, features, code):
        super().__init__()
        if features < 1 or code < 1:
            raise ValueError(f"{features}, {code}")
        self.down = nn.Linear(features, code)
        self.up = nn.Module()
        self.up.weight = self.down.weight
        self.up.bias = nn.Parameter(torch.zeros(features))

    def encode(self, x):
        return self.down(x).relu()

    def decode(self, h):
        return torch.einsum("nk,kf->nf", h, self.up.weight) + self.up.bias

    def forward(self, x):
        h = self.encode(x)
        return self.decode(h)


class TiedLayers(nn.Module):
    """What most of the wrong answers share."""

    def __init__(self, features, code):
        super().__init__()
        if min(features, code) < 1:
            raise ValueError("nothing there")
        self.encoder = nn.Linear(features, code)
        self.bias = nn.Parameter(torch.zeros(features))

    def encode(self, x):
        return self.encoder(x).relu()

    def decode(self, h):
        return h @ self.back() + self.bias

    def back(self):
        return self.encoder.weight

    def forward(self, x):
        return self.decode(self.encode(x))


class wrong_two_weights(nn.Module):
    """Not tied at all.

    Named: the weight is there twice
    """

    def __init__(self, features, code):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(features, code), nn.Linear(code, features)

    def forward(self, x):
        return self.decoder(self.encoder(x).relu())


class wrong_copied(nn.Module):
    """A parameter made of the transposed weight: equal at the start, two from then on.

    Named: the weight is there twice
    """

    def __init__(self, features, code):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(features, code), nn.Linear(code, features)
        self.decoder.weight = nn.Parameter(self.encoder.weight.t())

    def forward(self, x):
        return self.decoder(self.encoder(x).relu())


class wrong_stale_copy(TiedLayers):
    """The decoder keeps the weight of the first day."""

    def __init__(self, features, code):
        super().__init__(features, code)
        self.register_buffer("copied", self.encoder.weight.detach().clone())

    def back(self):
        return self.copied


class wrong_decoder_detached(TiedLayers):
    """The decoder sees the weight without its gradient.

    Named: this is the encoder's part
    """

    def back(self):
        return self.encoder.weight.detach()


class wrong_encoder_detached(TiedLayers):
    """The encoder sees the weight without its gradient.

    Named: this is the decoder's part
    """

    def encode(self, x):
        return F.linear(x, self.encoder.weight.detach(), self.encoder.bias).relu()


class wrong_data(TiedLayers):
    """Goes around autograd with .data.

    Named: this is the encoder's part
    """

    def back(self):
        return self.encoder.weight.data


class wrong_code_detached(TiedLayers):
    """Cuts the graph at the code.

    Named: this is the decoder's part
    """

    def forward(self, x):
        return self.decode(self.encode(x).detach())


class wrong_no_relu(TiedLayers):
    """A linear code.

    Named: a ReLU follows the encoder
    """

    def encode(self, x):
        return self.encoder(x)


class wrong_sigmoid_code(TiedLayers):
    """A sigmoid for the code.

    Named: not a sigmoid
    """

    def encode(self, x):
        return self.encoder(x).sigmoid()


class wrong_sigmoid_output(TiedLayers):
    """Squeezes what comes back between 0 and 1.

    Named: nothing follows the decoder
    """

    def decode(self, h):
        return super().decode(h).sigmoid()


class wrong_no_decoder_bias(nn.Module):
    """One bias for both.

    Named: the decoder has a bias of its own
    """

    def __init__(self, features, code):
        super().__init__()
        self.encoder = nn.Linear(features, code)

    def forward(self, x):
        return self.encoder(x).relu() @ self.encoder.weight


class wrong_decoder_bias_unused(TiedLayers):
    """Has the bias and leaves it.

    Named: the decoder has a bias
    """

    def decode(self, h):
        return h @ self.back()


class wrong_bias_taken_off(TiedLayers):
    """Undoes the encoder step by step: takes its bias off first.

    Named: it belongs to the encoder
    """

    def decode(self, h):
        return (h - self.encoder.bias) @ self.back() + self.bias


class wrong_inverse(TiedLayers):
    """Undoes the encoder with the pseudo-inverse.

    Named: not the inverse
    """

    def back(self):
        return torch.linalg.pinv(self.encoder.weight).T


class wrong_forward_linear(TiedLayers):
    """encode has its ReLU, forward goes another way without."""

    def forward(self, x):
        return self.decode(self.encoder(x))


class wrong_nothing_refused(TiedLayers):
    """A code of nothing.

    Named: expected a ValueError
    """

    def __init__(self, features, code):
        super().__init__(max(features, 1), max(code, 1))
