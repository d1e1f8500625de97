"""Checks that data, model and metrics have the same classes."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from mmengine.dataset import BaseDataset
from mmengine.runner import Runner

from ..config_nodes import walk
from ..engine.models import unwrap
from ..errors import UserError
from .heads import check_heads
from .wording import quote_names


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
        if isinstance(names, dict) or not isinstance(names, Iterable):
            raise UserError(f'metainfo.classes is {names!r} and no list of names: give one')
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


def describe_absent(
    source: str, classes: Sequence[str] | None, counts: Mapping[str, int]
) -> list[str]:
    """Describe the classes that occur in no label of a training set.

    Args:
        source (str): The file or set.
        classes (Sequence[str], optional): All class names.
        counts (Mapping[str, int]): Number of objects by class name.

    Returns:
        list[str]: A line for the log; none if all occur, or if nothing does.
    """
    absent = [name for name in classes or () if not counts.get(name)]
    if not absent or len(absent) == len(classes):
        return []
    number = f'{len(absent)} of {len(classes)} classes'
    return [f'{source}: {number} never occur: {quote_names(absent)}']


def _things(dataset: BaseDataset) -> int | None:
    info = getattr(dataset, 'metainfo', None) or {}
    things = info.get('thing_classes') if isinstance(info, dict) else None
    return None if things is None else len(things)


def _difference(ours: list, others: list) -> str:
    """Describe the first place where two lists differ."""
    for i, pair in enumerate(zip_longest(ours, others)):
        if pair[0] != pair[1]:
            return '{!r} and {!r}, number {}'.format(*pair, i)
