"""Grids of small pictures, which all figures here are."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# inches
TILE, LABEL = 1.7, 0.9


def grid(
    rows: int, columns: int, tile: tuple[float, float] = (TILE, TILE)
) -> tuple['Figure', np.ndarray]:
    """Make a figure of equal tiles without axes.

    Args:
        rows (int): Number of rows.
        columns (int): Number of columns.
        tile (tuple[float, float]): Width and height of a tile in inches.

    Returns:
        tuple[Figure, ndarray]: The figure, and its axes of shape (rows, columns).
    """
    # imported lazily: most who import this package draw nothing
    from matplotlib.figure import Figure

    width, height = tile
    figure = Figure((columns * width + LABEL, rows * (height + 0.15)), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.set_frame_on(False)
    return figure, axes


def label_row(ax: 'Axes', text: str) -> None:
    """Write a label at the left of a row.

    Args:
        ax (Axes): First axes of the row.
        text (str): The label.
    """
    ax.set_ylabel(text, fontsize='small')
