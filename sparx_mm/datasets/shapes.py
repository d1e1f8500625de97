"""A drawn instance segmentation set in COCO's format.

Six kinds of shapes, rotated, stretched, textured and overlapping, on
textured backgrounds. Nothing is downloaded and a few hundred images of it
are enough to train and measure a detector in minutes.
"""
import json
import os
import os.path as osp
import shutil
import tempfile
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from pycocotools import mask as mask_utils

SPLITS = ('train', 'val')
# written last; a folder without it is not one of ours, or not complete
MANIFEST = 'shapes.json'
# drawn larger and averaged down, so that edges are smooth
SUPERSAMPLE = 4


def _polygon(num: int, radii: Tuple[float, ...] = (1., )) -> np.ndarray:
    """Corners at equal angles, their radii in turn: (num, 2)."""
    angles = np.arange(num) * 2 * np.pi / num - np.pi / 2
    radius = np.resize(radii, num)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1)


_ARM = 0.36
# kind -> outlines in the unit circle; a second one is a hole
OUTLINES: Dict[str, List[np.ndarray]] = {
    'circle': [_polygon(48)],
    'square': [_polygon(4)],
    'triangle': [_polygon(3)],
    'star': [_polygon(10, (1., 0.45))],
    'ring': [_polygon(48), _polygon(48, (0.55, ))],
    'cross': [
        np.array([(_ARM, 1), (_ARM, _ARM), (1, _ARM), (1, -_ARM),
                  (_ARM, -_ARM), (_ARM, -1), (-_ARM, -1), (-_ARM, -_ARM),
                  (-1, -_ARM), (-1, _ARM), (-_ARM, _ARM), (-_ARM, 1)])
    ],
}
CLASSES = tuple(OUTLINES)


class Sample(NamedTuple):
    """One image and what can be seen in it.

    Args:
        image (ndarray): BGR, uint8, of shape (size, size, 3).
        labels (list[int]): Index into `CLASSES` of each shape.
        masks (list[ndarray]): Its visible part: bool, (size, size).
    """

    image: np.ndarray
    labels: List[int]
    masks: List[np.ndarray]


def draw_sample(rng: np.random.Generator,
                size: int = 128,
                max_shapes: int = 6) -> Sample:
    """Draw one image.

    Later shapes cover earlier ones; a shape that would hide more than half
    of another is not drawn, so everything drawn can be recognised.

    Args:
        rng (Generator): Where all choices come from.
        size (int): Height and width in pixels. Default: 128.
        max_shapes (int): Most shapes in an image. Default: 6.

    Returns:
        Sample: With at least one shape.
    """
    background = rng.integers(0, 256, 3)
    image = _texture(rng, size, background)
    colors = [background]
    labels, masks, whole = [], [], []
    wanted = rng.integers(2, max_shapes + 1)
    # each trial may be turned down; the first never is
    for _ in range(3 * wanted):
        if len(labels) == wanted:
            break
        label = int(rng.integers(len(CLASSES)))
        alpha = _draw_outline(rng, OUTLINES[CLASSES[label]], size)
        mask = alpha >= 0.5
        color = _distinct_color(rng, colors)
        paint = _texture(rng, size, color)
        rest = [m & ~mask for m in masks]
        if any(r.sum() < 0.5 * w for r, w in zip(rest, whole)):
            continue
        image += alpha[..., None] * (paint - image)
        colors.append(color)
        labels.append(label)
        masks = [*rest, mask]
        whole.append(mask.sum())
    noise = rng.normal(0, rng.uniform(0, 10), image.shape)
    image = np.clip(image + noise, 0, 255).round().astype(np.uint8)
    return Sample(image, labels, masks)


def _draw_outline(rng, outlines, size):
    """Place a shape at random; its coverage of each pixel: (size, size)."""
    radius = size * rng.uniform(0.08, 0.22)
    stretch = np.array([1., rng.uniform(0.75, 1.)])
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)],
                     [np.sin(angle), np.cos(angle)]])
    center = rng.uniform(0.5 * radius, size - 0.5 * radius, 2)
    corners = [
        SUPERSAMPLE * (center + radius * (line * stretch) @ turn.T)
        for line in outlines
    ]
    large = np.zeros((size * SUPERSAMPLE, ) * 2, np.uint8)
    # even-odd rule: the second outline cuts a hole
    cv2.fillPoly(large, [c.round().astype(np.int32) for c in corners], 255)
    small = cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def _distinct_color(rng, others):
    """The one of some random colors that is farthest from the others."""
    candidates = rng.integers(0, 256, (6, 3))
    distance = np.linalg.norm(
        candidates[:, None] - np.array(others)[None], axis=2)
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
    return 0.5 * np.sign(
        np.sin(2 * np.pi * waves * along) * np.sin(2 * np.pi * waves * across))


