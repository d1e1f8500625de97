"""Tables of relative position biases and maps of position embeddings, resized."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

POSITION_TABLE = 'relative_position_bias_table'
POSITION_GRID = 'pos_embed'


def resize_position_table(table: torch.Tensor, length: int) -> torch.Tensor:
    """Resize a table of relative position biases, as Swin's releases do.

    A window of side w has (2w - 1)^2 offsets between two tokens; the table
    is a map of 2w - 1 by 2w - 1 for each head, resized bicubically.

    Args:
        table (Tensor): Bias by offset and head, of shape ((2w - 1)^2, heads).
        length (int): Number of offsets (2w' - 1)^2 of the other window.

    Returns:
        Tensor: Table of shape (length, heads), in the dtype of ``table``;
        ``table`` itself if it has this length.

    Raises:
        ValueError: If one of the lengths is not the square of an odd number.
    """
    sides = [_side(len(table)), _side(length)]
    if None in sides:
        raise ValueError(
            'the offsets in a window make a square of odd side, (2w - 1)^2: '
            f'cannot resize a table of {len(table)} to {length}'
        )
    if len(table) == length:
        return table
    # ((2w-1)^2, heads) -> (1, heads, 2w-1, 2w-1)
    maps = table.t().unflatten(1, (sides[0], sides[0])).unsqueeze(0)
    maps = resize_position_grid(maps, (sides[1], sides[1]))
    return maps[0].flatten(1).t().contiguous()


def resize_position_grid(grid: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Resize a map of position embeddings bicubically.

    Args:
        grid (Tensor): Map of shape (1, C, H, W).
        size (Sequence[int]): Rows and columns of the other map.

    Returns:
        Tensor: Map of shape (1, C, *size), in the dtype of ``grid``.
    """
    # float32, because not every device resizes in 16 bits
    wide = grid if grid.dtype == torch.float64 else grid.float()
    wide = F.interpolate(wide, size=tuple(size), mode='bicubic', align_corners=False)
    return wide.to(grid.dtype)


def resize_tables(file: Mapping[str, Any], model: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Resize a file's position tables and maps to a model's.

    Args:
        file (Mapping): Names and tensors; it is not changed.
        model (Mapping): The model's tensors by the same names.

    Returns:
        dict: The content of ``file``, in its order. A table that cannot be
        resized, for example one of another number of heads, stays as it is.
    """
    resized = {}
    for name, value in file.items():
        own = model.get(name)
        if not _alike(value, own):
            continue
        if name.endswith(POSITION_TABLE) and value.dim() == 2 and _has_squares(value, own):
            resized[name] = resize_position_table(value, len(own))
        elif name.endswith(POSITION_GRID) and value.dim() == 4 and value.shape != own.shape:
            resized[name] = resize_position_grid(value, own.shape[2:])
    return {**file, **resized}


def find_resized(file: Mapping[str, Any], resized: Mapping[str, Any]) -> list[str]:
    """List the tables that `resize_tables` has resized.

    Args:
        file (Mapping): Its argument.
        resized (Mapping): Its result.

    Returns:
        list[str]: Their names.
    """
    return [name for name in file if resized[name] is not file[name]]


def _alike(value: Any, own: torch.Tensor | None) -> bool:
    """Return True if two tensors differ in nothing but their numbers of positions."""
    if own is None or not isinstance(value, torch.Tensor) or value.dim() != own.dim():
        return False
    # positions are the rows of a table, and rows and columns of maps
    shapes = [t.shape[1:] if t.dim() == 2 else t.shape[:2] for t in (value, own)]
    return value.is_floating_point() and shapes[0] == shapes[1]


def _has_squares(value: torch.Tensor, own: torch.Tensor) -> bool:
    return all(_side(len(table)) for table in (value, own))


def _side(length: int) -> int | None:
    """Return the odd square root of a length, None if it has none."""
    side = math.isqrt(length)
    return side if side % 2 and side * side == length else None
