"""Draw a town from above, with a label map in Potsdam's classes.

Streets in two directions, houses along them, ponds, trees and cars, with shadows, on ground of
changing colour. Lengths are in pixels of the image, whatever its size.
"""

from typing import NamedTuple

import cv2
import numpy as np

AERIAL_CLASSES = (
    'impervious_surface',
    'building',
    'low_vegetation',
    'tree',
    'car',
    'clutter',
)
# ids in label maps, where 0 has no class
STREET, ROOF, GRASS, TREE, CAR, POND = range(1, 7)
# drawn larger and averaged down, so that edges are smooth
SUPERSAMPLE = 2
# objects that are tried for each BLOCK x BLOCK pixels
BLOCK = 64
TRIED = dict(ponds=0.5, houses=4, cars=5, trees=5)
# BGR
ROOFS = ((60, 70, 160), (70, 75, 85), (150, 150, 155), (60, 90, 130), (215, 215, 220), (45, 50, 60))
CARS = (
    (235, 235, 235),
    (35, 35, 40),
    (40, 40, 190),
    (170, 90, 40),
    (150, 155, 160),
    (60, 190, 220),
)


class AerialSample(NamedTuple):
    """One image and its label map.

    Args:
        image (ndarray): BGR, uint8, of shape (size, size, 3).
        label_map (ndarray): ``1 + index into AERIAL_CLASSES``: uint8, (size, size).
    """

    image: np.ndarray
    label_map: np.ndarray


def draw_aerial(rng: np.random.Generator, size: int = 128) -> AerialSample:
    """Draw one image.

    Args:
        rng (Generator): Source of all choices.
        size (int): Height and width in pixels. Default: 128.

    Returns:
        AerialSample: The image, whose classes depend on chance.
    """
    town = _Town(rng, size)
    town.pave()
    for kind, number in TRIED.items():
        for _ in range(rng.poisson(number * (size / BLOCK) ** 2)):
            getattr(town, f'add_{kind}')(rng.uniform(0, size, 2))
    image = cv2.resize(town.image, (size, size), interpolation=cv2.INTER_AREA)
    image = image * rng.uniform(0.75, 1.15) + rng.normal(0, 4, image.shape)
    half = SUPERSAMPLE // 2
    return AerialSample(
        image.clip(0, 255).round().astype(np.uint8),
        town.labels[half::SUPERSAMPLE, half::SUPERSAMPLE].copy(),
    )


