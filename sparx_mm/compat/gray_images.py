"""Images of one channel in models of three: mmdet's preprocessor fails where mmseg's does not."""

import functools
from typing import Any

import torch
from mmengine.model import ImgDataPreprocessor


@functools.cache
def install() -> None:
    """Let mmengine's image preprocessor widen images of one channel before it swaps channels.

    It swaps blue and red, which ends in an IndexError for an array of shape (H, W) or (H, W, 1)
    that is given to ``inference_detector``. The preprocessors of mmseg and mmpretrain widen
    such images by themselves. Nothing else changes.
    """
    prepare = ImgDataPreprocessor.forward

    def forward(self, data: dict, training: bool = False) -> Any:
        if self._channel_conversion and isinstance(data, dict):
            data = {**data, 'inputs': _widen(data.get('inputs'))}
        return prepare(self, data, training)

    ImgDataPreprocessor.forward = forward


def _widen(inputs: Any) -> Any:
    """Repeat the channel of images that have one."""
    if isinstance(inputs, torch.Tensor):
        gray = inputs.dim() in (3, 4) and inputs.shape[-3] == 1
        repeats = (1,) * (inputs.dim() - 3) + (3, 1, 1)
        return inputs.repeat(repeats) if gray else inputs
    return type(inputs)(map(_widen, inputs)) if isinstance(inputs, (list, tuple)) else inputs
