"""Rows of images in one picture, each under its title, and a legend."""

from collections.abc import Sequence

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
# pixels: space right of each image and below it, height of a title
GAP, HEADER = 8, 40
# an image that is more elongated is drawn lower than its row
MAX_RATIO = 3
# pixels: height of a line of the legend, side of a colored square
LINE, SQUARE = 32, 20


def as_color(pixels: np.ndarray) -> np.ndarray:
    """Return three channels of an image to draw on.

    Args:
        pixels (ndarray): Image of shape (H, W) or (H, W, C).

    Returns:
        ndarray: The first three of (H, W, C); of fewer, the first one three times.
    """
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    return pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1].repeat(3, axis=2)


def enlarge(image: np.ndarray, height: int) -> np.ndarray:
    """Scale an image to the height of a row.

    Args:
        image (ndarray): Image of shape (H, W, 3), uint8.
        height (int): Height in pixels.

    Returns:
        ndarray: Image of the same proportions, uint8. It has the given
        height, or less if it would be more than ``MAX_RATIO`` times as wide.
    """
    scale = min(height / image.shape[0], MAX_RATIO * height / image.shape[1])
    size = [max(round(side * scale), 1) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)


def draw_row(title: str, tiles: Sequence[np.ndarray], height: int) -> np.ndarray:
    """Put images side by side under a title.

    Args:
        title (str): Title of the row.
        tiles (Sequence[ndarray]): Images of shape (h, w, 3), uint8, with h at
            most ``height``. White is added below lower ones.
        height (int): Height of the row without its title, in pixels.

    Returns:
        ndarray: Row of shape (HEADER + height + GAP, W, 3), uint8.
    """
    tiles = [
        np.pad(tile, ((0, height + GAP - len(tile)), (0, GAP), (0, 0)), constant_values=255)
        for tile in tiles
    ]
    row = np.concatenate(tiles, axis=1)
    header = np.full((HEADER, row.shape[1], 3), WHITE, np.uint8)
    cv2.putText(header, title, (6, 28), FONT, 0.9, BLACK, 1, cv2.LINE_AA)
    return np.concatenate([header, row])


def draw_legend(entries: Sequence[tuple[str, Sequence[int]]], width: int) -> np.ndarray:
    """Write names beside squares of their colors.

    Args:
        entries (Sequence[tuple]): Pairs of a name and its color, in reading
            order.
        width (int): Width of the legend in pixels.

    Returns:
        ndarray: Legend of shape (H, width, 3), uint8.
    """
    places: list[tuple[int, int]] = []
    left, line = 6, 0
    for name, _ in entries:
        (length, _), _ = cv2.getTextSize(name, FONT, 0.7, 1)
        length += SQUARE + 7
        if left > 6 and left + length > width:
            left, line = 6, line + 1
        places.append((left, 6 + LINE * line))
        left += length + 20
    legend = np.full((LINE * (line + 1) + 6, width, 3), WHITE, np.uint8)
    for (name, color), (x, y) in zip(entries, places):
        end = (x + SQUARE, y + SQUARE)
        cv2.rectangle(legend, (x, y), end, [int(c) for c in color], -1)
        cv2.rectangle(legend, (x, y), end, BLACK, 1)
        cv2.putText(legend, name, (end[0] + 7, y + 17), FONT, 0.7, BLACK, 1, cv2.LINE_AA)
    return legend
