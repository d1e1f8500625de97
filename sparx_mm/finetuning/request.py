"""What a user asks for, and facts about the data of it."""

from typing import Any, NamedTuple


class Request(NamedTuple):
    """Data to fine-tune on, as the user gives them.

    Args:
        task (str): ``'detection'``, ``'segmentation'`` or ``'classification'``.
        images (str, optional): Folder of the images; paths are absolute, because a run
            may go on from another folder.
        annotations (str, optional): Their annotations. None: beside the images, or, of a
            classifier, their folders.
        val_images (str, optional): Folder of the validation images.
        val_annotations (str, optional): Their annotations. None for both: some of the
            images are taken.
        classes (tuple[str, ...], optional): Class names. None: those of the data.
        seed (int): Seed of that choice.
    """

    task: str
    images: str | None
    annotations: str | None
    val_images: str | None
    val_annotations: str | None
    classes: tuple[str, ...] | None
    seed: int


class Facts(NamedTuple):
    """Facts about converted data.

    Args:
        format (str): Format of the source, for the user.
        classes (list[str]): Class names in the order of their labels.
        palette (list): Colors of the classes; empty if the data have none.
        counts (dict[str, int]): Number of images by split.
        num_trained (int): Number of training images that are trained: mmdet leaves out
            those without objects.
        masks (bool): True if every object of a detection set has a mask.
        size (int): Median of the shorter sides of the images, in pixels.
        sets (dict[str, dict]): Config of the data set of each split, but for its pipeline.
        notes (list[str]): What was left out, and how the images were split.
    """

    format: str
    classes: list[str]
    palette: list
    counts: dict[str, int]
    num_trained: int
    masks: bool
    size: int
    sets: dict[str, dict[str, Any]]
    notes: list[str]
