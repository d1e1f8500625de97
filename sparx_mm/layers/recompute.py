"""Activation checkpointing that leaves batch-norm statistics alone."""

from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextmanager
def _spare_running_stats(module):
    """Let batch norms inside ``module`` update copies of their buffers."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    kept = [dict(m._buffers) for m in norms]
    for norm in norms:
        for name, buffer in norm._buffers.items():
            norm._buffers[name] = None if buffer is None else buffer.clone()
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept):
            norm._buffers.update(buffers)


def checkpoint_layer(
    layer: nn.Module, x: torch.Tensor, *others: Any, with_cp: bool = True, **options: Any
) -> Any:
    """Run ``layer(x, *others, **options)`` now and again in the backward pass.

    The second run sees the same random numbers, and updates no running
    statistics, so gradients and buffers equal those without checkpointing.
    Without a backward pass there is none.

    Args:
        layer (nn.Module): A layer such as `Layer`.
        x (Tensor): Its input, of shape (B, C, H, W).
        *others (Any): What it reads beside, see `Layer.forward`.
        with_cp (bool): False: run it once, and keep its activations. Default: True.
        **options (Any): The same by name.

    Returns:
        Any: The layer's output.
    """
    if not with_cp or not torch.is_grad_enabled():
        return layer(x, *others, **options)
    return checkpoint(
        layer,
        x,
        *others,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _spare_running_stats(layer)),
        **options,
    )
