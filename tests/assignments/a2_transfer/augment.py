"""Answers to a2_transfer, task 1."""

import torch
import torch.nn.functional as F


def refuse(boxes, labels, crop):
    """Raises the ValueErrors about the shape of the arguments."""
    if min(crop[2:]) < 1:
        raise ValueError("empty window")
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(labels) != len(boxes):
        raise ValueError("boxes and labels do not fit")


def cut(image, crop):
    """The window, by way of a picture with a frame of zeros."""
    top, left, height, width = crop
    frame = 40
    image = F.pad(image, (frame, frame, frame, frame))
    return image[:, frame + top : frame + top + height, frame + left : frame + left + width]


def rename(labels, mirrored):
    new = [mirrored.get(label, label) if mirrored else label for label in labels]
    if any(label is None for label in new):
        raise ValueError("no meaning")
    return new


def shift(boxes, crop):
    return boxes - torch.tensor([crop[1], crop[0], crop[1], crop[0]], dtype=boxes.dtype)


def clip(boxes, height, width):
    high = torch.tensor([width, height, width, height], dtype=boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), high)


def drop(boxes, labels):
    keep = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1) > 0
    return boxes[keep], [label for i, label in enumerate(labels) if keep[i]]


def mirror(boxes, width):
    flipped = boxes.clone()
    flipped[:, 0] = width - boxes[:, 2]
    flipped[:, 2] = width - boxes[:, 0]
    return flipped


def right_in_steps(image, boxes, labels, crop, flip=False, mirrored=None):
    """Cuts out of a padded picture, then one step after the other."""
    refuse(boxes, labels, crop)
    _, _, height, width = crop
    window = cut(image, crop)
    boxes, labels = drop(clip(shift(boxes, crop), height, width), labels)
    if flip:
        window = torch.flip(window, dims=(-1,))
        boxes, labels = mirror(boxes, width), rename(labels, mirrored)
    return window, boxes, labels


def right_box_by_box(image, boxes, labels, crop, flip=False, mirrored=None):
    """Python numbers, one pixel and one box at a time."""
    refuse(boxes, labels, crop)
    top, left, height, width = crop
    _, rows, columns = image.shape
    window = torch.zeros(len(image), height, width, dtype=image.dtype)
    for i in range(height):
        for j in range(width):
            row, column = top + i, left + (width - 1 - j if flip else j)
            if 0 <= row < rows and 0 <= column < columns:
                window[:, i, j] = image[:, row, column]
    new_boxes, new_labels = [], []
    for box, label in zip(boxes.tolist(), labels, strict=True):
        x1, x2 = max(box[0] - left, 0), min(box[2] - left, width)
        y1, y2 = max(box[1] - top, 0), min(box[3] - top, height)
        if x1 >= x2 or y1 >= y2:
            continue
        if flip:
            x1, x2 = width - x2, width - x1
            label = (mirrored or {}).get(label, label)
            if label is None:
                raise ValueError("no meaning")
        new_boxes.append([x1, y1, x2, y2])
        new_labels.append(label)
    return window, torch.tensor(new_boxes, dtype=boxes.dtype).reshape(-1, 4), new_labels


def wrong_box_not_mirrored(image, boxes, labels, crop, flip=False, mirrored=None):
    """Mirrors the picture, but not its boxes.

    Named: its box stayed
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    boxes, labels = drop(clip(shift(boxes, crop), *crop[2:]), labels)
    return (window.flip(2), boxes, rename(labels, mirrored)) if flip else (window, boxes, labels)


def wrong_edges_not_swapped(image, boxes, labels, crop, flip=False, mirrored=None):
    """Leaves the left edge on the left of the list.

    Named: the edges trade places
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    boxes, labels = drop(clip(shift(boxes, crop), *crop[2:]), labels)
    if not flip:
        return window, boxes, labels
    boxes[:, 0::2] = crop[3] - boxes[:, 0::2]
    return window.flip(2), boxes, rename(labels, mirrored)


def wrong_pixel_numbers(image, boxes, labels, crop, flip=False, mirrored=None):
    """Mirrors edges like pixel numbers.

    Named: mirrors the numbers of pixels
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    boxes, labels = drop(clip(shift(boxes, crop), *crop[2:]), labels)
    if not flip:
        return window, boxes, labels
    return window.flip(2), mirror(boxes, crop[3] - 1), rename(labels, mirrored)


def wrong_upside_down(image, boxes, labels, crop, flip=False, mirrored=None):
    """Mirrors top to bottom.

    Named: top to bottom
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    boxes, labels = drop(clip(shift(boxes, crop), *crop[2:]), labels)
    if not flip:
        return window, boxes, labels
    x1, y1, x2, y2 = boxes.unbind(1)
    boxes = torch.stack((x1, crop[2] - y2, x2, crop[2] - y1), 1)
    return window.flip(1), boxes, rename(labels, mirrored)


