"""Names of the models that can be fine-tuned: those of the shipped configs."""

from pathlib import Path
from typing import NamedTuple

from ..data_checks.wording import closest
from ..errors import UserError
from ..model_index import FOLDER

CONFIGS = (FOLDER / 'configs').resolve()
# what follows the name of a model in that of a config
SUFFIXES = ('', '_1x', '_in1k', '_shapes')


class TaskConfigs(NamedTuple):
    """The shipped configs of a task.

    Args:
        library (str): Folder of the configs, and their default scope.
        heads (tuple[str, ...]): Starts of their names; the first is the default.
        data (str): Config of the pipelines, loaders and metrics.
        metric (str): Metric by which the best checkpoint is chosen.
    """

    library: str
    heads: tuple[str, ...]
    data: str
    metric: str


TASKS = dict(
    detection=TaskConfigs(
        library='mmdet',
        heads=('mask_rcnn', 'faster_rcnn'),
        data='coco_instance',
        metric='coco/bbox_mAP',
    ),
    segmentation=TaskConfigs(
        library='mmseg', heads=('upernet', 'semantic_fpn'), data='ade20k', metric='mIoU'
    ),
    classification=TaskConfigs(
        library='mmpretrain', heads=('',), data='imagenet_bs256', metric='accuracy/top1'
    ),
)
# ends of names of configs that differ from another in the schedule or the data alone
OTHERS = ('_1x', '_3x', '_in1k', '_shapes', '_aerial', '_256', '_512')
# Mask R-CNN without its masks
WITHOUT_MASKS = {'faster_rcnn': 'mask_rcnn'}


def list_models(task: str) -> dict[str, Path]:
    """List the models of a task.

    Args:
        task (str): Key of `TASKS`.

    Returns:
        dict[str, Path]: Config of each model, by its name.
    """
    rules, found = TASKS[task], {}
    for path in sorted((CONFIGS / rules.library).glob('*.py')):
        for suffix in SUFFIXES:
            name = path.stem.removesuffix(suffix)
            if suffix and name == path.stem:
                continue
            for head in rules.heads:
                own = WITHOUT_MASKS.get(head, head)
                if name.startswith(own) and not name.endswith(OTHERS):
                    found[head + name[len(own) :]] = path
    return found


def find_model(task: str, name: str | None, masks: bool) -> tuple[str, Path]:
    """Find the config of a model.

    Args:
        task (str): Key of `TASKS`.
        name (str, optional): A name of `list_models`, or its end without the head. None:
            SparX-Mamba-T.
        masks (bool): True if every object of a detection set has a mask.

    Returns:
        tuple[str, Path]: Whole name of the model, and its config.

    Raises:
        UserError: If there is no such model, or if it learns masks and there are none.
    """
    models, heads = list_models(task), TASKS[task].heads
    if not models:
        raise UserError(
            f'there are no configs in {CONFIGS}: install a wheel of sparx_mm, or a clone that git made'
        )
    name = name or 'sparx_t'
    # boxes alone choose the detector that needs no more
    head = heads[-1] if task == 'detection' and not masks else heads[0]
    whole = name if name in models else '_'.join(filter(None, (head, name)))
    if whole not in models:
        near = closest(name, list(models))
        raise UserError(
            f'--model {name} is no model for {task}'
            + (f' (did you mean {near}?)' if near else '')
            + f': they are {" ".join(models)}'
        )
    if task == 'detection' and whole.startswith('mask_rcnn') and not masks:
        raise UserError(
            f'--model {whole} learns masks, and not every object has one: leave '
            'mask_rcnn out of the name, or annotate outlines'
        )
    return whole, models[whole]
