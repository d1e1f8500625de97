"""Tasks by name, and loading their data."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from sparx_mm.errors import UserError

from . import drawn_tasks, real_tasks


class Task(NamedTuple):
    """What networks are compared on.

    Args:
        load (Callable): Function from the command line to a `Data`.
        about (str): What it is, for a page.
        metric (str): Name of the metric. Default: ``'accuracy'``.
        option (str, optional): Option of the command line that names the data. Default: none.
    """

    load: Callable
    about: str
    metric: str = 'accuracy'
    option: str | None = None


TASKS = {
    'shapes-objects': Task(
        drawn_tasks.shapes_objects,
        'classification of drawn shapes of 12 kinds, half of them thin, partly hidden and noisy',
    ),
    'shapes-pixels': Task(
        drawn_tasks.shapes_pixels,
        'segmentation of the same drawn images, many of whose shapes are small',
        'mean IoU',
    ),
    'shapes-boxes': Task(
        drawn_tasks.shapes_boxes,
        'detection of drawn shapes of the same kinds, up to 6 in an image of 96x96, in batches of '
        'half as many images',
        'AP at an IoU of 0.5',
    ),
    'coco-objects': Task(
        real_tasks.coco_objects,
        'classification of objects cut from photographs of COCO, by supercategory',
        'mean accuracy of the classes',
        'coco',
    ),
    'camvid': Task(
        real_tasks.camvid,
        'segmentation of street scenes of CamVid at half size, by other drives',
        'mean IoU',
        'camvid',
    ),
    'clothes': Task(
        real_tasks.clothes,
        'classification of photographs of clothes (Fashion-MNIST, 28x28 at twice the size), 1,000 to train on',
        option='clothes',
    ),
    'folders': Task(
        real_tasks.folders, 'classification of the images of a folder', option='folder'
    ),
}


def is_drawn(name):
    """Return True for a task whose data are drawn, as many as are asked for.

    Args:
        name (str): Key of ``TASKS``.
    """
    return TASKS[name].option is None


def load(name, args):
    """Load the data of a task.

    Args:
        name (str): Key of ``TASKS``.
        args (Namespace): Command line.

    Returns:
        Data: The data set.

    Raises:
        UserError: If the data are not where the command line says.
    """
    data = TASKS[name].load(args)
    for part in data[:2]:
        if not len(part.images) or min(part.images.shape[2:]) < data.side:
            raise UserError(
                f'{name}: needs images of {data.side}x{data.side} and more to train and to test on'
            )
    labels = data.train.labels
    if data.kind == 'boxes':
        labels = torch.cat([one.labels for one in labels])
    if len(torch.unique(labels)) < 2:
        raise UserError(f'{name}: needs images of two classes and more')
    if data.groups is not None and len(torch.unique(data.groups)) < 2:
        raise UserError(f'{name}: needs training images of two photographs or drives and more')
    return data
