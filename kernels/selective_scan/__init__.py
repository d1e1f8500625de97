"""The general selective scan of sequences, as a torch operator."""

from collections.abc import Sequence
from typing import Any

# not `import torch`, because importing the backend of that name rebinds it here
from torch import Tensor

from .. import dispatch
from ..checks import check_floating, check_not_empty, check_shapes
from ..operator import define_operator
from .reference import selective_scan as _reference

__all__ = ['selective_scan']


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """Scan sequences selectively (Mamba, section 3.2), in mamba's order of arguments.

    With delta := softplus(delta + delta_bias), where asked for, over the
    positions t

        h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t
        y_t = C_t . h_t + D u_t

    Args:
        u (Tensor): Inputs of shape (B, D, L); float16, bfloat16, float32 or
            float64.
        delta (Tensor): Step sizes of shape (B, D, L).
        A (Tensor): Decay rates of shape (D, N); float32, or float64 with a
            float64 u; so are D and delta_bias.
        B (Tensor): Input weights of shape (B, N, L), or (B, G, N, L) for G groups
            of channels.
        C (Tensor): Output weights, like B.
        D (Tensor, optional): Weight of the direct path, of shape (D,).
            Default: zeros.
        delta_bias (Tensor, optional): Bias of the step sizes, of shape (D,).
            Default: zeros.
        delta_softplus (bool): Apply softplus to the step sizes. Default: False.

    Returns:
        Tensor: Outputs of shape (B, D, L) in the dtype of u, contiguous. States
        are float32 at least.

    Raises:
        ValueError: If a shape, dtype or device does not fit the others.

    Example:
        >>> u, B = torch.rand(2, 8, 5), torch.rand(2, 3, 5)
        >>> selective_scan(u, u, -torch.rand(8, 3), B, B).shape
        torch.Size([2, 8, 5])
    """
    D, delta_bias = (
        u.new_zeros(u.shape[1:2], dtype=A.dtype) if t is None and isinstance(u, Tensor) else t
        for t in (D, delta_bias)
    )
    _check(u, delta, A, B, C, D, delta_bias)
    if B.dim() == 3:
        B, C = B.unsqueeze(1), C.unsqueeze(1)
    if dispatch.requested() == 'reference':
        return _reference(u, delta, A, B, C, D, delta_bias, delta_softplus)
    return _operator(u, delta, A, B, C, D, delta_bias, delta_softplus)[0]


def _check(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor
) -> None:
    op, sizes = 'selective_scan', {}
    check_shapes(
        op, sizes, u=(u, ('B', 'D', 'L')), delta=(delta, ('B', 'D', 'L')), A=(A, ('D', 'N'))
    )
    check_not_empty(op, sizes, 'N')
    grouped = isinstance(B, Tensor) and B.dim() == 4
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


def _count_flops(
    u: Sequence[int], delta: Sequence[int], A: Sequence[int], *others: Any, **kwargs: Any
) -> int:
    """Count 9 L D N + L D multiply-adds, each as two FLOPs.

    This is the convention of VMamba's and SparX's published numbers, which count
    the exponential and the other elementwise work of the scan as multiply-adds.
    Arguments are shapes.
    """
    batch, channels, length = u
    return 2 * batch * length * channels * (9 * A[1] + 1)


_operator = define_operator(
    __name__,
    tensors=('u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias'),
    options=('bool delta_softplus',),
    states_of=('A',),
    count_flops=_count_flops,
)
