"""Published ImageNet weights for the networks of this folder.

`weights="imagenet"` takes the file that torchvision publishes for the architecture (the first
ImageNet-1K weights, trained with a recipe close to the papers') and loads it into our network.

Files are kept in the folder `weights` of the data folder (`CNNLIB_DATA`, or `~/.cache/cnnlib`
without it). If `CNNLIB_MIRROR` is set, they come from the folder `weights` below that address
instead of torchvision's server. A file is taken only if its SHA-256 begins with the digits in its
published name.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import tempfile
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from cnnlib.models._checks import check_choice

WEIGHTS = (None, "imagenet")
NUM_CLASSES = 1000
IN_CHANNELS = 3

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30

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
            f"weights='imagenet' needs num_classes={NUM_CLASSES} and in_channels={IN_CHANNELS}, "
            f"got {num_classes} and {in_channels}; load the weights first, then replace the last "
            "layer"
        )
    if variant != published_variant:
        raise ValueError(
            f"weights='imagenet' exists for variant={published_variant!r} only, got {variant!r}"
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
    from cnnlib.data.download import data_folder, mirrors

    path = data_folder() / "weights" / file.name
    damage = None
    if path.exists():
        digest = _sha256(path)
        if digest.startswith(file.sha256_prefix):
            return path
        damage = (
            f"The copy at {path} ({path.stat().st_size} bytes) is damaged or cut short: its "
            f"SHA-256 begins with {digest[:8]}, not with {file.sha256_prefix}. It was not used."
        )
    failures = []
    for base in mirrors("weights", [file.url.removesuffix(file.name)]):
        try:
            _download(base + file.name, path, file.sha256_prefix)
        # What urllib raises for a dead, refusing or broken server is one of the first three: a
        # malformed address is a ValueError, the rest are OSErrors and HTTPExceptions.
        except (OSError, HTTPException, ValueError, _DownloadFailed) as error:
            failures.append(f"  {base + file.name}: {error}")
        else:
            return path
    advice = [f"{file.name} could not be downloaded. What was tried:", *failures]
    advice += [damage] if damage else []
    advice += [
        "Ways out:",
        "  without published weights: weights=None;",
        f"  with another source: set CNNLIB_MIRROR to an address that has weights/{file.name};",
        f"  with the file in hand: put it at {path}, or set CNNLIB_DATA to your data folder.",
    ]
    raise WeightsError("\n".join(advice))


class _DownloadFailed(Exception):
    """This server did not give the right file; the next one may."""


def _download(address: str, path: Path, sha256_prefix: str) -> None:
    """Download to a temporary name, check, rename: nothing half-written is ever at `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise WeightsError(
            f"cannot write to {path.parent} ({error.strerror}); set the environment variable "
            "CNNLIB_DATA to a folder that can be written"
        ) from error
    try:
        size = 0
        with (
            os.fdopen(descriptor, "wb") as file,
            urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer,
        ):
            promised = answer.headers.get("Content-Length")
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
                size += len(chunk)
        if promised is not None and size != int(promised):
            raise _DownloadFailed(f"broke off after {size:,} of {int(promised):,} bytes")
        digest = _sha256(Path(temporary))
        if not digest.startswith(sha256_prefix):
            raise _DownloadFailed(
                f"wrong checksum: the SHA-256 begins with {digest[:8]}, not with {sha256_prefix}"
            )
        os.chmod(temporary, 0o644)  # mkstemp lets only the owner read; a shared folder wants more
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _read(path: Path) -> Mapping[str, Tensor]:
    """Read tensors from a file; `weights_only` refuses to run code that a pickle may hold."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path} holds not only tensors and was not loaded: {error}") from error
    if not isinstance(saved, Mapping):
        raise WeightsError(f"{path} holds a {type(saved).__name__}, not a state dict")
    return saved
