"""What a run chooses from the number of images and the device; docs/fine_tuning.md says why."""

import math
from typing import NamedTuple

import torch
from mmengine.device import get_device

from ..errors import UserError

# epochs: so many over the root of the number of training images, within limits
EPOCHS, MIN_EPOCHS, MAX_EPOCHS = 1000, 12, 100
# learning rate for a batch of so many images; it goes with the root of the batch
RATE, RATE_BATCH = 1e-4, 16
# an epoch has so many steps or more, if the set is large enough
MIN_STEPS = 8
# GiB that a training step takes for one image of 800 x 1333 on a tiny network, with reserve: a
# Mask R-CNN on SparX-Mamba-T takes 5.2 on a CPU
IMAGE_GIB, IMAGE_PIXELS = 6.0, 800 * 1333
# memory over that of a tiny network, by the last part of the model's name
SCALES = dict(t=1.0, s=1.5, b=2.2, demo=0.3)


class TaskRules(NamedTuple):
    """Limits that depend on the task.

    Args:
        size (int): Shorter side of the images in pixels, or that of a crop.
        min_batch (int): Images that batch norms of the heads need.
        max_batch (int): Images of a batch on a GPU at most.
        cpu_batch (int): Images of a batch on a CPU.
        aspect (float): Longer side over the shorter one, for the memory.
    """

    size: int
    min_batch: int
    max_batch: int
    cpu_batch: int
    aspect: float = 1.0


TASKS = dict(
    detection=TaskRules(size=800, min_batch=1, max_batch=16, cpu_batch=2, aspect=1333 / 800),
    segmentation=TaskRules(size=512, min_batch=2, max_batch=16, cpu_batch=2),
    classification=TaskRules(size=224, min_batch=2, max_batch=64, cpu_batch=16),
)


class Choices(NamedTuple):
    """Settings of a run.

    Args:
        size (int): Shorter side of the images in pixels, or that of a crop.
        epochs (int): Number of epochs.
        batch_size (int): Images of a batch.
        lr (float): Learning rate.
        workers (int): Processes that load data.
    """

    size: int
    epochs: int
    batch_size: int
    lr: float
    workers: int


class Wishes(NamedTuple):
    """Settings that the user has chosen; None leaves one to the rules.

    Args:
        size (int, optional): See `Choices`.
        epochs (int, optional): See `Choices`.
        batch_size (int, optional): See `Choices`.
        lr (float, optional): See `Choices`.
    """

    size: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None


def choose(task: str, num_images: int, short_side: int, model: str, wishes: Wishes) -> Choices:
    """Choose the settings of a run.

    Args:
        task (str): Key of `TASKS`.
        num_images (int): Number of training images.
        short_side (int): Median of the shorter sides of the images, in pixels.
        model (str): Name of the model, such as ``'mask_rcnn_sparx_t'``.
        wishes (Wishes): What the user has chosen.

    Returns:
        Choices: The settings.

    Raises:
        UserError: If a wish cannot be met.
    """
    _check(wishes, task, num_images)
    size = wishes.size or choose_size(task, short_side)
    batch_size = wishes.batch_size or choose_batch_size(task, num_images, size, model)
    return Choices(
        size=size,
        epochs=wishes.epochs or choose_epochs(num_images),
        batch_size=batch_size,
        # two digits, because they are read
        lr=wishes.lr or float(f'{RATE * math.sqrt(batch_size / RATE_BATCH):.1e}'),
        # on a CPU they compete with the training, and a run without them resumes exactly
        workers=0 if get_device() == 'cpu' else 4,
    )


def choose_epochs(num_images: int) -> int:
    """Return the number of epochs for a number of training images.

    Args:
        num_images (int): The number.
    """
    return min(max(round(EPOCHS / math.sqrt(num_images)), MIN_EPOCHS), MAX_EPOCHS)


def choose_size(task: str, short_side: int) -> int:
    """Return the size of images: that of the recipes, or twice the images' own.

    Args:
        task (str): Key of `TASKS`.
        short_side (int): Median of the shorter sides of the images, in pixels.

    Returns:
        int: Pixels; of detectors and segmentors a multiple of 32.
    """
    size = TASKS[task].size
    # released classifiers are for one size
    return size if task == 'classification' else min(size, 32 * math.ceil(2 * short_side / 32))


def choose_batch_size(task: str, num_images: int, size: int, model: str) -> int:
    """Return the number of images of a batch.

    Args:
        task (str): Key of `TASKS`.
        num_images (int): Number of training images.
        size (int): Shorter side of the images in pixels.
        model (str): Name of the model.
    """
    rules = TASKS[task]
    most = rules.cpu_batch
    if get_device() != 'cpu':
        gib = torch.cuda.mem_get_info()[0] / 2**30
        scale = SCALES.get(model.rpartition('_')[2], 1.0)
        image = IMAGE_GIB * scale * size * size * rules.aspect / IMAGE_PIXELS
        most = min(rules.max_batch, int(gib / image))
    most = max(min(most, num_images // MIN_STEPS), rules.min_batch)
    return 2 ** int(math.log2(most))


def _check(wishes: Wishes, task: str, num_images: int) -> None:
    for name, value in wishes._asdict().items():
        option = f'--{name.replace("_", "-")}'
        if value is not None and not 0 < value < float('inf'):
            raise UserError(f'{option} must be positive, got {value:g}')
    least = TASKS[task].min_batch
    if num_images < least:
        raise UserError(f'{task} needs {least} training images or more, and there is {num_images}')
    if wishes.batch_size is not None and wishes.batch_size > num_images:
        raise UserError(
            f'--batch-size {wishes.batch_size} is more than the {num_images} training images'
        )
