"""Checks of constructor arguments: every network rejects a bad one in the same words."""

from __future__ import annotations

from collections.abc import Iterable


def check_choice(name: str, value: object, allowed: Iterable[object]) -> None:
    """Raise a ValueError that lists the allowed values unless `value` is one of them."""
    choices = list(allowed)
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {listed}; got {value!r}")


def check_positive(name: str, value: object) -> None:
    """Raise a ValueError unless `value` is a whole number of at least 1."""
    # bool is a kind of int in Python, but True channels is surely a mistake.
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}")


def check_probability(name: str, value: object) -> None:
    """Raise a ValueError unless `value` is a number with 0 <= value < 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{name} must be a number with 0 <= {name} < 1; got {value!r}")


def check_network(num_classes: object, in_channels: object, dropout: object = 0.0) -> None:
    """Check the arguments that every network has.

    Args:
        num_classes: Number of outputs, at least 1.
        in_channels: Channels of the input image, at least 1.
        dropout: Share of the values that dropout sets to 0, at least 0 and below 1.

    Raises:
        ValueError: One of them is not what it must be; the message names it.
    """
    check_positive("num_classes", num_classes)
    check_positive("in_channels", in_channels)
    check_probability("dropout", dropout)
