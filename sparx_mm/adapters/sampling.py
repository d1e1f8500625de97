"""The sampling of multi-scale deformable attention, in plain torch and by mmcv."""

from collections.abc import Callable, Sequence
from functools import cache

import torch
import torch.nn.functional as F

from sparx_mm.kernels import is_traced

from .levels import Sizes, to_maps


def sample_levels(
    value: torch.Tensor, sizes: Sizes, places: Sequence[torch.Tensor], weights: torch.Tensor
) -> torch.Tensor:
    """Sum values of several maps at places between their cells.

    Equation 3 of Deformable DETR (https://arxiv.org/abs/2010.04159) without its
    projections. A place is read bilinearly from the four cells around it; cells beyond
    the edge are zero. On a GPU mmcv's operator computes it where mmcv has one.

    Args:
        value (Tensor): Values by token and head, of shape (B, L, heads, C).
        sizes (Sizes): Sizes of the maps that the L tokens are of.
        places (Sequence[Tensor]): For each map the places that each query and head
            reads, of shape (B, Q, heads, points, 2): x and y as parts of the map's
            width and height.
        weights (Tensor): Weights of the places, of shape (B, Q, heads, maps, points).

    Returns:
        Tensor: Sums of shape (B, Q, heads * C).
    """
    if value.is_cuda and not (is_traced() or torch.compiler.is_compiling()):
        operator = _mmcv_operator()
        if operator is not None:
            return _sample_by_mmcv(operator, value, sizes, places, weights)
    heads, channels = value.shape[2:]
    total = None
    for i, one in enumerate(to_maps(value.flatten(2), sizes)):
        # (B, heads*C, H, W) -> (B*heads, C, H, W)
        one = one.unflatten(1, (heads, channels)).flatten(0, 1)
        # (B, Q, heads, points, 2) -> (B*heads, Q, points, 2), from -1 to 1
        grid = 2 * places[i].transpose(1, 2).flatten(0, 1) - 1
        # (B*heads, C, Q, points)
        read = F.grid_sample(one, grid, mode='bilinear', padding_mode='zeros', align_corners=False)
        # (B, Q, heads, points) -> (B*heads, 1, Q, points)
        part = (read * weights[:, :, :, i].transpose(1, 2).flatten(0, 1).unsqueeze(1)).sum(-1)
        total = part if total is None else total + part
    # (B*heads, C, Q) -> (B, Q, heads*C)
    return total.unflatten(0, (-1, heads)).flatten(1, 2).transpose(1, 2)


@cache
def _mmcv_operator() -> Callable | None:
    """Return mmcv's operator for GPUs, None if this mmcv has none or is not installed."""
    # imported lazily: `python -m sparx_mm.info` runs that module after this package is imported
    from ..info import mmcv_cuda_version

    try:
        if not mmcv_cuda_version():
            return None
        # imported lazily: mmcv is no requirement of the package
        from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
    except ImportError:
        return None
    return MultiScaleDeformableAttnFunction.apply


def _sample_by_mmcv(operator, value, sizes, places, weights):
    shapes, starts = _size_tables(tuple(map(tuple, sizes)), value.device)
    return operator(
        value.contiguous(),
        shapes,
        starts,
        # (B, Q, heads, maps, points, 2)
        torch.stack(list(places), 3).contiguous(),
        weights.contiguous(),
        # images at once, of which the batch must be a multiple
        len(value),
    )


# without a limit, because a CUDA graph reads them again; each is smaller than a kilobyte
@cache
def _size_tables(sizes, device):
    """Return rows and columns of each map, and where its tokens begin, as mmcv reads them."""
    # what inference mode makes cannot be kept for a backward pass
    with torch.inference_mode(False):
        shapes = torch.tensor(sizes)
        counts = shapes.prod(1)
        return shapes.to(device), (counts.cumsum(0) - counts).to(device)
