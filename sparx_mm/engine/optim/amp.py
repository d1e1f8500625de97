"""Mixed precision: float16 on a GPU, bfloat16 anywhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModule
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import autocast
from mmengine.utils import apply_to
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from ...errors import UserError

AMP_DTYPES = ('float16', 'bfloat16')


def use_amp(cfg: Config, dtype: str | None = None) -> None:
    """Change a config so that it trains in mixed precision.

    Args:
        cfg (Config): A whole config; it is changed.
        dtype (str, optional): ``'float16'`` for mmengine's
            ``AmpOptimWrapper``, ``'bfloat16'`` for `BFloat16OptimWrapper`.
            None: float16 on a GPU, bfloat16 without one. Default: None.

    Raises:
        UserError: If the config has no ``optim_wrapper``.
    """
    wrapper = cfg.get('optim_wrapper')
    if wrapper is None:
        raise UserError('--amp needs an optim_wrapper in the config')
    if dtype is None:
        dtype = 'bfloat16' if get_device() == 'cpu' else 'float16'
    if dtype == 'float16':
        wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic', dtype=dtype)
    else:
        # options of a float16 wrapper that this one does not take
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            wrapper.pop(key, None)
        wrapper.type = BFloat16OptimWrapper.__name__


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Optimizer wrapper that trains under autocast to bfloat16.

    Weights, gradients and the optimizer's state stay float32, and losses are
    not scaled, because bfloat16 has float32's range. So checkpoints are those
    of mmengine's ``OptimWrapper``, and each wrapper resumes from the other's.
    Unlike ``AmpOptimWrapper``, this one needs no GPU.

    The bfloat16 outputs of an OpenMMLab module (mmengine's ``BaseModule``: a
    backbone, a neck, a head) are converted to float32, because they go to code
    that autocast does not reach: mmcv's operators do not support bfloat16, and
    RoI extractors and box coders convert box coordinates to the dtype of the
    features, where 8 bits of precision are off by pixels.

    Args:
        **kwargs: Arguments of mmengine's ``OptimWrapper``: ``optimizer``,
            ``accumulative_counts`` and ``clip_grad``.

    Example:
        >>> # in a config; tools other than ours import it by
        >>> # custom_imports=dict(imports=['sparx_mm.engine'])
        >>> optim_wrapper = dict(
        ...     type='BFloat16OptimWrapper',
        ...     optimizer=dict(type='AdamW', lr=1e-4))
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass of a training step.

        Args:
            model (nn.Module): The model, with or without a distributed
                wrapper.
        """
        with (
            super().optim_context(model),
            autocast(dtype=torch.bfloat16),
            _float32_between_modules(),
        ):
            yield

    def backward(self, loss: torch.Tensor, **kwargs) -> None:
        """Run the backward pass.

        Args:
            loss (Tensor): Scalar loss.
            **kwargs: Arguments of ``Tensor.backward``.
        """
        # here too, because activation checkpointing runs modules again, under
        # its own autocast
        with _float32_between_modules():
            super().backward(loss, **kwargs)


def _float32_between_modules():
    # a global hook for the time of a step, because hooks on the model itself
    # would be copied, saved and wrapped with it
    return register_module_forward_hook(_hand_on_float32)


def _hand_on_float32(module: nn.Module, args: tuple, output: Any) -> Any:
    if not isinstance(module, BaseModule):
        return None
    return apply_to(output, _is_bfloat16, torch.Tensor.float)


def _is_bfloat16(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16
