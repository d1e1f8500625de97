"""The four-direction selective scan of maps, as a torch operator."""

import torch
from torch.utils.flop_counter import register_flop_formula

from .. import dispatch
from ..autocast import without_autocast
from ..checks import check_floating, check_not_empty, check_shapes
from .reference import ss2d as _reference

__all__ = ['ss2d']

_BACKENDS = {name: f'{__name__}.{name}' for name in ('cpu', 'triton')}


def ss2d(x, p, dt_weight, dt_bias, A, D):
    """Four-direction selective scan of a map (SS2D, VMamba's cross-scan).

    In each direction k, over the positions t in its order,

        delta_t = softplus(dt_weight_k . dt_t + dt_bias_k)
        h_t = exp(delta_t A_k) h_{t-1} + delta_t B_t x_t
        y_t = C_t . h_t + D_k x_t

    and the four y are summed at the positions of the map. Directions: 0
    row-major, 1 column-major, 2 the reverse of 0, 3 the reverse of 1. No
    direction flips or copies the map.

    Args:
        x (Tensor): The map, (B, D, H, W), in either memory format; float16,
            bfloat16, float32 or float64.
        p (Tensor): Low-rank projection of the map, not of its scanned copies,
            (B, H, W, 4, R + 2N): for each direction dt (R), B (N), C (N).
        dt_weight (Tensor): From rank R to step sizes, (4, D, R), float32, or
            float64 with a float64 map; so are the next three.
        dt_bias (Tensor): (4, D).
        A (Tensor): Decay rates, negative, (4, D, N).
        D (Tensor): Weight of the direct path, (4, D).

    Returns:
        Tensor: (B, D, H, W) in the dtype and memory format of x. Step sizes
        and states are float32 at least.

    Raises:
        ValueError: If a shape, dtype or device does not fit the others.

    Example:
        >>> x, p = torch.rand(1, 8, 3, 5), torch.rand(1, 3, 5, 4, 2 + 2)
        >>> w, A = torch.rand(4, 8, 2), -torch.rand(4, 8, 1)
        >>> ss2d(x, p, w, torch.rand(4, 8), A, torch.ones(4, 8)).shape
        torch.Size([1, 8, 3, 5])
    """
    _check(x, p, dt_weight, dt_bias, A, D)
    if dispatch.requested() == 'reference':
        return _reference(x, p, dt_weight, dt_bias, A, D)
    return torch.ops.sparx_mm.ss2d(x, p, dt_weight, dt_bias, A, D)[0]


def _check(x, p, dt_weight, dt_bias, A, D):
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
        p=(p, ('B', 'H', 'W', 4, 'R + 2N')),
        dt_bias=(dt_bias, (4, 'D')),
        D=(D, (4, 'D')),
    )
    check_floating(
        'ss2d', ('x', x), dict(p=p), dict(dt_weight=dt_weight, dt_bias=dt_bias, A=A, D=D)
    )


def _memory_format(x):
    if x.is_contiguous():
        return torch.contiguous_format
    if x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def _laid_out(result, x):
    """The result in the dtype and memory format of x."""
    memory_format = _memory_format(x)
    out = torch.empty_like(x, device='meta', memory_format=memory_format)
    if (result.dtype, result.stride()) == (out.dtype, out.stride()):
        return result
    return torch.empty_like(x, memory_format=memory_format).copy_(result)


@torch.library.custom_op('sparx_mm::ss2d', mutates_args=())
@without_autocast
def _forward(
    x: torch.Tensor,
    p: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    if not x.numel():
        return tuple(t.zero_() for t in _forward_fake(x, p, dt_weight, dt_bias, A, D))
    y, states = dispatch.select(_BACKENDS, x).forward(x, p, dt_weight, dt_bias, A, D)
    return _laid_out(y, x), states.contiguous()


@_forward.register_fake
def _forward_fake(x, p, dt_weight, dt_bias, A, D):
    states = A.new_empty(dispatch.select(_BACKENDS, x).states_shape(x, A))
    return torch.empty_like(x, memory_format=_memory_format(x)), states


@torch.library.custom_op('sparx_mm::ss2d_backward', mutates_args=())
@without_autocast
def _backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    x: torch.Tensor,
    p: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    if not x.numel():
        return tuple(t.zero_() for t in _backward_fake(dy, states, x, p, dt_weight, dt_bias, A, D))
    backend = dispatch.select_again(_BACKENDS, x, states, A)
    dx, dp, *rest = backend.backward(dy, states, x, p, dt_weight, dt_bias, A, D)
    return (_laid_out(dx, x), dp.to(p.dtype).contiguous(), *(t.contiguous() for t in rest))


@_backward.register_fake
def _backward_fake(dy, states, x, p, dt_weight, dt_bias, A, D):
    dx = torch.empty_like(x, memory_format=_memory_format(x))
    return (dx, *(t.new_empty(t.shape) for t in (p, dt_weight, dt_bias, A, D)))


def _setup_context(ctx, inputs, output):
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], *inputs)


def _autograd(ctx, dy, _):
    return torch.ops.sparx_mm.ss2d_backward(dy, *ctx.saved_tensors)


_forward.register_autograd(_autograd, setup_context=_setup_context)


def _scan_flops(x, dt_weight, A):
    """9 L D N + L D multiply-adds a direction and L D R for its step sizes.

    Each is counted as two. The convention of VMamba's and SparX's published
    numbers, which count the exponential and the other elementwise work of the
    scan as multiply-adds.

    Args:
        x, dt_weight, A (Sequence[int]): Shapes of the arguments.

    Returns:
        int: The count.
    """
    batch, channels, height, width = x
    each = 9 * A[2] + 1 + dt_weight[2]
    return 2 * 4 * batch * height * width * channels * each


@register_flop_formula(torch.ops.sparx_mm.ss2d)
def _flops(x, p, dt_weight, dt_bias, A, D, **kwargs):
    return _scan_flops(x, dt_weight, A)


@register_flop_formula(torch.ops.sparx_mm.ss2d_backward)
def _backward_flops(dy, states, x, p, dt_weight, dt_bias, A, D, **kwargs):
    # twice the forward pass, as for a matrix product
    return 2 * _scan_flops(x, dt_weight, A)
