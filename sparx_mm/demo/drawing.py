"""Draw one image of shapes, with their labels and masks.

Six kinds of shapes, rotated, stretched, textured and overlapping, on
textured backgrounds.
"""

from typing import NamedTuple

import cv2
import numpy as np

# drawn larger and averaged down, so that edges are smooth
SUPERSAMPLE = 4


def _polygon(num: int, radii: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """Return corners at equal angles, with radii in turn: (num, 2)."""
    angles = np.arange(num) * 2 * np.pi / num - np.pi / 2
    radius = np.resize(radii, num)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1)


_ARM = 0.36
# kind -> outlines in the unit circle; a second one is a hole
OUTLINES: dict[str, list[np.ndarray]] = {
    'circle': [_polygon(48)],
    'square': [_polygon(4)],
    'triangle': [_polygon(3)],
    'star': [_polygon(10, (1.0, 0.45))],
    'ring': [_polygon(48), _polygon(48, (0.55,))],
    'cross': [
        np.array(
            [
                (_ARM, 1),
                (_ARM, _ARM),
                (1, _ARM),
                (1, -_ARM),
                (_ARM, -_ARM),
                (_ARM, -1),
                (-_ARM, -1),
                (-_ARM, -_ARM),
                (-1, -_ARM),
                (-1, _ARM),
                (-_ARM, _ARM),
                (-_ARM, 1),
            ]
        )
    ],
}
CLASSES = tuple(OUTLINES)


def _stroke(*points: tuple[float, float], width: float = 0.16) -> np.ndarray:
    """Return the outline of a line through points: there on one side, back on the other."""
    line = np.array(points, float)
    along = np.gradient(line, axis=0)
    aside = along[:, ::-1] * (-1, 1) / np.linalg.norm(along, axis=1, keepdims=True)
    return np.concatenate([line + width * aside, (line - width * aside)[::-1]])


def _arc(degrees: float) -> np.ndarray:
    """Return the outline of a thin arc of the unit circle."""
    angles = np.radians(np.linspace(0, degrees, 32))
    return _stroke(*0.9 * np.stack([np.cos(angles), np.sin(angles)], 1))


# more kinds, which are thin
THIN_OUTLINES: dict[str, list[np.ndarray]] = {
    'bar': [_stroke((-1, 0), (1, 0))],
    'corner': [_stroke((-0.8, -0.8), (-0.8, 0.7), (0.7, 0.7))],
    'zigzag': [_stroke((-1, -0.5), (-0.3, 0.5), (0.3, -0.5), (1, 0.5))],
    'arc': [_arc(180)],
    'hook': [_arc(290)],
    'hoop': [_polygon(48), _polygon(48, (0.8,))],
}


class Style(NamedTuple):
    """What is drawn, and how hard it is to recognise.

    Args:
        outlines (dict[str, list[ndarray]]): Outlines in the unit circle by class; a
            second one is a hole.
        radii (tuple[float, float]): Smallest and largest radius as parts of the image.
        hidden (float): Greatest part of a shape that later ones hide.
        colors (int): Number of random colors that the most distinct one is taken from.
        noise (float): Greatest standard deviation of the noise, of 255.
    """

    outlines: dict[str, list[np.ndarray]] = OUTLINES
    radii: tuple[float, float] = (0.08, 0.22)
    hidden: float = 0.5
    colors: int = 6
    noise: float = 10.0


DEMO = Style()
HARD = Style({**OUTLINES, **THIN_OUTLINES}, (0.06, 0.25), hidden=0.6, colors=3, noise=15.0)


class Sample(NamedTuple):
    """One image and the shapes visible in it.

    Args:
        image (ndarray): BGR, uint8, of shape (size, size, 3).
        labels (list[int]): Class of each shape, the index of an outline of the style;
            of the demo's, an index into `CLASSES`.
        masks (list[ndarray]): Visible part of each shape: bool, (size, size).
    """

    image: np.ndarray
    labels: list[int]
    masks: list[np.ndarray]

    @property
    def label_map(self) -> np.ndarray:
        """0 on the background, ``label + 1`` on shapes: uint8, (size, size)"""
        label_map = np.zeros(self.image.shape[:2], np.uint8)
        for label, mask in zip(self.labels, self.masks):
            label_map[mask] = label + 1
        return label_map


