"""Tables of relative position biases, resized to windows of another size."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

POSITION_TABLE = 'relative_position_bias_table'


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
    if table.dtype != torch.float64:
        # float32, because not every device resizes in 16 bits
        maps = maps.float()
    maps = F.interpolate(maps, size=(sides[1], sides[1]), mode='bicubic', align_corners=False)
    return maps[0].flatten(1).t().contiguous().to(table.dtype)


def resize_tables(file: Mapping[str, Any], model: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Resize a file's tables of relative position biases to a model's.

    Args:
        file (Mapping): Names and tensors; it is not changed.
        model (Mapping): The model's tensors by the same names.

    Returns:
        dict: The content of ``file``, in its order. A table that cannot be
        resized, for example one of another number of heads, stays as it is.
    """
    resized = {
        name: resize_position_table(value, len(model[name]))
        for name, value in file.items()
        if _resizable(name, value, model.get(name))
    }
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


def _resizable(name: str, value: Any, own: torch.Tensor | None) -> bool:
    return (
        name.endswith(POSITION_TABLE)
        and own is not None
        and isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.dim() == own.dim() == 2
        and value.shape[1] == own.shape[1]
        and all(_side(len(table)) for table in (value, own))
    )


def _side(length: int) -> int | None:
    """Return the odd square root of a length, None if it has none."""
    side = math.isqrt(length)
    return side if side % 2 and side * side == length else None
