"""Classes of a set that are trained."""

import os.path as osp
from collections.abc import Sequence
from typing import Any

from ...data_checks.wording import quote_names
from ...errors import UserError
from .content import Content


def has_masks(coco: dict[str, Any]) -> bool:
    """Return True if every object that counts has a mask.

    Args:
        coco (dict): Content of a file in COCO's format.
    """
    objects = [one for one in coco['annotations'] if not one.get('iscrowd')]
    return bool(objects) and all(one.get('segmentation') for one in objects)


def keep_classes(content: Content, classes: Sequence[str] | None = None) -> Content:
    """Leave the classes of a set that objects have, or that are chosen.

    Args:
        content (Content): The set.
        classes (Sequence[str], optional): Names of the categories to keep, in the order
            of their labels. None: those with an object. Default: None.

    Returns:
        Content: The set with these classes and their objects.

    Raises:
        UserError: If a chosen class is no category, or if there is no object.
    """
    coco, notes = content.coco, list(content.notes)
    names = [category['name'] for category in coco['categories']]
    unknown = [name for name in classes or () if name not in names]
    if unknown:
        raise UserError(
            f'--classes: {unknown[0]!r} is no class of the annotations, which have '
            f'{quote_names(names)}'
        )
    if classes and len(set(classes)) < len(classes):
        raise UserError(f'--classes names a class twice: {quote_names(classes)}')
    used = {one['category_id'] for one in coco['annotations'] if not one.get('iscrowd')}
    # exporters leave categories of one name, of which one has objects
    by_name = {}
    for category in coco['categories']:
        name, other = category['name'], by_name.get(category['name'])
        if other and {other['id'], category['id']} <= used:
            raise UserError(
                f'the annotations have two classes of the name {name!r}, of the ids {other["id"]} and '
                f'{category["id"]}: give each a name of its own, or make them one'
            )
        if other is None or category['id'] in used:
            by_name[name] = category
    wanted = [by_name[name] for name in classes or dict.fromkeys(names)]
    kept = [category for category in wanted if category['id'] in used]
    if not kept:
        raise UserError(
            f'no object is annotated in the {len(coco["images"])} images of '
            f'{osp.abspath(content.folder)}: give the annotations that belong to them'
        )
    absent = [category['name'] for category in wanted if category['id'] not in used]
    if absent:
        notes.append(f'classes left out, because no object has them: {quote_names(absent)}')
    ids = {category['id'] for category in kept}
    objects = [one for one in coco['annotations'] if one['category_id'] in ids]
    others = len(coco['annotations']) - len(objects)
    if others:
        notes.append(f'objects left out, because their classes are: {others}')
    return content._replace(coco={**coco, 'categories': kept, 'annotations': objects}, notes=notes)


def align_classes(content: Content, names: Sequence[str]) -> Content:
    """Give a validation set the classes of its training set.

    Args:
        content (Content): The validation set.
        names (Sequence[str]): Classes of the training set in the order of their labels.

    Returns:
        Content: The set with these classes, and without objects of others.
    """
    numbers = {name: i for i, name in enumerate(names, 1)}
    labels = {one['id']: one['name'] for one in content.coco['categories']}
    objects = [
        {**one, 'category_id': numbers[labels[one['category_id']]]}
        for one in content.coco['annotations']
        if labels[one['category_id']] in numbers
    ]
    others = {labels[one['category_id']] for one in content.coco['annotations']} - set(numbers)
    notes = list(content.notes)
    if others:
        shown = quote_names(sorted(others))
        notes.append(f'validation objects left out, because none is trained of: {shown}')
    categories = [dict(id=number, name=name) for name, number in numbers.items()]
    coco = {**content.coco, 'categories': categories, 'annotations': objects}
    return content._replace(coco=coco, notes=notes)
