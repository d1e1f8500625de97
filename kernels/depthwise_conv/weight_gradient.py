"""The weight gradient of large depthwise kernels on the CPU, as a torch operator."""

from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.grad import conv2d_weight

from .. import dispatch
from ..autocast import without_autocast
from ..checks import check_floating, check_shapes
from ..operator import register, without_tangents

# side of the largest depthwise kernel for whose weight gradient oneDNN has code;
# for a larger one it falls back to a dense form, several times slower than
# windows of this size
WINDOW = 3
_NAME = 'depthwise_weight_gradient'


def depthwise_weight_gradient(dy: torch.Tensor, x: torch.Tensor, side: int) -> torch.Tensor:
    """Compute the gradient of the weight of `sparx_mm.kernels.depthwise_conv`.

    Args:
        dy (Tensor): Gradient of the convolution, of shape (B, C, H, W), of any floating
            dtype, on the CPU.
        x (Tensor): Map of the same shape and dtype.
        side (int): Side K of the kernels, odd, at least 3.

    Returns:
        Tensor: Gradient of shape (C, 1, K, K), in the dtype of x. Sums are float32 at
        least. A value that is not finite may reach every tap of its channel.

    Raises:
        ValueError: If a shape, dtype, device or side does not fit.

    Example:
        >>> depthwise_weight_gradient(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4), 5)[0, 0, 2]
        tensor([ 8., 12., 16., 12.,  8.])
    """
    op, sizes = _NAME, {}
    check_shapes(op, sizes, x=(x, 'BCHW'), dy=(dy, 'BCHW'))
    check_floating(op, ('x', x), {'dy': dy}, {})
    if dy.dtype != x.dtype:
        raise ValueError(f'{op}: dy must be {x.dtype} like x, got {dy.dtype}')
    if side < WINDOW or side % 2 == 0:
        raise ValueError(f'{op}: side must be odd and at least {WINDOW}, got {side}')
    return _operator(dy, x, side)


@without_autocast
def _compute(dy: torch.Tensor, x: torch.Tensor, side: int) -> torch.Tensor:
    if not x.numel():
        return x.new_zeros(x.shape[1], 1, side, side)
    if dispatch.choose(x) != 'numba':
        return _by_windows(dy, x, side)
    # imported late: it needs numba
    from .._numba import depthwise

    if side != depthwise.SIDE:
        return _by_windows(dy, x, side)
    return _by_numba(depthwise, dy, x)


def _by_numba(depthwise, dy, x):
    from .._numba.parallel import num_threads

    channels = x.shape[1]
    # (B, C, H, W) -> (B, H, W, C)
    maps = [t.float().permute(0, 2, 3, 1).contiguous().numpy() for t in (dy, x)]
    d_weight = torch.empty(channels, depthwise.SIDE, depthwise.SIDE, dtype=torch.float32)
    blocks = -(-channels // depthwise.LANES)
    depthwise.weight_gradient_kernel(num_threads(x.numel()), blocks, *maps, d_weight.numpy())
    return d_weight.unsqueeze(1).to(x.dtype)


def _by_windows(dy, x, side):
    channels = x.shape[1]
    x = F.pad(x, (side // 2,) * 4)
    height, width = (size + WINDOW - 1 for size in dy.shape[2:])
    d_weight = x.new_empty(channels, 1, side, side)
    # the last window overlaps another if the side is no multiple of theirs
    starts = [min(i, side - WINDOW) for i in range(0, side, WINDOW)]
    for i in starts:
        for j in starts:
            window = d_weight[..., i : i + WINDOW, j : j + WINDOW]
            part = x[..., i : i + height, j : j + width]
            window.copy_(conv2d_weight(part, window.shape, dy, groups=channels))
    return d_weight


def _fake(dy: torch.Tensor, x: torch.Tensor, side: int) -> torch.Tensor:
    return x.new_empty(x.shape[1], 1, side, side)


def _refuse(ctx: Any, d_weight: torch.Tensor) -> None:
    raise RuntimeError(f'sparx_mm::{_NAME} has no backward: leave out create_graph=True')


_operator = without_tangents(
    register(
        f'{_NAME}(Tensor dy, Tensor x, int side) -> Tensor',
        _compute,
        _fake,
        _refuse,
        lambda ctx, inputs, output: None,
    ),
    _NAME,
)
