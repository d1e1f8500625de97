"""Where the tiles of a large image are."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..errors import UserError


class Tile(NamedTuple):
    """A rectangle of an image, in pixels.

    Args:
        y (int): First row.
        x (int): First column.
        height (int): Number of rows.
        width (int): Number of columns.
    """

    y: int
    x: int
    height: int
    width: int

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Return a copy of this part of an image of shape (H, W, ...)."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width].copy()


def check_tiling(tile: int | None, overlap: float) -> None:
    """Check the arguments of tiling.

    Args:
        tile (int, optional): Side of a tile in pixels.
        overlap (float): Part of a tile that its neighbour has too.

    Raises:
        UserError: If they are out of range.
    """
    if tile is not None and tile < 32:
        raise UserError(f'a tile has at least 32 pixels a side, got {tile}')
    if not 0 <= overlap < 0.9:
        raise UserError(f'the overlap of tiles is a part of a tile in [0, 0.9), got {overlap}')


def tile_rows(height: int, width: int, side: int, overlap: float) -> list[list[Tile]]:
    """Cover an image with equal tiles, the last ones of which end at its border.

    Args:
        height (int): Height of the image in pixels.
        width (int): Width of the image in pixels.
        side (int): Side of a tile in pixels; a smaller image is one tile.
        overlap (float): Least part of a tile that its neighbour has too.

    Returns:
        list[list[Tile]]: Tiles by rows, from the top left.
    """
    step = max(1, side - round(overlap * side))
    columns = list(_starts(width, side, step))
    size = min(side, height), min(side, width)
    return [[Tile(y, x, *size) for x in columns] for y in _starts(height, side, step)]


def _starts(length: int, side: int, step: int) -> Iterator[int]:
    yield from range(0, max(length - side, 0), step)
    yield max(length - side, 0)
