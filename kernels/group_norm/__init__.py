"""Group norm of maps, as a torch operator."""

# not `import torch`, because importing the backend of that name rebinds it here
from torch import Tensor

from .. import dispatch
from ..checks import check_floating, check_not_empty, check_shapes
from ..operator import define_operator
from .reference import group_norm as _reference

__all__ = ['group_norm']


def group_norm(x: Tensor, weight: Tensor, bias: Tensor, num_groups: int, eps: float) -> Tensor:
    """Normalise each group of channels of each image (https://arxiv.org/abs/1803.08494).

    With mean and (biased) variance over a group's channels and all positions,

        y = (x - mean) / sqrt(variance + eps) * weight + bias

    The result has the memory format of x; only plain torch copies a channels-last map
    to get there.

    Args:
        x (Tensor): Map of shape (B, C, H, W), in either memory format; float16,
            bfloat16, float32 or float64.
        weight (Tensor): Scale of shape (C,); float32, or float64 with a float64 map.
        bias (Tensor): Shift, like the scale.
        num_groups (int): Number of groups of successive channels, a divisor of C.
        eps (float): What is added to the variance.

    Returns:
        Tensor: Map of shape (B, C, H, W) in the dtype and memory format of x, under
        autocast too. Statistics are float32 at least.

    Raises:
        ValueError: If a shape, dtype or device does not fit the others.

    Example:
        >>> import torch
        >>> x = torch.rand(2, 6, 3, 5)
        >>> group_norm(x, torch.ones(6), torch.zeros(6), 2, 1e-5).shape
        torch.Size([2, 6, 3, 5])
    """
    _check(x, weight, bias, num_groups)
    if dispatch.requested() == 'reference':
        return _reference(x, weight, bias, num_groups, eps)
    return _operator(x, weight, bias, num_groups, eps)[0]


def _check(x: Tensor, weight: Tensor, bias: Tensor, num_groups: int) -> None:
    op, sizes = 'group_norm', {}
    check_shapes(
        op, sizes, x=(x, ('B', 'C', 'H', 'W')), weight=(weight, ('C',)), bias=(bias, ('C',))
    )
    check_not_empty(op, sizes, 'C')
    if num_groups < 1 or sizes['C'] % num_groups:
        raise ValueError(
            f'{op}: num_groups must be a divisor of the channels of x, '
            f'got {num_groups} and {sizes["C"]}'
        )
    check_floating(op, ('x', x), {}, dict(weight=weight, bias=bias))


_operator = define_operator(
    __name__,
    tensors=('x', 'weight', 'bias'),
    options=('int num_groups', 'float eps'),
    states_of=('num_groups',),
)