def draw_sample(
    rng: np.random.Generator, size: int = 128, max_shapes: int = 6, style: Style = DEMO
) -> Sample:
    """Draw one image.

    Later shapes cover earlier ones; a shape that would hide more of another than the
    style allows is not drawn, so everything drawn can be recognised.

    Args:
        rng (Generator): Source of all choices.
        size (int): Height and width in pixels. Default: 128.
        max_shapes (int): Maximum number of shapes. Default: 6.
        style (Style): Kinds of shapes, and how hard they are to recognise.
            Default: ``DEMO``.

    Returns:
        Sample: Image with at least one shape.
    """
    background = rng.integers(0, 256, 3)
    image = _texture(rng, size, background)
    colors = [background]
    outlines = list(style.outlines.values())
    labels, masks, whole = [], [], []
    wanted = rng.integers(2, max_shapes + 1)
    # any trial but the first may be rejected
    for _ in range(3 * wanted):
        if len(labels) == wanted:
            break
        label = int(rng.integers(len(outlines)))
        alpha = _draw_outline(rng, outlines[label], size, style.radii)
        mask = alpha >= 0.5
        color = _distinct_color(rng, colors, style.colors)
        paint = _texture(rng, size, color)
        rest = [m & ~mask for m in masks]
        if any(r.sum() < (1 - style.hidden) * w for r, w in zip(rest, whole)):
            continue
        image += alpha[..., None] * (paint - image)
        colors.append(color)
        labels.append(label)
        masks = [*rest, mask]
        whole.append(mask.sum())
    noise = rng.normal(0, rng.uniform(0, style.noise), image.shape)
    image = np.clip(image + noise, 0, 255).round().astype(np.uint8)
    return Sample(image, labels, masks)


def _draw_outline(rng, outlines, size, radii=DEMO.radii):
    """Place a shape at random; return its coverage of each pixel: (size, size)."""
    radius = size * rng.uniform(*radii)
    stretch = np.array([1.0, rng.uniform(0.75, 1.0)])
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = rng.uniform(0.5 * radius, size - 0.5 * radius, 2)
    corners = [SUPERSAMPLE * (center + radius * (line * stretch) @ turn.T) for line in outlines]
    large = np.zeros((size * SUPERSAMPLE,) * 2, np.uint8)
    # even-odd rule: the second outline cuts a hole
    cv2.fillPoly(large, [c.round().astype(np.int32) for c in corners], 255)
    small = cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def _distinct_color(rng, others, count):
    """Return the random color that is farthest from the others."""
    candidates = rng.integers(0, 256, (count, 3))
    distance = np.linalg.norm(candidates[:, None] - np.array(others)[None], axis=2)
    return candidates[distance.min(axis=1).argmax()]


def _texture(rng, size, color):
    """Vary a color over the image: float32 of shape (size, size, 3)."""
    pattern = TEXTURES[rng.integers(len(TEXTURES))](rng, size)
    contrast = rng.uniform(10, 60) * rng.choice([-1, 1], 3)
    return (color + pattern[..., None] * contrast).astype(np.float32)


def _gradient(rng, size):
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size] / size - 0.5
    return np.cos(angle) * x + np.sin(angle) * y


def _stripes(rng, size):
    waves = rng.uniform(3, 12)
    return 0.5 * np.sign(np.sin(2 * np.pi * waves * _gradient(rng, size)))


def _checks(rng, size):
    waves = rng.uniform(2, 6)
    angle = rng.uniform(0, np.pi / 2)
    y, x = np.mgrid[:size, :size] / size
    along = np.cos(angle) * x + np.sin(angle) * y
    across = np.cos(angle) * y - np.sin(angle) * x
    return 0.5 * np.sign(np.sin(2 * np.pi * waves * along) * np.sin(2 * np.pi * waves * across))


def _clouds(rng, size):
    cells = int(rng.integers(3, 10))
    coarse = rng.uniform(-0.5, 0.5, (cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


TEXTURES = (_gradient, _stripes, _checks, _clouds)
