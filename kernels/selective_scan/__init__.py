"""The general selective scan of sequences, as a torch operator."""

from collections.abc import Sequence
from typing import Any

# not `import torch`, because importing the backend of that name rebinds it here
import torch.nn.functional as F
from torch import Tensor

from .. import dispatch
from ..checks import check_floating, check_not_empty, check_shapes
from ..operator import define_operator
from .gaps import fold_gaps
from .last_state import scan_with_last_state
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
    *,
    z: Tensor | None = None,
    gap: Tensor | None = None,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Scan sequences selectively (Mamba, section 3.2), with mamba-ssm's names of arguments.

    With delta := softplus(delta + delta_bias), where asked for, over the
    positions t

        h_t = exp((delta_t + gap_t) A) h_{t-1} + delta_t B_t u_t
        y_t = C_t . h_t + D u_t

    and, with a gate, y := y silu(z). Gaps are positions that were left out: a state
    only decays there.

    Of mamba-ssm's `selective_scan_fn` these are missing: complex A, B and C; B and C of
    shape (D, N), the same at all positions; z by position, where it stands before
    delta_bias. Here the last state has a gradient, which mamba-ssm leaves out.

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
        z (Tensor, optional): Gate of the outputs, of shape (B, D, L), of any floating
            dtype as delta. Default: no gate.
        gap (Tensor, optional): Step sizes of the positions that were left out before
            each one, summed, not negative, of shape (B, D, L), of any floating dtype as
            delta. Step sizes must not be negative then. Default: no position was.
        return_last_state (bool): Return the state at the last position too, in which a
            caller goes on. Default: False.

    Returns:
        Tensor or tuple[Tensor, Tensor]: Outputs of shape (B, D, L) in the dtype of u,
        contiguous; where asked for, with them the last state h_L of shape (B, D, N), of
        zeros if L is 0. States are float32 at least; one that is not finite makes all N
        of its channel NaN or infinite.

    Raises:
        ValueError: If a shape, dtype or device does not fit the others.

    Example:
        >>> u, B = torch.rand(2, 8, 5), torch.rand(2, 3, 5)
        >>> selective_scan(u, u, -torch.rand(8, 3), B, B).shape
        torch.Size([2, 8, 5])
    """
    given_D, given_bias = D, delta_bias
    are_tensors = isinstance(u, Tensor) and isinstance(A, Tensor)
    D, delta_bias = (
        u.new_zeros(u.shape[1:2], dtype=A.dtype) if t is None and are_tensors else t
        for t in (D, delta_bias)
    )
    _check(u, delta, A, B, C, D, delta_bias, z, gap)
    if B.dim() == 3:
        B, C = B.unsqueeze(1), C.unsqueeze(1)
    arguments = (delta, A, B, C, D, delta_bias, delta_softplus)
    if dispatch.requested() == 'reference':
        return _reference(u, *arguments, z=z, gap=gap, return_last_state=return_last_state)
    out_dtype = u.dtype
    if z is not None:
        # so that outputs are rounded once, after the gate
        u = u.to(A.dtype)
    arguments = (u, *arguments)
    if gap is not None:
        arguments = fold_gaps(u, delta, A, B, C, given_bias, delta_softplus, gap)
    if return_last_state:
        y, last = scan_with_last_state(lambda *tensors: _operator(*tensors)[0], *arguments)
    else:
        y = _operator(*arguments)[0]
    if gap is not None and given_D is not None:
        y = y + D[:, None] * u
    if z is not None:
        y = y * F.silu(z.to(A.dtype))
    y = y.to(out_dtype)
    return (y, last) if return_last_state else y


def _check(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    z: Tensor | None,
    gap: Tensor | None,
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
    inputs = dict(delta=delta, B=B, C=C)
    for name, tensor in (('z', z), ('gap', gap)):
        if tensor is not None:
            check_shapes(op, sizes, **{name: (tensor, ('B', 'D', 'L'))})
            inputs[name] = tensor
    check_floating(op, ('u', u), inputs, dict(A=A, D=D, delta_bias=delta_bias))


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
