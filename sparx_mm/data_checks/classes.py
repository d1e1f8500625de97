"""Checks that data, model and metrics have the same classes."""

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from mmengine.dataset import BaseDataset
from mmengine.runner import Runner
from torch import nn

from ..config_nodes import walk
from ..engine.models import unwrap
from ..errors import UserError

# parts of a model with the number of classes: heads of segmentors; of
# classifiers the head and the preprocessor, which makes its targets
_PARTS = re.compile(r'data_preprocessor|((decode|auxiliary)_)?head(\.\d+)?')
# heads of detectors, which may be inside others; a proposal head has classes of its own
_DETECTOR_HEADS = re.compile(
    r'(?!teacher\.)(.*\.)?'
    r'(bbox|mask|point|mask_iou|panoptic|panoptic_fusion|query)_head(\.\d+)?'
)


def check_classes(runner: Runner, dataset: BaseDataset, split: str) -> None:
    """Check that a model has the classes of the data.

    Args:
        runner (Runner): Runner with its model.
        dataset (BaseDataset): Data set. Without ``classes`` in its
            ``metainfo`` nothing is checked.
        split (str): Split that is evaluated, ``'val'`` or ``'test'``.

    Raises:
        UserError: If the model has another number of classes, if a head of
            one channel has a softmax loss, or if a metric takes the best of
            more classes than there are.
    """
    classes = _classes(dataset)
    if classes is None:
        return
    total = len(classes)
    model = unwrap(runner.model)
    check_heads(model.named_modules(), total, _things(dataset))
    key = f'{split}_evaluator'
    for key, metric in walk(runner.cfg.get(key) or {}, key):
        topk = metric.get('topk') or ()
        if max([topk] if isinstance(topk, int) else topk, default=0) > total:
            raise UserError(
                f'{key}.topk is {topk} and the data set has {total} classes: give {key}.topk=1'
            )


def check_heads(
    parts: Iterable[tuple[str, nn.Module | dict]], total: int, things: int | None = None
) -> None:
    """Check that the heads of a model have the number of classes of the data.

    Args:
        parts (Iterable[tuple[str, nn.Module or dict]]): Parts of the model by
            dotted name, or their configs.
        total (int): Number of classes.
        things (int, optional): Number of those with instances, for a panoptic
            set. None: all. Default: None.

    Raises:
        UserError: If a head has another number, or if one of one channel has
            a softmax loss.
    """
    parts = dict(parts)
    # such models are told the names as text, whatever their number
    if any(name.endswith('language_model') for name in parts):
        return
    wrong = {}
    for name, part in parts.items():
        if _PARTS.fullmatch(name):
            number = _get(part, 'num_classes')
            if _get(part, 'out_channels', number) == 1:
                # a probability, whatever the number of classes
                _check_one_channel(name, part)
            elif number not in (None, total):
                wrong[f'model.{name}.num_classes'] = number, total
        elif _DETECTOR_HEADS.fullmatch(name) and not _get(part, 'class_agnostic'):
            key = f'model.{re.sub("^student", "detector", name)}'
            wrong.update(_wrong_detector_head(key, part, total, things))
    if wrong:
        key, (number, _) = next(iter(wrong.items()))
        options = ' '.join(f'{key}={wanted}' for key, (_, wanted) in wrong.items())
        raise UserError(
            f'{key} is {number} and the data set has {total} '
            f'classes: give {options}, or name its classes in '
            'metainfo.classes'
        )


def _wrong_detector_head(key, part, total, things) -> dict[str, tuple[int, int]]:
    """Return number and wanted number of classes by key, if they differ."""
    number = _get(part, 'num_things_classes')
    if number is None:
        key, number, wanted = f'{key}.num_classes', _get(part, 'num_classes'), things or total
    else:
        key, wanted = f'{key}.num_things_classes', total - (_get(part, 'num_stuff_classes') or 0)
    return {} if number in (None, wanted) else {key: (number, wanted)}


def _check_one_channel(name: str, part: nn.Module | dict) -> None:
    losses = _get(part, 'loss_decode')
    for loss in losses if isinstance(losses, (nn.ModuleList, list)) else [losses]:
        # other losses have meanings of their own for one channel
        if type(loss).__name__ == 'CrossEntropyLoss' and not loss.use_sigmoid:
            raise UserError(
                f'model.{name} has one channel and a softmax loss, after which the channel is '
                f'1 everywhere: give model.{name}.loss_decode.use_sigmoid=True, or one channel '
                'for each class as num_classes'
            )


def _get(part: nn.Module | dict, key: str, default=None):
    return part.get(key, default) if isinstance(part, dict) else getattr(part, key, default)


def check_same_classes(train: BaseDataset, val: BaseDataset) -> None:
    """Check that the validation set has the classes of the training set.

    Args:
        train (BaseDataset): The training set.
        val (BaseDataset): The validation set.

    Raises:
        UserError: If their classes differ in names or order, or if
            mmpretrain's folders of images have other labels.
    """
    classes, others = map(_classes, (train, val))
    if None not in (classes, others) and classes != others:
        raise UserError(
            'the classes of the training and the validation set '
            f'differ: {_difference(classes, others)}; give both '
            'the same metainfo.classes and folders'
        )
    folders, others = (getattr(dataset, 'folder_to_idx', None) for dataset in (train, val))
    if folders and others and folders != others:
        raise UserError(
            'the folders of the training and the validation set differ: '
            f'{_difference(sorted(folders), sorted(others))}'
        )
    if (
        folders
        and set(folders) == set(classes or ()) != set()
        and any(classes[label] != name for name, label in folders.items())
    ):
        raise UserError(
            'metainfo.classes are the names of the folders in another order, '
            f'and mmpretrain numbers folders by name: give {sorted(folders)}'
        )


def _classes(dataset: BaseDataset) -> list[str] | None:
    infos = getattr(dataset, 'metainfo', None) or {}
    # mmdet lists those of concatenated sets that differ
    infos = infos if isinstance(infos, list) else [infos]
    return join_classes([info.get('classes') for info in infos])


def join_classes(lists: Iterable[Sequence[str] | None]) -> list[str] | None:
    """Return the classes of sets that are trained or evaluated together.

    Args:
        lists (Iterable[Sequence[str] or None]): Class names of each set, in
            the order of its labels; None for a set without.

    Returns:
        list[str] or None: The longest list, which begins with all others;
        None if there are none.

    Raises:
        UserError: If a label has different names in two sets.
    """
    lists = [names for names in lists if names is not None]
    for names in lists:
        if isinstance(names, str):
            raise UserError(
                f'metainfo.classes is the text {names!r} and no list of names: with a comma it '
                f'is one, ({names!r},)'
            )
    lists = sorted(map(list, lists), key=len)
    for names in lists[:-1]:
        if names != lists[-1][: len(names)]:
            raise UserError(
                'the classes of sets that are concatenated differ: '
                f'{_difference(names, lists[-1])}; give all the same metainfo.classes'
            )
    return lists[-1] if lists else None


def _things(dataset: BaseDataset) -> int | None:
    info = getattr(dataset, 'metainfo', None) or {}
    things = info.get('thing_classes') if isinstance(info, dict) else None
    return None if things is None else len(things)


def _difference(ours: list, others: list) -> str:
    """Describe the first place where two lists differ."""
    for i, pair in enumerate(zip_longest(ours, others)):
        if pair[0] != pair[1]:
            return '{!r} and {!r}, number {}'.format(*pair, i)
