"""Check that a file and ``metainfo.classes`` give each label the same name."""

from collections import Counter

from ...errors import UserError
from ..classes import join_classes
from ..wording import closest, quote_names
from .sets import CocoSet


def check_categories(dataset: CocoSet, categories: list[dict]) -> None:
    """Check that labels mean the same in a file and in ``metainfo.classes``.

    mmdet numbers labels by the order of the file's categories, and names them
    by the order of ``metainfo.classes``.

    Args:
        dataset (CocoSet): The set.
        categories (list[dict]): ``categories`` of its file.

    Raises:
        UserError: If a label would have another name than its category.
    """
    key, classes = f'{dataset.key}.metainfo.classes', join_classes([dataset.classes])
    # of LVIS and panoptic files the types' own names are taken as they are
    if classes is None or not (dataset.given or dataset.layout == 'coco'):
        return
    names = [category['name'] for category in categories]
    repeated = [name for name, count in Counter(classes).items() if count > 1]
    if repeated and dataset.given:
        raise UserError(f'{key} has {repeated[0]!r} several times: give each name once')
    # mmdet takes all categories of an LVIS file
    every = dataset.layout.startswith('lvis')
    kept = [name for name in names if every or name in classes]
    twice = [name for name, count in Counter(kept).items() if count > 1]
    if twice:
        ids = [category['id'] for category in categories if category['name'] == twice[0]]
        raise UserError(
            f'{dataset.path} has several categories {twice[0]!r} (ids {ids}), which shifts the '
            'labels after them: make them one, or give each a name of its own'
        )
    unknown = [name for name in classes if name not in names]
    # without a category that is left over, those at the end just do not occur
    if kept == classes or (kept and kept == names == classes[: len(names)]):
        return
    if not kept:
        raise UserError(
            f'{_which(dataset, key)}: none of them is a category of {dataset.path}: '
            f'give the names of its categories, classes={quote_names(names)}'
        )
    if unknown:
        near = closest(unknown[0], [name for name in names if name not in classes])
        near = f' (did you mean {near!r}?)' if near else f', which has {quote_names(names)}'
        raise UserError(
            f'{_which(dataset, key)}: {unknown[0]!r} is no category of {dataset.path}{near}. '
            'The labels after it would have the names of others: give names of the file, in its '
            'order'
        )
    if len(classes) < len(kept):
        raise UserError(
            f'{key} has {len(classes)} of the {len(kept)} categories of {dataset.path}, and mmdet '
            f'takes all of an LVIS file: give all, classes={quote_names(kept)}, or take the others '
            'and their annotations out of the file'
        )
    raise UserError(
        f'{key} are in another order than the categories of {dataset.path}, by which labels are '
        f'numbered: give {quote_names(kept)}'
    )


def _which(dataset: CocoSet, key: str) -> str:
    if dataset.given:
        return key
    kind = dataset.key + ' names no classes (metainfo)'
    return f'{kind}, so it has the {len(dataset.classes)} of its type'
