"""Answers to a5_encoder_decoder, task 8."""

import torch
import torch.nn.functional as F

VOC_BORDER = (224, 224, 192)


def numbers_of(picture, palette, border, ignore_index):
    """Class numbers, pixel by pixel."""
    table = {tuple(border): ignore_index}
    table.update({tuple(colour): number for number, colour in enumerate(palette)})
    rows = picture.permute(1, 2, 0).tolist()
    try:
        return torch.tensor([[table[tuple(pixel)] for pixel in row] for row in rows])
    except KeyError as error:
        raise ValueError("not in the palette") from error


def maps_of(numbers, classes):
    return torch.stack([(numbers == c).float() for c in range(classes)])


def right_dictionary(picture, palette, border=VOC_BORDER, ignore_index=255):
    """A dictionary of colours."""
    numbers = numbers_of(picture, palette, border, ignore_index)
    return numbers, maps_of(numbers, len(palette))


def right_codes(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Each colour as one number of 24 bits, in int64; one-hot with one class too many."""
    weights = torch.tensor([65536, 256, 1])
    codes = (picture.long() * weights.reshape(3, 1, 1)).sum(0)
    colours = torch.tensor([*palette, border]) @ weights
    same = codes[..., None] == colours  # (H, W, C + 1)
    if not same.any(-1).all():
        raise ValueError("not in the palette")
    place = same.long().argmax(-1)
    one_hot = F.one_hot(place, len(colours)).permute(2, 0, 1)[:-1].float()
    return torch.where(place == len(palette), ignore_index, place), one_hot


def right_distance(picture, palette, border=VOC_BORDER, ignore_index=255):
    """The colour at distance 0."""
    colours = torch.tensor([*palette, border], dtype=torch.float32)
    pixels = picture.flatten(1).T.float()
    far = (pixels[:, None] - colours).abs().sum(-1)
    smallest, place = far.min(1)
    if smallest.max() > 0:
        raise ValueError("not in the palette")
    place = place.reshape(picture.shape[1:])
    one_hot = torch.eye(len(colours))[place][..., :-1].movedim(-1, 0)
    numbers = place.clone()
    numbers[place == len(palette)] = ignore_index
    return numbers, one_hot


def wrong_border_is_background(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Takes the border for class 0.

    Named: the border is no class
    """
    numbers = numbers_of(picture, palette, border, 0)
    return numbers, maps_of(numbers, len(palette))


def wrong_border_in_the_background_map(picture, palette, border=VOC_BORDER, ignore_index=255):
    """One-hot wants class numbers, so the ignored ones become 0 for it.

    Named: that of the background too
    """
    numbers = numbers_of(picture, palette, border, ignore_index)
    known = torch.where(numbers == ignore_index, 0, numbers)
    return numbers, maps_of(known, len(palette))


def wrong_border_clamped(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Clamps the ignored ones to the last class.

    Named: that of the last class too
    """
    numbers = numbers_of(picture, palette, border, ignore_index)
    return numbers, maps_of(numbers.clamp(0, len(palette) - 1), len(palette))


def wrong_border_is_a_class(picture, palette, border=VOC_BORDER, ignore_index=255):
    """A map more, for the border.

    Named: the border has no map of its own
    """
    numbers = numbers_of(picture, palette, border, ignore_index)
    maps = maps_of(numbers, len(palette))
    return numbers, torch.cat([maps, (numbers == ignore_index).float()[None]])


def wrong_next_number(picture, palette, border=VOC_BORDER, ignore_index=255):
    """The border gets the next number.

    Named: not the next free number
    """
    numbers = numbers_of(picture, palette, border, len(palette))
    return numbers, maps_of(numbers, len(palette))


def wrong_channels_last(picture, palette, border=VOC_BORDER, ignore_index=255):
    """As F.one_hot gives it: classes last.

    Named: the classes come first
    """
    numbers = numbers_of(picture, palette, border, ignore_index)
    return numbers, maps_of(numbers, len(palette)).permute(1, 2, 0)


def wrong_byte_labels(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Class numbers as bytes.

    Named: expected a tensor of int64
    """
    numbers = numbers_of(picture, palette, border, ignore_index)
    return numbers.to(torch.uint8), maps_of(numbers, len(palette))


def wrong_boolean_maps(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Maps of True and False.

    Named: expected a tensor of float32
    """
    numbers = numbers_of(picture, palette, border, ignore_index)
    return numbers, maps_of(numbers, len(palette)).bool()


def wrong_any_channel(picture, palette, border=VOC_BORDER, ignore_index=255):
    """A colour fits if one of its channels does."""
    numbers = torch.full(picture.shape[1:], -1)
    for number, colour in [(ignore_index, border), *enumerate(palette)]:
        colour = torch.tensor(colour, dtype=torch.uint8).reshape(3, 1, 1)
        numbers[(picture == colour).any(0)] = number
    if (numbers == -1).any():
        raise ValueError("not in the palette")
    return numbers, maps_of(numbers, len(palette))


def wrong_red_only(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Looks at red alone, which suffices for the example."""
    reds = {border[0]: ignore_index} | {colour[0]: c for c, colour in enumerate(palette)}
    if not set(picture[0].flatten().tolist()) <= set(reds):
        raise ValueError("not in the palette")
    numbers = torch.tensor([[reds[red] for red in row] for row in picture[0].tolist()])
    return numbers, maps_of(numbers, len(palette))


def wrong_sums(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Adds the channels up to one number, which several colours share."""
    sums = {sum(border): ignore_index} | {sum(colour): c for c, colour in enumerate(palette)}
    total = picture.long().sum(0)
    if not set(total.flatten().tolist()) <= set(sums):
        raise ValueError("not in the palette")
    numbers = torch.tensor([[sums[value] for value in row] for row in total.tolist()])
    return numbers, maps_of(numbers, len(palette))


def wrong_overflow(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Packs the three bytes into one byte: red and green are shifted out of it."""
    codes = picture[0] * 256 + picture[1] * 16 + picture[2]
    keys = torch.tensor([*palette, border], dtype=torch.uint8)
    keys = keys[:, 0] * 256 + keys[:, 1] * 16 + keys[:, 2]
    table = dict(zip(keys.tolist(), [*range(len(palette)), ignore_index], strict=True))
    if not set(codes.flatten().tolist()) <= set(table):
        raise ValueError("not in the palette")
    numbers = torch.tensor([[table[value] for value in row] for row in codes.tolist()])
    return numbers, maps_of(numbers, len(palette))


def wrong_nearest_colour(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Gives an unknown colour to the class that looks most like it.

    Named: expected a ValueError
    """
    colours = torch.tensor([*palette, border])
    far = (picture.flatten(1).T.long()[:, None] - colours).abs().sum(-1)
    place = far.argmin(1).reshape(picture.shape[1:])
    numbers = torch.where(place == len(palette), ignore_index, place)
    return numbers, maps_of(numbers, len(palette))


def wrong_unknown_ignored(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Ignores what it does not know.

    Named: expected a ValueError
    """
    numbers = torch.full(picture.shape[1:], ignore_index)
    for number, colour in enumerate(palette):
        colour = torch.tensor(colour, dtype=torch.uint8).reshape(3, 1, 1)
        numbers[(picture == colour).all(0)] = number
    return numbers, maps_of(numbers, len(palette))


def wrong_order_of_first_sight(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Numbers the colours in the order in which they occur."""
    numbers = numbers_of(picture, palette, border, ignore_index)
    seen = [c for c in dict.fromkeys(numbers.flatten().tolist()) if c != ignore_index]
    found = torch.full_like(numbers, ignore_index)
    for new, old in enumerate(seen):
        found[numbers == old] = new
    return found, maps_of(found, len(palette))


def wrong_always_255(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Ignores ignore_index."""
    numbers = numbers_of(picture, palette, border, 255)
    return numbers, maps_of(numbers, len(palette))


def wrong_border_fixed(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Knows the border of VOC only."""
    numbers = numbers_of(picture, palette, VOC_BORDER, ignore_index)
    return numbers, maps_of(numbers, len(palette))


def wrong_as_many_maps_as_occur(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Leaves out maps behind the largest number that occurs."""
    numbers = numbers_of(picture, palette, border, ignore_index)
    occurring = numbers[numbers != ignore_index]
    classes = int(occurring.max()) + 1 if len(occurring) else 0
    return numbers, maps_of(numbers, classes) if classes else torch.zeros(0, *numbers.shape)


def wrong_marker_is_a_number(picture, palette, border=VOC_BORDER, ignore_index=255):
    """Marks what it does not know yet by -1, which may be the number of the border."""
    numbers = torch.full(picture.shape[1:], -1)
    for number, colour in [(ignore_index, border), *enumerate(palette)]:
        colour = torch.tensor(colour, dtype=torch.uint8).reshape(3, 1, 1)
        numbers[(picture == colour).all(0)] = number
    if (numbers == -1).any():
        raise ValueError("not in the palette")
    return numbers, maps_of(numbers, len(palette))
