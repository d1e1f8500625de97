"""Layer norm of maps over channels, as a torch operator."""

# not `import torch`, because importing the backend of that name rebinds it here
from torch import Tensor

from .. import dispatch
from ..checks import check_floating, check_not_empty, check_shapes
from ..operator import define_operator
from .reference import layer_norm as _reference

__all__ = ['layer_norm']


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise the channels of each position (https://arxiv.org/abs/1607.06450).

    With mean and (biased) variance over a position's channels,

        y = (x - mean) / sqrt(variance + eps) * weight + bias

    Args:
        x (Tensor): Map of shape (B, C, H, W), in either memory format; float16,
            bfloat16, float32 or float64.
        weight (Tensor): Scale of shape (C,); float32, or float64 with a float64 map.
        bias (Tensor): Shift, like the scale.
        eps (float): What is added to the variance.

    Returns:
        Tensor: Map of shape (B, C, H, W) in the dtype and memory format of x, under
        autocast too. Statistics are float32 at least.

    Raises:
        ValueError: If a shape, dtype or device does not fit the others.

    Example:
        >>> import torch
        >>> layer_norm(torch.rand(2, 6, 3, 5), torch.ones(6), torch.zeros(6), 1e-5).shape
        torch.Size([2, 6, 3, 5])
    """
    op, sizes = 'layer_norm', {}
    check_shapes(
        op, sizes, x=(x, ('B', 'C', 'H', 'W')), weight=(weight, ('C',)), bias=(bias, ('C',))
    )
    check_not_empty(op, sizes, 'C')
    check_floating(op, ('x', x), {}, dict(weight=weight, bias=bias))
    if dispatch.requested() == 'reference':
        return _reference(x, weight, bias, eps)
    return _operator(x, weight, bias, eps)[0]


_operator = define_operator(__name__, tensors=('x', 'weight', 'bias'), options=('float eps',))
