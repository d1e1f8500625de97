"""Stems of RGB images, adapted to images of another number of channels."""

import re
from collections.abc import Mapping
from typing import Any

import torch

RGB = 3
_STEM = re.compile(r'(.*\.)?stem\..+\.weight')


def adapt_image_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Adapt the kernels of a convolution of RGB images, as timm does.

    An image of equal channels gives what it gave, whatever their number: one channel
    gets the sum of the three kernels; more get the three in turn, scaled by
    3 / channels, which holds exactly for multiples of 3.

    Args:
        weight (Tensor): Kernels of shape (C, 3, K, K).
        channels (int): Number of channels of the other images.

    Returns:
        Tensor: Kernels of shape (C, channels, K, K), in the dtype of ``weight``.
    """
    wide = weight.float()
    if channels == 1:
        return wide.sum(1, keepdim=True).to(weight.dtype)
    turns = [i % RGB for i in range(channels)]
    return (wide[:, turns] * (RGB / channels)).to(weight.dtype)


def adapt_stems(file: Mapping[str, Any], model: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Adapt a file's stems of RGB images to a model's.

    Args:
        file (Mapping): Names and tensors; it is not changed.
        model (Mapping): The model's tensors by the same names.

    Returns:
        dict: The content of ``file``, in its order.
    """
    adapted = {
        name: adapt_image_channels(value, model[name].shape[1])
        for name, value in file.items()
        if _STEM.fullmatch(name) and _is_of_rgb(value, model.get(name))
    }
    return {**file, **adapted}


def _is_of_rgb(value: Any, own: torch.Tensor | None) -> bool:
    """Return True if nothing but the number of channels is in the way."""
    return (
        own is not None
        and isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.dim() == own.dim() == 4
        and value.shape[1] == RGB != own.shape[1]
        and value.shape[:1] + value.shape[2:] == own.shape[:1] + own.shape[2:]
    )
