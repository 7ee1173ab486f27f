"""Answers to a1_layers, task 14."""


def right_with_unflatten(layers, in_shape):
    """The first layer by unflatten, the others by two new dimensions."""
    (weight, bias), *others = layers
    channels, height, width = in_shape
    if weight.shape[1] != channels * height * width:
        raise ValueError("first layer")
    converted = [(weight.unflatten(1, in_shape), bias)]
    for weight, bias in others:
        if weight.shape[1] != converted[-1][0].shape[0]:
            raise ValueError("another layer")
        converted.append((weight[:, :, None, None], bias.clone()))
    return converted


def right_neuron_by_neuron(layers, in_shape):
    """Fills one filter after the other."""
    result = []
    shape = tuple(in_shape)
    for weight, bias in layers:
        if weight.shape[1] != shape[0] * shape[1] * shape[2]:
            raise ValueError(f"{weight.shape[1]} inputs do not match {shape}")
        filters = weight.new_empty(len(weight), *shape)
        for neuron, row in enumerate(weight):
            for position, value in enumerate(row):
                c, rest = divmod(position, shape[1] * shape[2])
                filters[neuron, c, rest // shape[2], rest % shape[2]] = value
        result.append((filters, bias))
        shape = (len(weight), 1, 1)
    return result


def _check(layers, in_shape):
    inputs = in_shape[0] * in_shape[1] * in_shape[2]
    for weight, _ in layers:
        if weight.shape[1] != inputs:
            raise ValueError
        inputs = weight.shape[0]


def _convert(layers, in_shape, first):
    _check(layers, in_shape)
    (weight, bias), *others = layers
    return [(first(weight), bias), *((w[:, :, None, None], b) for w, b in others)]


def wrong_pixel_after_pixel(layers, in_shape):
    """Takes the volume to be flattened pixel after pixel.

    Named: flattened channel after channel, not pixel after pixel
    """
    c, h, w = in_shape
    return _convert(layers, in_shape, lambda f: f.reshape(-1, h, w, c).permute(0, 3, 1, 2))


def wrong_one_by_one(layers, in_shape):
    """Makes the first layer a 1x1 convolution too.

    Named: this filter sees 12 channels of one pixel
    """
    return _convert(layers, in_shape, lambda f: f[:, :, None, None])


def wrong_flipped(layers, in_shape):
    """Flips the filters, for a convolution that would flip them back.

    Named: there is nothing to flip back
    """
    return _convert(layers, in_shape, lambda f: f.reshape(-1, *in_shape).flip(2, 3))


def wrong_not_reshaped(layers, in_shape):
    """Leaves the weights as they are.

    Named: filters have four dimensions
    """
    _check(layers, in_shape)
    return list(layers)


def wrong_outputs_second(layers, in_shape):
    """Puts the input channels first, as a transposed convolution does.

    Named: they come first
    """
    return _convert(layers, in_shape, lambda f: f.reshape(-1, *in_shape).transpose(0, 1))


def wrong_same_shape_for_all(layers, in_shape):
    """Gives every layer the size of the volume."""
    channels, height, width = in_shape
    converted = []
    for weight, bias in layers:
        if weight.shape[1] != channels * height * width:
            raise ValueError
        converted.append((weight.reshape(len(weight), channels, height, width), bias))
    return converted


def wrong_square(layers, in_shape):
    """Mixes up height and width."""
    c, h, w = in_shape
    return _convert(layers, in_shape, lambda f: f.reshape(-1, c, w, h))


def wrong_no_error_for_later_layers(layers, in_shape):
    """Checks the first layer only."""
    _check(layers[:1], in_shape)
    (weight, bias), *others = layers
    return [(weight.reshape(-1, *in_shape), bias), *((w[:, :, None, None], b) for w, b in others)]


def wrong_no_bias(layers, in_shape):
    """Sets the biases to zero.

    Named: the bias stays
    """
    return [(w, b * 0) for w, b in _convert(layers, in_shape, lambda f: f.reshape(-1, *in_shape))]
