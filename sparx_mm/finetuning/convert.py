"""Converters to the layouts that mmdet, mmsegmentation and mmpretrain read.

Images and label maps stay where they are: files in COCO's format and lists are written.
"""

import json
import os.path as osp
from collections.abc import Sequence
from typing import Any

from ..checkpoint_io import write_text
from ..errors import UserError
from . import class_folders, label_maps
from .request import Facts, Request
from .sources import (
    Content,
    align_classes,
    has_masks,
    is_yaml,
    keep_classes,
    read_annotations,
    yaml_folders,
)
from .split import find_folders, split_images

SPLITS = ('train', 'val')


def convert_detection(request: Request, folder: str) -> Facts:
    """Convert a detection set.

    Args:
        request (Request): The data.
        folder (str): Absolute path of the folder for the converted files.

    Returns:
        Facts: Facts about them.

    Raises:
        UserError: If they cannot be trained.
    """
    annotations = request.annotations or request.images
    content, kind = read_annotations(request.images, annotations, request.classes)
    val, notes = _read_validation(request, annotations), []
    folders = find_folders([image['file_name'] for image in content.coco['images']])
    if val is None and folders:
        parts = [_pick(content, chosen) for chosen in folders]
        # without an object there is nothing to validate
        if parts[1].coco['annotations']:
            notes = [_describe_folders(folders, len(content.coco['images']))]
            content, val = parts
    # of other formats the classes are those of the files, or given to them
    content = keep_classes(content, request.classes)
    names = [category['name'] for category in content.coco['categories']]
    notes = [*content.notes, *notes]
    if val is None:
        parts = _split(content, request.seed)
        notes.append(_describe_split(parts, request.seed))
    else:
        parts = content, align_classes(val, names)
        notes += [note for note in parts[1].notes if note not in notes]
        if not parts[1].coco['annotations']:
            raise UserError('the validation set has no object of the classes that are trained')
    sets = {}
    for split, part in zip(SPLITS, parts):
        path = osp.join(folder, f'{split}.json')
        write_text(path, json.dumps(part.coco))
        prefix = dict(img=osp.join(osp.abspath(part.folder), ''))
        sets[split] = dict(type='CocoDataset', ann_file=path, data_prefix=prefix)
    sides = sorted(min(one['height'], one['width']) for one in content.coco['images'])
    return Facts(
        format=kind,
        classes=names,
        palette=[],
        counts={split: len(part.coco['images']) for split, part in zip(SPLITS, parts)},
        # as mmdet's filter_empty_gt counts: a crowd is an object too
        num_trained=len({one['image_id'] for one in parts[0].coco['annotations']}),
        masks=all(has_masks(part.coco) for part in parts),
        size=sides[len(sides) // 2],
        sets=sets,
        notes=notes,
    )


def _read_validation(request: Request, annotations: str) -> Content | None:
    """Read the validation set that is given; None without one."""
    if request.val_annotations is not None:
        images = request.val_images or request.images
        return read_annotations(images, request.val_annotations, request.classes, 'val')[0]
    if is_yaml(annotations) and yaml_folders(annotations, 'val'):
        return read_annotations(None, annotations, request.classes, 'val')[0]
    return None


def _split(content: Content, seed: int) -> tuple[Content, Content]:
    coco = content.coco
    classes = {image['id']: set() for image in coco['images']}
    for one in coco['annotations']:
        if not one.get('iscrowd'):
            classes[one['image_id']].add(one['category_id'])
    return tuple(_pick(content, chosen) for chosen in split_images(list(classes.values()), seed))


def _pick(content: Content, chosen: Sequence[int]) -> Content:
    """Leave the images of some indices, and their objects."""
    coco = content.coco
    images = [coco['images'][i] for i in chosen]
    ids = {image['id'] for image in images}
    objects = [one for one in coco['annotations'] if one['image_id'] in ids]
    return content._replace(coco={**coco, 'images': images, 'annotations': objects})


def _describe_folders(folders: Sequence[Sequence[int]], total: int) -> str:
    sizes = [len(chosen) for chosen in folders]
    others = total - sum(sizes)
    left = f'; images left out, because they are in other folders: {others}' if others else ''
    return (
        f'validation set: the {sizes[1]} images of the folder val (or valid), beside {sizes[0]} of '
        f'train{left}'
    )


def _describe_split(parts: Sequence[Any], seed: int) -> str:
    sizes = [len(part.coco['images']) if isinstance(part, Content) else len(part) for part in parts]
    return (
        f'no validation set given: {sizes[1]} of {sum(sizes)} images were taken for it at random '
        f'(seed {seed}), and no class has lost its last training image'
    )


def convert_segmentation(request: Request, folder: str) -> Facts:
    """Convert a segmentation set.

    Args:
        request (Request): The data.
        folder (str): Absolute path of the folder for the converted files.

    Returns:
        Facts: Facts about them.

    Raises:
        UserError: If they cannot be trained.
    """
    maps = label_maps.read_label_maps(request.images, request.annotations)
    # of all maps, also of those that validate and of folders that are left out
    classes = label_maps.choose_classes(maps, request.classes)
    val, notes, folders = None, list(maps.notes), find_folders(maps.names)
    if request.val_annotations is not None:
        val = label_maps.read_label_maps(
            request.val_images or request.images, request.val_annotations
        )
        label_maps.choose_classes(val, classes)
    elif folders:
        notes.append(_describe_folders(folders, len(maps.names)))
        maps, val = (label_maps.pick(maps, chosen) for chosen in folders)
    if val is not None:
        parts, chosen = (maps, val), [range(len(maps.names)), range(len(val.names))]
    else:
        parts, chosen = (maps, maps), split_images(maps.ids, request.seed)
        notes.append(_describe_split(chosen, request.seed))
    sets = {}
    for split, part, indices in zip(SPLITS, parts, chosen):
        path = osp.join(folder, f'{split}.txt')
        write_text(path, ''.join(f'{part.names[i]}\n' for i in indices))
        sets[split] = dict(
            type='BaseSegDataset',
            ann_file=path,
            data_prefix=dict(
                img_path=osp.abspath(part.images), seg_map_path=osp.abspath(part.maps)
            ),
            img_suffix=part.image_suffix,
            seg_map_suffix=part.map_suffix,
        )
    counts = {split: len(indices) for split, indices in zip(SPLITS, chosen)}
    palette = maps.palette[: len(classes)] if len(maps.palette) >= len(classes) else []
    return Facts('PNG', classes, palette, counts, counts['train'], False, maps.size, sets, notes)


def convert_classification(request: Request, folder: str) -> Facts:
    """Convert a classification set.

    Args:
        request (Request): The data.
        folder (str): Absolute path of the folder for the converted files.

    Returns:
        Facts: Facts about them.

    Raises:
        UserError: If they cannot be trained.
    """
    train, val = class_folders.find_splits(request.images, request.classes)
    found = class_folders.read_class_folders(train, request.classes)
    notes = []
    val = request.val_images or val
    if val is not None:
        other = class_folders.read_class_folders(val, found.classes)
        parts, chosen = (found, other), [range(len(found.files)), range(len(other.files))]
    else:
        parts = found, found
        chosen = split_images([{label} for label in found.labels], request.seed)
        notes.append(_describe_split(chosen, request.seed))
    sets = {}
    for split, part, indices in zip(SPLITS, parts, chosen):
        path = osp.join(folder, f'{split}.txt')
        write_text(path, ''.join(f'{part.files[i]} {part.labels[i]}\n' for i in indices))
        sets[split] = dict(
            type='CustomDataset', ann_file=path, data_prefix=osp.abspath(part.folder)
        )
    counts = {split: len(indices) for split, indices in zip(SPLITS, chosen)}
    trained = counts['train']
    return Facts(
        'class folders', found.classes, [], counts, trained, False, found.size, sets, notes
    )


CONVERTERS = dict(
    detection=convert_detection,
    segmentation=convert_segmentation,
    classification=convert_classification,
)