def wrong_x_and_y_swapped(image, boxes, labels, crop, flip=False, mirrored=None):
    """Takes top from x and left from y.

    Named: x and y are swapped
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    swapped = (crop[1], crop[0], *crop[2:])
    boxes, labels = drop(clip(shift(boxes, swapped), *crop[2:]), labels)
    if flip:
        return window.flip(2), mirror(boxes, crop[3]), rename(labels, mirrored)
    return window, boxes, labels


def wrong_not_clipped(image, boxes, labels, crop, flip=False, mirrored=None):
    """Boxes may reach beyond the window.

    Named: not cut off at the borders of the window
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    _, kept = drop(clip(shift(boxes, crop), *crop[2:]), list(range(len(labels))))
    boxes, labels = shift(boxes, crop)[kept], [labels[i] for i in kept]
    if flip:
        return window.flip(2), mirror(boxes, crop[3]), rename(labels, mirrored)
    return window, boxes, labels


def wrong_clipped_at_the_picture(image, boxes, labels, crop, flip=False, mirrored=None):
    """Cuts boxes off at the size of the picture.

    Named: at the borders of the picture
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    boxes, labels = drop(clip(shift(boxes, crop), *image.shape[1:]), labels)
    if flip:
        return window.flip(2), mirror(boxes, crop[3]), rename(labels, mirrored)
    return window, boxes, labels


def wrong_empty_boxes_kept(image, boxes, labels, crop, flip=False, mirrored=None):
    """Keeps boxes of which nothing is left.

    Named: must be dropped
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    boxes = clip(shift(boxes, crop), *crop[2:])
    if flip:
        return window.flip(2), mirror(boxes, crop[3]), rename(labels, mirrored)
    return window, boxes, labels


def wrong_labels_stay(image, boxes, labels, crop, flip=False, mirrored=None):
    """Drops boxes, but not their labels.

    Named: the label of a dropped box
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    boxes, _ = drop(clip(shift(boxes, crop), *crop[2:]), labels)
    if flip:
        return window.flip(2), mirror(boxes, crop[3]), rename(labels, mirrored)
    return window, boxes, labels


def wrong_mirrored_in_the_picture(image, boxes, labels, crop, flip=False, mirrored=None):
    """Mirrors boxes by the width of the picture.

    Named: the window is only 3 pixels wide
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    boxes, labels = drop(clip(shift(boxes, crop), *crop[2:]), labels)
    if flip:
        return window.flip(2), mirror(boxes, image.shape[2]), rename(labels, mirrored)
    return window, boxes, labels


def wrong_flips_first(image, boxes, labels, crop, flip=False, mirrored=None):
    """Mirrors the picture before the window is cut out.

    Named: mirrored first
    """
    refuse(boxes, labels, crop)
    if flip:
        image, boxes = image.flip(2), mirror(boxes, image.shape[2])
    boxes, labels = drop(clip(shift(boxes, crop), *crop[2:]), labels)
    return cut(image, crop), boxes, rename(labels, mirrored) if flip else labels


def wrong_labels_not_mirrored(image, boxes, labels, crop, flip=False, mirrored=None):
    """A mirrored left arrow stays a left arrow.

    Named: a mirrored left arrow is a right arrow
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    boxes, labels = drop(clip(shift(boxes, crop), *crop[2:]), labels)
    if flip:
        return window.flip(2), mirror(boxes, crop[3]), labels
    return window, boxes, labels


def wrong_three_refused_unflipped(image, boxes, labels, crop, flip=False, mirrored=None):
    """Refuses a 3 also when nothing is mirrored."""
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    boxes, labels = drop(clip(shift(boxes, crop), *crop[2:]), labels)
    new = rename(labels, mirrored)
    if flip:
        return window.flip(2), mirror(boxes, crop[3]), new
    return window, boxes, labels


def wrong_negative_corner(image, boxes, labels, crop, flip=False, mirrored=None):
    """Lets Python count negative rows from the end of the picture."""
    refuse(boxes, labels, crop)
    top, left, height, width = crop
    window = image[:, top : top + height, left : left + width]
    boxes, labels = drop(clip(shift(boxes, crop), height, width), labels)
    if flip:
        return window.flip(2), mirror(boxes, width), rename(labels, mirrored)
    return window, boxes, labels


def wrong_changes_the_boxes(image, boxes, labels, crop, flip=False, mirrored=None):
    """Works on the caller's boxes.

    Named: the call changed argument 2
    """
    refuse(boxes, labels, crop)
    window = cut(image, crop)
    boxes -= torch.tensor([crop[1], crop[0], crop[1], crop[0]], dtype=boxes.dtype)
    if flip:
        boxes.copy_(mirror(boxes, crop[3]))
    boxes, labels = drop(clip(boxes, *crop[2:]), labels)
    return (window.flip(2), boxes, rename(labels, mirrored)) if flip else (window, boxes, labels)


def wrong_nothing_refused(image, boxes, labels, crop, flip=False, mirrored=None):
    """Accepts windows without pixels, and labels that do not fit."""
    window = cut(image, crop)
    boxes, labels = drop(clip(shift(boxes, crop), *crop[2:]), labels)
    if flip:
        return window.flip(2), mirror(boxes, crop[3]), rename(labels, mirrored)
    return window, boxes, labels