class _Town:
    """An image and its label map while they are drawn."""

    def __init__(self, rng, size):
        self.rng, self.size = rng, size
        side = size * SUPERSAMPLE
        self.labels = np.full((side, side), GRASS, np.uint8)
        dry, fine = self._clouds(40)[..., None], self._clouds(3)[..., None]
        green, brown = np.array([60, 125, 95]), np.array([105, 150, 160])
        self.image = (green + dry * (brown - green) + 30 * (fine - 0.5)).astype(np.float32)
        angle = rng.uniform(0, np.pi)
        along = np.array([np.cos(angle), np.sin(angle)])
        self.axes = along, np.array([-along[1], along[0]])
        # of a shadow, for each pixel of height
        self.sun = rng.uniform(0.5, 1) * np.array([np.cos(3 * angle), np.sin(3 * angle)])

    def pave(self):
        """Draw parallel streets in both directions, now and then one is missing."""
        for axis, across in (self.axes, self.axes[::-1]):
            at = -self.size + self.rng.uniform(0, 90)
            while at < self.size:
                width, gray = self.rng.uniform(13, 20), self.rng.uniform(95, 150)
                centre = self.size / 2 + at * across
                if self.rng.random() < 0.8:
                    self._fill(_box(centre, axis, 3 * self.size, width), [gray] * 3, STREET)
                    for dash in np.arange(-1.5 * self.size, 1.5 * self.size, 14):
                        line = _box(centre + dash * axis, axis, 6, 1)
                        self._fill(line, [gray + 70] * 3, STREET)
                at += self.rng.uniform(60, 120)

    def add_ponds(self, centre):
        """Draw water, which is clutter."""
        outline = self._blob(centre, self.rng.uniform(9, 18))
        if self._under(outline) <= {GRASS}:
            self._fill(outline, np.array([115, 85, 50]) * self.rng.uniform(0.8, 1.3), POND)

    def add_houses(self, centre):
        """Draw a roof of two slopes, and perhaps a paved yard."""
        along, across = self.axes
        length, width = self.rng.uniform(16, 36), self.rng.uniform(12, 20)
        house = _box(centre, along, length, width)
        yard = _box(centre + self.rng.uniform(-5, 5, 2), along, length + 8, width + 8)
        if self._under(_box(centre, along, length + 4, width + 4)) - {GRASS}:
            return
        if self.rng.random() < 0.4 and self._under(yard) <= {GRASS, STREET}:
            self._fill(yard, [self.rng.uniform(120, 175)] * 3, STREET)
        self._shade(house + 7 * self.sun)
        colour = np.array(ROOFS[self.rng.integers(len(ROOFS))]) * self.rng.uniform(0.85, 1.15)
        self._fill(house, colour, ROOF)
        slope = _box(centre + across * width / 4, along, length, width / 2)
        self._fill(slope, colour * self.rng.uniform(0.65, 0.85), ROOF)

    def add_cars(self, centre):
        """Draw a car on a street, along it."""
        along, across = self.axes if self.rng.random() < 0.5 else self.axes[::-1]
        body = _box(centre, along, self.rng.uniform(8, 11), self.rng.uniform(4, 5))
        if self._under(_box(centre, along, 18, 6)) != {STREET}:
            return
        self._shade(body + 1.5 * self.sun)
        self._fill(body, CARS[self.rng.integers(len(CARS))], CAR)
        self._fill(_box(centre + 1.5 * along, along, 2, 3.5), [50, 45, 40], CAR)

    def add_trees(self, centre):
        """Draw a crown, lighter towards the sun."""
        radius = self.rng.uniform(4, 9)
        crown = self._blob(centre, radius)
        if self._under(crown) & {ROOF, CAR}:
            return
        self._shade(crown + 0.7 * radius * self.sun)
        colour = np.array([35, 75, 45]) * self.rng.uniform(0.8, 1.4)
        self._fill(crown, colour, TREE, grain=14)
        bright = self._blob(centre - 0.25 * radius * self.sun, 0.6 * radius)
        self._fill(bright, 1.35 * colour, TREE, grain=14)

    def _clouds(self, cell):
        """Return smooth noise in [0, 1] over the image, its cells of so many pixels."""
        coarse = self.rng.random((self.size // cell + 2,) * 2).astype(np.float32)
        return cv2.resize(coarse, self.labels.shape[::-1], interpolation=cv2.INTER_LINEAR)

    def _blob(self, centre, radius):
        angles = np.arange(14) * 2 * np.pi / 14
        radii = radius * self.rng.uniform(0.8, 1.15, 14)
        return centre + np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)

    def _mask(self, outline):
        """Return the rectangle of an outline, and which of its pixels are inside."""
        corners = (outline * SUPERSAMPLE).round().astype(int)
        side = len(self.labels)
        low, high = corners.min(0).clip(0, side), (corners.max(0) + 1).clip(0, side)
        mask = np.zeros((high - low)[::-1], np.uint8)
        if mask.size:
            cv2.fillPoly(mask, [(corners - low).astype(np.int32)], 1)
        return (slice(low[1], high[1]), slice(low[0], high[0])), mask.astype(bool)

    def _under(self, outline):
        """Return the labels inside an outline."""
        where, mask = self._mask(outline)
        return set(np.unique(self.labels[where][mask]).tolist())

    def _fill(self, outline, colour, label, grain=5):
        where, mask = self._mask(outline)
        texture = self.rng.normal(0, grain, (mask.sum(), 1))
        self.image[where][mask] = np.asarray(colour) + texture
        self.labels[where][mask] = label

    def _shade(self, outline):
        where, mask = self._mask(outline)
        self.image[where][mask] *= 0.6


def _box(centre, along, length, width):
    """Return the corners of a rectangle: (4, 2)."""
    across = np.array([-along[1], along[0]])
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2
    return centre + signs[:, :1] * length * along + signs[:, 1:] * width * across
