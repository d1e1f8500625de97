"""Checks that data, model and metrics have the same number of classes."""

import re
from itertools import zip_longest

from mmengine.dataset import BaseDataset
from mmengine.runner import Runner

from ..engine.models import unwrap
from ..errors import UserError
from .config_nodes import walk

# parts of a model with the number of classes: heads of segmentors, and of
# classifiers the head and the preprocessor, which makes its targets
_PARTS = re.compile(r'data_preprocessor|((decode|auxiliary)_)?head(\.\d+)?')


def check_classes(runner: Runner, dataset: BaseDataset, split: str) -> None:
    """Check that a segmentor or classifier has the classes of the data.

    Args:
        runner (Runner): Runner with its model.
        dataset (BaseDataset): Data set. Without ``classes`` in its
            ``metainfo`` nothing is checked.
        split (str): Split that is evaluated, ``'val'`` or ``'test'``.

    Raises:
        UserError: If the model has another number of classes, or if a metric
            takes the best of more classes than there are.
    """
    classes = _classes(dataset)
    if classes is None:
        return
    total = len(classes)
    wrong = {}
    for name, part in unwrap(runner.model).named_modules():
        number = getattr(part, 'num_classes', None)
        # one channel is a probability, whatever the number of classes
        if (
            number not in (None, total)
            and _PARTS.fullmatch(name)
            and getattr(part, 'out_channels', number) != 1
        ):
            wrong[f'model.{name}.num_classes'] = number
    if wrong:
        key, number = next(iter(wrong.items()))
        options = ' '.join(f'{key}={total}' for key in wrong)
        raise UserError(
            f'{key} is {number} and the data set has {total} '
            f'classes: give {options}, or name its classes in '
            'metainfo.classes'
        )
    key = f'{split}_evaluator'
    for key, metric in walk(runner.cfg.get(key) or {}, key):
        topk = metric.get('topk') or ()
        if max([topk] if isinstance(topk, int) else topk, default=0) > total:
            raise UserError(
                f'{key}.topk is {topk} and the data set has {total} classes: give {key}.topk=1'
            )


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
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    return None if classes is None else list(classes)


def _difference(ours: list, others: list) -> str:
    """Describe the first place where two lists differ."""
    for i, pair in enumerate(zip_longest(ours, others)):
        if pair[0] != pair[1]:
            return '{!r} and {!r}, number {}'.format(*pair, i)
