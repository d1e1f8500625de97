"""Images beside and above each other, with titles and a legend."""

from collections.abc import Sequence

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
# pixels to the right of each image and below it
GAP = 6
# times as wide as high: a longer image is shown less high than the others
MAX_RATIO = 3
# of a line of the legend, and of the colored square before a name
LINE, SQUARE = 22, 13


def enlarge(image: np.ndarray, height: int) -> np.ndarray:
    """Scale an image to the height of a row.

    Args:
        image (ndarray): BGR, uint8, (H, W, 3).
        height (int): In pixels.

    Returns:
        ndarray: The image, in its own proportions: of this height, or lower
        if it were more than ``MAX_RATIO`` times as wide.
    """
    scale = min(height / image.shape[0], MAX_RATIO * height / image.shape[1])
    size = [max(round(side * scale), 1) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)


def draw_row(title: str, tiles: Sequence[np.ndarray], height: int) -> np.ndarray:
    """Put images side by side below a title.

    Args:
        title (str): The title.
        tiles (Sequence[ndarray]): BGR, uint8, (h, w, 3), h at most
            ``height``; white is added below the lower ones.
        height (int): Of all images, in pixels.

    Returns:
        ndarray: The row: BGR, uint8, (28 + height + GAP, W, 3).
    """
    tiles = [
        np.pad(tile, ((0, height + GAP - len(tile)), (0, GAP), (0, 0)), constant_values=255)
        for tile in tiles
    ]
    row = np.concatenate(tiles, axis=1)
    header = np.full((28, row.shape[1], 3), 255, np.uint8)
    cv2.putText(header, title, (4, 20), FONT, 0.6, BLACK, 1, cv2.LINE_AA)
    return np.concatenate([header, row])


def draw_legend(entries: Sequence[tuple[str, Sequence[int]]], width: int) -> np.ndarray:
    """Write names beside squares of their colors, in lines.

    Args:
        entries (Sequence[tuple]): Names and colors (BGR), in reading order.
        width (int): Of the legend, in pixels.

    Returns:
        ndarray: The legend: BGR, uint8, (H, width, 3).
    """
    places: list[tuple[int, int]] = []
    left, line = 4, 0
    for name, _ in entries:
        (length, _), _ = cv2.getTextSize(name, FONT, 0.45, 1)
        length += SQUARE + 5
        if left > 4 and left + length > width:
            left, line = 4, line + 1
        places.append((left, 4 + LINE * line))
        left += length + 14
    legend = np.full((LINE * (line + 1) + 4, width, 3), 255, np.uint8)
    for (name, color), (x, y) in zip(entries, places):
        end = (x + SQUARE, y + SQUARE)
        cv2.rectangle(legend, (x, y), end, [int(c) for c in color], -1)
        cv2.rectangle(legend, (x, y), end, BLACK, 1)
        cv2.putText(legend, name, (end[0] + 5, y + 12), FONT, 0.45, BLACK, 1, cv2.LINE_AA)
    return legend
