"""Images that are loaded turned by their EXIF orientation, beside labels that may not be."""

import os.path as osp
from collections.abc import Sequence

from ..config_nodes import type_name, walk
from ..engine.transforms.exif import Orientation, read_orientation

# images, spread over the set, that are looked at when a run starts
SAMPLE = 200


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
    steps = [step for _, step in walk(node.get('pipeline') or [])]
    loads = [step for step in steps if type_name(step) == 'LoadImageFromFile']
    if not loads:
        return []
    looked_at = paths if every else paths[:: -(-len(paths) // SAMPLE) or 1]
    found = ((path, read_orientation(path)) for path in looked_at)
    turned = [(path, one) for path, one in found if not one.resizes and _is_turned(one, loads)]
    if not turned:
        return []
    seen = '' if len(looked_at) == len(paths) else ' looked at'
    return [
        f'{source}: {len(turned)} of {len(looked_at)} images{seen} are turned or mirrored by their '
        f'EXIF orientation when they are loaded, the first is {osp.abspath(turned[0][0])}: '
        f'{labels} that were drawn on the stored pixels do not fit them; if so, '
        + ' and '.join(dict.fromkeys(one.remedy for _, one in turned))
    ]


def _is_turned(orientation: Orientation, loads: Sequence[dict]) -> bool:
    return any(
        orientation.is_turned(step.get('color_type', 'color'), step.get('imdecode_backend'))
        for step in loads
    )
