"""Weights that are shipped with the library: where they lie, how they are checked and written.

A network is shipped as two files beside this one:

    NAME.pt     its state dict, floating-point numbers in float16, which halves the size
    NAME.json   the *card*, facts about it: `classes`, `configuration` of the training, how good it
                is, `bytes` and `sha256` of NAME.pt, and "made with" which script

The card and the weights belong together: weights are used only if their SHA-256 is the card's.
The scripts that make them, `tools/pretrain_*.py` of the course's repository, write them by
`ShippedWeights.store`.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnnlib.files import atomic_write

FOLDER = Path(__file__).parent
INSTALL_AGAIN = "install cnnlib again"


class DamagedWeightsError(RuntimeError):
    """The file of weights is missing, or not the one that was published with the library."""


@dataclass(frozen=True)
class ShippedWeights:
    """The two files of one network.

    Attributes:
        name: Their name without ending.
        folder: Where they lie.
    """

    name: str
    folder: Path = FOLDER

    @property
    def weights_path(self) -> Path:
        """The file of weights."""
        return self.folder / f"{self.name}.pt"

    @property
    def card_path(self) -> Path:
        """The file of facts about them."""
        return self.folder / f"{self.name}.json"

    def card(self) -> dict[str, Any]:
        """The facts.

        Raises:
            DamagedWeightsError: The card is missing, or is none.
        """
        try:
            card = json.loads(_content(self.card_path))
        except ValueError as error:
            raise DamagedWeightsError(
                f"{self.card_path.name} is not readable ({error}); {INSTALL_AGAIN}"
            ) from error
        if not isinstance(card, dict) or not isinstance(card.get("sha256"), str):
            raise DamagedWeightsError(f"{self.card_path.name} names no SHA-256; {INSTALL_AGAIN}")
        return card

    def state(self) -> dict[str, Tensor]:
        """The state dict in the file, in float32, made anew by every call.

        Raises:
            DamagedWeightsError: A file is missing, or the weights are not those of the card.
        """
        content = _content(self.weights_path)
        digest, expected = hashlib.sha256(content).hexdigest(), self.card()["sha256"]
        if digest != expected:
            raise DamagedWeightsError(
                f"{self.weights_path.name} has the SHA-256 {digest[:8]}… instead of "
                f"{expected[:8]}…: it was changed or cut short and is not used; {INSTALL_AGAIN}"
            )
        try:
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
            raise DamagedWeightsError(
                f"{self.weights_path.name} is not a file of tensors: {error}"
            ) from error
        if not isinstance(saved, Mapping) or not all(torch.is_tensor(v) for v in saved.values()):
            raise DamagedWeightsError(f"{self.weights_path.name} does not hold a state dict")
        return {name: v.float() if v.is_floating_point() else v for name, v in saved.items()}

    def load_into(self, model: nn.Module, *, fresh: str | None = None) -> None:
        """Give a network these weights.

        Args:
            model: The network.
            fresh: Name of a part of it that the file does not have and that is left as it is.

        Raises:
            DamagedWeightsError: As in `state`, or the weights are those of another network.
        """
        try:
            missing, unknown = model.load_state_dict(self.state(), strict=fresh is None)
        except DamagedWeightsError:
            raise
        except RuntimeError as error:  # what PyTorch raises for other names and for other shapes
            raise DamagedWeightsError(
                f"{self.weights_path.name} does not fit the network: {error}"
            ) from error
        foreign = [name for name in missing if not name.startswith(f"{fresh}.")] + unknown
        if foreign:
            raise DamagedWeightsError(
                f"{self.weights_path.name} does not fit the network: {', '.join(foreign)} are in "
                "one of them only"
            )

    def store(self, model: nn.Module, facts: Mapping[str, Any], script: str) -> dict[str, Any]:
        """Write the weights and their card; each file is replaced in one step.

        If the writing is interrupted between the two, the new weights do not have the SHA-256 of
        the old card, so that they are not used.

        Args:
            model: The network, after `round_weights`: the facts must be measured on what is stored.
            facts: What the card says of it besides `bytes`, `sha256` and "made with".
            script: Path of the script that made it, in the repository.

        Returns:
            The card.

        Raises:
            ValueError: A weight has no exact value in float16.
        """
        saved = {}
        for name, value in model.state_dict().items():
            saved[name] = value.half() if value.is_floating_point() else value
            if not torch.equal(saved[name].to(value.dtype), value):
                raise ValueError(
                    f"{name} is not exact in float16, in which weights are stored: call "
                    "round_weights(model) before the network is measured"
                )
        buffer = io.BytesIO()
        torch.save(saved, buffer)
        content = buffer.getvalue()
        card = {
            **facts,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "made with": f"{script}, PyTorch {torch.__version__.split('+')[0]}",
        }
        text = json.dumps(card, ensure_ascii=False, indent=1) + "\n"
        with atomic_write(self.weights_path) as file:
            file.write(content)
        with atomic_write(self.card_path) as file:
            file.write(text.encode("utf-8"))
        return card


def round_weights(model: nn.Module) -> None:
    """Round all weights to float16, in place; they stay float32. What is stored is of this kind."""
    half = {n: v.half() if v.is_floating_point() else v for n, v in model.state_dict().items()}
    model.load_state_dict(half)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedWeightsError(
            f"{path.name} is missing from the installed library; {INSTALL_AGAIN}"
        ) from error
