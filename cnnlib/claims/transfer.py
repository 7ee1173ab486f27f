"""Recomputations of the notes' chapter on transfer learning."""

from __future__ import annotations

import torchvision

from cnnlib.claims.registry import Values, recomputes


@recomputes("transfer.c06")
def pretrained_models() -> Values:
    """List torchvision's classification networks that have published weights."""
    names = torchvision.models.list_models(module=torchvision.models)
    with_weights = [n for n in names if len(torchvision.models.get_model_weights(n))]
    assert {"resnet50", "vgg16", "mobilenet_v2"} <= set(with_weights)
    return {
        "classification networks in torchvision": len(names),
        "with published weights": len(with_weights),
    }
