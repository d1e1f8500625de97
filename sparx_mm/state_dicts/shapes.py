"""Changes of shape between released tensors and those of this package.

All of them only reorder or reshape values, and leave a tensor that already
has the other shape as it is.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

DIRECTIONS = 4


def _same(value: torch.Tensor) -> torch.Tensor:
    return value


class Shape(NamedTuple):
    """A change of shape and its inverse.

    Args:
        to_own (Callable): Maps a released tensor to one of this package.
        to_released (Callable): Maps it back. Default: the identity.
    """

    to_own: Callable[[torch.Tensor], torch.Tensor]
    to_released: Callable[[torch.Tensor], torch.Tensor] = _same


def _linear_to_conv(value):
    # (out, in) -> (out, in, 1, 1)
    return value[:, :, None, None] if value.dim() == 2 else value


def _conv_to_linear(value):
    # (out, in, 1, 1) -> (out, in)
    return value[:, :, 0, 0] if value.dim() == 4 and value.shape[2:] == (1, 1) else value


def _merging_to_own(value):
    axis = min(value.dim() - 1, 1)
    if value.dim() in (1, 2, 4) and value.shape[axis] % 4 == 0:
        # (..., dx, dy, C) -> (..., C, dy, dx)
        value = value.unflatten(axis, (2, 2, -1)).transpose(axis, axis + 2).flatten(axis, axis + 2)
    return _linear_to_conv(value)


def _merging_to_released(value):
    value = _conv_to_linear(value)
    if value.dim() in (1, 2) and value.shape[-1] % 4 == 0:
        # (..., C, dy, dx) -> (..., dx, dy, C)
        value = value.unflatten(-1, (-1, 2, 2)).transpose(-1, -3).flatten(-3)
    return value


def _expansion_to_own(value):
    factor = _expansion_factor(value)
    if factor:
        # (P*P*c, C) -> (c*P*P, C)
        value = value.unflatten(0, (factor**2, -1)).transpose(0, 1).flatten(0, 1)
    return _linear_to_conv(value)


def _expansion_to_released(value):
    value = _conv_to_linear(value)
    factor = _expansion_factor(value)
    if factor:
        # (c*P*P, C) -> (P*P*c, C)
        value = value.unflatten(0, (-1, factor**2)).transpose(0, 1).flatten(0, 1)
    return value


def _expansion_factor(value):
    """Return the side P of the square that a linear layer makes of a position, None if none."""
    if value.dim() != 2 or value.shape[1] == 0 or value.shape[0] % value.shape[1]:
        return None
    factor = value.shape[0] // value.shape[1]
    return factor if factor and value.shape[0] % factor**2 == 0 else None


def _x_proj_to_own(value):
    if value.dim() == 3 and value.shape[0] == DIRECTIONS:
        # (4, R+2N, D) -> (4(R+2N), D)
        value = value.flatten(0, 1)
    # (4(R+2N), D) -> (4(R+2N), D, 1)
    return value[:, :, None] if value.dim() == 2 else value


def _x_proj_to_released(value):
    if value.dim() == 3 and value.shape[2] == 1 and value.shape[0] % DIRECTIONS == 0:
        # (4(R+2N), D, 1) -> (4, R+2N, D)
        value = value[:, :, 0].unflatten(0, (DIRECTIONS, -1))
    return value


def _dt_to_own(value):
    if value.dim() == 2 and value.shape[0] % DIRECTIONS == 0:
        # (4D, R) -> (4, D, R)
        value = value.unflatten(0, (DIRECTIONS, -1))
    return value


def _with_axis(axis, dims):
    """Make the change to a shape with one more axis of length 1, from ``dims`` axes."""
    return Shape(
        lambda value: value.unsqueeze(axis) if value.dim() == dims else value,
        lambda value: value.squeeze(axis) if value.dim() > dims else value,
    )


def _tokens_to_grid(value):
    side = math.isqrt(value.shape[1]) if value.dim() == 3 else 0
    if side and side * side == value.shape[1]:
        # (1, side*side, C) -> (1, C, side, side)
        value = value.transpose(1, 2).unflatten(2, (side, side)).contiguous()
    return value


def _grid_to_tokens(value):
    # (1, C, H, W) -> (1, H*W, C)
    return value.flatten(2).transpose(1, 2).contiguous() if value.dim() == 4 else value


SAME = Shape(_same)
# a 1x1 convolution that some files save as a linear layer
CONV = Shape(_linear_to_conv)
# a linear layer that is a 1x1 convolution here
LINEAR = Shape(_linear_to_conv, _conv_to_linear)
# Swin's patch merging: the released code has the four neighbours one after the
# other, column by column, each with its channels; here, as in OpenMMLab, are
# the channels one after the other, each with its neighbours row by row
MERGING = Shape(_merging_to_own, _merging_to_released)
# VM-UNet's patch expansion: the released code has the square's positions one after the
# other, each with its channels; here are the channels one after the other
EXPANSION = Shape(_expansion_to_own, _expansion_to_released)
# the scan's projection to dt, B and C, of all directions in one tensor here
X_PROJ = Shape(_x_proj_to_own, _x_proj_to_released)
# the scan's projection of dt, one matrix per direction here
DT_PROJ = Shape(_dt_to_own)
# the same of a scan whose directions share their parameters
ONE_X_PROJ, ONE_DT_PROJ, ONE_DT_BIAS = _with_axis(2, 2), _with_axis(0, 2), _with_axis(0, 1)
# a position embedding that is saved by tokens of a square map
POSITIONS = Shape(_tokens_to_grid, _grid_to_tokens)
