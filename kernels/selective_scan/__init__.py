"""The general selective scan of sequences, as a torch operator."""

import torch
from torch.utils.flop_counter import register_flop_formula

from .. import dispatch
from ..autocast import without_autocast
from ..checks import check_floating, check_not_empty, check_shapes
from .reference import selective_scan as _reference

__all__ = ['selective_scan']

_BACKENDS = {name: f'{__name__}.{name}' for name in ('cpu', 'triton')}


def selective_scan(u, delta, A, B, C, D=None, delta_bias=None, delta_softplus=False):
    """Selective scan (Mamba, section 3.2), in mamba's order of arguments.

    With delta := softplus(delta + delta_bias), where asked for, over the
    positions t

        h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t
        y_t = C_t . h_t + D u_t

    Args:
        u (Tensor): Inputs, (B, D, L); float16, bfloat16, float32 or float64.
        delta (Tensor): Step sizes, (B, D, L).
        A (Tensor): Decay rates, (D, N), float32, or float64 with a float64 u;
            so are D and delta_bias.
        B (Tensor): (B, N, L), or (B, G, N, L) for G groups of channels.
        C (Tensor): Like B.
        D (Tensor, optional): Weight of the direct path, (D,).
        delta_bias (Tensor, optional): (D,).
        delta_softplus (bool): Whether softplus is applied to the steps.

    Returns:
        Tensor: (B, D, L) in the dtype of u, contiguous. States are float32 at
        least.

    Raises:
        ValueError: If a shape, dtype or device does not fit the others.

    Example:
        >>> u, B = torch.rand(2, 8, 5), torch.rand(2, 3, 5)
        >>> selective_scan(u, u, -torch.rand(8, 3), B, B).shape
        torch.Size([2, 8, 5])
    """
    D, delta_bias = (
        u.new_zeros(u.shape[1:2], dtype=A.dtype) if t is None and isinstance(u, torch.Tensor) else t
        for t in (D, delta_bias)
    )
    _check(u, delta, A, B, C, D, delta_bias)
    if B.dim() == 3:
        B, C = B.unsqueeze(1), C.unsqueeze(1)
    if dispatch.requested() == 'reference':
        return _reference(u, delta, A, B, C, D, delta_bias, delta_softplus)
    return torch.ops.sparx_mm.selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)[0]


def _check(u, delta, A, B, C, D, delta_bias):
    op, sizes = 'selective_scan', {}
    check_shapes(
        op, sizes, u=(u, ('B', 'D', 'L')), delta=(delta, ('B', 'D', 'L')), A=(A, ('D', 'N'))
    )
    check_not_empty(op, sizes, 'N')
    grouped = isinstance(B, torch.Tensor) and B.dim() == 4
    shape = ('B', 'G', 'N', 'L') if grouped else ('B', 'N', 'L')
    check_shapes(
        op, sizes, B=(B, shape), C=(C, shape), D=(D, ('D',)), delta_bias=(delta_bias, ('D',))
    )
    if grouped and (not sizes['G'] or sizes['D'] % sizes['G']):
        raise ValueError(
            f'{op}: the channels of u must be a multiple of the '
            f'groups of B, got {sizes["D"]} and {sizes["G"]}'
        )
    check_floating(op, ('u', u), dict(delta=delta, B=B, C=C), dict(A=A, D=D, delta_bias=delta_bias))


@torch.library.custom_op('sparx_mm::selective_scan', mutates_args=())
@without_autocast
def _forward(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
    delta_softplus: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    if not u.numel():
        return tuple(
            t.zero_() for t in _forward_fake(u, delta, A, B, C, D, delta_bias, delta_softplus)
        )
    y, states = dispatch.select(_BACKENDS, u).forward(
        u, delta, A, B, C, D, delta_bias, delta_softplus
    )
    return y.to(u.dtype).contiguous(), states.contiguous()


@_forward.register_fake
def _forward_fake(u, delta, A, B, C, D, delta_bias, delta_softplus):
    states = A.new_empty(dispatch.select(_BACKENDS, u).states_shape(u, A))
    return u.new_empty(u.shape), states


@torch.library.custom_op('sparx_mm::selective_scan_backward', mutates_args=())
@without_autocast
def _backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
    delta_softplus: bool,
) -> tuple[
    torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor
]:
    inputs = (u, delta, A, B, C, D, delta_bias)
    if not u.numel():
        return tuple(t.zero_() for t in _backward_fake(dy, states, *inputs, delta_softplus))
    backend = dispatch.select_again(_BACKENDS, u, states, A)
    grads = backend.backward(dy, states, *inputs, delta_softplus)
    return tuple(g.to(t.dtype).contiguous() for g, t in zip(grads, inputs))


@_backward.register_fake
def _backward_fake(dy, states, u, delta, A, B, C, D, delta_bias, delta_softplus):
    return tuple(t.new_empty(t.shape) for t in (u, delta, A, B, C, D, delta_bias))


def _setup_context(ctx, inputs, output):
    *tensors, ctx.delta_softplus = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], *tensors)


def _autograd(ctx, dy, _):
    grads = torch.ops.sparx_mm.selective_scan_backward(dy, *ctx.saved_tensors, ctx.delta_softplus)
    return (*grads, None)


_forward.register_autograd(_autograd, setup_context=_setup_context)


def _scan_flops(u, A):
    """9 L D N + L D multiply-adds, each counted as two.

    The convention of VMamba's and SparX's published numbers, which count the
    exponential and the other elementwise work of the scan as multiply-adds.

    Args:
        u, A (Sequence[int]): Shapes of the arguments.

    Returns:
        int: The count.
    """
    batch, channels, length = u
    return 2 * batch * length * channels * (9 * A[1] + 1)


@register_flop_formula(torch.ops.sparx_mm.selective_scan)
def _flops(u, delta, A, *args, **kwargs):
    return _scan_flops(u, A)


@register_flop_formula(torch.ops.sparx_mm.selective_scan_backward)
def _backward_flops(dy, states, u, delta, A, *args, **kwargs):
    # twice the forward pass, as for a matrix product
    return 2 * _scan_flops(u, A)
