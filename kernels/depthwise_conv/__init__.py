"""Depthwise convolution of maps and an activation, as a torch operator."""

from collections.abc import Sequence
from typing import Any

# not `import torch`, because importing the backend of that name rebinds it here
from torch import Tensor

from .. import dispatch
from ..checks import check_floating, check_not_empty, check_shapes
from ..operator import define_operator
from .reference import ACTIVATIONS
from .reference import depthwise_conv as _reference
from .weight_gradient import depthwise_weight_gradient

__all__ = ['depthwise_conv', 'depthwise_weight_gradient']


def depthwise_conv(
    x: Tensor, weight: Tensor, bias: Tensor, residual: bool = False, activation: str = 'none'
) -> Tensor:
    """Convolve each channel with a kernel of its own, add the map, and activate.

    y = activation(conv(x, weight) + bias + x), of stride 1, padded with zeros so that
    the size stays; x is added if asked for. The Triton kernels read x and write y once,
    channels-last, and make the activation's input again for its gradient, so that x
    alone is kept.

    Args:
        x (Tensor): Map of shape (B, C, H, W), in either memory format; float16,
            bfloat16, float32 or float64.
        weight (Tensor): Kernels of shape (C, 1, K, K), K odd; float32, or float64
            with a float64 map.
        bias (Tensor): Bias of shape (C,), like the weight.
        residual (bool): Add x to the convolution. Default: False.
        activation (str): ``'none'``, ``'silu'`` or ``'gelu'``, the exact one.
            Default: ``'none'``.

    Returns:
        Tensor: Map of shape (B, C, H, W) in the dtype and memory format of x, under
        autocast too. Sums are float32 at least.

    Raises:
        ValueError: If a shape, dtype or device does not fit the others, or the
            activation is none of these.

    Example:
        >>> import torch
        >>> x = torch.rand(2, 6, 3, 5)
        >>> depthwise_conv(x, torch.rand(6, 1, 3, 3), torch.zeros(6), True, 'gelu').shape
        torch.Size([2, 6, 3, 5])
    """
    op, sizes = 'depthwise_conv', {}
    check_shapes(
        op,
        sizes,
        x=(x, ('B', 'C', 'H', 'W')),
        weight=(weight, ('C', 1, 'K', 'K')),
        bias=(bias, ('C',)),
    )
    check_not_empty(op, sizes, 'C', 'K')
    if sizes['K'] % 2 == 0:
        raise ValueError(f'{op}: the side of the weight must be odd, got {sizes["K"]}')
    if activation not in ACTIVATIONS:
        raise ValueError(
            f'{op}: activation must be one of {", ".join(ACTIVATIONS)}, got {activation!r}'
        )
    check_floating(op, ('x', x), {}, dict(weight=weight, bias=bias))
    if dispatch.requested() == 'reference':
        return _reference(x, weight, bias, residual, activation)
    return _operator(x, weight, bias, residual, activation)[0]


def _count_flops(x: Sequence[int], weight: Sequence[int], *others: Any, **kwargs: Any) -> int:
    """Count K K multiply-adds an element, as torch does. Arguments are shapes."""
    batch, channels, height, width = x
    return 2 * batch * channels * height * width * weight[-1] ** 2


_operator = define_operator(
    __name__,
    tensors=('x', 'weight', 'bias'),
    options=('bool residual', 'str activation'),
    count_flops=_count_flops,
)
