"""Images that are loaded turned by their EXIF orientation, beside labels that may not be."""

import os.path as osp
from collections.abc import Sequence

from ..config_nodes import type_name, walk
from ..engine.transforms.exif import read_orientation

# images, spread over the set, that are looked at when a run starts
SAMPLE = 200
# mmcv's loader turns an image by its orientation with these
TURNING = dict(color_type=('color', 'grayscale'), imdecode_backend=('cv2', 'pillow', None))


def describe_turned(
    source: str, paths: Sequence[str], node: dict, labels: str = 'boxes', every: bool = False
) -> list[str]:
    """Describe how many images are turned while they are loaded, at the same size.

    Labels that were drawn on the pixels as they are stored cannot be told from those
    that were drawn on the turned image, as a viewer shows it. Where the size changes,
    the loader and `CheckSegMap` compare it.

    Args:
        source (str): The file or folder that lists the images.
        paths (Sequence[str]): Their files.
        node (dict): Config of the set.
        labels (str): Name of what belongs to pixels. Default: ``'boxes'``.
        every (bool): Look at all of them, and not at `SAMPLE`. Default: False.

    Returns:
        list[str]: A line for the log; none if there is no such image.
    """
    if not _turns(node):
        return []
    looked_at = paths if every else paths[:: -(-len(paths) // SAMPLE) or 1]
    turned = [path for path in looked_at if _is_turned(path)]
    if not turned:
        return []
    seen = '' if len(looked_at) == len(paths) else ' looked at'
    return [
        f'{source}: {len(turned)} of {len(looked_at)} images{seen} are turned or mirrored by their '
        f'EXIF orientation when they are loaded, the first is {osp.abspath(turned[0])}: {labels} '
        'that were drawn on the stored pixels do not fit them; if so, give '
        "color_type='color_ignore_orientation' to LoadImageFromFile in all pipelines"
    ]


def _turns(node: dict) -> bool:
    loads = [
        step
        for _, step in walk(node.get('pipeline') or [])
        if type_name(step) == 'LoadImageFromFile'
    ]
    return any(
        all(step.get(key, values[0]) in values for key, values in TURNING.items()) for step in loads
    )


def _is_turned(path: str) -> bool:
    value, resized = read_orientation(path)
    return value > 1 and not resized
