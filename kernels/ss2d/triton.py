"""The four-direction scan on a GPU; imported only where Triton is installed."""

import functools

import torch

from .._triton import launch
from ..maps import flatten_map, unflatten_map
from .orders import order_table

# of 16 bits, in 16 bytes
_COLUMNS = 8
_SHORTEST_PART = 4096


def states_shape(x: torch.Tensor, A: torch.Tensor, orders: str = 'cross') -> tuple[int, ...]:
    """Return the shape of the states that forward keeps for backward.

    Args:
        x (Tensor): Map of shape (B, D, H, W).
        A (Tensor): Decay rates of shape (4, D, N).
        orders (str): Orders of the directions; the shape is the same for all.
            Default: ``'cross'``.

    Returns:
        tuple[int, ...]: (B, 4, ceil(H W / STATE_STRIDE), N, D).
    """
    batch, _, height, width = x.shape
    return launch.states_shape(batch, height * width, A)


def _arguments(
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
    orders: str,
) -> tuple:
    """Lay the inputs out as `_triton.launch.forward` takes them."""
    flat = flatten_map(x)
    # (4, D, R) -> (4, R, D)
    parameters = (t.contiguous() for t in (dt_weight.transpose(1, 2), dt_bias, A, D))
    size = tuple(x.shape[2:])
    table = None if orders == 'cross' else order_table(orders, *size, x.device)
    # x again for delta, because no step sizes are read where there is a rank
    return flat, flat, dt_B_C.flatten(1, 2).contiguous(), *parameters, size, True, table


def forward(
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
    orders: str = 'cross',
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan a map in float32 states.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D, orders: As for `sparx_mm.kernels.ss2d`.

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, D, H, W), channels-last, and the kept
        states.
    """
    y, states = launch.forward(*_arguments(x, dt_B_C, dt_weight, dt_bias, A, D, orders))
    return unflatten_map(y, x.shape[2:]), states


def backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
    orders: str = 'cross',
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward`.

    Args:
        dy (Tensor): Gradient of y, of shape (B, D, H, W).
        states (Tensor): Kept states from `forward`.
        x, dt_B_C, dt_weight, dt_bias, A, D, orders: As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of x, dt_B_C, dt_weight, dt_bias, A and D, of
        their shapes.
    """
    rank = dt_weight.shape[2]
    arguments = _arguments(x, dt_B_C, dt_weight, dt_bias, A, D, orders)
    _, _, low, weight, *_ = arguments
    dx, dz, dB_dC, dA, dbias, dD = launch.backward(flatten_map(dy), states, *arguments)
    # (4, B, L, D) -> (4, B * L, D), (B, L, 4, R) -> (4, B * L, R)
    dz = dz.flatten(1, 2)
    dt = _aligned(low[..., :rank].flatten(0, 1).transpose(0, 1), dz.dtype)
    # (4, R, D) -> (4, D, R)
    weight = _aligned(weight.transpose(1, 2), dz.dtype)
    dweight = _sum_of_products(dz, dt)[..., :rank]
    ddt = _product(dz, weight)[..., :rank]
    ddt_B_C = dt_B_C.new_empty(dt_B_C.shape)
    ddt_B_C[..., :rank] = ddt.unflatten(1, dt_B_C.shape[:3]).permute(1, 2, 3, 0, 4)
    ddt_B_C[..., rank:] = dB_dC.view(*dt_B_C.shape[:4], -1)
    return unflatten_map(dx, x.shape[2:]), ddt_B_C, dweight, dbias, dA, dD


def _aligned(t: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Copy (4, M, R) to whole multiples of 8 columns, zeros in the added ones.

    Of 6 columns, say, cuBLAS makes a product in many times the time.
    """
    rank = t.shape[2]
    columns = -(-rank // _COLUMNS) * _COLUMNS
    padded = t.new_zeros(*t.shape[:2], columns, dtype=dtype)
    padded[..., :rank] = t
    return padded


@functools.cache
def _count_parts(length: int) -> int:
    """Return the greatest divisor of a length that leaves parts of _SHORTEST_PART at least."""
    return max(n for n in range(1, max(length // _SHORTEST_PART, 1) + 1) if length % n == 0)


def _sum_of_products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Multiply (4, M, D) by (4, M, R), summed over M, to (4, D, R).

    In parts of M, because the product as a whole is a sum over a million positions for a
    few hundred results, which does not fill a GPU.
    """
    parts = _count_parts(a.shape[1])
    a, b = (t.unflatten(1, (parts, -1)).flatten(0, 1) for t in (a, b))
    return _product(a.transpose(1, 2), b).unflatten(0, (-1, parts)).sum(1)


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Multiply batches of matrices, with sums and result in float32.

    16 bits are too few for sums over a map; float32 factors follow torch's setting
    for products, TF32 too.
    """
    if a.dtype == torch.float32 or not a.is_cuda or torch.version.hip:
        return a.float() @ b.float()
    return torch.bmm(a, b, out_dtype=torch.float32)