def _clouds(rng, size):
    cells = int(rng.integers(3, 10))
    coarse = rng.uniform(-0.5, 0.5, (cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


TEXTURES = (_gradient, _stripes, _checks, _clouds)


def make_shapes(root: str,
                num_train: int = 400,
                num_val: int = 100,
                size: int = 128,
                seed: int = 0,
                progress: Optional[Callable[[int, int], None]] = None) -> bool:
    """Write a training and a validation set.

    ``root`` gets ``annotations/instances_{train,val}.json``, the folders
    ``train`` and ``val`` of PNG files, and a manifest. The set is drawn in a
    temporary folder beside it and then renamed, so that a ``root`` is always
    complete. The same arguments draw the same pixels; the two splits are
    drawn from different seeds.

    Args:
        root (str): The folder.
        num_train (int): Training images. Default: 400.
        num_val (int): Validation images. Default: 100.
        size (int): Height and width in pixels. Default: 128.
        seed (int): Seed of the set. Default: 0.
        progress (callable, optional): Called with the numbers of images
            drawn and to draw. Default: None.

    Returns:
        bool: False if ``root`` already holds this very set, and nothing was
        done; else True.

    Raises:
        ValueError: If a number is not positive.
        FileExistsError: If ``root`` holds files that are not of such a set.
    """
    if min(num_train, num_val) < 1 or size < 16 or seed < 0:
        raise ValueError(
            'num_train and num_val must be at least 1, size at least 16 and '
            f'seed not negative, got {num_train}, {num_val}, {size}, {seed}')
    manifest = dict(
        what='shapes drawn by sparx_mm',
        version=1,
        classes=list(CLASSES),
        num_train=num_train,
        num_val=num_val,
        size=size,
        seed=seed)
    root = osp.abspath(root)
    old = _read_manifest(root)
    if old == manifest:
        return False
    os.makedirs(osp.dirname(root), exist_ok=True)
    temporary = tempfile.mkdtemp(
        prefix=f'.{osp.basename(root)}-', dir=osp.dirname(root))
    try:
        # mkdtemp makes it private; a data set is as open as its parent
        os.chmod(temporary, 0o755)
        total, done = num_train + num_val, 0
        for number, split in enumerate(SPLITS):
            count = manifest[f'num_{split}']
            for _ in _write_split(temporary, split, count, size,
                                  (seed, number)):
                done += 1
                if progress is not None:
                    progress(done, total)
        _write_json(osp.join(temporary, MANIFEST), manifest)
        if osp.isdir(root):
            shutil.rmtree(root)
        os.rename(temporary, root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def _write_split(root, split, count, size, seed):
    """Write images and annotations of a split; yield after each image."""
    os.makedirs(osp.join(root, split))
    os.makedirs(osp.join(root, 'annotations'), exist_ok=True)
    images, annotations = [], []
    for index in range(count):
        # by image, so that a larger set begins with the smaller one
        sample = draw_sample(np.random.default_rng((*seed, index)), size)
        name = f'{index:06d}.png'
        cv2.imwrite(osp.join(root, split, name), sample.image)
        images.append(
            dict(id=index + 1, file_name=name, height=size, width=size))
        for label, mask in zip(sample.labels, sample.masks):
            rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index + 1,
                    category_id=label + 1,
                    segmentation=dict(
                        size=rle['size'], counts=rle['counts'].decode()),
                    area=float(mask_utils.area(rle)),
                    bbox=mask_utils.toBbox(rle).tolist(),
                    iscrowd=0))
        yield
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)]
    _write_json(
        osp.join(root, 'annotations', f'instances_{split}.json'),
        dict(
            info=dict(description='shapes drawn by sparx_mm'),
            licenses=[],
            categories=categories,
            images=images,
            annotations=annotations))


def _write_json(path, content):
    with open(path, 'w') as file:
        json.dump(content, file)


def _read_manifest(root):
    """The manifest of a set that holds its own files and no others."""
    if not osp.isdir(root) or not os.listdir(root):
        return None
    try:
        with open(osp.join(root, MANIFEST)) as file:
            manifest = json.load(file)
        expected = {MANIFEST}
        for split in SPLITS:
            expected.add(f'annotations/instances_{split}.json')
            expected.update(f'{split}/{index:06d}.png'
                            for index in range(manifest[f'num_{split}']))
    except (OSError, ValueError, KeyError, TypeError):
        expected = set()
    found = {
        osp.relpath(osp.join(folder, name), root).replace(os.sep, '/')
        for folder, _, names in os.walk(root)
        for name in names
    }
    foreign = sorted(found - expected)
    if foreign:
        raise FileExistsError(
            f'{root} holds files that are not of a drawn set, for example '
            f'{foreign[0]}; choose another folder')
    # an image that was deleted makes it another set, to be drawn again
    return manifest if found == expected else {}
