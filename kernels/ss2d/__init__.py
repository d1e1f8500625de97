"""The four-direction selective scan of maps, as a torch operator."""

from collections.abc import Sequence
from typing import Any

# not `import torch`, because importing the backend of that name rebinds it here
from torch import Tensor

from .. import dispatch
from ..checks import check_floating, check_not_empty, check_shapes
from ..operator import define_operator
from .orders import ORDERS
from .reference import ss2d as _reference

__all__ = ['ss2d']


def ss2d(
    x: Tensor,
    dt_B_C: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    orders: str = 'cross',
) -> Tensor:
    """Scan a map selectively in four directions (SS2D, VMamba's cross-scan).

    In each direction k, over the positions t in its order,

        delta_t = softplus(dt_weight_k . dt_t + dt_bias_k)
        h_t = exp(delta_t A_k) h_{t-1} + delta_t B_t x_t
        y_t = C_t . h_t + D_k x_t

    and the four y are summed at the positions of the map. Directions 0 and 1 are
    row-major and column-major; 2 and 3 are their reverses, or anti-diagonals and
    diagonals. Snakes are rows, their reverse, columns and their reverse, of which every
    other line runs backwards.

    Args:
        x (Tensor): Map of shape (B, D, H, W), in either memory format; float16,
            bfloat16, float32 or float64.
        dt_B_C (Tensor): Low-rank projection of the map, not of its scanned
            copies, of shape (B, H, W, 4, R + 2N): for each direction dt (R), B
            (N), C (N).
        dt_weight (Tensor): Weight from dt to step sizes, of shape (4, D, R);
            float32, or float64 with a float64 map; so are the next three.
        dt_bias (Tensor): Bias of the step sizes, of shape (4, D).
        A (Tensor): Decay rates, negative, of shape (4, D, N).
        D (Tensor): Weight of the direct path, of shape (4, D).
        orders (str): ``'cross'``, ``'diagonal'`` for CS2D
            (https://arxiv.org/abs/2410.05624) or ``'snake'`` for PlainMamba
            (https://arxiv.org/abs/2403.17695); `orders.py` defines them.
            Default: ``'cross'``.

    Returns:
        Tensor: Map of shape (B, D, H, W) in the dtype and memory format of x.
        Step sizes and states are float32 at least.

    Raises:
        ValueError: If a shape, dtype or device does not fit the others, or there are
            no such orders.

    Example:
        >>> x, dt_B_C = torch.rand(1, 8, 3, 5), torch.rand(1, 3, 5, 4, 2 + 2)
        >>> weight, A = torch.rand(4, 8, 2), -torch.rand(4, 8, 1)
        >>> ss2d(x, dt_B_C, weight, torch.rand(4, 8), A, torch.ones(4, 8)).shape
        torch.Size([1, 8, 3, 5])
    """
    _check(x, dt_B_C, dt_weight, dt_bias, A, D)
    if orders not in ORDERS:
        raise ValueError(f'ss2d: orders must be one of {", ".join(ORDERS)}, got {orders!r}')
    if dispatch.requested() == 'reference':
        return _reference(x, dt_B_C, dt_weight, dt_bias, A, D, orders)
    return _operator(x, dt_B_C, dt_weight, dt_bias, A, D, orders)[0]


def _check(
    x: Tensor, dt_B_C: Tensor, dt_weight: Tensor, dt_bias: Tensor, A: Tensor, D: Tensor
) -> None:
    sizes = {}
    check_shapes(
        'ss2d',
        sizes,
        x=(x, ('B', 'D', 'H', 'W')),
        dt_weight=(dt_weight, (4, 'D', 'R')),
        A=(A, (4, 'D', 'N')),
    )
    check_not_empty('ss2d', sizes, 'R', 'N')
    sizes['R + 2N'] = sizes['R'] + 2 * sizes['N']
    check_shapes(
        'ss2d',
        sizes,
        dt_B_C=(dt_B_C, ('B', 'H', 'W', 4, 'R + 2N')),
        dt_bias=(dt_bias, (4, 'D')),
        D=(D, (4, 'D')),
    )
    parameters = dict(dt_weight=dt_weight, dt_bias=dt_bias, A=A, D=D)
    check_floating('ss2d', ('x', x), dict(dt_B_C=dt_B_C), parameters)


def _count_flops(
    x: Sequence[int],
    dt_B_C: Sequence[int],
    dt_weight: Sequence[int],
    dt_bias: Sequence[int],
    A: Sequence[int],
    D: Sequence[int],
    orders: str = 'cross',
    **kwargs: Any,
) -> int:
    """Count 9 L D N + L D multiply-adds a direction and L D R for its step sizes.

    Each is counted as two FLOPs. This is the convention of VMamba's and SparX's
    published numbers, which count the exponential and the other elementwise work
    of the scan as multiply-adds.

    Along snakes L D R is counted once for all directions, as in PlainMamba's published
    numbers: its directions share their step sizes. The kernels compute them in each
    direction nevertheless. Arguments but ``orders`` are shapes.
    """
    batch, channels, height, width = x
    projections = 1 if orders == 'snake' else 4
    per_element = 4 * (9 * A[2] + 1) + projections * dt_weight[2]
    return 2 * batch * height * width * channels * per_element


_operator = define_operator(
    __name__,
    tensors=('x', 'dt_B_C', 'dt_weight', 'dt_bias', 'A', 'D'),
    # by default those of programs that were exported before there were others
    options=('str orders="cross"',),
    states_of=('A', 'orders'),
    count_flops=_count_flops,
)
