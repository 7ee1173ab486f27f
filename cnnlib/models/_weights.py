"""Published ImageNet weights for the networks of this folder.

`weights="imagenet"` takes the file that torchvision publishes for the architecture (the first
ImageNet-1K weights, trained with a recipe close to the papers') and loads it into our network.

Files are kept in the folder `weights` of the data folder and come from torchvision's server, or
from the folder `weights` below the address in `CNNLIB_MIRROR`; see `cnnlib.data.download`. A file
is taken only if its SHA-256 begins with the digits in its published name.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from cnnlib.models._checks import check_choice

WEIGHTS = (None, "imagenet")
NUM_CLASSES = 1000
IN_CHANNELS = 3
FOLDER = "weights"  # of the data folder, and of a mirror

Network = TypeVar("Network", bound=nn.Module)


class WeightsError(RuntimeError):
    """Published weights could not be fetched, or are not what they should be."""


class PublishedFile(NamedTuple):
    """A published file: where it is, and how its SHA-256 begins."""

    url: str
    sha256_prefix: str

    @property
    def name(self) -> str:
        """The file's name without the address."""
        return PurePosixPath(self.url).name


def published_file(architecture: str) -> PublishedFile:
    """Return where torchvision publishes the weights of `architecture`, e.g. "resnet50".

    torchvision writes the first eight digits of the SHA-256 into the name: resnet50-0676ba61.pth.
    """
    from torchvision.models import get_model_weights

    url = get_model_weights(architecture).IMAGENET1K_V1.url
    digest = re.search(r"-([0-9a-f]{8,})\.pth$", url)
    if digest is None:
        raise WeightsError(f"the published name {url} has no checksum in it")
    return PublishedFile(url, digest.group(1))


def load_weights(
    model: Network,
    weights: str | None,
    architecture: str,
    *,
    torchvision_options: Mapping[str, object] | None = None,
) -> Network:
    """Load published weights into `model` and return it.

    Our networks define their layers in the order in which torchvision's do. So the entries of the
    two state dicts pair up one by one; every pair is checked for equal shape.

    Args:
        model: One of our networks, built for 1000 classes and 3 input channels.
        weights: None changes nothing, "imagenet" loads the file.
        architecture: The name of torchvision's constructor.
        torchvision_options: Arguments with which that constructor builds the same network.

    Raises:
        ValueError: `weights` is neither None nor "imagenet".
        WeightsError: No file, a damaged file, or a file of another network; the message says what
            to do.
    """
    check_choice("weights", weights, WEIGHTS)
    if weights is None:
        return model
    path = fetch(published_file(architecture))
    saved = _read(path)
    ours = model.state_dict()
    renamed: dict[str, Tensor] = {}
    for name, their_name in paired_names(model, architecture, torchvision_options).items():
        if their_name in saved:
            value = saved[their_name]
        elif their_name.endswith("num_batches_tracked"):
            value = ours[name]  # files from before PyTorch 0.4.1 do not count batches
        else:
            raise WeightsError(f"{path} has no entry {their_name}: it is not {architecture}'s file")
        if value.shape != ours[name].shape:
            raise WeightsError(
                f"{path}: {their_name} has shape {tuple(value.shape)}, but {name} of this network "
                f"needs {tuple(ours[name].shape)}. Published weights are for num_classes="
                f"{NUM_CLASSES} and in_channels={IN_CHANNELS}."
            )
        renamed[name] = value
    model.load_state_dict(renamed)
    return model


def check_weights(
    weights: object,
    num_classes: int,
    in_channels: int,
    *,
    variant: str | None = None,
    published_variant: str | None = None,
) -> None:
    """Check, before a network is built, that published weights can fit it.

    Args:
        weights: None or "imagenet".
        num_classes: Outputs of the network that is asked for.
        in_channels: Channels of its input.
        variant: The variant that is asked for.
        published_variant: The variant that the published weights fit.

    Raises:
        ValueError: They cannot; the message says which arguments can.
    """
    check_choice("weights", weights, WEIGHTS)
    if weights is None:
        return
    if num_classes != NUM_CLASSES or in_channels != IN_CHANNELS:
        raise ValueError(
            f"weights='imagenet' needs num_classes={NUM_CLASSES} and in_channels={IN_CHANNELS}; "
            f"got {num_classes} and {in_channels}: load the weights first, then replace the last "
            "layer"
        )
    if variant != published_variant:
        raise ValueError(
            f"weights='imagenet' exists for variant={published_variant!r} only; got {variant!r}"
        )


def paired_names(
    model: nn.Module, architecture: str, torchvision_options: Mapping[str, object] | None = None
) -> dict[str, str]:
    """Map each name in our state dict to the name that the published file uses.

    Raises:
        WeightsError: The two networks do not have the same entries.
    """
    from torchvision.models import get_model

    with torch.device("meta"):  # names and shapes only: costs no memory
        reference = get_model(architecture, weights=None, **(torchvision_options or {}))
    theirs = reference.state_dict()
    ours = model.state_dict()
    if len(ours) != len(theirs):
        raise WeightsError(
            f"this network has {len(ours)} entries in its state dict, torchvision's {architecture} "
            f"{len(theirs)}: it is not the published network"
        )
    return {
        name: _published_name(theirs_name) for name, theirs_name in zip(ours, theirs, strict=True)
    }


def _published_name(name: str) -> str:
    """Turn a name of today's torchvision into the one in the file.

    DenseNet's files are older than the rule that a module's name has no dot: conv1 is conv.1 there.
    """
    return re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name)


def fetch(file: PublishedFile) -> Path:
    """Return the path of a published file, downloading it if it is not there or damaged.

    Raises:
        WeightsError: No server gave the file, or the folder cannot be written.
    """
    # Imported late: cnnlib.data brings scikit-learn along, which a network alone does not need.
    from cnnlib.data import download

    try:
        return download.data_file(
            FOLDER,
            f"{FOLDER}/{file.name}",
            file.sha256_prefix,
            [file.url.removesuffix(file.name)],
            algorithm="sha256",
            offline="weights=None builds the network with fresh weights",
        )
    except download.DownloadError as error:
        raise WeightsError(str(error)) from error


def _read(path: Path) -> Mapping[str, Tensor]:
    """Read tensors from a file; `weights_only` refuses to run code that a pickle may hold."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path} holds not only tensors and was not loaded: {error}") from error
    if not isinstance(saved, Mapping):
        raise WeightsError(f"{path} holds a {type(saved).__name__}, not a state dict")
    return saved
